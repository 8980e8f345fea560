//! Adoption: clinics that share tables with a tenant column become tenants with a schema of their own.
//!
//! ```text
//! mapping (TOML) ──> reader (may only read the old tables) ──> rows of core ──> the tenant's own connection
//!                                                              key map, misfits, state ──> the system schema
//! gate (triggers on the old tables): what has changed, and who has moved
//! ```
//!
//! One step does nearly everything: a *round* reads the mapped rows of one clinic in one snapshot, compares each with the
//! hash that was kept when it was written, and writes, changes or removes what differs. The first round copies, a round
//! after a crash goes on, later rounds catch up. Between rounds the gate says which keys have changed; at the end it holds
//! up the writers of that one clinic for the last round, the check, and the switch of the registry's row.
//!
//! **Invariant:** the expressions of a mapping run as a login that can write nothing and that is nobody here.
//! **Invariant:** nothing is written to, or removed from, the rows of a clinic that was not named.
//! **Invariant:** neither errors nor reports hold what stands in a row, only tables, rules, counts and keys.
//! **Invariant:** a tenant answers nobody before what it holds has been read back and compared.
//!
//! Entry points: [`Mapping::parse`], [`Adopter`]. A new field that can be mapped goes into `target`; what it means is a
//! matter of [`clinicx_core::intake`].

mod book;
pub mod cleaning;
mod cut_over;
mod decide;
pub mod error;
pub mod legacy;
pub mod mapping;
pub mod report;
mod round;
pub mod run;
mod store;
mod target;
mod verify;

pub use cleaning::Cleaned;
pub use error::AdoptionError;
pub use mapping::{Mapping, MappingError, TenantMapping};
pub use report::{Misfits, TableReport, Verified};
pub use run::{Adopted, Adopter, Event, Until};
pub use store::{State, Status};
