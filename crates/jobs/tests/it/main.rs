//! Tests of background work against a real PostgreSQL.

#![expect(clippy::unwrap_used, clippy::panic, reason = "what a test can't do without has failed")]

mod asking;
mod cancelling;
mod context;
mod fairness;
mod leases;
mod retention;
mod running;
mod schedules;
mod support;
mod suspension;
