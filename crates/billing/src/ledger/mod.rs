//! The ledger: what an account owes, movement by movement. Rows are only ever added.

pub mod dto;
pub mod entity;
mod service;
mod statement;

pub use dto::{Entry, EntryKind, LedgerFilter, Movement, Statement};
pub use service::list;
pub(crate) use service::{Posting, post};
pub use statement::statement;
