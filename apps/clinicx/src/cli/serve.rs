//! `clinicx serve`: the service.

use std::net::IpAddr;

use clap::Args;

use super::{Failed, Outcome};
use crate::{
    config::Config,
    observability,
    server::{Service, Signals},
};

/// What can be said to `clinicx serve`.
#[derive(Debug, Args)]
pub struct ServeArgs {
    /// Address to listen on
    #[arg(long)]
    pub host: Option<IpAddr>,
    /// Port to listen on; 0 takes a free one
    #[arg(long)]
    pub port: Option<u16>,
}

impl ServeArgs {
    /// Puts the flags over the configuration.
    pub fn apply(&self, config: &mut Config) {
        config.http.host = self.host.unwrap_or(config.http.host);
        config.http.port = self.port.unwrap_or(config.http.port);
    }
}

/// Serves until a signal asks it to end.
///
/// # Errors
/// It could not start: the database, a self-check in production, the port.
pub async fn run(mut config: Config, args: ServeArgs) -> Result<Outcome, Failed> {
    args.apply(&mut config);
    observability::start_logging(&config.log)?;
    let service = Service::start(&config).await?;
    // Before anybody is told that it serves: whoever reads that may send a signal.
    let signals = Signals::listen()?;
    tracing::info!(address = %service.address(), "serving");
    service.run_until(signals).await?;
    Ok(Outcome::Done)
}
