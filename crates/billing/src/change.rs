//! The trace that every change leaves.

use clinicx_persistence::{
    TenantScope, TenantTransaction,
    record::{Change, record},
};
use clinicx_types::module::EventType;
use sea_orm::{DbErr, JsonValue};
use uuid::Uuid;

use crate::error::Result;

/// What was changed.
pub(crate) struct Trace {
    pub(crate) event: EventType,
    /// The kind of thing and its id; the payload names it as `<kind>_id`.
    pub(crate) aggregate: (&'static str, Uuid),
    /// Whom it concerns.
    pub(crate) patient_id: Option<Uuid>,
    pub(crate) before: Option<JsonValue>,
    pub(crate) after: Option<JsonValue>,
    /// What the event carries to the outside besides the id: ids and states.
    pub(crate) payload: JsonValue,
}

impl Trace {
    /// Writes the audit row and the event.
    pub(crate) async fn write(self, tx: &TenantTransaction, scope: &TenantScope) -> Result<()> {
        Ok(self.record(tx, scope).await?)
    }

    /// As [`Self::write`], for those who can be refused nothing but by the database.
    pub(crate) async fn record(
        self,
        tx: &TenantTransaction,
        scope: &TenantScope,
    ) -> std::result::Result<(), DbErr> {
        let Self { event, aggregate: (aggregate, aggregate_id), patient_id, before, after, mut payload } =
            self;
        if let Some(members) = payload.as_object_mut() {
            members.insert(format!("{aggregate}_id"), aggregate_id.to_string().into());
        }
        let change = Change { event, aggregate, aggregate_id, patient_id, before, after, payload };
        record(tx, scope, change).await
    }
}
