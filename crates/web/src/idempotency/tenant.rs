//! Keys of a tenant's operations: kept in its schema, in the transaction of the write itself.
//!
//! The column `body` holds the sealed headers and body of an answer; `headers` is not used. Expired rows go with
//! the tenant's next write that has a key.

use chrono::TimeDelta;
use clinicx_persistence::TenantTransaction;
use clinicx_types::sabotage::{Bug, planted};
use sea_orm::{ConnectionTrait, FromQueryResult, raw_sql};
use uuid::Uuid;

use super::{EXPIRED_BATCH, Found, KEPT_FOR_S, Kept, Key, Slot, digest, in_progress};
use crate::{context::TenantCx, deliver::Rendered, error::ApiError};

#[derive(FromQueryResult)]
struct Lock {
    taken: bool,
}

/// Whose key it is: two users of a clinic may choose the same one.
fn principal(cx: &TenantCx) -> Uuid {
    if planted(Bug::UnscopedIdempotencyKey) { Uuid::nil() } else { cx.caller().user_id.uuid() }
}

/// Takes the key for this transaction and looks for an answer that was given before.
pub(crate) async fn find(tx: &TenantTransaction, cx: &TenantCx, key: &Key) -> Result<Found, ApiError> {
    let database = |error| ApiError::database(&error);
    let principal = principal(cx);
    let text = key.text.as_str();
    // Advisory locks belong to the whole database, which many tenants share.
    let tenant = cx.tenant().id.uuid();
    let name = digest(&[tenant.as_bytes(), principal.as_bytes(), text.as_bytes()]);
    let lock = i64::from_be_bytes(name.first_chunk().copied().unwrap_or_default());
    let statement = raw_sql!(Postgres, r#"SELECT pg_try_advisory_xact_lock({lock}) AS taken"#);
    let taken = Lock::find_by_statement(statement).one(tx).await.map_err(database)?;
    if !taken.is_some_and(|lock| lock.taken) {
        return Err(in_progress());
    }
    // A statement of its own: only one that begins after the lock was taken sees what its last holder wrote.
    let now = cx.scope().now();
    let statement = raw_sql!(
        Postgres,
        r#"SELECT operation, request_hash, status, body
           FROM idempotency_keys
           WHERE principal = {principal} AND key = {text} AND expires_at > {now}"#
    );
    match Kept::find_by_statement(statement).one(tx).await.map_err(database)? {
        Some(kept) => kept.answer(key, principal).map(Found::Answer),
        None => Ok(Found::Nothing),
    }
}

/// Keeps an answer, sealed, and removes some that have expired: always more than it adds.
pub(crate) async fn keep(
    tx: &TenantTransaction,
    cx: &TenantCx,
    key: &Key,
    answer: &Rendered,
) -> Result<(), ApiError> {
    let scope = cx.scope();
    let id = scope.next_id();
    let principal = principal(cx);
    let (operation, text) = (cx.common().0.operation.id, key.text.as_str());
    let hash = key.request_hash.clone();
    let status = i32::from(answer.status.as_u16());
    let body = key.seal(&Slot { principal, operation }, answer)?;
    let batch = EXPIRED_BATCH;
    let now = scope.now();
    let expires_at = now + TimeDelta::seconds(KEPT_FOR_S);
    let statement = raw_sql!(
        Postgres,
        r#"WITH expired AS (
               SELECT id
               FROM idempotency_keys
               WHERE expires_at <= {now} AND NOT (principal = {principal} AND key = {text})
               ORDER BY expires_at
               LIMIT {batch}
               FOR UPDATE SKIP LOCKED
           ), removed AS (
               DELETE FROM idempotency_keys WHERE id IN (SELECT id FROM expired)
           )
           INSERT INTO idempotency_keys
               (id, principal, operation, key, request_hash, status, body, created_at, updated_at, expires_at)
           VALUES ({id}, {principal}, {operation}, {text}, {hash}, {status}, {body}, {now}, {now},
                   {expires_at})
           ON CONFLICT (principal, key) DO UPDATE
           SET operation = EXCLUDED.operation, request_hash = EXCLUDED.request_hash, status = EXCLUDED.status, headers = NULL,
               body = EXCLUDED.body, created_at = EXCLUDED.created_at, updated_at = EXCLUDED.updated_at,
               expires_at = EXCLUDED.expires_at"#
    );
    tx.execute_raw(statement).await.map(|_| ()).map_err(|error| ApiError::database(&error))
}
