//! The audit rows of log-ins and of changes to accounts.

use clinicx_persistence::{Actor, SystemExecutor};
use clinicx_types::id::TenantId;
use sea_orm::{DbErr, JsonValue, Statement, raw_sql};
use uuid::Uuid;

use crate::scope::{IdentityScope, Origin};

/// What happened to an account, without addresses and secrets.
#[derive(Clone, Debug)]
pub struct Entry {
    /// What was done, such as `user.logged_in`.
    pub action: &'static str,
    /// The kind of thing, such as `user`.
    pub entity: &'static str,
    /// Which one; `None` for a failed log-in to an account that does not exist.
    pub entity_id: Option<Uuid>,
    /// The tenant whose audit shows it; `None` for the platform's.
    pub tenant: Option<TenantId>,
    /// The changed fields as they were.
    pub before: Option<JsonValue>,
    /// The changed fields as they are now.
    pub after: Option<JsonValue>,
}

/// Writes one audit row of somebody who is known.
///
/// # Errors
/// What the database answers.
pub async fn record(db: &impl SystemExecutor, scope: &IdentityScope, entry: Entry) -> Result<(), DbErr> {
    let origin = Origin { request_id: scope.request_id, source: scope.source };
    db.execute(statement(Some(scope.actor), &origin, entry)).await.map(|_| ())
}

/// Writes one audit row of somebody who has not shown who it is.
pub(crate) async fn record_anonymous(
    db: &impl SystemExecutor,
    origin: &Origin,
    entry: Entry,
) -> Result<(), DbErr> {
    db.execute(statement(None, origin, entry)).await.map(|_| ())
}

fn statement(actor: Option<Actor>, origin: &Origin, entry: Entry) -> Statement {
    let Entry { action, entity, entity_id, tenant, before, after } = entry;
    let actor_kind = actor.map_or("anonymous", |actor| actor.kind());
    let actor_id = actor.and_then(|actor| actor.user_id());
    let actor_job = actor.and_then(|actor| actor.job());
    let request_id = origin.request_id;
    let source = origin.source.map(|address| address.to_string());
    raw_sql!(
        Postgres,
        r#"INSERT INTO public.audit_logs
               (tenant_id, actor_kind, actor_id, actor_job, action, entity, entity_id, request_id, source_address,
                before, after)
           VALUES ({tenant}, {actor_kind}, {actor_id}, {actor_job}, {action}, {entity}, {entity_id}, {request_id},
                   CAST({source} AS inet), {before}, {after})"#
    )
}
