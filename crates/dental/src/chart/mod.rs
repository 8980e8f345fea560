//! A patient's chart: what is known of each tooth as of a date.
//!
//! The chart is a projection of what was recorded; the table `dental_charts` holds how it is shown, and its version,
//! which every change of what it shows raises. A chart's id is its patient's.

pub mod dto;
pub mod entity;
mod projection;
mod service;
mod standing;

pub use dto::{Chart, ChartFinding, ChartTooth, ChartTreatment, ChartView, UpdateChart};
pub use projection::{Facts, project};
pub use service::{get, update};
pub(crate) use service::{lock, require_patient};
