//! The audit: rows of reads and refusals, looking at the trail, and the Merkle log that seals it.
//!
//! A change leaves its row in its own transaction (`clinicx_persistence::record`); everything else comes here.
//! Entry points: [`AuditWriter`] writes rows in batches and tells when they are committed; [`trail`] reads them for a
//! tenant and for operators; [`seal`] puts them into the log, [`verify`] proves it, [`mod@prune`] takes old ones out.
//!
//! **Invariant:** a row of one tenant is never read for another: a tenant's role reads through
//! `public.tenant_audit_logs`, which goes by the role that PostgreSQL has set and by nothing that a caller says.

pub mod entry;
pub mod error;
pub mod leaf;
pub mod merkle;
pub mod note;
pub mod prune;
pub mod seal;
pub mod trail;
pub mod verify;
pub mod writer;

pub use entry::Entry;
pub use error::AuditError;
pub use note::{Checkpoint, SigningKey, VerifyingKey};
pub use verify::{Finding, Report, Wrong};
pub use writer::{AuditWriter, Release, WriterOptions};
