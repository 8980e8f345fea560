//! `clinicx fleet`: what is done with all tenants together.

mod drift;
mod dry_run;
mod health;
pub(super) mod maintain;
pub(super) mod migrate;
mod rollout;
mod status;

use clap::Subcommand;
use clinicx_migration::tenant::Limits;
use clinicx_types::name::TenantSlug;

use super::{Failed, Outcome, Output, exec};
use crate::config::Config;

/// What can be done with the fleet.
#[derive(Debug, Subcommand)]
pub enum FleetCommand {
    /// Bring tenants' schemas forward, in waves; a run that was cut short or halted goes on
    Migrate(Box<migrate::MigrateArgs>),
    /// Show how far each tenant's schema has come
    Status {
        /// Look into every schema's own ledger instead of the registry alone
        #[arg(long)]
        check: bool,
        /// Show also the tenants of which there is nothing to say
        #[arg(long)]
        all: bool,
    },
    /// Compare schemas with what their migrations make; offer the SQL that mends what differs
    Drift {
        /// Only this tenant; may be repeated
        #[arg(long = "tenant", value_name = "SLUG")]
        only: Vec<TenantSlug>,
    },
    /// Run a query, or a script, in all active tenants or in some, each as its own role
    Exec {
        /// Only this tenant; may be repeated
        #[arg(long = "tenant", value_name = "SLUG")]
        only: Vec<TenantSlug>,
        /// What is run
        #[command(flatten)]
        args: Box<exec::ExecArgs>,
    },
    /// Show how the tenants are: size, rows, activity, how far behind, errors, alerts
    Health {
        /// Look at all schemas first, instead of showing what the last look has seen
        #[arg(long)]
        look: bool,
    },
    /// Show the alerts that are open
    Alerts {
        /// Also those that are over
        #[arg(long)]
        all: bool,
    },
    /// Keep the tables up: analyze, vacuum, settings of autovacuum, bloated indexes
    Maintain {
        /// Only this tenant; may be repeated
        #[arg(long = "tenant", value_name = "SLUG")]
        only: Vec<TenantSlug>,
        /// What is done
        #[command(flatten)]
        args: maintain::MaintainArgs,
    },
    /// Put a tenant into a ring: canary goes first, early with the first 5 %, general with the rest
    Ring {
        /// The slug
        slug: TenantSlug,
        /// canary, early or general
        #[arg(value_parser = rollout::ring)]
        ring: clinicx_migration::tenant::fleet::Ring,
    },
    /// Let a tenant's modules go no further than this
    Pin {
        /// The slug
        slug: TenantSlug,
        /// The last positions, such as core=21,dental=12 [default: what it has now]
        #[arg(long, value_name = "MODULE=POSITION")]
        at: Option<Limits>,
    },
    /// Let a pinned tenant go on
    Unpin {
        /// The slug
        slug: TenantSlug,
    },
}

/// Carries it out.
///
/// # Errors
/// A login is missing, the database refuses, or nothing could be done.
pub async fn run(config: Config, command: FleetCommand, output: &Output) -> Result<Outcome, Failed> {
    match command {
        FleetCommand::Migrate(args) => migrate::run(&config, &args, output).await,
        FleetCommand::Status { check, all } => status::run(&config, check, all, output).await,
        FleetCommand::Drift { only } => drift::run(&config, &only, output).await,
        FleetCommand::Exec { only, args } => {
            let among = if only.is_empty() { exec::Among::All } else { exec::Among::Some(only) };
            exec::run(&config, among, *args, output).await
        }
        FleetCommand::Health { look } => health::run(&config, look, output).await,
        FleetCommand::Alerts { all } => health::alerts(&config, all, output).await,
        FleetCommand::Maintain { only, args } => maintain::run(&config, &only, &args, output).await,
        FleetCommand::Ring { slug, ring } => rollout::put(&config, &slug, ring, output).await,
        FleetCommand::Pin { slug, at } => rollout::pin(&config, &slug, at, output).await,
        FleetCommand::Unpin { slug } => rollout::unpin(&config, &slug, output).await,
    }
}
