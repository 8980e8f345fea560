//! When a member of staff works: hours of the clock on days of the week, in a time zone.
//!
//! Somebody without any can be booked at any time.

pub mod dto;
pub mod entity;
pub(crate) mod intake;
pub mod roster;
mod service;

pub use dto::{CreateWorkingHours, UpdateWorkingHours, WorkingHours};
pub use service::{create, delete, find, get, list, roster_of, update};
