//! Tests of adoption against a real PostgreSQL, with old tables as they are found.

#![expect(clippy::unwrap_used, clippy::panic, reason = "what a test can't do without has failed")]

mod catching_up;
mod cleaning;
mod kills;
mod moving;
mod refusing;
mod support;
