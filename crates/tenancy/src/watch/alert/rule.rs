//! Rules over what is known of a tenant.

use std::{fmt, str::FromStr, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    tenant::WordError,
    watch::{backup::LastBackup, figures::share},
};

/// Which rule is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AlertCode {
    /// The last backup is too old, or there is none.
    BackupTooOld,
    /// No backup was shown to be good for too long.
    BackupUnverified,
    /// The schema is behind what the program's migrations make.
    TenantBehind,
    /// The schema grows faster than it may.
    SchemaGrowing,
    /// Too many requests fail.
    ErrorRate,
}

impl AlertCode {
    /// Every code.
    pub const ALL: [Self; 5] = [
        Self::BackupTooOld,
        Self::BackupUnverified,
        Self::TenantBehind,
        Self::SchemaGrowing,
        Self::ErrorRate,
    ];

    /// Returns the word for it in JSON and SQL.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BackupTooOld => "backup_too_old",
            Self::BackupUnverified => "backup_unverified",
            Self::TenantBehind => "tenant_behind",
            Self::SchemaGrowing => "schema_growing",
            Self::ErrorRate => "error_rate",
        }
    }
}

impl fmt::Display for AlertCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for AlertCode {
    type Err = WordError;
    fn from_str(text: &str) -> Result<Self, WordError> {
        const WORDS: &[&str] =
            &["backup_too_old", "backup_unverified", "tenant_behind", "schema_growing", "error_rate"];
        Self::ALL.into_iter().find(|code| code.as_str() == text).ok_or(WordError(WORDS))
    }
}

/// How soon somebody should look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// On the next working day.
    Warning,
    /// Now.
    Critical,
}

impl Severity {
    /// Returns the word for it in JSON and SQL.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

/// From where on a rule is broken.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Thresholds {
    /// How old the last backup may be.
    pub backup_age: Duration,
    /// For how long no backup need be verified.
    pub verification_age: Duration,
    /// By how many percent a schema may grow over [`Thresholds::growth_over`].
    pub growth_percent: f64,
    /// Over which time growth is measured.
    pub growth_over: Duration,
    /// By how many bytes a schema grows at least before its growth counts.
    pub growth_floor_bytes: u64,
    /// How many percent of a tenant's requests may fail.
    pub error_percent: f64,
    /// How many of them fail at least before it counts.
    pub error_floor: u64,
}

impl Default for Thresholds {
    fn default() -> Self {
        let hours = |hours: u64| Duration::from_secs(hours * 3_600);
        Self {
            backup_age: hours(26),
            verification_age: hours(8 * 24),
            growth_percent: 50.0,
            growth_over: hours(7 * 24),
            growth_floor_bytes: 256 * 1024 * 1024,
            error_percent: 5.0,
            error_floor: 10,
        }
    }
}

/// What is known of a tenant when it is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    /// When it was made: what it can't have yet is not missed.
    pub created_at: DateTime<Utc>,
    /// How many migrations its schema lacks.
    pub pending: u32,
    /// Whether it is served.
    pub is_served: bool,
    /// Its size now, in bytes.
    pub bytes: Option<i64>,
    /// Its size at the beginning of the time over which growth is measured, in bytes.
    pub bytes_before: Option<i64>,
    /// How many requests it had of late.
    pub requests: i64,
    /// How many of them failed.
    pub errors: i64,
    /// Its last backup; the outer `None` when nobody keeps account of backups.
    pub backup: Option<Option<LastBackup>>,
}

/// A rule that is broken.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Finding {
    /// Which.
    pub code: AlertCode,
    /// How badly.
    pub severity: Severity,
    /// What was measured: seconds of age, missing migrations, percent of growth or of failed requests.
    pub value: Option<f64>,
    /// From where on it is broken, in the same unit.
    pub threshold: Option<f64>,
}

/// Holds what is known of a tenant against the thresholds.
pub fn judge(known: &Known, thresholds: &Thresholds, now: DateTime<Utc>) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Some(backup) = known.backup {
        findings.extend(too_old(backup, known, thresholds, now));
        findings.extend(unverified(backup, known, thresholds, now));
    }
    if known.pending > 0 {
        findings.push(Finding {
            code: AlertCode::TenantBehind,
            severity: if known.is_served { Severity::Warning } else { Severity::Critical },
            value: Some(f64::from(known.pending)),
            threshold: Some(0.0),
        });
    }
    findings.extend(growing(known, thresholds));
    findings.extend(failing(known, thresholds));
    findings
}

/// A tenant that is younger than a backup may be old needs none yet. One whose last is twice as old is not saved.
fn too_old(
    backup: Option<LastBackup>,
    known: &Known,
    thresholds: &Thresholds,
    now: DateTime<Utc>,
) -> Option<Finding> {
    let since = backup.map_or(known.created_at, |backup| backup.taken_at);
    let (age, most) = (seconds(now - since), thresholds.backup_age.as_secs_f64());
    (age > most).then(|| Finding {
        code: AlertCode::BackupTooOld,
        severity: if backup.is_none() || age > 2.0 * most { Severity::Critical } else { Severity::Warning },
        value: backup.map(|_| age),
        threshold: Some(most),
    })
}

fn unverified(
    backup: Option<LastBackup>,
    known: &Known,
    thresholds: &Thresholds,
    now: DateTime<Utc>,
) -> Option<Finding> {
    let verified_at = backup.and_then(|backup| backup.verified_at);
    let (age, most) =
        (seconds(now - verified_at.unwrap_or(known.created_at)), thresholds.verification_age.as_secs_f64());
    (age > most).then(|| Finding {
        code: AlertCode::BackupUnverified,
        severity: Severity::Warning,
        value: verified_at.map(|_| age),
        threshold: Some(most),
    })
}

fn growing(known: &Known, thresholds: &Thresholds) -> Option<Finding> {
    let (now, before) = (known.bytes?, known.bytes_before?);
    let grown = now.saturating_sub(before);
    let floor = i64::try_from(thresholds.growth_floor_bytes).unwrap_or(i64::MAX);
    // In kilobytes, because counts of bytes outgrow what is shared exactly.
    let percent = share(grown / 1024, before / 1024)? * 100.0;
    (grown >= floor && percent > thresholds.growth_percent).then_some(Finding {
        code: AlertCode::SchemaGrowing,
        severity: Severity::Warning,
        value: Some(percent),
        threshold: Some(thresholds.growth_percent),
    })
}

fn failing(known: &Known, thresholds: &Thresholds) -> Option<Finding> {
    let percent = share(known.errors, known.requests)? * 100.0;
    let floor = i64::try_from(thresholds.error_floor).unwrap_or(i64::MAX);
    (known.errors >= floor && percent > thresholds.error_percent).then_some(Finding {
        code: AlertCode::ErrorRate,
        severity: if percent > 5.0 * thresholds.error_percent {
            Severity::Critical
        } else {
            Severity::Warning
        },
        value: Some(percent),
        threshold: Some(thresholds.error_percent),
    })
}

fn seconds(time: TimeDelta) -> f64 {
    time.to_std().unwrap_or_default().as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: TimeDelta = TimeDelta::hours(1);

    fn now() -> DateTime<Utc> {
        "2026-03-04T05:06:07Z".parse().unwrap()
    }

    /// A tenant of which nothing is to be said.
    fn well() -> Known {
        Known {
            created_at: now() - HOUR * 24 * 365,
            pending: 0,
            is_served: true,
            bytes: Some(10 << 30),
            bytes_before: Some(10 << 30),
            requests: 1_000,
            errors: 0,
            backup: Some(Some(LastBackup { taken_at: now() - HOUR, verified_at: Some(now() - HOUR) })),
        }
    }

    #[test]
    fn each_rule_is_broken_from_its_threshold_on() {
        let check = |known: Known, expected: &[(AlertCode, Severity)]| {
            let found = judge(&known, &Thresholds::default(), now());
            let found: Vec<_> = found.iter().map(|one| (one.code, one.severity)).collect();
            assert_eq!(found, expected, "{known:?}");
        };
        use AlertCode::{BackupTooOld, BackupUnverified, ErrorRate, SchemaGrowing, TenantBehind};
        use Severity::{Critical, Warning};
        let backup = |hours: i32, verified: Option<i32>| {
            let at = |hours: i32| now() - HOUR * hours;
            Known {
                backup: Some(Some(LastBackup { taken_at: at(hours), verified_at: verified.map(at) })),
                ..well()
            }
        };
        check(well(), &[]);
        check(backup(26, Some(30)), &[]);
        check(backup(27, Some(30)), &[(BackupTooOld, Warning)]);
        check(backup(53, Some(60)), &[(BackupTooOld, Critical)]);
        check(backup(1, Some(8 * 24 + 1)), &[(BackupUnverified, Warning)]);
        check(backup(1, None), &[(BackupUnverified, Warning)]);
        check(
            Known { backup: Some(None), ..well() },
            &[(BackupTooOld, Critical), (BackupUnverified, Warning)],
        );
        check(Known { backup: Some(None), created_at: now() - HOUR, ..well() }, &[]);
        check(Known { backup: None, ..well() }, &[]);
        check(Known { pending: 2, ..well() }, &[(TenantBehind, Warning)]);
        check(Known { pending: 2, is_served: false, ..well() }, &[(TenantBehind, Critical)]);
        check(Known { bytes: Some(15 << 30), ..well() }, &[]);
        check(Known { bytes: Some(16 << 30), ..well() }, &[(SchemaGrowing, Warning)]);
        check(Known { bytes: Some(16 << 30), bytes_before: None, ..well() }, &[]);
        // Twice as large, and still small.
        check(Known { bytes: Some(2 << 20), bytes_before: Some(1 << 20), ..well() }, &[]);
        check(Known { errors: 50, ..well() }, &[]);
        check(Known { errors: 51, ..well() }, &[(ErrorRate, Warning)]);
        check(Known { errors: 251, ..well() }, &[(ErrorRate, Critical)]);
        // A single failure of a quiet night is no rate.
        check(Known { requests: 2, errors: 2, ..well() }, &[]);
        check(Known { requests: 0, errors: 0, ..well() }, &[]);
    }
}
