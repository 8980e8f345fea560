//! The connection that applies a tenant, against a real server.

#![expect(clippy::disallowed_methods, reason = "tests make their own ids and read the machine's clock")]
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::unwrap_used,
    unreachable_pub,
    reason = "all of it is a test"
)]

mod close;
mod driver;
mod entity;
mod feature;
mod fence;
mod fuzz;
mod leak;
mod limit;
mod plan;
mod pooler;
mod record;
mod storm;
mod support;
mod sweep;
mod system;
