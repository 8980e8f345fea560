//! Installment plans: when an invoice is paid, part by part. Whether a part is paid follows from what is allocated.

pub mod dto;
pub mod entity;
pub mod installment;
mod service;

pub use dto::{CreateInstallmentPlan, Installment, InstallmentPlan, Interval, PlanStatus};
pub(crate) use service::end;
pub use service::{cancel, create, get, list};
