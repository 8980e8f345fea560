//! What the parts of a configuration must be to each other.

use std::{fmt::Display, ops::RangeInclusive, time::Duration};

use clinicx_identity::{EmailAddress, Password, Passwords};

use super::{Config, ConfigError, Profile};

/// More connections than any PostgreSQL serves well.
const MOST_CONNECTIONS: u32 = 10_000;
/// More threads than any machine has cores for.
const MOST_WORKERS: usize = 1_024;

impl Config {
    /// Checks what can only be seen of the parts together; for whoever serves.
    ///
    /// # Errors
    /// [`ConfigError::Unfit`], with what to mend.
    pub fn check_serving(&self) -> Result<(), ConfigError> {
        self.check_bootstrap()?;
        self.check_deadlines()?;
        self.check_sizes()?;
        self.check_pools()?;
        self.check_jobs()?;
        self.check_archive()?;
        self.watch.check().map_err(unfit)?;
        self.maintenance.check().map_err(unfit)?;
        self.http.cors.policy().map_err(|error| unfit(format!("http.cors.origins: {error}")))?;
        if self.profile == Profile::Production && self.http.cors.allows_all() {
            return Err(unfit("http.cors.origins: * is not allowed in production; name the origins"));
        }
        Ok(())
    }

    /// Checks that the first operator has both an address and a password, or neither, and that an account could have
    /// them: with one of them alone nobody would be made, and nobody could tell why.
    ///
    /// # Errors
    /// [`ConfigError::Unfit`], with the half that is missing or wrong.
    pub fn check_bootstrap(&self) -> Result<(), ConfigError> {
        match (&self.bootstrap.email, &self.bootstrap.password) {
            (Some(_), None) => {
                Err(unfit("bootstrap.email is set and bootstrap.password is not; set both or none"))
            }
            (None, Some(_)) => {
                Err(unfit("bootstrap.password is set and bootstrap.email is not; set both or none"))
            }
            (Some(email), Some(password)) => {
                let email =
                    EmailAddress::parse(email).map_err(|error| unfit(format!("bootstrap.email: {error}")))?;
                Passwords::check(&Password::new(password.expose()), &email)
                    .map_err(|error| unfit(format!("bootstrap.password: {}", error.detail)))
            }
            (None, None) => Ok(()),
        }
    }

    /// Checks that the pools can lend connections; for whoever connects.
    ///
    /// # Errors
    /// [`ConfigError::Unfit`], with what to mend.
    pub fn check_pools(&self) -> Result<(), ConfigError> {
        let (database, pool) = (&self.database, &self.database.pool);
        within("database.system_connections", database.system_connections, 1..=MOST_CONNECTIONS)?;
        within("database.pool.max_connections", pool.max_connections, 1..=MOST_CONNECTIONS)?;
        within("database.pool.max_tenants_per_connection", pool.max_tenants_per_connection, 1..=u32::MAX)?;
        if pool.min_connections > pool.max_connections {
            return Err(unfit(format!(
                "database.pool.min_connections ({}) is more than database.pool.max_connections ({}); lower the one or \
                 raise the other",
                pool.min_connections, pool.max_connections
            )));
        }
        within("database.pool.tenant_share", pool.tenant_share, 0.0..=1.0)
    }

    /// Backups that nobody asks for need a place, and time between them.
    fn check_archive(&self) -> Result<(), ConfigError> {
        let archive = &self.archive;
        within("archive.keep_last", archive.keep_last, 1..=10_000)?;
        not_zero("archive.keep_for", archive.keep_for)?;
        match archive.every {
            Some(_) if archive.folder.is_none() => Err(unfit(
                "archive.every is set and archive.folder is not; set the folder that holds the archives",
            )),
            Some(every) if every < Duration::from_secs(600) => {
                Err(unfit("archive.every must be at least 10 minutes"))
            }
            _ => Ok(()),
        }
    }

    /// A statement that outlives its request goes on in vain, and keeps its connection from others.
    fn check_deadlines(&self) -> Result<(), ConfigError> {
        let (http, database) = (&self.http, &self.database);
        let request = http.request_timeout;
        let check = |name: &str, value: Duration, limit_name: &str, limit: Duration| match value {
            Duration::ZERO => not_zero(name, value),
            value if value > limit => {
                let (value, limit) = (humantime(value), humantime(limit));
                Err(unfit(format!(
                    "{name} ({value}) is longer than {limit_name} ({limit}); lower {name} or raise {limit_name}"
                )))
            }
            _ => Ok(()),
        };
        check("http.request_timeout", request, "a day", Duration::from_secs(86_400))?;
        not_zero("http.header_timeout", http.header_timeout)?;
        not_zero("http.body_timeout", http.body_timeout)?;
        check("database.statement_timeout", database.statement_timeout, "http.request_timeout", request)?;
        let statement = database.statement_timeout;
        check("database.lock_timeout", database.lock_timeout, "database.statement_timeout", statement)?;
        check(
            "database.pool.acquire_timeout",
            database.pool.acquire_timeout,
            "http.request_timeout",
            request,
        )?;
        check("limits.tenant.wait", self.limits.tenant.wait, "http.request_timeout", request)
    }

    fn check_sizes(&self) -> Result<(), ConfigError> {
        let http = &self.http;
        within("http.body_limit", http.body_limit, 1024..=256 * 1024 * 1024)?;
        // The HTTP server itself takes heads of 128 KiB and 96 fields, and no larger ones.
        within("http.header_limit", http.header_limit, 1024..=120 * 1024)?;
        within("http.header_count", http.header_count, 10..=96)?;
        within("http.url_limit", http.url_limit, 256..=64 * 1024)?;
        within("http.max_connections", http.max_connections, 1..=1_000_000)?;
        within("http.workers", http.workers.unwrap_or(1), 1..=MOST_WORKERS)
    }
}

fn within<T: PartialOrd + Display>(
    name: &str,
    value: T,
    range: RangeInclusive<T>,
) -> Result<(), ConfigError> {
    match range.contains(&value) {
        true => Ok(()),
        false => Err(unfit(format!("{name} must be from {} to {}", range.start(), range.end()))),
    }
}

fn not_zero(name: &str, value: Duration) -> Result<(), ConfigError> {
    if value.is_zero() { Err(unfit(format!("{name} must not be 0"))) } else { Ok(()) }
}

impl Config {
    fn check_jobs(&self) -> Result<(), ConfigError> {
        let jobs = &self.jobs;
        for (name, value) in [
            ("jobs.concurrency", jobs.concurrency),
            ("jobs.per_tenant", jobs.per_tenant),
            ("jobs.total", jobs.total),
        ] {
            if value == 0 {
                return Err(unfit(format!("{name} must not be 0; jobs.enabled = false runs none")));
            }
        }
        let check = |name: &str, value: Duration, least: Duration, most: Duration| {
            if (least..=most).contains(&value) {
                return Ok(());
            }
            let (least, most) = (humantime(least), humantime(most));
            Err(unfit(format!("{name} must be from {least} to {most}")))
        };
        let seconds = Duration::from_secs;
        // A cancellation is heard of within two seconds.
        check("jobs.poll", jobs.poll, Duration::from_millis(100), seconds(1))?;
        // Several signs of life must fit into a lease.
        check("jobs.lease", jobs.lease, seconds(5), seconds(3600))?;
        check("jobs.grace", jobs.grace, Duration::ZERO, seconds(3600))?;
        check("jobs.keep", jobs.keep, seconds(3600), seconds(100 * 31_557_600))
    }
}

fn unfit(what: impl Into<String>) -> ConfigError {
    ConfigError::Unfit(what.into())
}

fn humantime(duration: Duration) -> String {
    humantime_serde::re::humantime::format_duration(duration).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{BootstrapConfig, Secret};

    fn check(change: impl FnOnce(&mut Config), expected: Option<&str>) {
        let mut config = Config::default();
        change(&mut config);
        let found = config.check_serving().err().map(|error| error.to_string());
        assert_eq!(found.as_deref(), expected);
    }

    #[test]
    fn the_defaults_fit_together() {
        check(|_| {}, None);
        check(|config| config.profile = Profile::Production, None);
    }

    #[test]
    fn no_statement_may_outlive_its_request() {
        check(
            |config| config.http.request_timeout = Duration::from_secs(19),
            Some(
                "database.statement_timeout (20s) is longer than http.request_timeout (19s); lower \
                 database.statement_timeout or raise http.request_timeout",
            ),
        );
        check(
            |config| config.database.statement_timeout = Duration::ZERO,
            Some("database.statement_timeout must not be 0"),
        );
        check(
            |config| config.database.lock_timeout = Duration::from_secs(25),
            Some(
                "database.lock_timeout (25s) is longer than database.statement_timeout (20s); lower \
                 database.lock_timeout or raise database.statement_timeout",
            ),
        );
    }

    #[test]
    fn every_site_is_allowed_in_development_only() {
        let all = |config: &mut Config| config.http.cors.origins = vec!["*".to_owned()];
        check(all, None);
        check(
            |config| {
                all(config);
                config.profile = Profile::Production;
            },
            Some("http.cors.origins: * is not allowed in production; name the origins"),
        );
        check(
            |config| config.http.cors.origins = vec!["app.example".to_owned()],
            Some(
                "http.cors.origins: \"app.example\" is no origin; write scheme, host and port if it is not the \
                 usual one, as in https://app.example",
            ),
        );
    }

    #[test]
    fn jobs_have_places_and_times_that_fit() {
        check(
            |config| config.jobs.per_tenant = 0,
            Some("jobs.per_tenant must not be 0; jobs.enabled = false runs none"),
        );
        check(|config| config.jobs.poll = Duration::from_secs(5), Some("jobs.poll must be from 100ms to 1s"));
        check(|config| config.jobs.lease = Duration::from_secs(1), Some("jobs.lease must be from 5s to 1h"));
    }

    #[test]
    fn sizes_have_bounds() {
        check(|config| config.http.header_count = 200, Some("http.header_count must be from 10 to 96"));
        check(
            |config| config.http.max_connections = 0,
            Some("http.max_connections must be from 1 to 1000000"),
        );
        check(|config| config.http.workers = Some(0), Some("http.workers must be from 1 to 1024"));
        check(|config| config.http.body_timeout = Duration::ZERO, Some("http.body_timeout must not be 0"));
        check(
            |config| config.http.header_timeout = Duration::ZERO,
            Some("http.header_timeout must not be 0"),
        );
    }

    #[test]
    fn pools_can_lend_something() {
        check(
            |config| config.database.pool.max_connections = 0,
            Some("database.pool.max_connections must be from 1 to 10000"),
        );
        check(
            |config| config.database.system_connections = 0,
            Some("database.system_connections must be from 1 to 10000"),
        );
        check(
            |config| config.database.pool.max_connections = 9,
            Some(
                "database.pool.min_connections (10) is more than database.pool.max_connections (9); lower the one or \
                 raise the other",
            ),
        );
        for share in [7.0, -0.5, f64::NAN] {
            check(
                |config| config.database.pool.tenant_share = share,
                Some("database.pool.tenant_share must be from 0 to 1"),
            );
        }
    }

    #[test]
    fn the_first_operator_has_an_address_and_a_password() {
        let (email, password) = (|| Some("op@a.example".to_owned()), || Some(Secret::new("a password")));
        check(
            |config| config.bootstrap.email = email(),
            Some("bootstrap.email is set and bootstrap.password is not; set both or none"),
        );
        check(
            |config| config.bootstrap.password = password(),
            Some("bootstrap.password is set and bootstrap.email is not; set both or none"),
        );
        check(|config| config.bootstrap = BootstrapConfig { email: email(), password: password() }, None);
    }
}
