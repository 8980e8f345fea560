//! `clinicx fleet drift`: schemas that are not what their migrations make.

use std::collections::BTreeMap;

use clinicx_migration::tenant::{
    drift::{self, Difference, Drift},
    fleet::standings,
};
use clinicx_types::{id::TenantId, name::TenantSlug};
use serde::Serialize;

use crate::{
    cli::{Failed, Outcome, Output},
    config::Config,
    wiring::{self, Platform},
};

#[derive(Serialize)]
struct Found {
    tenant: String,
    kind: String,
    object: String,
    change: &'static str,
    aspect: Option<String>,
    expected: Option<String>,
    found: Option<String>,
    mend: Option<String>,
}

pub(super) async fn run(config: &Config, only: &[TenantSlug], output: &Output) -> Result<Outcome, Failed> {
    let platform = Platform::open_current(config).await?;
    let found = look(&platform, only, output).await;
    platform.close().await;
    let (looked_at, found) = found?;
    if output.is_json() {
        output.many(&found, &[]);
    } else {
        output.note(&format!("{looked_at} tenants, {} differences", found.len()));
        if !found.is_empty() {
            output.many(&found, &["tenant", "kind", "object", "change", "aspect", "expected", "found"]);
            output.note(&mending(&found));
        }
    }
    Ok(if found.is_empty() { Outcome::Done } else { Outcome::Partly })
}

async fn look(
    platform: &Platform,
    only: &[TenantSlug],
    output: &Output,
) -> Result<(usize, Vec<Found>), Failed> {
    let plan = platform.modules.plan();
    let standings = standings(&platform.app, plan).await?;
    if let Some(slug) = only.iter().find(|slug| !standings.iter().any(|one| one.slug == slug.as_str())) {
        return Err(Failed::message(format!(
            "there is no tenant {slug} with tables; see `clinicx tenant list`"
        )));
    }
    let chosen: Vec<_> = standings
        .into_iter()
        .filter(|one| only.is_empty() || only.iter().any(|slug| slug.as_str() == one.slug))
        .collect();
    let slugs: BTreeMap<TenantId, String> =
        chosen.iter().map(|one| (one.subject.tenant_id, one.slug.clone())).collect();
    let subjects: Vec<_> = chosen.into_iter().map(|one| one.subject).collect();
    let login = wiring::owner_login(platform.logins.migrator()?, &platform.roles);
    let bar = output.bar(subjects.len(), "tenants");
    let drifts = drift::drift(&login, plan, &subjects, |_| bar.step()).await;
    bar.finish();
    let found = drifts?.into_iter().flat_map(|drift| rows(&slugs, drift)).collect();
    Ok((subjects.len(), found))
}

fn rows(slugs: &BTreeMap<TenantId, String>, drift: Drift) -> Vec<Found> {
    let tenant = slugs.get(&drift.subject.tenant_id).cloned().unwrap_or_default();
    match drift.found {
        Ok(differences) => differences.into_iter().map(|one| row(&tenant, one)).collect(),
        Err(why) => vec![Found {
            tenant,
            kind: "ledger".to_owned(),
            object: drift.subject.schema.to_string(),
            change: "different",
            aspect: None,
            expected: None,
            found: Some(why.to_string()),
            mend: None,
        }],
    }
}

fn row(tenant: &str, one: Difference) -> Found {
    let Difference { kind, object, change, aspect, expected, found, mend } = one;
    let (tenant, change) = (tenant.to_owned(), change.as_str());
    Found { tenant, kind, object, change, aspect, expected, found, mend: Some(mend) }
}

/// Writes the statements for psql, tenant by tenant.
fn mending(found: &[Found]) -> String {
    let mut lines =
        vec!["-- what mends it, for the migrator's login in psql; look at each before it is run".to_owned()];
    let mut last = None;
    for one in found {
        let Some(mend) = &one.mend else { continue };
        if last != Some(&one.tenant) {
            let schema = format!("tenant_{}", one.tenant.replace('-', "_"));
            lines.push(format!("SET search_path TO {schema};"));
            last = Some(&one.tenant);
        }
        // A remark after a statement must not swallow its end.
        lines.push(match mend.split_once(" -- ") {
            Some((statement, remark)) if !statement.is_empty() => format!("{statement}; -- {remark}"),
            _ if mend.starts_with("--") => mend.clone(),
            _ => format!("{mend};"),
        });
    }
    lines.join("\n")
}
