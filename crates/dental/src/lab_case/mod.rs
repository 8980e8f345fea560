//! Work that a laboratory does for a patient.

pub mod dto;
pub mod entity;
mod service;
mod status;

pub use dto::{CreateLabCase, LabCase, LabCaseFilter, UpdateLabCase};
pub use service::{create, get, list, transition, update};
pub use status::{LabAction, LabStatus, LabWork};
