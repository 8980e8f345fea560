//! `clinicx migrate`: the structure of the database.

use std::num::NonZeroUsize;

use clap::Subcommand;
use clinicx_migration::{
    fence, system,
    tenant::{
        Subject,
        apply::Fences,
        baseline,
        fleet::{self, RunOptions, Share, TenantResult},
    },
};
use clinicx_tenancy::{
    PlatformScope,
    registry::{self, TenantFilter},
};
use clinicx_types::name::{ModuleName, TenantSlug};
use serde::Serialize;

use super::{Failed, Outcome, Output, fleet::migrate::carry_out};
use crate::{
    config::Config,
    logins::Logins,
    said::said,
    wiring::{self, Platform},
};

/// What can be migrated.
#[derive(Debug, Subcommand)]
pub enum MigrateCommand {
    /// Create or repair the roles and bring the system schema forward (administrator's login)
    System,
    /// Bring tenants' schemas forward
    Tenants {
        /// Only this tenant; may be repeated
        #[arg(long = "tenant", value_name = "SLUG")]
        only: Vec<TenantSlug>,
        /// How many tenants at a time
        #[arg(long, default_value = "8")]
        concurrency: NonZeroUsize,
        /// Show which tenants are behind, and change nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// Show what is behind
    Status,
    /// Adopt a tenant's tables that stand there already: write its ledger and change nothing else
    Baseline {
        /// The slug
        slug: TenantSlug,
        /// How many migrations of a module the tables have had, such as core=12; may be repeated
        #[arg(long = "module", value_name = "MODULE=COUNT", required = true, value_parser = claimed)]
        modules: Vec<(ModuleName, i32)>,
    },
}

/// Reads `core=12`.
fn claimed(text: &str) -> Result<(ModuleName, i32), String> {
    let parts = text.split_once('=').and_then(|(module, count)| {
        Some((ModuleName::parse(module).ok()?, count.parse().ok().filter(|count| *count >= 0)?))
    });
    parts.ok_or_else(|| "must be a module and a number, such as core=12".to_owned())
}

/// Carries it out.
///
/// # Errors
/// A login is missing, or the database refuses.
pub async fn run(config: Config, command: MigrateCommand, output: &Output) -> Result<Outcome, Failed> {
    match command {
        MigrateCommand::System => {
            let report = system(&config).await?;
            let shown = SystemReport { roles: report.roles, applied: report.applied };
            if output.is_json() {
                output.one(&shown);
            } else {
                let roles = if shown.roles { "roles created or repaired" } else { "roles left as they are" };
                output.note(&format!("{roles}, {} migrations applied", shown.applied.len()));
            }
            Ok(Outcome::Done)
        }
        MigrateCommand::Tenants { dry_run: true, only, .. } => status(&config, &only, output).await,
        MigrateCommand::Status => status(&config, &[], output).await,
        MigrateCommand::Tenants { concurrency, only, .. } => {
            tenants(&config, concurrency, &only, output).await
        }
        MigrateCommand::Baseline { slug, modules } => adopt(&config, &slug, &modules, output).await,
    }
}

#[derive(Serialize)]
struct SystemReport {
    roles: bool,
    applied: Vec<String>,
}

/// Creates or repairs the roles, brings the system schema forward and makes the first operator.
///
/// # Errors
/// Half of the first operator is configured, there is no administrator's login, or the database refuses.
pub async fn system(config: &Config) -> anyhow::Result<system::Report> {
    config.check_bootstrap()?;
    let report = system_schema(config).await?;
    if config.bootstrap.email.is_some() && config.database.url.is_some() {
        let platform = Platform::open_for_command(config).await?;
        let made = platform.bootstrap().await;
        platform.close().await;
        made?;
    }
    Ok(report)
}

/// Creates or repairs the roles and brings the system schema forward.
///
/// # Errors
/// There is no administrator's login, or the database refuses.
pub async fn system_schema(config: &Config) -> anyhow::Result<system::Report> {
    let logins = Logins::open_for_structure(&config.database).await?;
    let roles = wiring::role_names(config)?;
    Ok(system::migrate(logins.structure()?, &roles).await?)
}

#[derive(Serialize)]
struct Status {
    system_pending: usize,
    tenants: Vec<TenantState>,
}

#[derive(Serialize)]
struct TenantState {
    slug: String,
    status: String,
    schema_version: String,
    state: &'static str,
}

async fn status(config: &Config, only: &[TenantSlug], output: &Output) -> Result<Outcome, Failed> {
    let platform = Platform::open_for_command(config).await?;
    let pending = system::pending(&platform.logins.app.connect, &platform.roles).await?.len();
    // A registry of an older structure can't be read.
    let tenants = if pending == 0 { tenant_states(&platform).await } else { Ok(Vec::new()) };
    platform.close().await;
    let mut tenants = tenants?;
    if pending == 0 {
        require_known(only, tenants.iter().map(|tenant| tenant.slug.as_str()))?;
    }
    tenants.retain(|tenant| only.is_empty() || only.iter().any(|slug| slug.as_str() == tenant.slug));
    if output.is_json() {
        output.one(&Status { system_pending: pending, tenants });
    } else {
        let mend = if pending > 0 { "; run `clinicx migrate system`" } else { "" };
        output.note(&format!("system schema: {pending} migrations pending{mend}"));
        if pending == 0 {
            output.many(&tenants, &["slug", "status", "schema_version", "state"]);
        }
    }
    Ok(Outcome::Done)
}

async fn tenant_states(platform: &Platform) -> Result<Vec<TenantState>, Failed> {
    let tenants = registry::list_all(&platform.app, &TenantFilter::default()).await?;
    let states = tenants.into_iter().map(|tenant| TenantState {
        slug: tenant.slug.to_string(),
        status: tenant.status.to_string(),
        schema_version: tenant.schema_version.to_string(),
        state: if platform.modules.is_newest(&tenant) { "up to date" } else { "behind" },
    });
    Ok(states.collect())
}

#[derive(Serialize)]
struct TenantReport {
    schema: String,
    applied: usize,
    schema_version: Option<String>,
    error: Option<String>,
}

impl From<&TenantResult> for TenantReport {
    fn from(result: &TenantResult) -> Self {
        let schema = result.subject.schema.to_string();
        match &result.result {
            Ok(outcome) => Self {
                schema,
                applied: outcome.applied.len(),
                schema_version: Some(outcome.version.to_string()),
                error: None,
            },
            Err(error) => Self { schema, applied: 0, schema_version: None, error: Some(error.to_string()) },
        }
    }
}

/// Refuses a slug that names no tenant, before any other is touched.
fn require_known<'a>(
    only: &[TenantSlug],
    known: impl Iterator<Item = &'a str> + Clone,
) -> Result<(), Failed> {
    match only.iter().find(|slug| !known.clone().any(|other| other == slug.as_str())) {
        None => Ok(()),
        Some(slug) => {
            Err(Failed::message(format!("there is no tenant {slug} with tables; see `clinicx tenant list`")))
        }
    }
}

/// Writes the ledger of a schema that was made by other means, when every fence stands around its tables.
async fn adopt(
    config: &Config,
    slug: &TenantSlug,
    claimed: &[(ModuleName, i32)],
    output: &Output,
) -> Result<Outcome, Failed> {
    let platform = Platform::open_current(config).await?;
    let adopted = adopt_in(&platform, slug, claimed).await;
    platform.close().await;
    let adopted = adopted?;
    if output.is_json() {
        output.one(&adopted);
    } else {
        output.note(&format!("{slug}: adopted at schema version {}", adopted.schema_version));
    }
    Ok(Outcome::Done)
}

#[derive(Serialize)]
struct Adopted {
    slug: String,
    schema_version: String,
}

async fn adopt_in(
    platform: &Platform,
    slug: &TenantSlug,
    claimed: &[(ModuleName, i32)],
) -> Result<Adopted, Failed> {
    let login = wiring::owner_login(platform.logins.migrator()?, &platform.roles);
    let tenant = registry::get_by_slug(&platform.app, slug).await.map_err(said)?;
    let gaps = fence::check(&platform.app, &platform.roles, Some(&tenant.database_schema)).await?;
    if let Some(gap) = gaps.first() {
        let count = gaps.len();
        return Err(Failed::message(format!(
            "{slug} can't be adopted: its tables lack {count} fences, the first: {gap}"
        )));
    }
    let upto = claimed.iter().map(|(module, count)| (module.as_str(), *count)).collect();
    let subject = Subject {
        tenant_id: tenant.id,
        schema: tenant.database_schema.clone(),
        modules: tenant.modules.clone(),
    };
    let version = baseline::baseline(&login, platform.modules.plan(), &subject, &upto).await?;
    platform.resolver.invalidate(&tenant).await;
    Ok(Adopted { slug: slug.to_string(), schema_version: version.to_string() })
}

async fn tenants(
    config: &Config,
    concurrency: NonZeroUsize,
    only: &[TenantSlug],
    output: &Output,
) -> Result<Outcome, Failed> {
    let options = RunOptions {
        only: only.iter().map(ToString::to_string).collect(),
        concurrency: concurrency.min(fleet::MAX_CONCURRENCY),
        // Whoever asks for all at once wants to see all that is wrong at once.
        halt_at: Share::EVERYTHING,
        fences: Fences::Always,
        ..RunOptions::new(PlatformScope::system("migrate tenants").next_id())
    };
    let platform = Platform::open_current(config).await?;
    let mut reports: Vec<TenantReport> = Vec::new();
    let report = carry_out(&platform, &options, output, |result| reports.push(result.into())).await;
    let standings = fleet::standings(&platform.app, platform.modules.plan()).await;
    platform.close().await;
    let (report, standings) = (report?, standings?);
    // Those for whom nothing could be begun are named as well.
    for undone in report.undone.iter().filter(|undone| undone.state != "failed") {
        let standing = standings.iter().find(|one| one.subject.tenant_id == undone.tenant_id);
        reports.push(TenantReport {
            schema: standing.map_or_else(|| undone.slug.clone(), |one| one.subject.schema.to_string()),
            applied: 0,
            schema_version: None,
            error: undone.error.clone().or_else(|| Some("not begun".to_owned())),
        });
    }
    let failed = reports.iter().filter(|report| report.error.is_some()).count();
    let changed = reports.iter().filter(|report| report.applied > 0).count();
    output.note(&format!("{} tenants, {changed} brought forward, {failed} failed", reports.len()));
    if output.is_json() {
        output.many(&reports, &[]);
    } else if failed > 0 {
        let failures: Vec<_> = reports.into_iter().filter(|report| report.error.is_some()).collect();
        output.many(&failures, &["schema", "error"]);
    }
    Ok(if failed == 0 { Outcome::Done } else { Outcome::Partly })
}
