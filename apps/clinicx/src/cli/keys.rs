//! `clinicx keys`: the tenants' data keys.

use clap::{Args, Subcommand};
use clinicx_keys::{probe, store::KeyVersion};
use clinicx_tenancy::{
    PlatformScope, TenancyError, Tenant, TenantStatus,
    registry::{self, TenantFilter},
};
use clinicx_types::name::TenantSlug;
use serde::Serialize;

use super::{Failed, Outcome, Output, output::Bar};
use crate::{config::Config, key_check, modules, said::said, wiring::Platform};

/// What can be done with data keys.
#[derive(Debug, Subcommand)]
pub enum KeysCommand {
    /// List the versions of the tenants' data keys
    List {
        /// Only this tenant's
        #[arg(long)]
        tenant: Option<TenantSlug>,
    },
    /// Give tenants a new data key and seal their fields anew, while they are served; run it again to go on
    Rotate(RotateArgs),
    /// Destroy a retired version of a tenant's data key under which nothing is sealed any more
    Destroy {
        /// The tenant
        #[arg(long)]
        tenant: TenantSlug,
        /// The version of the key
        #[arg(long, value_name = "VERSION")]
        key_version: u16,
        /// Do not ask for the slug again
        #[arg(long)]
        yes: bool,
    },
}

/// Whose keys are changed, and how.
#[derive(Debug, Args)]
pub struct RotateArgs {
    /// This tenant's
    #[arg(long, required_unless_present = "all", conflicts_with = "all")]
    tenant: Option<TenantSlug>,
    /// Every tenant's
    #[arg(long)]
    all: bool,
    /// Only let the present master key wrap the data keys; no field is touched
    #[arg(long)]
    rewrap_only: bool,
    /// Say what would be done, and change nothing
    #[arg(long)]
    dry_run: bool,
}

#[derive(Serialize)]
struct VersionRow {
    tenant: String,
    version: u16,
    state: String,
    provider: String,
    master_key: String,
    complete: bool,
    created_at: chrono::DateTime<chrono::Utc>,
}

#[derive(Default, Serialize)]
struct Report {
    tenant: String,
    version: u16,
    resumed: bool,
    values: u64,
    unreadable: u64,
    rewrapped: usize,
    complete: bool,
    error: Option<String>,
}

/// Carries it out.
///
/// # Errors
/// A login is missing, the master key is another one, or the database refuses.
pub async fn run(config: Config, command: KeysCommand, output: &Output) -> Result<Outcome, Failed> {
    let platform = Platform::open_current(&config).await?;
    let done = carry_out(&platform, command, output).await;
    platform.close().await;
    done
}

async fn carry_out(platform: &Platform, command: KeysCommand, output: &Output) -> Result<Outcome, Failed> {
    let by = PlatformScope::system("keys command");
    match command {
        KeysCommand::List { tenant } => list(platform, tenant.as_ref(), output).await,
        KeysCommand::Rotate(args) => {
            key_check::establish(platform.tenancy()?, &platform.data_keys).await?;
            let tenants = chosen(platform, args.tenant.as_ref()).await?;
            if args.dry_run {
                return dry_run(platform, &tenants, &args, output).await;
            }
            rotate(platform, &tenants, &args, &by, output).await
        }
        KeysCommand::Destroy { tenant, key_version: version, yes } => {
            let tenant = registry::get_by_slug(&platform.app, &tenant).await.map_err(said)?;
            if !yes {
                let what = format!(
                    "destroying version {version} of {}'s data key makes unreadable what backups hold under it",
                    tenant.slug
                );
                output.confirm(&what, "the tenant's slug", tenant.slug.as_str())?;
            }
            let destroyed = platform
                .tenancy()?
                .destroy_key(&tenant, version, &modules::sealed_columns(&platform.config.extensions), &by)
                .await;
            destroyed.map_err(said)?;
            output.note(&format!("version {version} of {}'s data key is destroyed", tenant.slug));
            Ok(Outcome::Done)
        }
    }
}

async fn list(platform: &Platform, tenant: Option<&TenantSlug>, output: &Output) -> Result<Outcome, Failed> {
    let mut rows = Vec::new();
    for tenant in chosen(platform, tenant).await? {
        let versions = platform.tenancy()?.key_versions(tenant.id).await.map_err(said)?;
        rows.extend(versions.into_iter().map(|key| row(&tenant, key)));
    }
    let columns = ["tenant", "version", "state", "provider", "master_key", "complete", "created_at"];
    output.many(&rows, &columns);
    Ok(Outcome::Done)
}

fn row(tenant: &Tenant, key: KeyVersion) -> VersionRow {
    VersionRow {
        tenant: tenant.slug.to_string(),
        version: key.version,
        state: key.state,
        provider: key.provider,
        master_key: key.master_key,
        complete: key.complete,
        created_at: key.created_at,
    }
}

async fn dry_run(
    platform: &Platform,
    tenants: &[Tenant],
    args: &RotateArgs,
    output: &Output,
) -> Result<Outcome, Failed> {
    let tenancy = platform.tenancy()?;
    let mut reports = Vec::new();
    for tenant in tenants {
        let versions = tenancy.key_versions(tenant.id).await.map_err(said)?;
        let Some(active) = versions.iter().find(|key| key.state == "active") else { continue };
        let resumed = !active.complete && !active.is_derived();
        let version =
            if resumed || args.rewrap_only { active.version } else { active.version.saturating_add(1) };
        let values = match args.rewrap_only {
            true => 0,
            false => tenancy
                .values_to_reseal(tenant, version, &modules::sealed_columns(&platform.config.extensions))
                .await
                .map_err(said)?,
        };
        let present = platform.data_keys.providers.primary().key_id().await?;
        let rewrapped =
            versions.iter().filter(|key| key.state != "destroyed" && key.master_key != present).count();
        reports.push(Report {
            tenant: tenant.slug.to_string(),
            version,
            resumed,
            values,
            rewrapped,
            ..Report::default()
        });
    }
    output.many(&reports, &["tenant", "version", "resumed", "values", "rewrapped"]);
    Ok(Outcome::Done)
}

async fn rotate(
    platform: &Platform,
    tenants: &[Tenant],
    args: &RotateArgs,
    by: &PlatformScope,
    output: &Output,
) -> Result<Outcome, Failed> {
    let tenancy = platform.tenancy()?;
    let mut reports: Vec<Report> = Vec::new();
    let mut begun = Vec::new();
    for tenant in tenants {
        let mut report = Report { tenant: tenant.slug.to_string(), ..Report::default() };
        // All are published before the first is waited for.
        if !args.rewrap_only {
            match tenancy.begin_key_change(tenant, by).await {
                Ok(change) => {
                    report.version = change.version;
                    report.resumed = change.resumed;
                }
                Err(error) => report.error = Some(text(error)),
            }
        }
        if report.error.is_none() {
            match tenancy.rewrap_keys(tenant, by).await {
                Ok(rewrapped) => report.rewrapped = rewrapped,
                Err(error) => report.error = Some(text(error)),
            }
        }
        begun.push((tenant, report));
    }
    if args.rewrap_only {
        reports.extend(
            begun.into_iter().map(|(_, report)| Report { complete: report.error.is_none(), ..report }),
        );
    } else {
        let bar = output.bar(total(platform, &begun).await?, "values");
        for (tenant, report) in begun {
            reports.push(reseal(platform, tenant, report, by, &bar).await?);
        }
        bar.finish();
    }
    let failed = reports.iter().filter(|report| !report.complete).count();
    // The known value follows only when nothing is left that the old master key alone unwraps.
    if args.all && failed == 0 {
        probe::renew(tenancy.control(), &platform.data_keys.providers).await?;
    }
    output.note(&format!("{} tenants, {failed} not finished", reports.len()));
    output.many(
        &reports,
        &["tenant", "version", "resumed", "values", "unreadable", "rewrapped", "complete", "error"],
    );
    Ok(if failed == 0 { Outcome::Done } else { Outcome::Partly })
}

async fn total(platform: &Platform, begun: &[(&Tenant, Report)]) -> Result<usize, Failed> {
    let mut total = 0;
    for (tenant, report) in begun.iter().filter(|(_, report)| report.error.is_none()) {
        let values = platform
            .tenancy()?
            .values_to_reseal(tenant, report.version, &modules::sealed_columns(&platform.config.extensions))
            .await;
        total += values.map_err(said)?;
    }
    Ok(usize::try_from(total).unwrap_or(usize::MAX))
}

async fn reseal(
    platform: &Platform,
    tenant: &Tenant,
    report: Report,
    by: &PlatformScope,
    bar: &Bar,
) -> Result<Report, Failed> {
    if report.error.is_some() {
        return Ok(report);
    }
    let columns = modules::sealed_columns(&platform.config.extensions);
    let resealed = platform.tenancy()?.reseal(tenant, &columns, by, || bar.step()).await;
    Ok(match resealed {
        Ok(done) => {
            Report { values: done.values, unreadable: done.unreadable, complete: done.complete, ..report }
        }
        Err(error) => Report { error: Some(text(error)), ..report },
    })
}

/// Says what is wrong, with its cause: a key service that does not answer is to be told from a database.
fn text(error: TenancyError) -> String {
    format!("{:#}", anyhow::Error::new(error))
}

/// Returns one tenant, or all that have fields.
async fn chosen(platform: &Platform, slug: Option<&TenantSlug>) -> Result<Vec<Tenant>, Failed> {
    if let Some(slug) = slug {
        let tenant = registry::get_by_slug(&platform.app, slug).await.map_err(said)?;
        if tenant.status == TenantStatus::Purged {
            return Err(said(TenancyError::Gone).into());
        }
        return Ok(vec![tenant]);
    }
    Ok(registry::list_all(&platform.app, &TenantFilter::default()).await.map_err(said)?)
}
