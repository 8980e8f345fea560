//! Reads and writes of sealed fields: with the tenant's cipher, and once more with a new one when its keys have changed
//! meanwhile.

use actix_web::http::StatusCode;
use clinicx_keys::FieldCipher;
use clinicx_persistence::{TenantConnection, TenantScope, TenantTransaction};
use clinicx_web::{ApiError, Reply, TenantCx};
use futures_util::future::BoxFuture;

use crate::wiring::Slot;

/// Runs several reads that must agree, in one transaction, as [`TenantCx::read`] does.
///
/// # Errors
/// What the reads answer; 503 while the tenant's key can't be had.
pub async fn read<T, F>(slot: &Slot, cx: &TenantCx, operation: F) -> Result<T, ApiError>
where
    F: AsyncFn(&TenantTransaction, &TenantScope, &FieldCipher) -> Result<T, ApiError>,
{
    let keyring = &slot.platform()?.keyring;
    let cipher = keyring.cipher(cx.tenant().id).await?;
    match cx.read(async |tx, scope| operation(tx, scope, &cipher).await).await {
        Err(error) if keys_changed(&error) => {
            let cipher = keyring.refreshed(cx.tenant().id).await?;
            cx.read(async |tx, scope| operation(tx, scope, &cipher).await).await
        }
        done => done,
    }
}

/// Runs a single read on a connection, without a transaction.
///
/// # Errors
/// As [`read`].
pub async fn look<T, F>(slot: &Slot, cx: &TenantCx, operation: F) -> Result<T, ApiError>
where
    F: AsyncFn(&TenantConnection, &TenantScope, &FieldCipher) -> Result<T, ApiError>,
{
    let keyring = &slot.platform()?.keyring;
    let cipher = keyring.cipher(cx.tenant().id).await?;
    let connection = cx.connection()?;
    match operation(&connection, cx.scope(), &cipher).await {
        Err(error) if keys_changed(&error) => {
            let cipher = keyring.refreshed(cx.tenant().id).await?;
            operation(&connection, cx.scope(), &cipher).await
        }
        done => done,
    }
}

/// Runs a write in one transaction, to its end, as [`TenantCx::write`] does.
///
/// # Errors
/// What the operation answers; 503 while the tenant's key can't be had.
pub async fn write<F>(slot: &Slot, cx: &TenantCx, operation: F) -> Result<Reply, ApiError>
where
    F: for<'a> Fn(
            &'a TenantTransaction,
            &'a TenantScope,
            FieldCipher,
        ) -> BoxFuture<'a, Result<Reply, ApiError>>
        + Clone
        + Send
        + Sync
        + 'static,
{
    let keyring = &slot.platform()?.keyring;
    let cipher = keyring.cipher(cx.tenant().id).await?;
    let again = operation.clone();
    match cx.write(move |tx, scope| operation(tx, scope, cipher.clone())).await {
        Err(error) if keys_changed(&error) => {
            let cipher = keyring.refreshed(cx.tenant().id).await?;
            cx.write(move |tx, scope| again(tx, scope, cipher.clone())).await
        }
        done => done,
    }
}

/// Tells whether an operation met a value under a key that it did not know; a failure of the database says of
/// itself that it is one.
fn keys_changed(error: &ApiError) -> bool {
    error.status() == StatusCode::SERVICE_UNAVAILABLE
        && error.code() == "try_again"
        && error.failure_kind().is_none()
}
