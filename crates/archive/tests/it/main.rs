//! Tests of archives against a real PostgreSQL.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "what a test can't do without has failed"
)]

mod backup;
mod cutting;
mod in_place;
mod mutation;
mod restore;
mod retention;
mod support;
