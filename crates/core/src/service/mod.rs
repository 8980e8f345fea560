//! What the clinic offers and how long it takes.

pub mod dto;
pub mod entity;
pub(crate) mod intake;
#[expect(clippy::module_inception, reason = "the operations of every thing are in its module `service`")]
mod service;

pub use dto::{CreateService, Service, ServiceFilter, UpdateService};
pub use service::{create, delete, find, get, list, update};
