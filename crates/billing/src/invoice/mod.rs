//! Invoices: what a patient owes.
//!
//! A draft can be changed; [`issue`] gives it its number, and from then on corrections are credit notes. What is due
//! is the gross less what is allocated and credited; what is overdue or partly paid follows from that.

mod cancel;
mod draft;
pub mod dto;
pub mod entity;
mod issue;
pub mod line;
mod lines;
mod overdue;
mod query;
mod recipient;
mod settle;
pub mod status;
pub mod tax;
mod trace;

pub use cancel::cancel;
pub use draft::{create, discard, update};
pub use dto::{
    CancelInvoice, CreateInvoice, Invoice, InvoiceFilter, InvoiceLine, LineInput, TaxLine, UpdateInvoice,
};
pub use issue::issue;
pub use query::{find, get, list};
pub(crate) use query::{lines_of, locked, locked_many, taxes_of};
pub use recipient::Recipient;
pub(crate) use settle::{Settlement, settle};
pub use status::InvoiceStatus;
