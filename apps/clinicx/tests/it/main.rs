//! Tests of the program as its users see it.

#![expect(clippy::disallowed_methods, reason = "tests make their own ids and read the machine's clock")]
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod access;
mod account;
mod adoption;
mod alteration;
mod audit;
mod audit_log;
mod away;
mod backups;
mod bad_input;
mod billing;
mod booking;
mod break_glass;
mod browser;
mod canary;
mod cancellation;
mod charging;
mod command;
mod completeness;
mod contract;
mod dental;
mod dev;
mod document;
mod exec;
mod fiscal_year;
mod fleet;
mod housekeeping;
mod isolation;
mod jobs;
mod key_rotation;
mod keys;
mod lifecycle;
mod logging;
mod maintain;
mod metadata;
mod odontogram;
mod oidc;
mod program;
mod readiness;
mod scoping;
mod sealed_columns;
mod self_check;
mod settings;
mod slow_heads;
mod soak;
mod structure;
mod support;
mod tokens;
mod totp;
mod unaudited;
mod users;
mod vault;
mod watch;
mod writing;
mod wrong_start;
