//! What the layers above persistence say about a module: its rights and its events.

use crate::permission::PermissionRule;

/// A type of event that a module writes to the outbox, such as `appointment.booked`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventType(pub &'static str);

/// The rights and events of a module.
#[derive(Clone, Copy, Debug)]
pub struct ModuleFacts {
    /// Its lines of the permission table.
    pub permissions: &'static [PermissionRule],
    /// The events that it writes.
    pub events: &'static [EventType],
}
