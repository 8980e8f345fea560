//! Which other sites' pages may use the API.

use std::time::Duration;

use clinicx_web::{Cors, CorsError};
use serde::{Deserialize, Serialize};

/// Which other sites' pages may use the API from a browser; none unless they are named.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CorsConfig {
    /// Their origins, such as `https://app.clinics.example`; `*` is every site, in development only.
    pub origins: Vec<String>,
    /// Whether browsers send cookies and the like along; tokens do not need it.
    pub credentials: bool,
    /// How long a browser remembers what it was allowed.
    #[serde(with = "humantime_serde")]
    pub max_age: Duration,
}

impl Default for CorsConfig {
    fn default() -> Self {
        Self { origins: Vec::new(), credentials: false, max_age: Duration::from_secs(10 * 60) }
    }
}

impl CorsConfig {
    /// Returns the policy, if any site is named.
    ///
    /// # Errors
    /// What is named is no origin.
    pub fn policy(&self) -> Result<Option<Cors>, CorsError> {
        match self.origins.is_empty() {
            true => Ok(None),
            false => Cors::new(&self.origins, self.credentials, self.max_age.as_secs()).map(Some),
        }
    }

    /// Tells whether every site is allowed.
    pub fn allows_all(&self) -> bool {
        self.origins.iter().any(|origin| origin == "*")
    }
}
