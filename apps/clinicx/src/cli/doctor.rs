//! `clinicx doctor`: what is configured, and whether all is well.

use serde_json::json;

use super::{Failed, Outcome, Output};
use crate::{
    checks::{self, Check},
    config::Config,
    wiring::Platform,
};

/// Prints the effective configuration, secrets redacted, and runs every self-check.
///
/// # Errors
/// The configuration does not fit together; the database can't be reached; a check fails. As JSON what is configured
/// is printed all the same.
pub async fn run(config: Config, output: &Output) -> Result<Outcome, Failed> {
    if !output.is_json() {
        let shown = toml::to_string(&config)?;
        output.text(&format!("{shown}\n"));
    }
    let looked = look(&config).await;
    if output.is_json() {
        let (checks, error) = match &looked {
            Ok(checks) => (checks.as_slice(), None),
            Err(error) => (&[][..], Some(error.to_string())),
        };
        let report = json!({ "configuration": config, "checks": checks, "error": error });
        output.text(&format!("{report:#}\n"));
    }
    let checks = looked?;
    if !output.is_json() {
        output.many(&checks, &["name", "status", "finding", "mend"]);
    }
    match checks.iter().filter(|check| !check.passed()).count() {
        0 => Ok(Outcome::Done),
        failed => Err(Failed::message(format!("{failed} of {} checks failed", checks.len()))),
    }
}

/// Runs every check, unless nothing can be asked at all.
async fn look(config: &Config) -> anyhow::Result<Vec<Check>> {
    config.check_serving()?;
    let platform = Platform::open_for_command(config).await?;
    let checks = checks::run_all(&platform).await;
    platform.close().await;
    checks
}
