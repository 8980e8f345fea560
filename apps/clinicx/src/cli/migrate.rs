//! `clinicx migrate`: the structure of the database.

use std::num::NonZeroUsize;

use clap::Subcommand;
use clinicx_migration::{
    system,
    tenant::fleet::{self, TenantResult},
};
use clinicx_tenancy::registry::{self, TenantFilter};
use clinicx_types::page::{MAX_LIMIT, PageRequest};
use serde::Serialize;

use super::{Failed, Outcome, Output};
use crate::{
    config::Config,
    key_check,
    logins::Logins,
    wiring::{self, Platform},
};

/// What can be migrated.
#[derive(Debug, Subcommand)]
pub enum MigrateCommand {
    /// Create or repair the roles and bring the system schema forward (administrator's login)
    System,
    /// Bring every tenant's schema forward
    Tenants {
        /// How many tenants at a time
        #[arg(long, default_value = "8")]
        concurrency: NonZeroUsize,
        /// Show which tenants are behind, and change nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// Show what is behind
    Status,
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
        MigrateCommand::Tenants { dry_run: true, .. } | MigrateCommand::Status => {
            status(&config, output).await
        }
        MigrateCommand::Tenants { concurrency, .. } => tenants(&config, concurrency, output).await,
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
/// There is no administrator's login, or the database refuses.
pub async fn system(config: &Config) -> anyhow::Result<system::Report> {
    let report = system_schema(config).await?;
    if config.bootstrap.email.is_some() && config.database.url.is_some() {
        let platform = Platform::open(config).await?;
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

async fn status(config: &Config, output: &Output) -> Result<Outcome, Failed> {
    let platform = Platform::open(config).await?;
    let pending = system::pending(&platform.logins.app.connect, &platform.roles).await?.len();
    // A registry of an older structure can't be read.
    let tenants = if pending == 0 { tenant_states(&platform).await? } else { Vec::new() };
    platform.close().await;
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
    let mut states = Vec::new();
    let mut page = PageRequest::first(MAX_LIMIT).unwrap_or_default();
    loop {
        let tenants = registry::list(&platform.app, &TenantFilter::default(), &page).await?;
        states.extend(tenants.items.into_iter().map(|tenant| TenantState {
            slug: tenant.slug.to_string(),
            status: tenant.status.to_string(),
            schema_version: tenant.schema_version.to_string(),
            state: if platform.modules.require_served(&tenant).is_ok() { "up to date" } else { "behind" },
        }));
        match tenants.next {
            Some(next) => page.after = Some(next),
            None => return Ok(states),
        }
    }
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

async fn tenants(config: &Config, concurrency: NonZeroUsize, output: &Output) -> Result<Outcome, Failed> {
    let platform = Platform::open_current(config).await?;
    key_check::establish(platform.tenancy()?, &platform.data_keys).await?;
    let adopted = key_check::adopt(platform.tenancy()?, &platform.data_keys).await?;
    if adopted > 0 {
        output.note(&format!(
            "{adopted} tenants have got a data key; `clinicx keys rotate --all` gives them new ones"
        ));
    }
    let login = wiring::owner_login(platform.logins.migrator()?, &platform.roles);
    let subjects = fleet::subjects(&platform.app).await?;
    let progress = output.bar(subjects.len(), "tenants");
    let results =
        fleet::migrate_all(&login, platform.modules.plan(), subjects, concurrency, |_| progress.step()).await;
    progress.finish();
    platform.close().await;
    let failed = results.iter().filter(|result| result.result.is_err()).count();
    let reports: Vec<TenantReport> = results.iter().map(TenantReport::from).collect();
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
