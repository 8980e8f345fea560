//! `clinicx fleet status`: how far each tenant's schema has come.

use clinicx_migration::tenant::{
    Limits, Plan,
    apply::Subject,
    fleet::{Standing, check},
};
use clinicx_types::name::ModuleName;
use serde::Serialize;

use crate::{
    cli::{Failed, Outcome, Output},
    config::Config,
    fleet_status::{FleetStatus, RunBody, TenantStanding},
    wiring::{self, Platform},
};

/// How the fleet stands, and what the ledgers say.
#[derive(Serialize)]
struct Checked {
    tenants: usize,
    current: usize,
    behind: usize,
    not_served: usize,
    last_run: Option<RunBody>,
    items: Vec<Row>,
}

#[derive(Serialize)]
struct Row {
    #[serde(flatten)]
    standing: TenantStanding,
    /// In what its own ledger differs from the registry, when it was looked at.
    ledger: Option<String>,
}

pub(super) async fn run(config: &Config, check: bool, all: bool, output: &Output) -> Result<Outcome, Failed> {
    let platform = Platform::open_current(config).await?;
    let status = read(&platform, check).await;
    platform.close().await;
    let mut status = status?;
    let differ = status.items.iter().filter(|item| item.ledger.is_some()).count();
    if output.is_json() {
        output.one(&status);
    } else {
        show(&mut status, check.then_some(differ), all, output);
    }
    Ok(if differ == 0 { Outcome::Done } else { Outcome::Partly })
}

async fn read(platform: &Platform, check: bool) -> Result<Checked, Failed> {
    let (fleet, standings) = FleetStatus::read(platform).await?;
    let ledgers = if check { ledgers(platform, &standings).await? } else { vec![None; standings.len()] };
    let FleetStatus { tenants, current, behind, not_served, last_run, items } = fleet;
    let items = items.into_iter().zip(ledgers).map(|(standing, ledger)| Row { standing, ledger });
    Ok(Checked { tenants, current, behind, not_served, last_run, items: items.collect() })
}

/// Says of each tenant in what its own ledger differs from the registry.
async fn ledgers(platform: &Platform, standings: &[Standing]) -> Result<Vec<Option<String>>, Failed> {
    let plan = platform.modules.plan();
    let asked: Vec<(Subject, Limits)> =
        standings.iter().map(|one| (one.subject.clone(), one.pin.clone().unwrap_or_default())).collect();
    let login = wiring::owner_login(platform.logins.migrator()?, &platform.roles);
    let checked = check::check(&login, plan, &asked).await?;
    Ok(standings.iter().zip(checked).map(|(one, checked)| difference(plan, one, &checked)).collect())
}

/// Says in what a schema's own ledger differs from the registry.
fn difference(plan: &Plan, one: &Standing, checked: &check::Checked) -> Option<String> {
    // That the program lacks a module is said already, and not the ledger's.
    plan.of_modules(one.subject.modules.iter().map(ModuleName::as_str)).ok()?;
    match &checked.work {
        Err(error) => Some(error.to_string()),
        Ok(_) if checked.version != one.version => {
            Some(format!("the ledger is at {}, the registry at {}", checked.version, one.version))
        }
        Ok(work) if u32::try_from(work.up.len()) != Ok(one.pending) => {
            Some(format!("the ledger lacks {} migrations, the registry {}", work.up.len(), one.pending))
        }
        Ok(_) => None,
    }
}

fn show(status: &mut Checked, differ: Option<usize>, all: bool, output: &Output) {
    let Checked { tenants, current, behind, not_served, last_run, items } = status;
    output.note(&format!("{tenants} tenants: {current} current, {behind} behind, {not_served} not served"));
    match last_run {
        Some(run) => {
            let reason = run.reason.as_deref().map(|reason| format!(": {reason}")).unwrap_or_default();
            output.note(&format!(
                "last run {}, begun {}, {}{reason}; {} done, {} pending, {} failed, {} skipped",
                run.id, run.started_at, run.state, run.done, run.pending, run.failed, run.skipped
            ));
        }
        None => output.note("there was no run yet"),
    }
    match differ {
        Some(0) => output.note("every schema's own ledger agrees with the registry"),
        Some(differ) => output.note(&format!("{differ} schemas differ from the registry")),
        None => {}
    }
    if !all {
        items.retain(|item| item.standing.is_remarkable() || item.ledger.is_some());
    }
    if !items.is_empty() {
        let mut columns = vec![
            "slug",
            "status",
            "state",
            "schema_version",
            "target_version",
            "pending",
            "ring",
            "pin",
            "served",
        ];
        if differ.is_some() {
            columns.push("ledger");
        }
        output.many(items, &columns);
    }
}
