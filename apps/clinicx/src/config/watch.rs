//! Watching the tenants.

use std::time::Duration;

use clinicx_tenancy::watch::{Keep, Thresholds};
use serde::{Deserialize, Serialize};

/// When the tenants are looked at, and what is kept of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WatchConfig {
    /// When all schemas are looked at: a cron expression of five fields (UTC); empty for never.
    pub schedule: String,
    /// From which time on a statement that runs counts as slow.
    #[serde(with = "humantime_serde")]
    pub slow_statement: Duration,
    /// From which time on a request counts as slow.
    #[serde(with = "humantime_serde")]
    pub slow_request: Duration,
    /// How often a process writes down how many requests it has counted.
    #[serde(with = "humantime_serde")]
    pub write_counts_every: Duration,
    /// How long it is kept what each day has left of a tenant.
    #[serde(with = "humantime_serde")]
    pub keep_days: Duration,
    /// How long it is kept what each hour has left of a tenant's requests.
    #[serde(with = "humantime_serde")]
    pub keep_hours: Duration,
    /// How long alerts are kept that are over.
    #[serde(with = "humantime_serde")]
    pub keep_alerts: Duration,
    /// From where on there is an alert.
    pub alerts: AlertConfig,
}

/// From where on there is an alert.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AlertConfig {
    /// How old the last backup may be.
    #[serde(with = "humantime_serde")]
    pub backup_age: Duration,
    /// For how long no backup need be verified.
    #[serde(with = "humantime_serde")]
    pub verification_age: Duration,
    /// By how many percent a schema may grow over `growth_over`.
    pub growth_percent: f64,
    /// Over which time growth is measured.
    #[serde(with = "humantime_serde")]
    pub growth_over: Duration,
    /// By how many bytes a schema grows at least before its growth counts.
    pub growth_floor: u64,
    /// How many percent of a tenant's requests may fail.
    pub error_percent: f64,
    /// How many of them fail at least before it counts.
    pub error_floor: u64,
}

impl Default for WatchConfig {
    fn default() -> Self {
        let days = |days: u64| Duration::from_secs(days * 86_400);
        Self {
            schedule: "*/15 * * * *".to_owned(),
            slow_statement: Duration::from_secs(5),
            slow_request: Duration::from_secs(1),
            write_counts_every: Duration::from_secs(30),
            keep_days: days(400),
            keep_hours: days(35),
            keep_alerts: days(90),
            alerts: AlertConfig::default(),
        }
    }
}

impl Default for AlertConfig {
    fn default() -> Self {
        let Thresholds {
            backup_age,
            verification_age,
            growth_percent,
            growth_over,
            growth_floor_bytes,
            error_percent,
            error_floor,
        } = Thresholds::default();
        Self {
            backup_age,
            verification_age,
            growth_percent,
            growth_over,
            growth_floor: growth_floor_bytes,
            error_percent,
            error_floor,
        }
    }
}

impl WatchConfig {
    /// Returns when all schemas are looked at; `None` for never.
    pub fn expression(&self) -> Option<&str> {
        Some(self.schedule.trim()).filter(|text| !text.is_empty())
    }

    /// Returns how long what was seen is kept.
    pub fn keep(&self) -> Keep {
        Keep { days: self.keep_days, hours: self.keep_hours, alerts: self.keep_alerts }
    }

    /// Returns from where on there is an alert.
    pub fn thresholds(&self) -> Thresholds {
        let alerts = &self.alerts;
        Thresholds {
            backup_age: alerts.backup_age,
            verification_age: alerts.verification_age,
            growth_percent: alerts.growth_percent,
            growth_over: alerts.growth_over,
            growth_floor_bytes: alerts.growth_floor,
            error_percent: alerts.error_percent,
            error_floor: alerts.error_floor,
        }
    }

    /// Checks the values.
    ///
    /// # Errors
    /// One line that says which is wrong.
    pub fn check(&self) -> Result<(), String> {
        let times = [
            ("watch.slow_statement", self.slow_statement, 1, 86_400_000),
            ("watch.slow_request", self.slow_request, 1, 86_400_000),
            ("watch.write_counts_every", self.write_counts_every, 1_000, 3_600_000),
            ("watch.keep_days", self.keep_days, 86_400_000, u64::MAX),
            ("watch.keep_hours", self.keep_hours, 7_200_000, u64::MAX),
            ("watch.keep_alerts", self.keep_alerts, 3_600_000, u64::MAX),
            ("watch.alerts.backup_age", self.alerts.backup_age, 60_000, u64::MAX),
            ("watch.alerts.verification_age", self.alerts.verification_age, 60_000, u64::MAX),
            ("watch.alerts.growth_over", self.alerts.growth_over, 86_400_000, u64::MAX),
        ];
        for (name, value, least, most) in times {
            let (least, most) = (Duration::from_millis(least), Duration::from_millis(most));
            // What is longer than a century is a slip, and more than dates can be moved by.
            let most = most.min(Duration::from_secs(100 * 366 * 86_400));
            if !(least..=most).contains(&value) {
                let text = |time: Duration| humantime_serde::re::humantime::format_duration(time).to_string();
                return Err(format!("{name} must be from {} to {}", text(least), text(most)));
            }
        }
        let percents = [
            ("watch.alerts.growth_percent", self.alerts.growth_percent),
            ("watch.alerts.error_percent", self.alerts.error_percent),
        ];
        match percents.into_iter().find(|(_, value)| !value.is_finite() || *value < 0.0) {
            Some((name, _)) => Err(format!("{name} must be a number from 0")),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_out_of_bounds_is_named() {
        let check = |change: fn(&mut WatchConfig), expected: Result<(), &str>| {
            let mut config = WatchConfig::default();
            change(&mut config);
            assert_eq!(config.check(), expected.map_err(str::to_owned));
        };
        check(|_| {}, Ok(()));
        check(
            |config| config.write_counts_every = Duration::ZERO,
            Err("watch.write_counts_every must be from 1s to 1h"),
        );
        check(
            |config| config.alerts.error_percent = f64::NAN,
            Err("watch.alerts.error_percent must be a number from 0"),
        );
        assert!(WatchConfig { keep_days: Duration::MAX, ..WatchConfig::default() }.check().is_err());
        assert_eq!(WatchConfig { schedule: " ".to_owned(), ..WatchConfig::default() }.expression(), None);
    }
}
