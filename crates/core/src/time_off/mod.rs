//! When a member of staff is away.

pub mod dto;
pub mod entity;
pub(crate) mod intake;
mod service;

pub use dto::{CreateTimeOff, TimeOff, TimeOffFilter, UpdateTimeOff};
pub use service::{create, delete, find, get, is_away, list, update};
