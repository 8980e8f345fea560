//! Keys of a tenant's operations: kept in its schema, in the transaction of the write itself.
//!
//! The column `body` holds the headers and body of an answer, sealed for the row's key and once more under the tenant's
//! data key, so that whoever destroys that has destroyed them; `headers` is not used. Expired rows go with the tenant's
//! next write that has a key, and with [`sweep`].

use chrono::{DateTime, TimeDelta, Utc};
use clinicx_keys::{CipherError, FieldCipher};
use clinicx_persistence::{TenantConnection, TenantTransaction};
use clinicx_types::sabotage::{Bug, planted};
use sea_orm::{ConnectionTrait, FromQueryResult, raw_sql};
use uuid::Uuid;

use super::{EXPIRED_BATCH, KEPT_ANSWERS, KEPT_FOR_S, Kept, Key, Slot, digest, in_progress, lost};
use crate::{context::TenantCx, deliver::Rendered, error::ApiError, reply::Reply};

#[derive(FromQueryResult)]
struct Lock {
    taken: bool,
}

/// A kept answer as it stands in its row.
#[derive(FromQueryResult)]
struct Row {
    id: Uuid,
    operation: String,
    request_hash: Vec<u8>,
    status: Option<i32>,
    body: Option<Vec<u8>>,
}

impl Row {
    /// Opens what is sealed under the tenant's key.
    fn open(self, cx: &TenantCx, cipher: &FieldCipher) -> Result<Kept, ApiError> {
        let tenant = cx.tenant().id;
        let opened = self.body.map(|sealed| cipher.open(tenant, KEPT_ANSWERS, self.id, &sealed)).transpose();
        let body = opened.map_err(|error| match error {
            // Another process knows the next key already; this one will in some seconds.
            CipherError::UnknownKey(version) if version > cipher.version() => {
                ApiError::unavailable().caused_by(error)
            }
            _ => lost(),
        })?;
        let Self { operation, request_hash, status, .. } = self;
        Ok(Kept { operation, request_hash, status, body })
    }
}

/// Whose key it is: two users of a clinic may choose the same one.
fn principal(cx: &TenantCx) -> Uuid {
    if planted(Bug::UnscopedIdempotencyKey) { Uuid::nil() } else { cx.caller().user_id.uuid() }
}

/// Takes the key for this transaction, and returns the answer that was given before.
pub(crate) async fn find(
    tx: &TenantTransaction,
    cx: &TenantCx,
    key: &Key,
    cipher: &FieldCipher,
) -> Result<Option<Reply>, ApiError> {
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
        r#"SELECT id, operation, request_hash, status, body
           FROM idempotency_keys
           WHERE principal = {principal} AND key = {text} AND expires_at > {now}"#
    );
    match Row::find_by_statement(statement).one(tx).await.map_err(database)? {
        Some(row) => row.open(cx, cipher)?.answer(key, principal).map(Some),
        None => Ok(None),
    }
}

/// Keeps an answer, sealed, and removes some that have expired: always more than it adds.
pub(crate) async fn keep(
    tx: &TenantTransaction,
    cx: &TenantCx,
    (key, cipher): (&Key, &FieldCipher),
    answer: &Rendered,
) -> Result<(), ApiError> {
    let scope = cx.scope();
    let id = scope.next_id();
    let principal = principal(cx);
    let (operation, text) = (cx.common().0.operation.id, key.text.as_str());
    let hash = key.request_hash.clone();
    let status = i32::from(answer.status.as_u16());
    let body = key.seal(&Slot { principal, operation }, answer)?;
    let body = cipher.seal(scope.tenant_id, KEPT_ANSWERS, id, &body).map_err(ApiError::internal)?;
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
           SET id = EXCLUDED.id, operation = EXCLUDED.operation, request_hash = EXCLUDED.request_hash, status = EXCLUDED.status, headers = NULL,
               body = EXCLUDED.body, created_at = EXCLUDED.created_at, updated_at = EXCLUDED.updated_at,
               expires_at = EXCLUDED.expires_at"#
    );
    tx.execute_raw(statement).await.map(|_| ()).map_err(|error| ApiError::database(&error))
}

/// Removes a tenant's expired answers, and returns how many there were.
pub(crate) async fn sweep(connection: &TenantConnection, now: DateTime<Utc>) -> Result<u64, ApiError> {
    let (mut all, batch) = (0_u64, EXPIRED_BATCH);
    loop {
        let statement = raw_sql!(
            Postgres,
            r#"DELETE FROM idempotency_keys
               WHERE id IN (
                   SELECT id
                   FROM idempotency_keys
                   WHERE expires_at <= {now}
                   ORDER BY expires_at
                   LIMIT {batch}
                   FOR UPDATE SKIP LOCKED
               )"#
        );
        let removed = connection.execute_raw(statement).await.map_err(|error| ApiError::database(&error))?;
        let removed = removed.rows_affected();
        all = all.saturating_add(removed);
        if i64::try_from(removed).is_ok_and(|removed| removed < batch) {
            return Ok(all);
        }
    }
}
