//! A script in each tenant.

use clinicx_audit::Entry;
use clinicx_persistence::{Actor, TenantScope};
use clinicx_tenancy::{
    Tenant,
    exec::{Ran, Script, Terms, Trial},
};
use clinicx_types::permission::PermissionSet;
use futures_util::{StreamExt, stream};
use serde::Serialize;
use serde_json::json;

use super::{Asked, Undone, outcome};
use crate::{
    cli::{Failed, Outcome, Output},
    wiring::Platform,
};

/// What came of a tenant.
#[derive(Serialize)]
struct Row {
    tenant: String,
    /// How many rows each statement has changed or read.
    statements: Vec<Ran>,
    rows: u64,
    error: Option<String>,
    sqlstate: Option<String>,
}

pub(super) async fn run(
    platform: &Platform,
    tenants: &[Tenant],
    script: &Script,
    asked: &Asked<'_>,
    output: &Output,
) -> Result<Outcome, Failed> {
    let one = |tenant| async move { (tenant, in_one(platform, tenant, script, asked).await) };
    let bar = output.bar(tenants.len(), "tenants");
    let mut answers = stream::iter(tenants).map(one).buffered(asked.args.concurrency.get());
    let mut rows = Vec::with_capacity(tenants.len());
    while let Some((tenant, answer)) = answers.next().await {
        bar.step();
        rows.push(row(tenant, answer));
    }
    bar.finish();
    let undone = rows.iter().filter(|row| row.error.is_some()).count();
    let done = rows.len() - undone;
    let how = if asked.args.dry_run { "tried in, and rolled back in" } else { "run in" };
    output.note(&format!("{} statements {how} {done} tenants, {undone} not", script.len()));
    output.many(&rows, &["tenant", "rows", "error"]);
    outcome(tenants.len(), undone)
}

fn row(tenant: &Tenant, answer: Result<Vec<Ran>, Undone>) -> Row {
    let tenant = tenant.slug.to_string();
    match answer {
        Ok(statements) => {
            let rows = statements.iter().map(|ran| ran.rows).fold(0, u64::saturating_add);
            Row { tenant, statements, rows, error: None, sqlstate: None }
        }
        Err(undone) => {
            let error = Some(undone.why().to_owned());
            let sqlstate = match undone {
                Undone::Failed { sqlstate, .. } => sqlstate,
                Undone::NotAsked(_) => None,
            };
            Row { tenant, statements: Vec::new(), rows: 0, error, sqlstate }
        }
    }
}

/// Runs the script in one tenant. One that fails leaves an audit row too, which says that nothing was changed.
async fn in_one(
    platform: &Platform,
    tenant: &Tenant,
    script: &Script,
    asked: &Asked<'_>,
) -> Result<Vec<Ran>, Undone> {
    if let Some(undone) = Undone::of_state(tenant) {
        return Err(undone);
    }
    let limit = asked.limit().ok_or(Undone::TIME_IS_UP)?;
    let trial = if asked.args.dry_run { Trial::Yes } else { Trial::No };
    let scope = TenantScope::system(
        tenant.id,
        tenant.slug.clone(),
        (tenant.time_zone, tenant.currency, &tenant.locale),
        asked.command,
        PermissionSet::default(),
    );
    let terms = Terms { why: asked.why(), limit, trial };
    let ran = script.run(&platform.cluster.tenant(tenant.target()), &scope, &terms).await;
    let outcome = match (&ran, trial) {
        (Ok(_), Trial::No) => return ran.map_err(|error| Undone::of(&error)),
        (Ok(_), Trial::Yes) => json!({ "outcome": "rolled_back" }),
        (Err(error), _) => json!({ "outcome": "failed", "sqlstate": error.sqlstate() }),
    };
    let entry = Entry {
        tenant_id: Some(tenant.id),
        actor: Actor::System(asked.command),
        session_id: None,
        break_glass_id: None,
        action: "tenant.script_tried".into(),
        entity: "tenant",
        entity_id: Some(tenant.id.uuid()),
        patient_id: None,
        patient_ids: None,
        request_id: scope.request_id,
        source: None,
        after: Some(json!({ "sha256": script.digest(), "result": outcome, "why": terms.why })),
    };
    if let Err(error) = platform.audit.write_and_wait(entry).await {
        tracing::warn!(%error, tenant.slug = %tenant.slug, "a script changed nothing, and its audit row could not be written");
    }
    ran.map_err(|error| Undone::of(&error))
}
