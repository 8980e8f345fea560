//! `clinicx audit`: keeping, proving and pruning the audit log.

use std::{
    fs,
    io::BufRead,
    path::{Path, PathBuf},
};

use anyhow::Context;
use chrono::{DateTime, NaiveDate, NaiveTime, TimeDelta, Utc};
use clap::Subcommand;
use clinicx_audit::{Checkpoint, VerifyingKey, prune, seal::Turn, verify};
use clinicx_persistence::SystemConnection;
use clinicx_types::clock::{Clock, IdSource, RandomIds, SystemClock};
use serde_json::json;
use uuid::Uuid;

use super::{Failed, Outcome, Output};
use crate::{
    config::Config,
    logins::Logins,
    said::said,
    sealing::LogKeys,
    wiring::{self, Platform},
};

/// What can be done with the audit log.
#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// Seal what is pending and print the signed checkpoint, to be kept where the database's administrators can't write
    Checkpoint {
        /// Write it to this file instead
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Prove the log, or name the first position at which it is not what was sealed
    Verify {
        /// A checkpoint that was kept elsewhere; may be repeated
        #[arg(long = "checkpoint", value_name = "FILE")]
        checkpoints: Vec<PathBuf>,
        /// A public key to trust instead of the configured ones; may be repeated
        #[arg(long = "public-key", value_name = "KEY")]
        public_keys: Vec<VerifyingKey>,
    },
    /// Print the public key that checkpoints are verified with
    PublicKey,
    /// Print the proof that a row is in the log
    Prove {
        /// The row's id
        id: Uuid,
    },
    /// Remove old rows; their leaves stay, so that the rest is still proven
    Prune {
        /// Those written before this day (UTC) or instant
        #[arg(long, value_name = "DATE", value_parser = instant)]
        before: DateTime<Utc>,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
}

/// Carries it out.
///
/// # Errors
/// The log is not what was sealed; a key or a login is missing; the database refuses.
pub async fn run(config: Config, command: AuditCommand, output: &Output) -> Result<Outcome, Failed> {
    match command {
        AuditCommand::Checkpoint { out } => checkpoint(&config, out.as_deref(), output).await,
        AuditCommand::Verify { checkpoints, public_keys } => {
            verify(&config, &checkpoints, public_keys, output).await
        }
        AuditCommand::PublicKey => {
            let key = LogKeys::open(&config)?.signing.verifying_key().to_string();
            match output.is_json() {
                true => output.one(&json!({ "public_key": key })),
                false => output.text(&format!("{key}\n")),
            }
            Ok(Outcome::Done)
        }
        AuditCommand::Prove { id } => {
            let control = control(&config).await?;
            let proof = verify::prove(&control, &known(&config)?, id).await;
            control.close().await;
            let proof = proof.map_err(plain)?;
            match output.is_json() {
                true => output.one(&json!({ "id": id, "proof": proof })),
                false => output.text(&proof),
            }
            Ok(Outcome::Done)
        }
        AuditCommand::Prune { before, yes } => prune(&config, before, yes, output).await,
    }
}

async fn checkpoint(config: &Config, out: Option<&Path>, output: &Output) -> Result<Outcome, Failed> {
    let (keys, control) = (LogKeys::open(config)?, control(config).await?);
    let sealed = keys.seal(&control, Turn::Wait).await;
    control.close().await;
    let Some((checkpoint, note)) = sealed.map_err(plain)?.checkpoint else {
        return Err(Failed::message("there is no audit row yet; there is nothing to seal"));
    };
    if let Some(path) = out {
        fs::write(path, &note).with_context(|| format!("write {}", path.display()))?;
    }
    if output.is_json() {
        output.one(
            &json!({ "size": checkpoint.size, "origin": checkpoint.origin, "checkpoint": note, "file": out }),
        );
    } else if let Some(path) = out {
        output.note(&format!("{} rows are sealed; the checkpoint is in {}", checkpoint.size, path.display()));
    } else {
        output.text(&note);
    }
    Ok(Outcome::Done)
}

async fn verify(
    config: &Config,
    files: &[PathBuf],
    public_keys: Vec<VerifyingKey>,
    output: &Output,
) -> Result<Outcome, Failed> {
    let keys = if public_keys.is_empty() { known(config)? } else { public_keys };
    let read = |path: &PathBuf| -> anyhow::Result<Checkpoint> {
        let note = fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
        Checkpoint::open(&note, &keys).map_err(|error| anyhow::anyhow!("{}: {error}", path.display()))
    };
    let kept = files.iter().map(read).collect::<anyhow::Result<Vec<_>>>()?;
    let control = control(config).await?;
    let bar = output.progress_of("rows");
    let report = verify::verify(&control, &keys, &kept, &|done, all| bar.reach(done, all)).await;
    bar.finish();
    control.close().await;
    let report = report.map_err(plain)?;
    if output.is_json() {
        output.one(&report);
    } else if report.ok {
        let kept = match report.kept.last() {
            Some(size) => format!(", the kept checkpoint of {size} rows is part of it"),
            None => ", no kept checkpoint was given".to_owned(),
        };
        output.note(&format!(
            "{} rows are as they were sealed ({} signed checkpoints, {} rows pruned){kept}; {} rows wait to be sealed",
            report.size, report.checkpoints, report.pruned, report.unsealed
        ));
    }
    if let Some(position) = report.dated_back.filter(|_| !output.is_json()) {
        output.progress(&format!(
            "position {position} holds a row that says it is more than an hour older than its place in the log"
        ));
    }
    match report.finding {
        Some(finding) => Err(Failed::message(format!("the audit log is not what was sealed: {finding}"))),
        None => Ok(Outcome::Done),
    }
}

async fn prune(
    config: &Config,
    before: DateTime<Utc>,
    yes: bool,
    output: &Output,
) -> Result<Outcome, Failed> {
    let now = SystemClock.now();
    if before > now {
        return Err(Failed::usage(anyhow::anyhow!("--before must lie in the past")));
    }
    let kept_for = config.audit.min_retention;
    let youngest = TimeDelta::from_std(kept_for).ok().and_then(|kept_for| now.checked_sub_signed(kept_for));
    if youngest.is_none_or(|youngest| before > youngest) {
        let kept_for = humantime_serde::re::humantime::format_duration(kept_for);
        return Err(Failed::usage(anyhow::anyhow!(
            "rows are kept for {kept_for} at least (audit.min_retention); --before must lie further back"
        )));
    }
    let platform = Platform::open_current(config).await?;
    let done = prune_on(&platform, before, yes, output).await;
    platform.close().await;
    done
}

async fn prune_on(
    platform: &Platform,
    before: DateTime<Utc>,
    yes: bool,
    output: &Output,
) -> Result<Outcome, Failed> {
    let (keys, control) = (&platform.log_keys, platform.tenancy()?.control());
    keys.seal(control, Turn::Wait).await.map_err(plain)?;
    let rows = prune::count(control, before).await.map_err(plain)?;
    if rows > 0 && !yes {
        confirm(rows, before, output)?;
    }
    let owner = wiring::owner_login(platform.logins.migrator()?, &platform.roles);
    let owner = owner.open().await?.begin("SET LOCAL lock_timeout TO '30s'").await?;
    let pruned = prune::prune(&owner, &keys.signing, &keys.former, before, RandomIds.next()).await;
    let pruned = match pruned {
        Ok(pruned) => {
            owner.commit().await?.close().await;
            pruned
        }
        Err(error) => {
            owner.rollback().await?.close().await;
            return Err(plain(error));
        }
    };
    keys.seal(control, Turn::Wait).await.map_err(plain)?;
    match output.is_json() {
        true => output.one(&json!({ "before": before, "rows": pruned.rows })),
        false => output.note(&format!("{} rows were removed; their leaves stay", pruned.rows)),
    }
    Ok(Outcome::Done)
}

fn confirm(rows: u64, before: DateTime<Utc>, output: &Output) -> Result<(), Failed> {
    if !output.is_interactive() {
        return Err(Failed::usage(anyhow::anyhow!(
            "pruning removes {rows} rows for good; say --yes when there is nobody to ask"
        )));
    }
    output.progress(&format!(
        "This removes {rows} rows from before {before} for good. Type the number to go on:"
    ));
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line)?;
    if line.trim() == rows.to_string() {
        Ok(())
    } else {
        Err(Failed::message("that is another number; nothing was changed"))
    }
}

/// The keys whose checkpoints are trusted: the configured one and those before it.
fn known(config: &Config) -> anyhow::Result<Vec<VerifyingKey>> {
    Ok(LogKeys::open(config)?.known())
}

/// Connects as the login that reads the audit.
async fn control(config: &Config) -> anyhow::Result<SystemConnection> {
    let logins = Logins::open(&config.database).await?;
    let (login, timeout) = (logins.control()?, config.database.pool.acquire_timeout);
    wiring::connect(login, wiring::CONTROL_CONNECTIONS, timeout).await
}

fn plain(error: clinicx_audit::AuditError) -> Failed {
    said(error).into()
}

/// Reads a day or an instant.
fn instant(text: &str) -> Result<DateTime<Utc>, String> {
    let day = || text.parse::<NaiveDate>().map(|day| day.and_time(NaiveTime::MIN).and_utc());
    let instant = || DateTime::parse_from_rfc3339(text).map(|instant| instant.to_utc());
    day().or_else(|_| instant()).map_err(|_| "must be a day such as 2025-01-31, or an instant".to_owned())
}
