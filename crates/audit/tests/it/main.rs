//! The audit against a real PostgreSQL.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::as_conversions,
    reason = "tests"
)]

mod log;
mod sealing;
mod tampering;
mod trail;
mod writer;
