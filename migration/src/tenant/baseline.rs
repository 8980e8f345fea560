//! Adopts a schema whose tables exist already: its ledger is written without running what it names.

use std::collections::BTreeMap;

use clinicx_types::version::SchemaVersion;

use super::{
    apply::{self, MigrateError, Subject, registry},
    fences,
    ledger::{self, Origin},
    plan::{Plan, PlannedMigration},
    script::Script,
};
use crate::owner::{OwnerLogin, OwnerTransaction};

/// Marks the first migrations of each named module as applied, up to the given number, and writes the registry.
///
/// What they would have made must stand there already; the fences around it are put up. [`crate::fence::check`] tells
/// what is missing then.
///
/// # Errors
/// [`MigrateError::BaselineTooFar`], [`MigrateError::AlreadyInLedger`], [`MigrateError::UnknownTenant`],
/// [`MigrateError::Plan`], [`MigrateError::Database`].
pub async fn baseline(
    login: &OwnerLogin,
    plan: &Plan,
    subject: &Subject,
    upto: &BTreeMap<&str, i32>,
) -> Result<SchemaVersion, MigrateError> {
    let plan = plan.of_modules(upto.keys().copied())?;
    let known = plan.counts();
    for (module, claimed) in upto {
        let known = known.get(module).copied().unwrap_or_default();
        if *claimed > known || *claimed < 0 {
            return Err(MigrateError::BaselineTooFar {
                module: (*module).to_owned(),
                known,
                claimed: *claimed,
            });
        }
    }
    let mut slot = None;
    let tx = apply::begin(login, &mut slot, subject).await?;
    let version = write(&tx, &plan, subject, upto).await?;
    tx.commit().await?.close().await;
    Ok(version)
}

async fn write(
    tx: &OwnerTransaction,
    plan: &Plan,
    subject: &Subject,
    upto: &BTreeMap<&str, i32>,
) -> Result<SchemaVersion, MigrateError> {
    registry::lock(tx, subject).await?;
    let target = subject.target();
    let read = |error| MigrateError::database("read the ledger", &error);
    if ledger::exists(tx, subject.schema.as_str()).await.map_err(read)? {
        let rows = ledger::read(tx).await.map_err(read)?;
        if let Some(row) = rows.into_iter().find(|row| upto.contains_key(row.module.as_str())) {
            return Err(MigrateError::AlreadyInLedger(row.module));
        }
    } else {
        let mut script = Script::new(target.clone());
        ledger::create(&mut script);
        tx.run("create the ledger", script.into_statements().join(";\n")).await?;
    }
    if let Some(statement) = fences::statement(&target) {
        tx.run("put the fences up", statement).await?;
    }
    let is_claimed =
        |one: &&PlannedMigration| upto.get(one.module).is_some_and(|claimed| one.position <= *claimed);
    let rows: Vec<_> = plan.migrations().iter().filter(is_claimed).map(|one| (one, None)).collect();
    let mut batch: Vec<String> = ledger::insert(&target, &rows, Origin::Baseline).into_iter().collect();
    batch.push(audit_row(subject, upto));
    let counts =
        plan.modules().map(|module| (module, upto.get(module).copied().unwrap_or_default())).collect();
    let (version, _) = registry::write(tx, subject.tenant_id, &counts, batch).await?;
    Ok(version)
}

/// Writes the audit row, which the tenant sees. The modules are those of the plan, whose names need no quotes.
fn audit_row(subject: &Subject, upto: &BTreeMap<&str, i32>) -> String {
    let id = subject.tenant_id;
    let claimed: Vec<String> = upto.iter().map(|(module, count)| format!("'{module}', {count}")).collect();
    format!(
        "INSERT INTO public.audit_logs (tenant_id, actor_kind, actor_job, action, entity, entity_id, after) \
         VALUES ('{id}', 'system', 'migrate baseline', 'tenant.adopted', 'tenant', '{id}', jsonb_build_object({}))",
        claimed.join(", ")
    )
}
