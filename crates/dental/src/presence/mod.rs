//! What became of each tooth, and when. The newest event by its effective date counts; without one it is unknown.

pub mod dto;
pub mod entity;
mod history;
mod service;
mod state;

pub use dto::{PresenceFilter, RecordPresence, ToothPresence};
pub(crate) use history::{is_after, losses, losses_of_gone};
pub(crate) use service::{Cause, as_of, history, record_effect, void_of_treatment};
pub use service::{get, list, record, void};
pub use state::{PresenceState, RecordStatus};
