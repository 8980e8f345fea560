//! Brings every tenant's schema to where it is to be: in waves, several at a time, resumable.
//!
//! [`run()`] is one run over the fleet; its state is durable, and each tenant's row says `done` from the same commit on as
//! its schema. [`wave`] tells who goes when, [`standing`] how far each has come by the registry, [`check`] by the ledgers
//! in the schemas themselves, [`status`] what has come of the last run.
//!
//! **Invariant:** what was applied to a schema stands in that schema's ledger and nowhere else. A run only remembers
//! whom it still has to look at, and whoever does so reads the ledger under the lock of the schema.

pub mod check;
mod desk;
mod mark;
mod pool;
mod prepare;
pub mod run;
pub mod standing;
pub mod status;
mod store;
pub mod survey;
pub mod wave;

use std::num::NonZeroUsize;

pub(crate) use mark::JOB;
pub use mark::Mark;
pub use pool::{TenantResult, migrate_all};
pub use run::{Event, RunEnd, RunError, RunOptions, RunReport, run};
pub use standing::{FleetError, Standing, standings, standings_to, subjects};
pub use survey::{Surveyed, preview};
pub use wave::{Ring, Share, Wave};

/// How many tenants are migrated at a time unless the caller says otherwise.
pub const CONCURRENCY: NonZeroUsize = NonZeroUsize::MIN.saturating_add(7);
/// The most tenants that are migrated at a time.
pub const MAX_CONCURRENCY: NonZeroUsize = NonZeroUsize::MIN.saturating_add(15);
