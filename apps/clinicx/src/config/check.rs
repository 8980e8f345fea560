//! What the parts of a configuration must be to each other.

use std::time::Duration;

use super::{Config, ConfigError, Profile};

impl Config {
    /// Checks what can only be seen of the parts together; for whoever serves.
    ///
    /// # Errors
    /// [`ConfigError::Unfit`], with what to mend.
    pub fn check_serving(&self) -> Result<(), ConfigError> {
        self.check_deadlines()?;
        self.check_sizes()?;
        self.http.cors.policy().map_err(|error| unfit(format!("http.cors.origins: {error}")))?;
        if self.profile == Profile::Production && self.http.cors.allows_all() {
            return Err(unfit("http.cors.origins: * is not allowed in production; name the origins"));
        }
        Ok(())
    }

    /// A statement that outlives its request goes on in vain, and keeps its connection from others.
    fn check_deadlines(&self) -> Result<(), ConfigError> {
        let (http, database) = (&self.http, &self.database);
        let request = http.request_timeout;
        let check = |name: &str, value: Duration, limit_name: &str, limit: Duration| match value {
            Duration::ZERO => Err(unfit(format!("{name} must not be 0"))),
            value if value > limit => {
                let (value, limit) = (humantime(value), humantime(limit));
                Err(unfit(format!(
                    "{name} ({value}) is longer than {limit_name} ({limit}); lower {name} or raise {limit_name}"
                )))
            }
            _ => Ok(()),
        };
        check("http.request_timeout", request, "a day", Duration::from_secs(86_400))?;
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
        let check =
            |name: &str, value: usize, least: usize, most: usize| match (least..=most).contains(&value) {
                true => Ok(()),
                false => Err(unfit(format!("{name} must be from {least} to {most}"))),
            };
        check("http.body_limit", http.body_limit, 1024, 256 * 1024 * 1024)?;
        // The HTTP server itself takes heads of 128 KiB and 96 fields, and no larger ones.
        check("http.header_limit", http.header_limit, 1024, 120 * 1024)?;
        check("http.header_count", http.header_count, 10, 96)?;
        check("http.url_limit", http.url_limit, 256, 64 * 1024)?;
        check("http.max_connections", http.max_connections, 1, 1_000_000)
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
    fn sizes_have_bounds() {
        check(|config| config.http.header_count = 200, Some("http.header_count must be from 10 to 96"));
        check(
            |config| config.http.max_connections = 0,
            Some("http.max_connections must be from 1 to 1000000"),
        );
    }
}
