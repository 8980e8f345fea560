//! Payments: what was paid, where it went, and what was given back.
//!
//! What of a payment is neither allocated to an invoice nor given back is unapplied credit of its account.

mod allocate;
pub mod allocation;
pub mod dto;
pub mod entity;
mod query;
mod receive;
mod refund;
pub mod refunds;
pub mod status;
mod trace;
mod transition;

pub use allocate::{allocate, release};
pub(crate) use allocate::{lock_those_on, release_excess};
pub use dto::{
    Allocation, AllocationReason, AllocationShare, CreateAllocations, CreatePayment, CreateRefund, Payment,
    PaymentFilter, Refund, ReleaseAllocation, VoidPayment,
};
pub use query::{find, get, get_refund, list, list_allocations, list_refunds};
pub use receive::receive;
pub use refund::refund;
pub use status::{PaymentMethod, PaymentStatus};
pub use transition::{complete, fail, void};
