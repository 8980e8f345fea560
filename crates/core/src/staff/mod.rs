//! The people who work in the clinic.

mod accounts;
pub mod dto;
pub mod entity;
pub(crate) mod intake;
mod service;

pub use accounts::{Accounts, NoAccounts};
pub use dto::{CreateStaff, Revision, StaffFilter, StaffMember, UpdateStaff};
pub use service::{create, delete, find, get, list, update};
