//! The events of the module `orthodontics`.

use clinicx_types::module::EventType;

/// A bracket was bonded to a tooth.
pub const BRACKET_BONDED: EventType = EventType("orthodontic_bracket.bonded");
/// A bracket was taken off.
pub const BRACKET_REMOVED: EventType = EventType("orthodontic_bracket.removed");
/// A visit was recorded.
pub const VISIT_RECORDED: EventType = EventType("orthodontic_visit.recorded");

/// Every event of the module.
pub const ALL: &[EventType] = &[BRACKET_BONDED, BRACKET_REMOVED, VISIT_RECORDED];
