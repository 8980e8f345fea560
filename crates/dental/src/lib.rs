//! Charts and treatments of teeth: the module `dental`.
//!
//! The crate owns the tables `dental_charts` and `treatments` of the tenants that have the module, and names who
//! may do what with them. **Invariant:** clinical history is only ever added to; a correction is a status.
//!
//! Entry point: [`FACTS`], which the application's list of modules takes together with
//! [`clinicx_migration::tenant::dental::MIGRATIONS`].

pub mod event;
pub mod permission;

use clinicx_types::module::ModuleFacts;

/// The module's name.
pub const NAME: &str = "dental";

/// The rights and events of the module.
pub const FACTS: ModuleFacts =
    ModuleFacts { permissions: permission::RULES, events: event::ALL, flags: &[], configurations: &[] };

clinicx_types::typed_id! {
    /// Names a patient's dental chart.
    DentalChartId,
    /// Names a treatment, planned or performed.
    TreatmentId,
}
