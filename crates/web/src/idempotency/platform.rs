//! Keys of operations outside of a tenant's transaction: claimed first, answered later.
//!
//! While the first request runs, its row has no status and expires soon; whoever runs it puts that off again
//! and again. A process that dies stops doing so, and the key is free again after [`LEASE_S`].
//!
//! The column `operation` names the tenant too, where the token does: `create_user@<id>`. `body` holds the sealed
//! headers and body of an answer; `headers` is not used.

use std::{panic::AssertUnwindSafe, time::Duration};

use clinicx_persistence::{SystemConnection, SystemExecutor};
use clinicx_types::id::TenantId;
use futures_util::{FutureExt, future::BoxFuture};
use sea_orm::{Statement, raw_sql};
use uuid::Uuid;

use super::{EXPIRED_BATCH, Kept, Key, Slot, in_progress, is_lasting};
use crate::{context::Cx, deliver::Rendered, error::ApiError, kit::Kit, reply::Reply};

/// How long a claim holds without a sign of life, in seconds.
const LEASE_S: i64 = 30;
/// How often a sign of life is given.
const RENEWAL: Duration = Duration::from_secs(10);
/// How often the end of a key's work is written at most.
const CLOSING_TRIES: u32 = 4;
/// How long to wait before it is written again.
const CLOSING_PAUSE: Duration = Duration::from_millis(250);
/// How many expired rows one statement of a sweep removes.
const SWEEP_BATCH: u64 = 1000;

/// Runs work once for a key; another request with it gets the first answer.
pub(crate) async fn once<F>(cx: &Cx, principal: Uuid, key: &Key, work: F) -> Result<Reply, ApiError>
where
    F: FnOnce() -> BoxFuture<'static, Result<Reply, ApiError>> + Send,
{
    let store = store(&cx.0.kit)?;
    let id = cx.ids().next();
    let operation = scoped(cx.0.operation.id, key.tenant);
    let slot = Slot { principal, operation: &operation };
    if let Some(reply) = claim(&store, &slot, key, id).await? {
        return Ok(reply);
    }
    let outcome = run(&store, id, work()).await;
    let request = &cx.0;
    let (kept, outcome) = match outcome
        .and_then(|reply| Rendered::reply(&reply, request.operation.base).map(|rendered| (reply, rendered)))
    {
        Ok((reply, rendered)) => (Some(rendered), Ok(reply)),
        Err(error) if is_lasting(&error) => {
            let catalog = request.kit.api().catalog();
            (Some(Rendered::error(&error, catalog, request.language, request.request_id)), Err(error))
        }
        Err(error) => (None, Err(error)),
    };
    let closing = match kept {
        Some(answer) => key.seal(&slot, &answer).map(|sealed| complete(id, &answer, sealed, key.kept_for_s)),
        None => Ok(release(id)),
    };
    let closed = match closing {
        Ok(statement) => close(&store, &statement).await,
        Err(error) => Err(error),
    };
    if let Err(cause) = closed {
        tracing::warn!(error.code = cause.code(), "an answer could not be kept for its idempotency key");
    }
    outcome
}

/// Writes how a key's work ended; again when its connection was lost, as the work is done and can't be repeated.
async fn close(store: &SystemConnection, statement: &Statement) -> Result<(), ApiError> {
    let mut tries_left = CLOSING_TRIES;
    loop {
        tries_left -= 1;
        match store.execute(statement.clone()).await {
            Ok(_) => return Ok(()),
            Err(error) if tries_left == 0 => return Err(ApiError::database(&error)),
            Err(_) => tokio::time::sleep(CLOSING_PAUSE).await,
        }
    }
}

/// Returns the answer that a key has already, without taking the key.
pub(crate) async fn find(kit: &Kit, principal: Uuid, key: &Key) -> Result<Option<Reply>, ApiError> {
    let kept = look_up(&store(kit)?, principal, key).await?;
    kept.map(|kept| kept.answer(key, principal)).transpose()
}

fn store(kit: &Kit) -> Result<SystemConnection, ApiError> {
    let store = kit.options().system.clone();
    store.ok_or_else(|| ApiError::unavailable().caused_by("no store for idempotency keys"))
}

/// Removes what has expired, and returns how many rows that were.
pub(crate) async fn sweep(store: &SystemConnection) -> Result<u64, ApiError> {
    let mut all = 0_u64;
    loop {
        let batch = i64::try_from(SWEEP_BATCH).unwrap_or(i64::MAX);
        let statement = raw_sql!(
            Postgres,
            r#"DELETE FROM public.idempotency_keys
               WHERE id IN (
                   SELECT id
                   FROM public.idempotency_keys
                   WHERE expires_at <= now()
                   ORDER BY expires_at
                   LIMIT {batch}
                   FOR UPDATE SKIP LOCKED
               )"#
        );
        let removed = store.execute(statement).await.map_err(|error| ApiError::database(&error))?;
        all = all.saturating_add(removed);
        if removed < SWEEP_BATCH {
            return Ok(all);
        }
    }
}

/// Returns the operation with the tenant in which it is done: one user's key in two clinics is two keys.
fn scoped(operation: &str, tenant: Option<TenantId>) -> String {
    match tenant {
        Some(_) => format!("{operation}@{}", scope(tenant)),
        None => operation.to_owned(),
    }
}

/// What the database makes of [`scoped`] in the column `scope`, in which a key is unique for its principal.
fn scope(tenant: Option<TenantId>) -> String {
    tenant.map(|tenant| tenant.uuid().to_string()).unwrap_or_default()
}

/// Takes the key, or returns the answer that it has already.
async fn claim(
    store: &SystemConnection,
    slot: &Slot<'_>,
    key: &Key,
    id: Uuid,
) -> Result<Option<Reply>, ApiError> {
    let database = |error| ApiError::database(&error);
    let Slot { principal, operation } = *slot;
    let text = key.text.as_str();
    let hash = key.request_hash.clone();
    let tenant = scope(key.tenant);
    let (lease, batch) = (LEASE_S, EXPIRED_BATCH);
    // The database's clock decides: several processes share the keys.
    let statement = raw_sql!(
        Postgres,
        r#"WITH expired AS (
               SELECT id
               FROM public.idempotency_keys
               WHERE expires_at <= now() AND NOT (principal = {principal} AND scope = {tenant} AND key = {text})
               ORDER BY expires_at
               LIMIT {batch}
               FOR UPDATE SKIP LOCKED
           ), removed AS (
               DELETE FROM public.idempotency_keys WHERE id IN (SELECT id FROM expired)
           )
           INSERT INTO public.idempotency_keys AS kept
               (id, principal, operation, key, request_hash, expires_at)
           VALUES ({id}, {principal}, {operation}, {text}, {hash}, now() + CAST({lease} AS bigint) * interval '1 second')
           ON CONFLICT (principal, scope, key) DO UPDATE
           SET id = EXCLUDED.id, operation = EXCLUDED.operation, request_hash = EXCLUDED.request_hash, status = NULL, headers = NULL, body = NULL,
               created_at = now(), expires_at = EXCLUDED.expires_at
           WHERE kept.expires_at <= now()"#
    );
    if store.execute(statement).await.map_err(database)? > 0 {
        return Ok(None);
    }
    match look_up(store, principal, key).await? {
        Some(kept) => kept.answer(key, principal).map(Some),
        // Released between the two statements: the client's next try will find it free.
        None => Err(in_progress()),
    }
}

async fn look_up(store: &SystemConnection, principal: Uuid, key: &Key) -> Result<Option<Kept>, ApiError> {
    let (tenant, text) = (scope(key.tenant), key.text.as_str());
    let statement = raw_sql!(
        Postgres,
        r#"SELECT operation, request_hash, status, body
           FROM public.idempotency_keys
           WHERE principal = {principal} AND scope = {tenant} AND key = {text} AND expires_at > now()"#
    );
    store.query_one::<Kept>(statement).await.map_err(|error| ApiError::database(&error))
}

/// Runs the work and gives signs of life meanwhile. A panic ends as an error, so that the key is released.
async fn run(
    store: &SystemConnection,
    id: Uuid,
    work: BoxFuture<'static, Result<Reply, ApiError>>,
) -> Result<Reply, ApiError> {
    let mut work = AssertUnwindSafe(work).catch_unwind();
    loop {
        match tokio::time::timeout(RENEWAL, &mut work).await {
            Ok(outcome) => return outcome.unwrap_or_else(|_| Err(ApiError::internal("a write panicked"))),
            Err(_) => {
                if let Err(error) = store.execute(renewal(id)).await {
                    let cause = ApiError::database(&error);
                    tracing::warn!(
                        error.code = cause.code(),
                        "the claim of an idempotency key was not renewed"
                    );
                }
            }
        }
    }
}

fn renewal(id: Uuid) -> Statement {
    let lease = LEASE_S;
    raw_sql!(
        Postgres,
        r#"UPDATE public.idempotency_keys
           SET expires_at = now() + CAST({lease} AS bigint) * interval '1 second'
           WHERE id = {id} AND status IS NULL"#
    )
}

fn complete(id: Uuid, answer: &Rendered, body: Vec<u8>, kept_for: i64) -> Statement {
    let status = i32::from(answer.status.as_u16());
    raw_sql!(
        Postgres,
        r#"UPDATE public.idempotency_keys
           SET status = {status}, body = {body},
               expires_at = now() + CAST({kept_for} AS bigint) * interval '1 second'
           WHERE id = {id} AND status IS NULL"#
    )
}

fn release(id: Uuid) -> Statement {
    raw_sql!(Postgres, r#"DELETE FROM public.idempotency_keys WHERE id = {id} AND status IS NULL"#)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_another_one_in_another_tenant() {
        let tenant = |id| Some(TenantId::new(Uuid::from_u128(id)));
        assert_eq!(scoped("add_user", None), "add_user");
        assert_eq!(scoped("add_user", tenant(1)), "add_user@00000000-0000-0000-0000-000000000001");
        assert_ne!(scoped("add_user", tenant(1)), scoped("add_user", tenant(2)));
    }
}
