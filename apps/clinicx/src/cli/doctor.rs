//! `clinicx doctor`: what is configured, and whether all is well.

use serde_json::json;

use super::{Failed, Outcome, Output};
use crate::{checks, config::Config, wiring::Platform};

/// Prints the effective configuration, secrets redacted, and runs every self-check.
///
/// # Errors
/// The database can't be reached; a check fails.
pub async fn run(config: Config, output: &Output) -> Result<Outcome, Failed> {
    if !output.is_json() {
        let shown = toml::to_string(&config)?;
        output.text(&format!("{shown}\n"));
    }
    let platform = Platform::open(&config).await?;
    let checks = checks::run(&platform).await?;
    platform.close().await;
    if output.is_json() {
        output.text(&format!("{:#}\n", json!({ "configuration": config, "checks": checks })));
    } else {
        output.many(&checks, &["name", "status", "finding", "mend"]);
    }
    match checks.iter().filter(|check| !check.passed()).count() {
        0 => Ok(Outcome::Done),
        failed => Err(Failed::message(format!("{failed} of {} checks failed", checks.len()))),
    }
}
