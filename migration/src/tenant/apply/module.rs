//! Takes a module from a tenant.

use clinicx_persistence::SystemExecutor;
use clinicx_types::name::ModuleName;
use sea_orm::{Statement, raw_sql};

use super::{MigrateError, Subject, begin, registry};
use crate::owner::{OwnerConnection, OwnerLogin, OwnerTransaction};

/// Takes a module from a tenant whose registry row has this version, with `also` in the same transaction. Its tables
/// and their rows stay, and so does its ledger: a tenant that gets it again finds them brought up to date.
///
/// # Errors
/// [`MigrateError::Changed`] when the row has another version by the time that it is locked; [`MigrateError`].
pub async fn disable_at(
    login: &OwnerLogin,
    slot: &mut Option<OwnerConnection>,
    subject: &Subject,
    module: &ModuleName,
    version: i64,
    also: &[Statement],
) -> Result<(), MigrateError> {
    let tx = begin(login, slot, subject).await?;
    let result = disable(&tx, subject, module, version, also).await;
    match result {
        Ok(()) => {
            *slot = Some(tx.commit().await?);
            Ok(())
        }
        Err(error) => {
            *slot = tx.rollback().await.ok();
            Err(error)
        }
    }
}

async fn disable(
    tx: &OwnerTransaction,
    subject: &Subject,
    module: &ModuleName,
    version: i64,
    also: &[Statement],
) -> Result<(), MigrateError> {
    if registry::lock(tx, subject).await?.version != version {
        return Err(MigrateError::Changed);
    }
    let (id, module) = (subject.tenant_id, module.as_str());
    let switch = raw_sql!(
        Postgres,
        r#"UPDATE public.tenant_modules SET enabled = false WHERE tenant_id = {id} AND module = {module} AND enabled"#
    );
    let names = raw_sql!(
        Postgres,
        r#"UPDATE public.tenants
           SET modules = array_remove(modules, {module}), version = version + 1, updated_at = now()
           WHERE id = {id}"#
    );
    for statement in [switch, names].into_iter().chain(also.iter().cloned()) {
        tx.execute(statement).await.map_err(|error| MigrateError::database("take a module", &error))?;
    }
    Ok(())
}
