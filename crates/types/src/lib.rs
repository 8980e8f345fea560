//! The words of ClinicX: identifiers, names that quote themselves, money, time, permissions, errors.
//!
//! Every other crate speaks in these types. They are checked once, when they are made.
//!
//! **Invariant:** nothing here does I/O, reads a clock or draws randomness on its own; [`clock::SystemClock`]
//! and [`clock::RandomIds`] are the only two that may, and a request's scope hands them out.

pub mod calendar;
pub mod clock;
pub mod error;
pub mod id;
pub mod lang;
pub mod module;
pub mod money;
pub mod name;
pub mod page;
pub mod permission;
pub mod range;
pub mod sabotage;
pub mod setting;
pub mod version;

pub use chrono;
pub use sea_orm;
pub use uuid;
