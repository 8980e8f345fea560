//! Treatments: procedures that are planned or were performed, on teeth or elsewhere in the mouth.
//!
//! What the catalogue says of a procedure is copied when it is planned; later changes of the catalogue do not reach it.
//! **Invariant:** work on a tooth that is gone is refused, unless it fills the gap or there is an implant or a pontic.

mod change;
mod create;
pub mod dto;
pub mod entity;
mod flag;
pub mod history;
mod outcome;
mod query;
mod status;
mod transition;

use clinicx_core::{change::expect_version, charge::ChargeSource};
use clinicx_persistence::{TenantScope, TenantTransaction};
use clinicx_types::module::EventType;
use sea_orm::{EntityTrait, QuerySelect, sea_query::LockType};

pub use change::update;
pub use create::create;
pub use dto::{CreateTreatment, Treatment, TreatmentFilter, TreatmentStep, UpdateTreatment};
pub(crate) use flag::refresh as refresh_flags;
pub(crate) use history::moves;
pub use history::{TreatmentEvent, history};
pub(crate) use outcome::is_pointless;
pub(crate) use query::found_until;
pub use query::{get, list};
pub use status::{Action, Flag, Status};
pub use transition::{charge, transition};

use crate::{TreatmentId, chart, error::DentalError, trace};

/// The kind of a treatment where it is billed ([`ChargeSource`]).
pub const CHARGE_KIND: &str = "treatment";
/// What this is called in errors and traces.
const THING: &str = "treatment";

/// Returns what stands for a treatment where it is billed.
pub const fn charge_source(id: TreatmentId) -> ChargeSource {
    ChargeSource { kind: CHARGE_KIND, id: id.uuid() }
}

/// Locks the chart of a treatment's patient, then the treatment.
async fn locked(
    tx: &TenantTransaction,
    scope: &TenantScope,
    (id, expected): (TreatmentId, Option<i64>),
) -> Result<entity::Model, DentalError> {
    let missing = || DentalError::not_found(THING);
    // Whose it is never changes.
    let found = entity::Entity::find_by_id(id).one(tx).await?.ok_or_else(missing)?;
    chart::lock(tx, scope, found.patient_id).await?;
    let query = entity::Entity::find_by_id(id).lock(LockType::NoKeyUpdate);
    let row = query.one(tx).await?.ok_or_else(missing)?;
    expect_version(THING, expected, row.version)?;
    Ok(row)
}

fn subject(row: &entity::Model, event: EventType) -> trace::Subject {
    trace::Subject { event, aggregate: THING, id: row.id.uuid(), patient_id: Some(row.patient_id) }
}
