//! Times and limits of log-ins.

use std::time::Duration;

use clinicx_types::error::FieldError;

use crate::{error::IdentityError, mail::MailSettings, token::MAX_ACCESS_TTL};

/// The longest that a change of roles may go unnoticed.
const MAX_PRINCIPAL_CACHE_TTL: Duration = Duration::from_secs(4);

/// Times and limits of log-ins.
#[derive(Clone, Debug)]
pub struct IdentitySettings {
    /// How long an access token lives; at most 15 minutes.
    pub access_token_ttl: Duration,
    /// How long a refresh token can wait for its use.
    pub refresh_idle_ttl: Duration,
    /// After how long the password is asked for again, however often tokens were refreshed.
    pub session_ttl: Duration,
    /// How long a process may go by what it read of a session; at most 4 seconds.
    pub principal_cache_ttl: Duration,
    /// In what time failures are counted together.
    pub failure_window: Duration,
    /// How many failures lock an account.
    pub max_account_failures: u32,
    /// How many failures lock an address out.
    pub max_address_failures: u32,
    /// How long a log-in waits for a core to check its password.
    pub longest_password_wait: Duration,
    /// How long a link to set a password anew is good.
    pub password_reset_ttl: Duration,
    /// How long an invitation is good.
    pub invitation_ttl: Duration,
    /// Whether an operator of the platform without one-time passwords may do nothing but enrol for them.
    pub require_operator_totp: bool,
    /// How account holders are written to; without it nobody is, and what needs a mail is refused.
    pub mail: Option<MailSettings>,
}

impl Default for IdentitySettings {
    fn default() -> Self {
        Self {
            access_token_ttl: Duration::from_secs(10 * 60),
            refresh_idle_ttl: Duration::from_secs(14 * 86_400),
            session_ttl: Duration::from_secs(30 * 86_400),
            principal_cache_ttl: Duration::from_secs(3),
            failure_window: Duration::from_secs(15 * 60),
            max_account_failures: 10,
            max_address_failures: 50,
            longest_password_wait: Duration::from_secs(10),
            password_reset_ttl: Duration::from_secs(30 * 60),
            invitation_ttl: Duration::from_secs(7 * 86_400),
            require_operator_totp: false,
            mail: None,
        }
    }
}

impl IdentitySettings {
    /// Refuses what is out of range; the names are those of the fields.
    pub(crate) fn check(&self) -> Result<(), IdentityError> {
        let mut wrong = Vec::new();
        let mut refuse = |name: &str, detail: &str| wrong.push(FieldError::new(name, "out_of_range", detail));
        if self.access_token_ttl < Duration::from_secs(1) || self.access_token_ttl > MAX_ACCESS_TTL {
            refuse("access_token_ttl", "must be from 1 second to 15 minutes");
        }
        if self.principal_cache_ttl > MAX_PRINCIPAL_CACHE_TTL {
            refuse("principal_cache_ttl", "must be at most 4 seconds");
        }
        if self.refresh_idle_ttl < self.access_token_ttl || self.session_ttl < self.access_token_ttl {
            refuse("refresh_idle_ttl", "must be at least as long as an access token lives");
        }
        if self.max_account_failures == 0 || self.max_address_failures == 0 {
            refuse("max_account_failures", "must be at least 1");
        }
        if wrong.is_empty() { Ok(()) } else { Err(IdentityError::Invalid(wrong)) }
    }
}
