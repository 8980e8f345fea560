//! The people who work in the clinic.

pub mod dto;
pub mod entity;
mod service;

pub use dto::{CreateStaff, StaffFilter, StaffMember, UpdateStaff};
pub use service::{create, delete, find, get, list, update};
