//! Appointments: booking without double booking, their states, moving them.
//!
//! **Invariant:** whatever changes an appointment that holds a slot, or makes it hold one, first takes the locks of
//! its actors (the patient, the staff member, the room) in sorted order; so nobody waits in a circle, and what a
//! check finds stays true until the end of the transaction. The exclusion constraints of the table stand behind it.
//! Only [`expire_holds`] takes no such locks: it frees slots, never takes one, and waits for nobody.

mod actors;
mod admission;
mod book;
mod details;
pub mod dto;
pub mod entity;
pub mod history;
mod hold;
pub(crate) mod intake;
mod query;
mod references;
mod reschedule;
mod status;
mod timing;
mod trace;
mod transition;
mod words;

pub use book::book;
pub use details::update;
pub use dto::{
    Appointment, AppointmentFilter, BookAppointment, BookingStatus, Reschedule, TransitionInput,
    UpdateAppointment,
};
pub use history::history;
pub use hold::{any_hold_expired, expire_holds};
pub use query::{find, get, list};
pub use reschedule::reschedule;
pub use status::{Action, RefusedMove, Status};
pub use transition::transition;
pub(crate) use words::{CANCELLATION, COMMENT, REASON, STEP};

/// What this is called in errors and traces.
const THING: &str = "appointment";
