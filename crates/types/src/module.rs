//! What the layers above persistence say about a module: its rights, its events, its switches.

use crate::{
    permission::PermissionRule,
    setting::{Declared, FeatureFlag},
};

/// A type of event that a module writes to the outbox, such as `appointment.booked`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventType(pub &'static str);

/// The rights, events and switches of a module.
#[derive(Clone, Copy, Debug, Default)]
pub struct ModuleFacts {
    /// Its lines of the permission table.
    pub permissions: &'static [PermissionRule],
    /// The events that it writes.
    pub events: &'static [EventType],
    /// The feature flags that it asks for.
    pub flags: &'static [FeatureFlag],
    /// The platform's configurations that it reads.
    pub configurations: &'static [&'static dyn Declared],
}
