//! Reads and writes of a tenant: one transaction each, begun and committed here and nowhere else.

use std::{future::Future, panic::AssertUnwindSafe, time::Duration};

use clinicx_keys::FieldCipher;
use clinicx_persistence::{FailureKind, TenantConnection, TenantScope, TenantTransaction};
use futures_util::{FutureExt, future::BoxFuture};
use tracing::Instrument;
use uuid::Uuid;

use crate::{
    context::{Cx, TenantCx},
    deliver::Rendered,
    error::ApiError,
    idempotency::{self, Key},
    kit::Kit,
    reply::Reply,
    telemetry,
};

/// How often a transaction is tried again when the database asks for it.
const MAX_RETRIES: u32 = 3;

/// Runs work as a task of its own, which ends even when nobody waits for it any more.
pub(crate) async fn run_to_end<T, W>(kit: &Kit, work: W) -> Result<T, ApiError>
where
    T: Send + 'static,
    W: Future<Output = Result<T, ApiError>> + Send + 'static,
{
    let guarded = AssertUnwindSafe(work).catch_unwind().in_current_span();
    match kit.tasks().spawn_on(guarded, &kit.options().runtime).await {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(_)) => Err(ApiError::internal("a write panicked")),
        Err(_) => Err(ApiError::unavailable().caused_by("the service is stopping")),
    }
}

/// Runs reads in one read-only transaction, again when the database asks for it.
pub(crate) async fn read<T, F>(cx: &TenantCx, operation: F) -> Result<T, ApiError>
where
    F: AsyncFn(&TenantTransaction, &TenantScope) -> Result<T, ApiError>,
{
    let mut connection = cx.connection()?;
    let (mut retries, mut looked_again) = (0_u32, false);
    loop {
        let outcome = one_read(cx, &connection, &operation).await;
        match outcome.as_ref().err().and_then(ApiError::failure_kind) {
            Some(FailureKind::Retry) if retries < MAX_RETRIES => {
                retries = retries.saturating_add(1);
                telemetry::retried(cx.common().0.operation.id);
            }
            Some(FailureKind::Fenced) if !looked_again => {
                looked_again = true;
                connection = look_again(cx).await?;
            }
            _ => return outcome,
        }
    }
}

async fn one_read<T, F>(cx: &TenantCx, connection: &TenantConnection, operation: &F) -> Result<T, ApiError>
where
    F: AsyncFn(&TenantTransaction, &TenantScope) -> Result<T, ApiError>,
{
    let tx = connection.begin_read_only().await.map_err(|error| ApiError::database(&error))?;
    let outcome = operation(&tx, cx.scope()).await;
    match outcome {
        Ok(value) => tx.commit().await.map(|()| value).map_err(|error| ApiError::database(&error)),
        Err(error) => {
            undo(tx).await;
            Err(error)
        }
    }
}

/// Runs a write in one transaction, again when the database asks for it.
pub(crate) async fn write<F>(cx: TenantCx, operation: F) -> Result<Reply, ApiError>
where
    F: for<'a> Fn(&'a TenantTransaction, &'a TenantScope) -> BoxFuture<'a, Result<Reply, ApiError>>
        + Send
        + Sync
        + 'static,
{
    let kit = cx.common().0.kit.clone();
    run_to_end(&kit, async move { tries(&cx, &operation).await }).await
}

/// Does something once that is no single tenant's transaction.
pub(crate) async fn perform<F>(cx: &Cx, principal: Uuid, work: F) -> Result<Reply, ApiError>
where
    F: FnOnce() -> BoxFuture<'static, Result<Reply, ApiError>> + Send + 'static,
{
    let key = cx.honour_key().cloned();
    let own = cx.clone();
    run_to_end(&cx.0.kit, async move {
        match key {
            Some(key) => idempotency::platform::once(&own, principal, &key, work).await,
            None => work().await,
        }
    })
    .await
}

async fn tries<F>(cx: &TenantCx, operation: &F) -> Result<Reply, ApiError>
where
    F: for<'a> Fn(&'a TenantTransaction, &'a TenantScope) -> BoxFuture<'a, Result<Reply, ApiError>>
        + Send
        + Sync,
{
    let mut connection = cx.connection()?;
    let (mut retries, mut looked_again) = (0_u32, false);
    loop {
        let outcome = one_try(cx, &connection, operation).await;
        match outcome.as_ref().err().and_then(ApiError::failure_kind) {
            Some(FailureKind::Retry) if retries < MAX_RETRIES => {
                retries = retries.saturating_add(1);
                telemetry::retried(cx.common().0.operation.id);
                tokio::time::sleep(pause(cx, retries)).await;
            }
            Some(FailureKind::Fenced) if !looked_again => {
                looked_again = true;
                connection = look_again(cx).await?;
            }
            _ => return outcome,
        }
    }
}

async fn one_try<F>(cx: &TenantCx, connection: &TenantConnection, operation: &F) -> Result<Reply, ApiError>
where
    F: for<'a> Fn(&'a TenantTransaction, &'a TenantScope) -> BoxFuture<'a, Result<Reply, ApiError>>
        + Send
        + Sync,
{
    let begin = async || connection.begin().await.map_err(|error| ApiError::database(&error));
    if let Some(key) = cx.common().honour_key() {
        // Asked for before a connection is held: the keys may have to be fetched.
        let cipher = cx.common().0.kit.gatekeeper().cipher(cx.tenant().id).await?;
        return with_key(cx, begin().await?, (key, &cipher), operation).await;
    }
    let tx = begin().await?;
    let outcome = operation(&tx, cx.scope()).await.and_then(|reply| render(cx, &reply).map(|_| reply));
    match outcome.map(|reply| reply.after(tx.recorded())) {
        Ok(reply) => tx.commit().await.map(|()| reply).map_err(|error| ApiError::database(&error)),
        Err(error) => {
            undo(tx).await;
            Err(error)
        }
    }
}

/// Runs the operation behind a savepoint, so that a refusal can be kept when what it did is undone.
async fn with_key<F>(
    cx: &TenantCx,
    tx: TenantTransaction,
    (key, cipher): (&Key, &FieldCipher),
    operation: &F,
) -> Result<Reply, ApiError>
where
    F: for<'a> Fn(&'a TenantTransaction, &'a TenantScope) -> BoxFuture<'a, Result<Reply, ApiError>>
        + Send
        + Sync,
{
    let database = |error| ApiError::database(&error);
    match idempotency::tenant::find(&tx, cx, key, cipher).await {
        Ok(None) => {}
        Ok(Some(reply)) => {
            undo(tx).await;
            return Ok(reply);
        }
        Err(error) => {
            undo(tx).await;
            return Err(error);
        }
    }
    let point = tx.savepoint().await.map_err(database)?;
    let outcome = operation(&point, cx.scope()).await;
    let (kept, outcome) = match outcome.and_then(|reply| render(cx, &reply).map(|rendered| (reply, rendered)))
    {
        Ok((reply, rendered)) => {
            point.commit().await.map_err(database)?;
            (rendered, Ok(reply.after(tx.recorded())))
        }
        Err(error) if idempotency::is_lasting(&error) => {
            point.rollback().await.map_err(database)?;
            let request = &cx.common().0;
            let catalog = request.kit.api().catalog();
            (Rendered::error(&error, catalog, request.language, request.request_id), Err(error))
        }
        Err(error) => {
            undo(point).await;
            undo(tx).await;
            return Err(error);
        }
    };
    idempotency::tenant::keep(&tx, cx, (key, cipher), &kept).await?;
    tx.commit().await.map_err(database)?;
    outcome
}

fn render(cx: &TenantCx, reply: &Reply) -> Result<Rendered, ApiError> {
    Rendered::reply(reply, cx.common().0.operation.base)
}

/// Rolls back. When even that fails the connection is closed by its pool, which undoes as much.
async fn undo(tx: TenantTransaction) {
    if tx.rollback().await.is_err() {
        tracing::debug!("a rollback failed and the connection was closed");
    }
}

/// Looks up where the tenant lives now, after the database has refused it as fenced or moved.
async fn look_again(cx: &TenantCx) -> Result<TenantConnection, ApiError> {
    let gatekeeper = cx.common().0.kit.gatekeeper();
    let id = cx.tenant().id;
    gatekeeper.invalidate(id).await;
    let entry = gatekeeper.tenant(id).await?;
    match &entry.refusal {
        Some(refusal) => Err(refusal.clone()),
        None => gatekeeper.connection(&entry),
    }
}

/// Returns how long to wait before another try: longer each time, and not the same for all who collided.
fn pause(cx: &TenantCx, retries: u32) -> Duration {
    let random = cx.ids().next().into_bytes().last().copied().unwrap_or_default();
    Duration::from_millis(u64::from(random) / 8 + 1).saturating_mul(1 << retries.min(4))
}
