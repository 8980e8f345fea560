//! The upkeep of the tenants' tables.

use std::{num::NonZeroUsize, time::Duration};

use clinicx_migration::tenant::maintain::Rules;
use serde::{Deserialize, Serialize};

/// When the tables are kept up, and from where on something is due.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MaintenanceConfig {
    /// When it begins: a cron expression of five fields; empty for never.
    pub schedule: String,
    /// The time zone of the schedule (IANA).
    pub time_zone: String,
    /// How long it may take; what is not done by then waits for the next time.
    #[serde(with = "humantime_serde")]
    pub window: Duration,
    /// How many tenants at a time, 1 to 16.
    pub concurrency: NonZeroUsize,
    /// How long each of them rests after a statement.
    #[serde(with = "humantime_serde")]
    pub pause: Duration,
    /// How many percent of a table's rows have changed when it is analyzed.
    pub analyze_percent: f64,
    /// How many percent of a table's rows are dead when it is vacuumed.
    pub vacuum_percent: f64,
    /// How many rows make a table big, which gets autovacuum settings of its own.
    pub big_rows: i64,
    /// How many percent of an index are bloat when it is built again.
    pub reindex_percent: f64,
}

impl Default for MaintenanceConfig {
    fn default() -> Self {
        let rules = Rules::default();
        Self {
            schedule: String::new(),
            time_zone: "UTC".to_owned(),
            window: Duration::from_secs(4 * 3_600),
            concurrency: NonZeroUsize::MIN,
            pause: Duration::from_millis(200),
            analyze_percent: rules.analyze_share * 100.0,
            vacuum_percent: rules.vacuum_share * 100.0,
            big_rows: rules.big_rows,
            reindex_percent: rules.reindex_share * 100.0,
        }
    }
}

impl MaintenanceConfig {
    /// Returns when it begins; `None` for never.
    pub fn expression(&self) -> Option<&str> {
        Some(self.schedule.trim()).filter(|text| !text.is_empty())
    }

    /// Returns the zone of the schedule.
    ///
    /// # Errors
    /// There is none of this name.
    pub fn zone(&self) -> Result<chrono_tz::Tz, String> {
        self.time_zone
            .parse()
            .map_err(|_| format!("maintenance.time_zone: there is no zone {}", self.time_zone))
    }

    /// Returns from where on something is due.
    pub fn rules(&self) -> Rules {
        Rules {
            analyze_share: self.analyze_percent / 100.0,
            vacuum_share: self.vacuum_percent / 100.0,
            big_rows: self.big_rows,
            reindex_share: self.reindex_percent / 100.0,
            ..Rules::default()
        }
    }

    /// Checks the values.
    ///
    /// # Errors
    /// One line that says which is wrong.
    pub fn check(&self) -> Result<(), String> {
        self.zone()?;
        if !(Duration::from_secs(60)..=Duration::from_secs(86_400)).contains(&self.window) {
            return Err("maintenance.window must be from 1m to 1day".to_owned());
        }
        if self.concurrency.get() > 16 {
            return Err("maintenance.concurrency must be from 1 to 16".to_owned());
        }
        if self.pause > Duration::from_secs(3_600) {
            return Err("maintenance.pause must be from 0s to 1h".to_owned());
        }
        if self.big_rows < 1 {
            return Err("maintenance.big_rows must be at least 1".to_owned());
        }
        let percents = [
            ("maintenance.analyze_percent", self.analyze_percent),
            ("maintenance.vacuum_percent", self.vacuum_percent),
            ("maintenance.reindex_percent", self.reindex_percent),
        ];
        match percents.into_iter().find(|(_, value)| !(1.0..=100.0).contains(value)) {
            Some((name, _)) => Err(format!("{name} must be from 1 to 100")),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_out_of_bounds_is_named() {
        let check = |change: fn(&mut MaintenanceConfig), expected: Result<(), &str>| {
            let mut config = MaintenanceConfig::default();
            change(&mut config);
            assert_eq!(config.check(), expected.map_err(str::to_owned));
        };
        check(|_| {}, Ok(()));
        check(
            |config| config.reindex_percent = 0.0,
            Err("maintenance.reindex_percent must be from 1 to 100"),
        );
        check(|config| config.window = Duration::ZERO, Err("maintenance.window must be from 1m to 1day"));
        check(
            |config| config.time_zone = "Here".to_owned(),
            Err("maintenance.time_zone: there is no zone Here"),
        );
        assert_eq!(MaintenanceConfig::default().rules(), Rules::default());
    }
}
