//! People who come from elsewhere: OpenID Connect issuers beside the accounts of this service.
//!
//! An issuer is configured ([`ProviderSettings`]) and belongs to the platform or to one tenant. Two ways lead in, and
//! both end in a session of this service, so that a log-out, a disabled account and a membership that was taken away
//! are obeyed as everywhere: an access token of the issuer as a bearer's (a session for each token, `bearer`), and the
//! authorisation code flow with PKCE for browsers (`flow`).
//!
//! **Invariant:** an issuer that names the tenant, be it by its settings or by a claim, opens sessions in that tenant
//! alone; they can't be switched to another one, and a tenant's own issuer never makes an operator.
//! **Invariant:** a key is only ever one of the issuer's own key set, looked up by the token's `kid`.
//! **Invariant:** what was taken away here stays away, whatever the issuer says.
//!
//! The crate `openidconnect` was weighed and left out: what it would save is a form and a URL, what it checks of a token
//! is less than what is checked here, and it brings its own implementations of RSA and of elliptic curves along.

mod admission;
mod bearer;
pub mod claim;
pub mod dto;
mod exchange;
mod fetch;
mod flow;
mod issuer;
mod json;
mod key;
mod profile;
pub mod refusal;
mod seal;
pub mod settings;
mod settlement;
pub(crate) mod store;
mod token;

use std::{fmt, sync::Arc, time::Duration};

use clinicx_types::{clock::Clock, id::SessionId};
use moka::future::Cache;

pub use claim::{ClaimPath, OperatorRule, RoleRule};
pub use dto::{Authorization, AuthorizeRequest, CallbackRequest, LoginProvider};
pub use refusal::Refusal;
pub use settings::{ProviderError, ProviderSettings, TenantRule};

pub(crate) use token::is_foreign;

use bearer::Closed;
use issuer::Issuer;
use settings::Provider;

/// How long a token that opens nothing is refused without another look.
const REFUSED_FOR: Duration = Duration::from_secs(3);
/// How many such tokens are remembered.
const MAX_REFUSED: u64 = 10_000;

/// The configured issuers. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Issuers {
    list: Arc<[Issuer]>,
    /// The tokens that have just opened nothing.
    closed: Cache<SessionId, Closed>,
}

impl Issuers {
    /// Checks settings; see [`crate::Identity::with_issuers`].
    pub(crate) fn new(
        settings: Vec<ProviderSettings>,
        loopback: bool,
        clock: &Arc<dyn Clock>,
    ) -> Result<Self, ProviderError> {
        let wrong = |provider: &Provider, key, reason| ProviderError {
            provider: provider.name().to_owned(),
            key,
            reason,
        };
        let mut list: Vec<Issuer> = Vec::new();
        let mut client = None;
        for one in settings {
            let provider = Provider::check(one, loopback)?;
            let known = |same: fn(&Provider, &Provider) -> bool| {
                list.iter().any(|issuer| same(issuer.provider(), &provider))
            };
            if known(|a, b| a.name() == b.name()) {
                return Err(wrong(&provider, "name", "stands twice"));
            }
            // A token names its issuer and nothing else, so that one issuer can't be two providers.
            if known(|a, b| a.settings.issuer == b.settings.issuer) {
                return Err(wrong(&provider, "issuer", "stands twice"));
            }
            // The address at which an answer arrives tells whose it is, where the issuer does not (RFC 9700, 4.4.2).
            if known(|a, b| b.redirects().any(|url| a.redirects().any(|other| other == url))) {
                return Err(wrong(&provider, "redirect_uris", "must not stand at another issuer too"));
            }
            let client = match &client {
                Some(client) => Clone::clone(client),
                None => {
                    let made = fetch::client()
                        .ok_or_else(|| wrong(&provider, "issuer", "needs TLS, which the system lacks"))?;
                    client.insert(made).clone()
                }
            };
            list.push(Issuer::new(Arc::new(provider), client, Arc::clone(clock)));
        }
        Ok(Self { list: list.into(), ..Self::none() })
    }

    /// None at all.
    pub(crate) fn none() -> Self {
        let closed = Cache::builder().max_capacity(MAX_REFUSED).time_to_live(REFUSED_FOR).build();
        Self { list: Arc::default(), closed }
    }

    fn of_url(&self, url: &str) -> Option<&Issuer> {
        self.list.iter().find(|issuer| issuer.provider().settings.issuer == url)
    }
}

impl fmt::Debug for Issuers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.list.iter().map(Issuer::provider)).finish()
    }
}

/// Counts a refusal.
fn count(provider: &str, refusal: Refusal) {
    let reason = refusal.label();
    metrics::counter!("clinicx_oidc_refusals_total", "provider" => provider.to_owned(), "reason" => reason)
        .increment(1);
}

#[cfg(test)]
mod tests {
    use clinicx_types::clock::SystemClock;

    use super::*;

    #[test]
    fn no_issuer_comes_back_to_anothers_address() {
        let check = |name: &str, issuer: &str, redirects: &[&str], wrong: Option<&str>| {
            let redirect_uris = redirects.iter().map(|text| (*text).to_owned()).collect();
            let (name, issuer) = (name.to_owned(), issuer.to_owned());
            let other = ProviderSettings { name, issuer, redirect_uris, ..settings::tests::settings() };
            let clock: Arc<dyn Clock> = Arc::new(SystemClock);
            let made = Issuers::new(vec![settings::tests::settings(), other], false, &clock);
            assert_eq!(made.err().map(|error| error.key), wrong, "{redirects:?}");
        };
        let other = ("other", "https://other.example");
        check(other.0, other.1, &["https://console.example/back/other"], None);
        check(other.0, other.1, &[], None);
        for shared in ["https://console.example/back", "https://CONSOLE.example:443/back"] {
            check(other.0, other.1, &["https://console.example/x", shared], Some("redirect_uris"));
        }
        check("idp", other.1, &[], Some("name"));
        check(other.0, "https://idp.example/realms/x", &[], Some("issuer"));
    }
}
