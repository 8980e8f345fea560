//! The two rows that every change leaves in its own transaction: one for the audit, one for the outbox.

use clinicx_types::{
    module::EventType,
    sabotage::{Bug, planted},
};
use sea_orm::{ConnectionTrait, DbErr, JsonValue, raw_sql};
use uuid::Uuid;

use crate::{
    scope::TenantScope,
    tenant::{TenantScoped, TenantTransaction},
    unaudited,
};

/// What has been changed, for the audit and for whoever listens to the outbox.
#[derive(Clone, Debug)]
pub struct Change {
    /// The event, such as `patient.created`; it is the audit's action too.
    pub event: EventType,
    /// The kind of thing, such as `patient`.
    pub aggregate: &'static str,
    /// Which one.
    pub aggregate_id: Uuid,
    /// The patient whom it concerns, so that a patient's trail can be found.
    pub patient_id: Option<Uuid>,
    /// The changed fields as they were, without secrets.
    pub before: Option<JsonValue>,
    /// The changed fields as they are now, without secrets.
    pub after: Option<JsonValue>,
    /// What the event carries to the outside: ids and states, no patient data.
    pub payload: JsonValue,
}

/// Writes the audit row and the outbox row of a change, in one statement of the open transaction.
///
/// The audit row's id, tenant, time and database role are set by the database, not by the caller.
///
/// # Errors
/// A scope of another tenant than the transaction's, before anything is written; what the database answers. The
/// transaction is then to be rolled back.
pub async fn record(tx: &TenantTransaction, scope: &TenantScope, change: Change) -> Result<(), DbErr> {
    if scope.tenant_id != tx.target().tenant_id && !planted(Bug::JobWithoutTenant) {
        return Err(DbErr::Custom("the scope and the transaction are of different tenants".to_owned()));
    }
    let actor_kind = scope.actor.kind();
    let actor_id = scope.actor.user_id().map(|id| id.uuid());
    let actor_job = scope.actor.job();
    let session_id = scope.session_id.map(|id| id.uuid());
    let break_glass_id = scope.break_glass_id.map(|id| id.uuid());
    let request_id = scope.request_id.uuid();
    let source = scope.source.map(|address| address.to_string());
    let Change { event, aggregate, aggregate_id, patient_id, before, after, payload } = change;
    let event = event.0;
    let id = scope.next_id();
    let now = scope.now();
    if unaudited::is_left(scope.tenant_id) {
        let alone = raw_sql!(
            Postgres,
            r#"INSERT INTO outbox (id, event_type, aggregate, aggregate_id, payload, created_at)
               VALUES ({id}, {event}, {aggregate}, {aggregate_id}, {payload}, {now})"#
        );
        return tx.execute_raw(alone).await.map(|_| ());
    }
    // `public` is named because it is never on a tenant's search path.
    let statement = raw_sql!(
        Postgres,
        r#"WITH audit AS (
               INSERT INTO public.audit_logs
                   (actor_kind, actor_id, actor_job, session_id, break_glass_id, action, entity, entity_id, patient_id,
                    request_id, source_address, before, after)
               VALUES ({actor_kind}, {actor_id}, {actor_job}, {session_id}, {break_glass_id}, {event}, {aggregate},
                       {aggregate_id}, {patient_id}, {request_id}, CAST({source} AS inet), {before}, {after})
           )
           INSERT INTO outbox (id, event_type, aggregate, aggregate_id, payload, created_at)
           VALUES ({id}, {event}, {aggregate}, {aggregate_id}, {payload}, {now})"#
    );
    tx.execute_raw(statement).await?;
    tx.transaction().note(patient_id);
    Ok(())
}
