//! `clinicx dev`: everything on this machine.

use std::net::IpAddr;

use clap::Args;

use super::{Failed, Outcome, Output};
use crate::{config::Config, dev, observability};

/// What can be said to `clinicx dev`.
#[derive(Debug, Args)]
pub struct DevArgs {
    /// Address to listen on
    #[arg(long)]
    pub host: Option<IpAddr>,
    /// Port to listen on; 0 takes a free one
    #[arg(long)]
    pub port: Option<u16>,
}

/// Starts PostgreSQL, makes the demo clinics, serves, and ends everything with a signal.
///
/// # Errors
/// PostgreSQL can't be found or started; the port is in use.
pub async fn run(mut config: Config, args: DevArgs, output: &Output) -> Result<Outcome, Failed> {
    config.http.host = args.host.unwrap_or(config.http.host);
    config.http.port = args.port.unwrap_or(config.http.port);
    observability::start_logging(&config.log)?;
    dev::run(config, output).await?;
    Ok(Outcome::Done)
}
