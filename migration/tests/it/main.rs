//! Tests of the migrations against a real PostgreSQL.

#![expect(clippy::disallowed_methods, reason = "tests make their own ids and read the machine's clock")]
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "what a test can't do without has failed"
)]

mod attacker;
mod baseline;
mod catalog;
mod drift;
mod escalation;
mod fences;
mod fleet;
mod functions;
mod kills;
mod ledger;
mod lint;
mod maintain;
mod mending;
mod poisoned;
mod roles;
mod system;
