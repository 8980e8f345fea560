//! What was done and can be billed, once (FHIR `ChargeItem`).
//!
//! Other modules hand it over through [`BillingCharges`]; an invoice's line takes it.

mod charges;
mod dormant;
pub mod dto;
pub mod entity;
mod service;
mod trace;

pub use charges::BillingCharges;
pub use dormant::DormantCharges;
pub use dto::{ChargeItem, ChargeItemFilter, ChargeItemStatus};
pub(crate) use service::{Named, TREATMENT, bill, free, free_credited};
pub use service::{find, get, list};
