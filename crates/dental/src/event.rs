//! The events of the module `dental`.

use clinicx_types::module::EventType;

/// A treatment was planned.
pub const TREATMENT_CREATED: EventType = EventType("treatment.created");
/// A treatment's status has changed.
pub const TREATMENT_STATUS_CHANGED: EventType = EventType("treatment.status_changed");
/// A patient's chart was changed.
pub const DENTAL_CHART_UPDATED: EventType = EventType("dental_chart.updated");

/// Every event of the module.
pub const ALL: &[EventType] = &[TREATMENT_CREATED, TREATMENT_STATUS_CHANGED, DENTAL_CHART_UPDATED];
