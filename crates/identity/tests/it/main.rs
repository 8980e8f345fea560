//! Identity against a real PostgreSQL.

#![expect(clippy::disallowed_methods, reason = "tests make their own ids and read the machine's clock")]
#![expect(clippy::unwrap_used, reason = "a test that can't be set up can only fail")]

mod account;
mod break_glass;
mod invitation;
mod lockout;
mod login;
mod own_account;
mod reset;
mod session;
mod support;
mod totp;
