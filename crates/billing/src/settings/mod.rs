//! How a clinic bills: who it is on its invoices, how they are numbered, when they are due.

pub mod dto;
pub mod entity;
mod service;

pub use dto::{Issuer, Settings, UpdateSettings};
pub use service::{get, update};
