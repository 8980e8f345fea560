//! Accounts: what a guarantor owes in one currency, or has in advance.
//!
//! An account comes into being with the first invoice or payment of it.

pub mod dto;
pub mod entity;
mod service;

pub use dto::{Account, AccountFilter, PatientBalance};
pub(crate) use service::of_patient;
pub use service::{find, get, list, of};
