//! `clinicx fleet migrate`: a run over the fleet.

use std::{collections::BTreeSet, num::NonZeroUsize};

use clap::Args;
use clinicx_migration::tenant::{
    Target,
    apply::{Direction, Fences},
    fleet::{self, Event, RunEnd, RunError, RunOptions, RunReport, Share, TenantResult, status::Undone},
};
use clinicx_tenancy::PlatformScope;
use clinicx_types::name::TenantSlug;
use serde::Serialize;

use super::dry_run;
use crate::{
    cli::{Failed, Outcome, Output, output::Bar},
    config::Config,
    key_check,
    wiring::{self, Platform},
};

/// How the fleet is migrated.
#[derive(Debug, Args)]
pub struct MigrateArgs {
    /// Only this tenant; may be repeated
    #[arg(long = "tenant", value_name = "SLUG")]
    only: Vec<TenantSlug>,
    /// Tenants that go first, beside those of the canary ring; the failure of one halts the run
    #[arg(long, value_name = "SLUGS", value_delimiter = ',')]
    canary: Vec<TenantSlug>,
    /// How many tenants at a time, 1 to 16
    #[arg(long, default_value = "8", value_parser = concurrency)]
    concurrency: NonZeroUsize,
    /// The share of a wave that may fail before the run halts
    #[arg(long, default_value = "5%", value_name = "SHARE")]
    halt_at: Share,
    /// How far: a version of the schema, or positions of modules such as core=21,dental=12 [default: the newest]
    #[arg(long, value_name = "VERSION")]
    target: Option<Target>,
    /// Undo also what tenants have beyond the target, where it can be undone
    #[arg(long, requires = "target")]
    down: bool,
    /// Try again what failed in the last run
    #[arg(long)]
    retry_failed: bool,
    /// Put up the fences of every tenant, also of those that are where they are to be
    #[arg(long)]
    mend: bool,
    /// Show the plan with its SQL, and change nothing
    #[arg(long)]
    dry_run: bool,
}

/// Reads how many tenants are migrated at a time.
fn concurrency(text: &str) -> Result<NonZeroUsize, String> {
    let number: Option<NonZeroUsize> = text.parse().ok();
    number
        .filter(|number| *number <= fleet::MAX_CONCURRENCY)
        .ok_or_else(|| format!("must be a number from 1 to {}", fleet::MAX_CONCURRENCY))
}

impl MigrateArgs {
    fn options(&self) -> RunOptions {
        let slugs =
            |slugs: &[TenantSlug]| slugs.iter().map(ToString::to_string).collect::<BTreeSet<String>>();
        RunOptions {
            only: slugs(&self.only),
            canary: slugs(&self.canary),
            concurrency: self.concurrency,
            halt_at: self.halt_at,
            target: self.target.clone().unwrap_or_default(),
            direction: if self.down { Direction::Both } else { Direction::Forward },
            fences: if self.mend { Fences::Always } else { Fences::WhenTouched },
            retry_failed: self.retry_failed,
            ..RunOptions::new(PlatformScope::system("fleet migrate").next_id())
        }
    }
}

pub(super) async fn run(config: &Config, args: &MigrateArgs, output: &Output) -> Result<Outcome, Failed> {
    let options = args.options();
    let platform = Platform::open_current(config).await?;
    let done = match args.dry_run {
        true => dry_run::run(&platform, &options, output).await,
        false => {
            carry_out(&platform, &options, output, |_| {}).await.and_then(|report| show(&report, output))
        }
    };
    platform.close().await;
    done
}

/// Runs over the fleet and shows how far it is; `seen` is told of each tenant.
pub(in crate::cli) async fn carry_out(
    platform: &Platform,
    options: &RunOptions,
    output: &Output,
    mut seen: impl FnMut(&TenantResult) + Send,
) -> Result<RunReport, Failed> {
    key_check::establish(platform.tenancy()?, &platform.data_keys).await?;
    let adopted = key_check::adopt(platform.tenancy()?, &platform.data_keys).await?;
    if adopted > 0 {
        output.note(&format!(
            "{adopted} tenants have got a data key; `clinicx keys rotate --all` gives them new ones"
        ));
    }
    let login = wiring::owner_login(platform.logins.migrator()?, &platform.roles);
    let mut bar: Option<Bar> = None;
    let report = fleet::run(&login, platform.modules.plan(), options, |event| match &event {
        Event::Waiting => {
            output.progress("another run over the fleet is going on; this one waits for its end")
        }
        Event::Began { run, resumed, tenants } => {
            let how = if *resumed { "is taken up" } else { "begins" };
            output.progress(&format!("run {run} {how}: {tenants} tenants"));
            bar = Some(output.bar(*tenants, "tenants"));
        }
        Event::Wave { wave, tenants } => output.progress(&format!("wave {wave}: {tenants} tenants")),
        Event::Tenant(result) => {
            if let Some(bar) = &bar {
                bar.step();
            }
            seen(result);
        }
    });
    let report = report.await;
    if let Some(bar) = bar {
        bar.finish();
    }
    report.map_err(|error| match error {
        RunError::UnknownTenant(_) => Failed::message(format!("{error}; see `clinicx tenant list`")),
        RunError::Lost | RunError::Away(_) | RunError::Database(_) => {
            let text = "the run was cut short; run the same again to go on";
            Failed::from(anyhow::Error::new(error).context(text))
        }
        RunError::Fleet(_) => error.into(),
    })
}

#[derive(Serialize)]
struct Shown<'a> {
    run: Option<String>,
    state: &'static str,
    reason: Option<&'a str>,
    done: usize,
    not_at_target: Vec<NotThere>,
}

#[derive(Serialize)]
struct NotThere {
    slug: String,
    state: String,
    wave: Option<&'static str>,
    attempts: Option<i32>,
    why: Option<String>,
}

impl From<&Undone> for NotThere {
    fn from(undone: &Undone) -> Self {
        Self {
            slug: undone.slug.clone(),
            state: undone.state.clone(),
            wave: Some(undone.wave.as_str()),
            attempts: Some(undone.attempts),
            why: undone.error.clone(),
        }
    }
}

/// Shows what has come of a run, and names every tenant that is not at its target.
fn show(report: &RunReport, output: &Output) -> Result<Outcome, Failed> {
    let pinned = report.pinned.iter().map(|(slug, limits)| NotThere {
        slug: slug.clone(),
        state: "pinned".to_owned(),
        wave: None,
        attempts: None,
        why: Some(format!("pinned to {limits}")),
    });
    let rows: Vec<NotThere> = report.undone.iter().map(NotThere::from).chain(pinned).collect();
    let (state, reason) = match &report.end {
        RunEnd::Nothing => ("nothing_to_do", None),
        RunEnd::Succeeded => ("succeeded", None),
        RunEnd::Partly => ("partly", None),
        RunEnd::Halted(reason) => ("halted", Some(reason.as_str())),
    };
    let (done, undone) = (report.done, report.undone.len());
    let run = report.run.map(|run| run.to_string());
    if output.is_json() {
        output.one(&Shown { run, state, reason, done, not_at_target: rows });
    } else {
        output.note(&match &report.end {
            RunEnd::Nothing => "every tenant is at its target; there was nothing to do".to_owned(),
            RunEnd::Succeeded => format!("{done} tenants brought to their target"),
            RunEnd::Partly => format!("{done} tenants brought to their target, {undone} not"),
            RunEnd::Halted(reason) => {
                format!("halted: {reason}; {done} tenants brought to their target, {undone} not")
            }
        });
        if !rows.is_empty() {
            output.many(&rows, &["slug", "state", "wave", "attempts", "why"]);
        }
    }
    match &report.end {
        RunEnd::Nothing | RunEnd::Succeeded => Ok(Outcome::Done),
        RunEnd::Halted(reason) if done == 0 => Err(Failed::message(format!(
            "no tenant was brought forward: {reason}; mend it and run the same again"
        ))),
        RunEnd::Partly | RunEnd::Halted(_) => Ok(Outcome::Partly),
    }
}
