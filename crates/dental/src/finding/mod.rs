//! What was found on teeth, and how it went on.

mod code;
pub mod dto;
pub mod entity;
mod follow;
mod service;
pub mod stage;

pub use code::{FindingCode, FindingStatus, Severity};
pub use dto::{FindingFilter, RecordFinding, ResolveInput, ToothFinding};
pub(crate) use follow::{follow_teeth, reopen_of_treatment};
pub use service::{activate, get, list, record, resolve, void, watch};
pub(crate) use service::{as_of, resolve_several};
