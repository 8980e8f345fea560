//! `clinicx tenant`: what an operator does with tenants.

use clap::{Args, Subcommand};
use clinicx_archive::ArchiveId;
use clinicx_identity::{NewAccount, Password};
use clinicx_tenancy::{
    PlatformScope, Purge, Tenancy, TenantDraft, TenantStatus,
    registry::{self, TenantFilter},
};
use clinicx_types::name::TenantSlug;

use super::{Failed, Outcome, Output, backup, exec, fleet::maintain};
use crate::{
    config::Config, key_check, provision, routes::platform_tenants::TenantBody, said::said, wiring::Platform,
};

/// What can be done with tenants.
#[derive(Debug, Subcommand)]
pub enum TenantCommand {
    /// Create a tenant that is ready to serve
    Create(Box<CreateArgs>),
    /// List tenants
    List {
        /// Only those in this state
        #[arg(long)]
        status: Option<TenantStatus>,
        /// Only those whose slug or name contains this
        #[arg(long)]
        q: Option<String>,
    },
    /// Show a tenant
    Show {
        /// The slug
        slug: TenantSlug,
    },
    /// Run a query, or a script, in a tenant, as its own role
    Exec {
        /// The slug
        slug: TenantSlug,
        /// What is run
        #[command(flatten)]
        args: Box<exec::ExecArgs>,
    },
    /// Keep a tenant's tables up: analyze, vacuum, settings of autovacuum, bloated indexes
    Maintain {
        /// The slug
        slug: TenantSlug,
        /// What is done
        #[command(flatten)]
        args: maintain::MaintainArgs,
    },
    /// Stop serving a tenant; its role loses the schema at once
    Suspend {
        /// The slug
        slug: TenantSlug,
    },
    /// Serve a suspended tenant again
    Resume {
        /// The slug
        slug: TenantSlug,
    },
    /// End a tenant; its data are kept for the retention time
    Archive {
        /// The slug
        slug: TenantSlug,
    },
    /// Take an archived tenant back into service
    Restore {
        /// The slug
        slug: TenantSlug,
    },
    /// Destroy an archived tenant's data for good
    Purge {
        /// The slug
        slug: TenantSlug,
        /// Do not ask for the slug again
        #[arg(long)]
        yes: bool,
        /// Before the retention time is over
        #[arg(long)]
        force: bool,
        /// Destroy its backups too; without it they stay, and the tenant can be restored from them
        #[arg(long)]
        backups: bool,
    },
    /// Back a tenant up while it is served
    Backup {
        /// The slug
        slug: TenantSlug,
    },
    /// List a tenant's backups
    Backups {
        /// The slug
        slug: TenantSlug,
    },
    /// Prove a backup: restore all of it, read it back, compare, undo
    VerifyBackup {
        /// The slug
        slug: TenantSlug,
        /// The backup [default: the newest]
        id: Option<ArchiveId>,
    },
    /// Make a new tenant of a backup, or put the tenant back to it
    RestoreBackup {
        /// The slug of the tenant that was backed up
        slug: TenantSlug,
        /// The backup [default: the newest]
        id: Option<ArchiveId>,
        /// The new tenant's slug
        #[arg(long, value_name = "SLUG", required_unless_present = "in_place", conflicts_with = "in_place")]
        into: Option<TenantSlug>,
        /// Put the tenant itself back; what it was is kept as an archived tenant
        #[arg(long)]
        in_place: bool,
        /// Do not ask for the slug again
        #[arg(long, requires = "in_place")]
        yes: bool,
    },
    /// Copy a tenant as it is into a new one
    Clone {
        /// The slug
        slug: TenantSlug,
        /// The new tenant's slug
        into: TenantSlug,
        /// The new tenant's name [default: the same]
        #[arg(long)]
        name: Option<String>,
    },
    /// Move clinics from shared tables with a tenant column into tenants
    Adopt(Box<super::adopt::AdoptArgs>),
}

/// A new tenant.
#[derive(Debug, Args)]
pub struct CreateArgs {
    /// Names it in URLs and host names
    slug: String,
    /// Names it for people
    #[arg(long)]
    name: String,
    /// A module beside core; may be repeated
    #[arg(long = "module")]
    modules: Vec<String>,
    /// The clinic's time zone (IANA)
    #[arg(long)]
    time_zone: String,
    /// The clinic's currency (ISO 4217)
    #[arg(long)]
    currency: String,
    /// The clinic's locale (BCP 47)
    #[arg(long, default_value = "en")]
    locale: String,
    /// What it subscribes to
    #[arg(long)]
    plan: Option<String>,
    /// The first administrator's address
    #[arg(long)]
    admin_email: String,
    /// The first administrator's name
    #[arg(long)]
    admin_name: String,
    /// The variable that holds the first administrator's password; without it `clinicx user reset-password` lets a new
    /// account in
    #[arg(long, value_name = "VARIABLE")]
    admin_password_env: Option<String>,
}

/// Carries it out.
///
/// # Errors
/// The input is wrong, the tenant's state does not allow it, or the database refuses.
pub async fn run(config: Config, command: TenantCommand, output: &Output) -> Result<Outcome, Failed> {
    let command = match command {
        TenantCommand::Exec { slug, args } => {
            return exec::run(&config, exec::Among::One(slug), *args, output).await;
        }
        TenantCommand::Maintain { slug, args } => {
            return maintain::run(&config, &[slug], &args, output).await;
        }
        command => command,
    };
    let platform = Platform::open_current(&config).await?;
    let done = carry_out(&platform, command, output).await;
    platform.close().await;
    done
}

async fn carry_out(platform: &Platform, command: TenantCommand, output: &Output) -> Result<Outcome, Failed> {
    let scope = PlatformScope::system("tenant command");
    let tenancy = || -> Result<&Tenancy, Failed> { Ok(platform.tenancy()?) };
    let tenant = match command {
        TenantCommand::Create(args) => {
            let owner = args.admin_password_env.is_none().then(|| args.admin_email.clone());
            let tenant = create(platform, &scope, *args).await?;
            if let Some(owner) = owner {
                output.progress(&format!(
                    "unless {owner} has a password already, `clinicx user reset-password {owner}` prints a token to \
                     set one"
                ));
            }
            tenant
        }
        TenantCommand::Adopt(args) => return super::adopt::run(platform, &args, output).await,
        TenantCommand::List { status, q } => {
            return list(platform, TenantFilter { status, q, cluster: None }, output).await;
        }
        // Carried out before: they open the platform for themselves.
        TenantCommand::Exec { .. } | TenantCommand::Maintain { .. } => return Ok(Outcome::Done),
        TenantCommand::Show { slug } => registry::get_by_slug(&platform.app, &slug).await.map_err(said)?,
        TenantCommand::Suspend { slug } => tenancy()?.suspend(&slug, None, &scope).await.map_err(said)?,
        TenantCommand::Resume { slug } => tenancy()?.resume(&slug, None, &scope).await.map_err(said)?,
        TenantCommand::Archive { slug } => tenancy()?.archive(&slug, None, &scope).await.map_err(said)?,
        TenantCommand::Restore { slug } => tenancy()?.restore(&slug, None, &scope).await.map_err(said)?,
        TenantCommand::Backup { slug } => return backup::back_up(platform, &slug, &scope, output).await,
        TenantCommand::Backups { slug } => return backup::list(platform, &slug, output).await,
        TenantCommand::VerifyBackup { slug, id } => {
            return backup::verify(platform, (&slug, id), &scope, output).await;
        }
        TenantCommand::RestoreBackup { slug, id, into: Some(into), .. } => {
            return backup::restore(platform, (&slug, id), &into, &scope, output).await;
        }
        TenantCommand::RestoreBackup { slug, id, yes, .. } => {
            if !yes {
                let what = format!("putting {slug} back to a backup drops its present tables");
                output.confirm(&what, "its slug", slug.as_str())?;
            }
            return backup::put_back(platform, (&slug, id), &scope, output).await;
        }
        TenantCommand::Clone { slug, into, name } => {
            return backup::clone(platform, (&slug, &into), name, &scope, output).await;
        }
        TenantCommand::Purge { slug, yes, force, backups } => {
            let confirm = Some(slug.to_string());
            let purge = if force { Purge::Now { confirm } } else { Purge::AfterRetention { confirm } };
            if !yes {
                // Nobody is asked to confirm what would be refused.
                tenancy()?.check_purge(&slug, &purge, &scope).await.map_err(said)?;
                let what = if backups { "its data and its backups" } else { "its data" };
                output.confirm(&format!("purging {slug} destroys {what}"), "its slug", slug.as_str())?;
            }
            if backups {
                let archivist = backup::archivist(platform)?;
                let tenant = tenancy()?.check_purge(&slug, &purge, &scope).await.map_err(said)?;
                archivist.remove_all(&tenant, &scope).await.map_err(said)?;
            }
            let tenant = tenancy()?.purge(&slug, None, &purge, &scope, Vec::new()).await.map_err(said)?;
            return backup::prove_end(platform, &tenant, output).await;
        }
    };
    output.one(&TenantBody::from(&tenant));
    Ok(Outcome::Done)
}

async fn create(
    platform: &Platform,
    scope: &PlatformScope,
    args: CreateArgs,
) -> Result<clinicx_tenancy::Tenant, Failed> {
    // Said before anything is tried, with what to configure.
    key_check::establish(platform.tenancy()?, &platform.data_keys).await?;
    let password = match &args.admin_password_env {
        Some(variable) => Some(Password::new(std::env::var(variable).map_err(|_| {
            Failed::usage(anyhow::anyhow!("the variable {variable} is not set; it must hold the password"))
        })?)),
        None => None,
    };
    let draft = TenantDraft {
        slug: args.slug,
        name: args.name,
        modules: args.modules,
        time_zone: args.time_zone,
        currency: args.currency,
        locale: args.locale,
        plan: args.plan,
        isolation: None,
        cluster: None,
        region: None,
    };
    let admin = NewAccount {
        email: &args.admin_email,
        full_name: &args.admin_name,
        password: password.as_ref(),
        is_operator: false,
    };
    Ok(provision::create(platform, scope, draft, admin).await.map_err(said)?)
}

async fn list(platform: &Platform, filter: TenantFilter, output: &Output) -> Result<Outcome, Failed> {
    let tenants = registry::list_all(&platform.app, &filter).await.map_err(said)?;
    let rows: Vec<TenantBody> = tenants.iter().map(TenantBody::from).collect();
    output.many(&rows, &["slug", "name", "status", "modules", "schema_version", "time_zone", "cluster"]);
    Ok(Outcome::Done)
}
