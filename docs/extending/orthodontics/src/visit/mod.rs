//! Visits at which braces were looked after; they are only ever added.

pub mod dto;
pub mod entity;
mod service;

pub use dto::{RecordVisit, Visit};
pub use service::{get, list, record};
