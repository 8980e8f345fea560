//! Credit notes: what is taken back of an issued invoice. A note never changes.

pub mod dto;
pub mod entity;
mod issue;
pub mod line;
mod query;
pub mod tax;

pub use dto::{CreateCreditNote, CreditNote, CreditNoteLine, CreditedLine};
pub use issue::issue;
pub use query::{find, get, list};
