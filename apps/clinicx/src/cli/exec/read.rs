//! A query in each tenant, its results joined.

use std::sync::atomic::{AtomicBool, Ordering};

use clinicx_audit::Entry;
use clinicx_persistence::Actor;
use clinicx_tenancy::{
    Tenant,
    exec::{self, Query, Rows, Wanted},
};
use clinicx_types::{
    clock::{IdSource, RandomIds},
    id::RequestId,
};
use futures_util::{StreamExt, stream};
use serde_json::json;

use super::{
    Asked, Undone, outcome,
    table::{Joined, Standing},
};
use crate::{
    cli::{Failed, Outcome, Output},
    wiring::Platform,
};

pub(super) async fn run(
    platform: &Platform,
    tenants: &[Tenant],
    query: &Query,
    asked: &Asked<'_>,
    output: &Output,
) -> Result<Outcome, Failed> {
    let enough = AtomicBool::new(false);
    let request = RequestId::new(RandomIds.next());
    let one = |tenant| {
        let enough = &enough;
        async move { (tenant, in_one(platform, tenant, query, asked, request, enough).await) }
    };
    let bar = output.bar(tenants.len(), "tenants");
    let mut answers = stream::iter(tenants).map(one).buffered(asked.args.concurrency.get());
    let mut joined = Joined::new(asked.args.limit_total);
    while let Some((tenant, answer)) = answers.next().await {
        bar.step();
        let standing = match answer {
            Ok(rows) => joined.add(&tenant.slug, rows),
            Err(undone) => Standing::undone(&tenant.slug, undone),
        };
        joined.tenants.push(standing);
        if joined.is_full() {
            enough.store(true, Ordering::Relaxed);
        }
    }
    bar.finish();
    joined.show(asked.args.csv, output)?;
    outcome(tenants.len(), joined.undone())
}

/// Runs the query in one tenant; its rows are shown only when the audit has a row that says so.
async fn in_one(
    platform: &Platform,
    tenant: &Tenant,
    query: &Query,
    asked: &Asked<'_>,
    request: RequestId,
    enough: &AtomicBool,
) -> Result<Rows, Undone> {
    if let Some(undone) = Undone::of_state(tenant) {
        return Err(undone);
    }
    if enough.load(Ordering::Relaxed) {
        return Err(Undone::ENOUGH);
    }
    let limit = asked.limit().ok_or(Undone::TIME_IS_UP)?;
    let wanted = Wanted { rows: asked.args.limit, limit };
    let answer = exec::query(&platform.cluster.tenant(tenant.target()), query, wanted).await;
    let outcome = match &answer {
        Ok(rows) => json!({ "outcome": "succeeded", "rows": rows.rows.len(), "cut": rows.is_cut }),
        Err(error) => json!({ "outcome": "failed", "sqlstate": error.sqlstate() }),
    };
    let entry = Entry {
        tenant_id: Some(tenant.id),
        actor: Actor::System(asked.command),
        session_id: None,
        break_glass_id: None,
        action: "tenant.query_run".into(),
        entity: "tenant",
        entity_id: Some(tenant.id.uuid()),
        patient_id: None,
        patient_ids: None,
        request_id: request,
        source: None,
        after: Some(json!({ "sha256": query.digest(), "result": outcome, "why": asked.why() })),
    };
    if let Err(error) = platform.audit.write_and_wait(entry).await {
        tracing::warn!(%error, tenant.slug = %tenant.slug, "a result was withheld: its audit row could not be written");
        let why = "the result is withheld, because its audit row could not be written".to_owned();
        return Err(Undone::Failed { why, sqlstate: None });
    }
    answer.map_err(|error| Undone::of(&error))
}
