//! Periodontal examinations: six sites a tooth.

pub mod dto;
pub mod entity;
pub mod measurement;
mod service;
mod site;

pub use dto::{
    PerioExam, PerioFilter, RecordPerioExam, SiteMeasure, SiteReading, TeethOfExam, ToothMeasures,
};
pub use service::{get, list, record, void};
pub use site::{PerioSite, attachment_loss_mm};
