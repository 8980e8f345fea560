//! A PostgreSQL for tests, with real tenants in it.
//!
//! [`TestTenant::create`] gives a test a fresh tenant, made by the real provisioning, and a connection to it.
//! The process has one server, and [`TestDatabase::shared`] is one database of it; a test that needs the whole
//! system schema for itself takes a copy with [`TestDatabase::create`]. Pools belong to the test that opens
//! them, because each test has a runtime of its own.
//!
//! **Invariant:** only tests use this crate; it panics with a message where a test can't go on.

#![expect(clippy::expect_used, clippy::panic, reason = "a test that has no database can only fail")]

pub mod database;
pub mod tenant;

pub use database::TestDatabase;
pub use tenant::{TestTenant, TestTenantBuilder};
