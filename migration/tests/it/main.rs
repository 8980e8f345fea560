//! Tests of the migrations against a real PostgreSQL.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "what a test can't do without has failed"
)]

mod baseline;
mod catalog;
mod escalation;
mod fences;
mod functions;
mod ledger;
mod roles;
mod system;
