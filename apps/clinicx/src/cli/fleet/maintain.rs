//! `clinicx fleet maintain` and `clinicx tenant maintain`: the upkeep of the tables.

use std::{
    collections::{BTreeMap, BTreeSet},
    num::NonZeroUsize,
    sync::Arc,
    time::{Duration, Instant},
};

use clap::Args;
use clinicx_migration::tenant::maintain::{Asked, Due, Maintained, Task};
use clinicx_tenancy::PlatformScope;
use clinicx_types::{id::TenantId, name::TenantSlug};
use serde::Serialize;

use crate::{
    cli::{Failed, Outcome, Output, exec},
    config::Config,
    maintenance::{self, Summary},
    wiring::Platform,
};

/// What is kept up, and how.
#[derive(Debug, Args)]
pub struct MaintainArgs {
    /// Only this: analyze, vacuum, settings, reindex; may be repeated
    #[arg(long = "only", value_name = "TASK")]
    tasks: Vec<Task>,
    /// Show what is due, and do nothing
    #[arg(long, visible_alias = "report")]
    dry_run: bool,
    /// How many tenants at a time, 1 to 16 [default: maintenance.concurrency]
    #[arg(long, value_parser = exec::concurrency)]
    concurrency: Option<NonZeroUsize>,
    /// How long each rests after a statement [default: maintenance.pause]
    #[arg(long, value_name = "TIME", value_parser = exec::time)]
    pause: Option<Duration>,
    /// After how long it ends; what is not done by then is due the next time [default: maintenance.window]
    #[arg(long, value_name = "TIME", value_parser = exec::time)]
    window: Option<Duration>,
}

#[derive(Serialize)]
struct Report {
    summary: Summary,
    items: Vec<Row>,
}

#[derive(Serialize)]
struct Row {
    tenant: String,
    task: Option<&'static str>,
    object: Option<String>,
    bytes: Option<i64>,
    share: Option<f64>,
    why: Option<String>,
    /// `done`, `failed`, `due`, `migrating`, or `unreadable`.
    state: &'static str,
    took_ms: Option<u64>,
    error: Option<String>,
}

/// Keeps up the tables of these tenants; of all active ones when none is named.
///
/// # Errors
/// A tenant is not known, a login is missing, somebody else is at it, or the database refuses.
pub(in crate::cli) async fn run(
    config: &Config,
    only: &[TenantSlug],
    args: &MaintainArgs,
    output: &Output,
) -> Result<Outcome, Failed> {
    let platform = Platform::open_current(config).await?;
    let done = carry_out(&platform, only, args, output).await;
    platform.close().await;
    done
}

async fn carry_out(
    platform: &Platform,
    only: &[TenantSlug],
    args: &MaintainArgs,
    output: &Output,
) -> Result<Outcome, Failed> {
    let config = &platform.config.maintenance;
    config.check().map_err(|wrong| Failed::usage(anyhow::anyhow!("{wrong}")))?;
    let subjects = maintenance::subjects(platform, only).await?;
    if let Some(slug) = only.iter().find(|slug| !subjects.iter().any(|(one, _)| one == slug.as_str())) {
        return Err(Failed::message(format!(
            "there is no tenant {slug} with tables; see `clinicx tenant list`"
        )));
    }
    let tasks: BTreeSet<Task> = match args.tasks.is_empty() {
        true => Task::ALL.into_iter().collect(),
        false => args.tasks.iter().copied().collect(),
    };
    let asked = Asked {
        tasks,
        rules: config.rules(),
        concurrency: args.concurrency.unwrap_or(config.concurrency),
        pause: args.pause.unwrap_or(config.pause),
        until: Instant::now() + args.window.unwrap_or(config.window),
        only_report: args.dry_run,
        stop: Arc::new(|| false),
    };
    let slugs: BTreeMap<TenantId, String> =
        subjects.iter().map(|(slug, subject)| (subject.tenant_id, slug.clone())).collect();
    let bar = output.bar(subjects.len(), "tenants");
    let by = PlatformScope::system("fleet maintain");
    let result = maintenance::carry_out(platform, subjects, &asked, &by, |_| bar.step()).await;
    bar.finish();
    let (summary, mut all) = result?;
    all.sort_by(|one, other| slug(&slugs, one).cmp(slug(&slugs, other)));
    let is_whole =
        args.dry_run || (summary.looked_at == summary.tenants && all.iter().all(Maintained::is_whole));
    let items: Vec<Row> = all.into_iter().flat_map(|one| rows(slug(&slugs, &one).to_owned(), one)).collect();
    show(&Report { summary, items }, args.dry_run, output);
    Ok(if is_whole { Outcome::Done } else { Outcome::Partly })
}

fn slug<'a>(slugs: &'a BTreeMap<TenantId, String>, one: &Maintained) -> &'a str {
    slugs.get(&one.subject.tenant_id).map(String::as_str).unwrap_or_default()
}

fn rows(tenant: String, one: Maintained) -> Vec<Row> {
    let empty = |state, error| Row {
        tenant: tenant.clone(),
        task: None,
        object: None,
        bytes: None,
        share: None,
        why: None,
        state,
        took_ms: None,
        error,
    };
    let row = |due: Due, state| Row {
        task: Some(due.task.as_str()),
        object: Some(due.object),
        bytes: Some(due.bytes),
        share: due.share.map(|share| (share * 1000.0).round() / 1000.0),
        why: Some(due.why),
        ..empty(state, None)
    };
    let mut rows = Vec::new();
    if one.is_migrating {
        rows.push(empty("migrating", None));
    }
    if let Some(failure) = &one.failure {
        rows.push(empty("unreadable", Some(failure.to_string())));
    }
    for done in one.done {
        let state = if done.failure.is_some() { "failed" } else { "done" };
        rows.push(Row {
            took_ms: u64::try_from(done.took.as_millis()).ok(),
            error: done.failure.map(|failure| failure.to_string()),
            ..row(done.due, state)
        });
    }
    rows.extend(one.left.into_iter().map(|due| row(due, "due")));
    rows
}

fn show(report: &Report, is_dry: bool, output: &Output) {
    if output.is_json() {
        return output.one(report);
    }
    let Summary { tenants, looked_at, done, failed, left } = report.summary;
    output.note(&match is_dry {
        true => format!("{looked_at} of {tenants} tenants looked at: {left} statements are due; nothing was changed"),
        false => format!(
            "{looked_at} of {tenants} tenants had their turn: {done} statements done, {failed} failed, {left} left"
        ),
    });
    if !report.items.is_empty() {
        output.many(&report.items, &["tenant", "task", "object", "bytes", "share", "why", "state", "error"]);
    }
}
