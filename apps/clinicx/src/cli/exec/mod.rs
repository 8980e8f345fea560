//! `clinicx tenant exec` and `clinicx fleet exec`: a query or a script in one, some or all tenants.
//!
//! Both run as each tenant's role through its own connection; see [`clinicx_tenancy::exec`]. Results are joined in the
//! order of the slugs, whoever answers first.

mod change;
mod read;
mod table;

use std::{
    io::Read,
    num::NonZeroUsize,
    path::PathBuf,
    time::{Duration, Instant},
};

use clap::Args;
use clinicx_tenancy::{
    Tenant, TenantStatus,
    exec::{Query, Script},
    registry::{self, TenantFilter},
};
use clinicx_types::name::TenantSlug;
use serde_json::json;

use super::{Failed, Outcome, Output};
use crate::{config::Config, said::said, wiring::Platform};

/// How many tenants at a time at most.
const MAX_CONCURRENCY: usize = 16;
/// The most rows of one tenant.
const MAX_ROWS: u32 = 100_000;
/// The most characters of a reason.
const MAX_REASON: usize = 500;

/// What is run, and how much of it.
#[derive(Debug, Args)]
pub struct ExecArgs {
    /// One query, which reads only; - reads it from the standard input
    #[arg(required_unless_present = "script", conflicts_with = "script")]
    query: Option<String>,
    /// Run this file instead, which changes data: one transaction for each tenant, as its role; - is the standard input
    #[arg(long, value_name = "FILE")]
    script: Option<PathBuf>,
    /// Run the script, say what it would change, and roll it back
    #[arg(long, conflicts_with = "query")]
    dry_run: bool,
    /// Do not ask before a script is run
    #[arg(long)]
    yes: bool,
    /// Why, for the audit of each tenant
    #[arg(long, value_parser = reason)]
    reason: Option<String>,
    /// At most so many rows of each tenant
    #[arg(long, default_value = "100", value_name = "ROWS", value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_ROWS)))]
    limit: u32,
    /// At most so many rows in all; who would come after them is not asked
    #[arg(long, default_value = "10000", value_name = "ROWS", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    limit_total: u32,
    /// How long it may take in one tenant
    #[arg(long, default_value = "20s", value_name = "TIME", value_parser = time)]
    timeout: Duration,
    /// How long it may take in all; who is not begun by then is not asked
    #[arg(long, default_value = "10m", value_name = "TIME", value_parser = time)]
    timeout_total: Duration,
    /// How many tenants at a time, 1 to 16
    #[arg(long, default_value = "4", value_parser = concurrency)]
    concurrency: NonZeroUsize,
    /// Print the rows as CSV
    #[arg(long, conflicts_with = "script")]
    csv: bool,
}

fn reason(text: &str) -> Result<String, String> {
    let text = text.trim();
    match text.chars().count() {
        1..=MAX_REASON => Ok(text.to_owned()),
        _ => Err(format!("must have 1 to {MAX_REASON} characters")),
    }
}

/// Reads a length of time, from a millisecond to a day.
pub(super) fn time(text: &str) -> Result<Duration, String> {
    let time = humantime_serde::re::humantime::parse_duration(text).map_err(|error| error.to_string())?;
    match (Duration::from_millis(1)..=Duration::from_secs(86_400)).contains(&time) {
        true => Ok(time),
        false => Err("must be from 1ms to 1day".to_owned()),
    }
}

/// Reads how many tenants at a time.
pub(super) fn concurrency(text: &str) -> Result<NonZeroUsize, String> {
    let number: Option<NonZeroUsize> = text.parse().ok();
    number
        .filter(|number| number.get() <= MAX_CONCURRENCY)
        .ok_or_else(|| format!("must be a number from 1 to {MAX_CONCURRENCY}"))
}

/// In which tenants.
#[derive(Debug)]
pub(super) enum Among {
    /// In this one.
    One(TenantSlug),
    /// In these.
    Some(Vec<TenantSlug>),
    /// In all that are active.
    All,
}

/// What has been read of the command line.
enum What {
    Query(Query),
    Script(Script),
}

/// Carries it out.
///
/// # Errors
/// The text is no query or script, a tenant is not known, nobody confirmed, or it failed in every tenant.
pub(super) async fn run(
    config: &Config,
    among: Among,
    args: ExecArgs,
    output: &Output,
) -> Result<Outcome, Failed> {
    if args.csv && output.is_json() {
        return Err(Failed::usage(anyhow::anyhow!(
            "the result is printed as CSV or as JSON; say one of them"
        )));
    }
    // What is wrong with the text is wrong for everybody, and said before anybody is asked.
    let what = what(&args)?;
    let platform = Platform::open_current(&fitted(config, &args)).await?;
    let done = carry_out(&platform, &among, &args, &what, output).await;
    platform.close().await;
    done
}

/// Gives the pool the limits of this command.
fn fitted(config: &Config, args: &ExecArgs) -> Config {
    let mut config = config.clone();
    let database = &mut config.database;
    database.statement_timeout = args.timeout;
    database.lock_timeout = database.lock_timeout.min(args.timeout);
    // One of them is for ending others.
    database.pool.max_connections = u32::try_from(args.concurrency.get() + 1).unwrap_or(u32::MAX);
    database.pool.tenant_share = 1.0;
    config
}

fn what(args: &ExecArgs) -> Result<What, Failed> {
    let read = |name: &str| -> Result<String, Failed> {
        match name {
            "-" => {
                let mut text = String::new();
                std::io::stdin().lock().read_to_string(&mut text)?;
                Ok(text)
            }
            name => std::fs::read_to_string(name).map_err(|error| {
                Failed::usage(anyhow::Error::new(error).context(format!("{name} can't be read")))
            }),
        }
    };
    match (&args.query, &args.script) {
        (_, Some(file)) => {
            let text = read(&file.display().to_string())?;
            Ok(What::Script(Script::parse(&text).map_err(Failed::usage)?))
        }
        (Some(query), None) => {
            let text = if query == "-" { read("-")? } else { query.clone() };
            Ok(What::Query(Query::parse(&text).map_err(Failed::usage)?))
        }
        (None, None) => Err(Failed::usage(anyhow::anyhow!("say a query, or --script FILE"))),
    }
}

async fn carry_out(
    platform: &Platform,
    among: &Among,
    args: &ExecArgs,
    what: &What,
    output: &Output,
) -> Result<Outcome, Failed> {
    let tenants = tenants(platform, among).await?;
    if tenants.is_empty() {
        output.note("there is no active tenant");
        return Ok(Outcome::Done);
    }
    let command = if matches!(among, Among::One(_)) { "tenant exec" } else { "fleet exec" };
    let asked = Asked { args, command, deadline: Instant::now() + args.timeout_total };
    match what {
        What::Query(query) => read::run(platform, &tenants, query, &asked, output).await,
        What::Script(script) => {
            if !args.yes && !args.dry_run {
                confirm(among, tenants.len(), output)?;
            }
            change::run(platform, &tenants, script, &asked, output).await
        }
    }
}

fn confirm(among: &Among, tenants: usize, output: &Output) -> Result<(), Failed> {
    match among {
        Among::One(slug) => {
            output.confirm(&format!("the script changes the data of {slug}"), "its slug", slug.as_str())
        }
        Among::Some(_) | Among::All => {
            let number = tenants.to_string();
            output.confirm(
                &format!("the script changes the data of {number} tenants"),
                "their number",
                &number,
            )
        }
    }
}

/// Returns the tenants by slug, those that were named also when nothing can be run in them.
async fn tenants(platform: &Platform, among: &Among) -> Result<Vec<Tenant>, Failed> {
    let named = match among {
        Among::All => {
            let filter = TenantFilter { status: Some(TenantStatus::Active), ..TenantFilter::default() };
            return Ok(registry::list_all(&platform.app, &filter).await.map_err(said)?);
        }
        Among::One(slug) => std::slice::from_ref(slug),
        Among::Some(slugs) => slugs,
    };
    let mut tenants = Vec::with_capacity(named.len());
    for slug in named {
        let tenant = registry::find_by_slug(&platform.app, slug).await.map_err(said)?;
        tenants.push(tenant.ok_or_else(|| {
            Failed::message(format!("there is no tenant {slug}; see `clinicx tenant list`"))
        })?);
    }
    tenants.sort_by(|one, other| one.slug.cmp(&other.slug));
    tenants.dedup_by(|one, other| one.id == other.id);
    Ok(tenants)
}

/// What all tenants share of one command.
struct Asked<'a> {
    args: &'a ExecArgs,
    command: &'static str,
    deadline: Instant,
}

impl Asked<'_> {
    /// Returns how long it may take in a tenant that is begun now.
    fn limit(&self) -> Option<Duration> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        (!left.is_zero()).then(|| left.min(self.args.timeout))
    }

    /// Returns why it is run and by whom, for the audit: the machine's account is what a command line knows of its user.
    fn why(&self) -> serde_json::Value {
        let account = nix::unistd::User::from_uid(nix::unistd::getuid()).ok().flatten().map(|user| user.name);
        json!({ "reason": self.args.reason, "machine_account": account })
    }
}

/// What came of a tenant in which nothing was run, or in which it failed.
#[derive(Clone, Debug)]
enum Undone {
    /// It failed.
    Failed { why: String, sqlstate: Option<String> },
    /// It was not begun.
    NotAsked(&'static str),
}

impl Undone {
    fn of(error: &clinicx_tenancy::exec::ExecError) -> Self {
        Self::Failed { why: error.to_string(), sqlstate: error.sqlstate().map(str::to_owned) }
    }

    fn why(&self) -> &str {
        match self {
            Self::Failed { why, .. } => why,
            Self::NotAsked(why) => why,
        }
    }

    /// Why nothing can be run in a tenant, by its state.
    fn of_state(tenant: &Tenant) -> Option<Self> {
        (tenant.status != TenantStatus::Active)
            .then(|| Self::Failed { why: format!("the tenant is {}", tenant.status), sqlstate: None })
    }

    const TIME_IS_UP: Self = Self::NotAsked("not asked: the time for all was over");
    const ENOUGH: Self = Self::NotAsked("not asked: there were enough rows before it");
}

/// Says how a command ended by how many tenants it was done in.
fn outcome(tenants: usize, undone: usize) -> Result<Outcome, Failed> {
    match undone {
        0 => Ok(Outcome::Done),
        undone if undone == tenants => {
            let whom =
                if tenants == 1 { "the tenant".to_owned() } else { format!("any of {tenants} tenants") };
            Err(Failed::message(format!("it was not done in {whom}; the reason is named for each")))
        }
        _ => Ok(Outcome::Partly),
    }
}
