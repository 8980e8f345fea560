//! The audit against a real PostgreSQL.

#![expect(clippy::disallowed_methods, reason = "tests make their own ids and read the machine's clock")]
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
