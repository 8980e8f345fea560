//! The command line: what can be said, and where it is carried out.

pub mod adopt;
pub mod audit;
mod backup;
pub mod config;
pub mod dev;
pub mod doctor;
pub mod exec;
pub mod flag;
pub mod fleet;
pub mod keys;
pub mod migrate;
pub mod openapi;
pub mod output;
pub mod serve;
pub mod tenant;
pub mod user;

use std::path::PathBuf;

use clap::{Args, CommandFactory, Parser, Subcommand};

pub use output::{Failed, Outcome, Output};

use crate::extension::Extensions;

/// The backend for clinics and dental practices, one PostgreSQL schema for each.
#[derive(Debug, Parser)]
#[command(name = "clinicx", version, propagate_version = true)]
pub struct Cli {
    /// What all commands share.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Flags of every command.
#[derive(Clone, Debug, Args)]
pub struct Global {
    /// Configuration file [default: clinicx.toml, if there is one]
    #[arg(long, global = true, env = "CLINICX_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Print JSON for programs instead of tables for people
    #[arg(long, global = true)]
    pub json: bool,
    /// Show the whole chain of causes of an error
    #[arg(short, long, global = true)]
    pub verbose: bool,
}

/// Every command.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run everything on this machine: PostgreSQL, two demo clinics, the service
    Dev(dev::DevArgs),
    /// Run the service
    Serve(serve::ServeArgs),
    /// Check the configuration, the database and its fences
    Doctor,
    /// Print the OpenAPI document
    Openapi,
    /// Bring the structure of the database forward
    #[command(subcommand)]
    Migrate(migrate::MigrateCommand),
    /// Manage tenants
    #[command(subcommand)]
    Tenant(tenant::TenantCommand),
    /// Migrate, watch and compare all tenants together
    #[command(subcommand)]
    Fleet(fleet::FleetCommand),
    /// Manage users
    #[command(subcommand)]
    User(user::UserCommand),
    /// Manage the keys of protected fields
    #[command(subcommand)]
    Keys(keys::KeysCommand),
    /// Show and change what is set for the whole platform
    #[command(subcommand)]
    Config(config::ConfigCommand),
    /// Show and change which features are on for whom
    #[command(subcommand)]
    Flag(flag::FlagCommand),
    /// Keep, prove and prune the audit log
    #[command(subcommand)]
    Audit(audit::AuditCommand),
    /// Print completions for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

/// Carries a command out.
///
/// # Errors
/// [`Failed`]: one line that says what happened and what to do next, and the exit code.
pub async fn run(cli: Cli, extensions: Extensions) -> Result<Outcome, Failed> {
    let output = Output::new(cli.global.json);
    if let Command::Completions { shell } = cli.command {
        let mut text = Vec::new();
        clap_complete::generate(shell, &mut Cli::command(), "clinicx", &mut text);
        output.text(&String::from_utf8_lossy(&text));
        return Ok(Outcome::Done);
    }
    if matches!(cli.command, Command::Openapi) {
        return openapi::run(&output, &extensions);
    }
    let mut config = crate::config::load(cli.global.config.as_deref()).map_err(Failed::usage)?;
    config.extensions = extensions;
    if !matches!(cli.command, Command::Dev(_) | Command::Serve(_)) {
        crate::dev::postgres::find(&mut config, &output)?;
    }
    match cli.command {
        Command::Dev(args) => dev::run(config, args, &output).await,
        Command::Serve(args) => serve::run(config, args).await,
        Command::Doctor => doctor::run(config, &output).await,
        Command::Migrate(command) => migrate::run(config, command, &output).await,
        Command::Tenant(command) => tenant::run(config, command, &output).await,
        Command::Fleet(command) => fleet::run(config, command, &output).await,
        Command::Audit(command) => audit::run(config, command, &output).await,
        Command::User(command) => user::run(config, command, &output).await,
        Command::Keys(command) => keys::run(config, command, &output).await,
        Command::Config(command) => config::run(config, command, &output).await,
        Command::Flag(command) => flag::run(config, command, &output).await,
        Command::Openapi | Command::Completions { .. } => Ok(Outcome::Done),
    }
}
