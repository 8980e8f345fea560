//! `clinicx fleet migrate --dry-run`: what a run would do, with its SQL.

use std::collections::BTreeMap;

use clinicx_migration::tenant::{
    apply::Direction,
    fleet::{RunError, RunOptions, Surveyed, preview},
    plan::{PlannedMigration, Work},
    render,
};
use serde::Serialize;

use crate::{
    cli::{Failed, Outcome, Output},
    wiring::{self, Platform},
};

#[derive(Serialize)]
struct DryRun {
    tenants: Vec<PlannedTenant>,
    migrations: Vec<Step>,
}

#[derive(Serialize)]
struct PlannedTenant {
    slug: String,
    schema_version: String,
    wave: &'static str,
    up: Vec<String>,
    down: Vec<String>,
    cannot: Option<String>,
}

/// A migration, written for one of the tenants; for the others it differs in their ids and names.
#[derive(Clone, Serialize)]
struct Step {
    migration: String,
    how: &'static str,
    contracts: Option<&'static str>,
    tenants: usize,
    written_for: String,
    sql: String,
}

pub(super) async fn run(
    platform: &Platform,
    options: &RunOptions,
    output: &Output,
) -> Result<Outcome, Failed> {
    let login = wiring::owner_login(platform.logins.migrator()?, &platform.roles);
    let surveyed = preview(&login, platform.modules.plan(), options).await.map_err(|error| match error {
        RunError::UnknownTenant(_) => Failed::message(format!("{error}; see `clinicx tenant list`")),
        other => other.into(),
    })?;
    let steps = steps(&surveyed, options);
    let tenants: Vec<PlannedTenant> = surveyed.iter().map(|one| planned(one, options)).collect();
    if output.is_json() {
        output.one(&DryRun { tenants, migrations: steps });
        return Ok(Outcome::Done);
    }
    for step in &steps {
        let contracts = step.contracts.map(|why| format!("\n-- contracts: {why}")).unwrap_or_default();
        output.note(&format!(
            "-- {} {}, {} tenants; written for {}{contracts}\n{}",
            step.migration, step.how, step.tenants, step.written_for, step.sql
        ));
    }
    output.note(&format!("{} tenants; nothing was changed", tenants.len()));
    if !tenants.is_empty() {
        output.many(&tenants, &["slug", "schema_version", "wave", "up", "down", "cannot"]);
    }
    Ok(Outcome::Done)
}

fn name(one: &PlannedMigration) -> String {
    format!("{}/{}", one.module, one.migration.name)
}

fn planned(one: &Surveyed, options: &RunOptions) -> PlannedTenant {
    let (up, down, cannot) = match &one.work {
        Ok(work) => {
            let down = undone(work, options);
            (work.up.iter().map(name).collect(), down.iter().map(name).collect(), None)
        }
        Err(why) => (Vec::new(), Vec::new(), Some(why.clone())),
    };
    PlannedTenant {
        slug: one.standing.slug.clone(),
        schema_version: one.standing.version.to_string(),
        wave: one.wave.as_str(),
        up,
        down,
        cannot,
    }
}

fn undone<'a>(work: &'a Work, options: &RunOptions) -> &'a [PlannedMigration] {
    if options.direction == Direction::Both { &work.down } else { &[] }
}

/// Lists each migration once, in the order in which they run.
fn steps(surveyed: &[Surveyed], options: &RunOptions) -> Vec<Step> {
    let mut order = Vec::new();
    let mut steps: BTreeMap<String, Step> = BTreeMap::new();
    for one in surveyed {
        let Ok(work) = &one.work else { continue };
        let target = one.standing.subject.target();
        let down = undone(work, options).iter().map(|migration| (migration, "undone"));
        let up = work.up.iter().map(|migration| {
            (
                migration,
                if migration.outside.is_some() { "applied outside of transactions" } else { "applied" },
            )
        });
        for (migration, how) in down.chain(up) {
            let key = format!("{} {how}", name(migration));
            let step = steps.entry(key.clone()).or_insert_with(|| {
                order.push(key);
                let sql = match (how, &migration.outside) {
                    ("undone", _) => render::undo(migration, &target).unwrap_or_else(|| {
                        format!("-- can't be undone: {}\n", migration.irreversible().unwrap_or_default())
                    }),
                    (_, Some(outside)) => format!("{};\n", outside.summary()),
                    (_, None) => render::one(migration, &target),
                };
                Step {
                    migration: name(migration),
                    how,
                    contracts: migration.contracts,
                    tenants: 0,
                    written_for: one.standing.slug.clone(),
                    sql,
                }
            });
            step.tenants += 1;
        }
    }
    order.iter().filter_map(|key| steps.get(key)).cloned().collect()
}
