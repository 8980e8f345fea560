//! An issuer's description and keys, as they were a few minutes ago.
//!
//! They are fetched when first needed, good for [`FRESH`], and used for [`STALE`] when the issuer can't be asked.
//! A token with an unknown key has them fetched again, but no more than one attempt in [`PAUSE`] is made, so that
//! forged tokens make no load. One fetch runs at a time, to its end, whoever waits for it or goes away.

use std::sync::{Arc, PoisonError, RwLock};

use chrono::{DateTime, TimeDelta, Utc};
use clinicx_types::clock::Clock;
use reqwest::Client;
use serde_json::{Map, Value};
use tokio::sync::{Mutex, OwnedMutexGuard};
use url::Url;

use super::{
    fetch::{self, FetchError},
    json,
    key::KeySet,
    settings::Provider,
};

/// How long what was fetched is good.
const FRESH: TimeDelta = TimeDelta::minutes(10);
/// How long it is used when the issuer can't be asked.
const STALE: TimeDelta = TimeDelta::hours(1);
/// The least time between two attempts.
const PAUSE: TimeDelta = TimeDelta::seconds(10);

/// The issuer can't be asked, and what is known of it is too old.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unavailable;

/// What an issuer says of itself (OpenID Connect Discovery section 3), as far as it is used.
#[derive(Clone, Debug)]
pub(crate) struct Metadata {
    jwks_uri: Url,
    /// Where people log in; `None` when the code flow with PKCE is not to be had.
    pub(crate) authorization_endpoint: Option<Url>,
    pub(crate) token_endpoint: Option<Url>,
    /// Whether it answers with its own name (RFC 9207).
    pub(crate) names_itself: bool,
    /// Whether the client's secret goes into the body instead of a header.
    pub(crate) secret_in_body: bool,
}

/// What was fetched together.
pub(crate) struct Loaded {
    pub(crate) metadata: Metadata,
    pub(crate) keys: KeySet,
    at: DateTime<Utc>,
}

#[derive(Default)]
struct State {
    loaded: Option<Arc<Loaded>>,
    tried_at: Option<DateTime<Utc>>,
}

/// One issuer. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Issuer(Arc<Inner>);

struct Inner {
    provider: Arc<Provider>,
    client: Client,
    clock: Arc<dyn Clock>,
    state: RwLock<State>,
    turn: Arc<Mutex<()>>,
}

impl Issuer {
    pub(crate) fn new(provider: Arc<Provider>, client: Client, clock: Arc<dyn Clock>) -> Self {
        let (state, turn) = (RwLock::default(), Arc::default());
        Self(Arc::new(Inner { provider, client, clock, state, turn }))
    }

    pub(crate) fn provider(&self) -> &Provider {
        &self.0.provider
    }

    pub(crate) fn client(&self) -> &Client {
        &self.0.client
    }

    /// Returns what is known of the issuer, fetched anew when it is no longer fresh.
    pub(crate) async fn loaded(&self) -> Result<Arc<Loaded>, Unavailable> {
        let known = self.known();
        let usable = known.clone().filter(|loaded| self.age(loaded) < STALE);
        if let Some(loaded) = usable.filter(|loaded| self.age(loaded) < FRESH || !self.may_try()) {
            return Ok(loaded);
        }
        let turn = match known.filter(|loaded| self.age(loaded) < STALE) {
            // Somebody else is asking; what is known will do until then.
            Some(loaded) => match Arc::clone(&self.0.turn).try_lock_owned() {
                Ok(turn) => turn,
                Err(_) => return Ok(loaded),
            },
            None => Arc::clone(&self.0.turn).lock_owned().await,
        };
        let is_fresh = self.known().is_some_and(|loaded| self.age(&loaded) < FRESH);
        if !is_fresh && self.may_try() {
            self.refresh(turn).await;
        }
        self.known().filter(|loaded| self.age(loaded) < STALE).ok_or(Unavailable)
    }

    /// Returns what is known of the issuer, with the key if it has one of this name.
    pub(crate) async fn with_key(&self, id: &str) -> Result<Arc<Loaded>, Unavailable> {
        let loaded = self.loaded().await?;
        if loaded.keys.get(id).is_some() || !self.may_try() {
            return Ok(loaded);
        }
        let turn = Arc::clone(&self.0.turn).lock_owned().await;
        let has = |loaded: &Arc<Loaded>| loaded.keys.get(id).is_some();
        if !self.known().as_ref().is_some_and(has) && self.may_try() {
            self.refresh(turn).await;
        }
        Ok(self.known().unwrap_or(loaded))
    }

    fn known(&self) -> Option<Arc<Loaded>> {
        self.0.state.read().unwrap_or_else(PoisonError::into_inner).loaded.clone()
    }

    fn age(&self, loaded: &Loaded) -> TimeDelta {
        self.0.clock.now() - loaded.at
    }

    fn may_try(&self) -> bool {
        let tried_at = self.0.state.read().unwrap_or_else(PoisonError::into_inner).tried_at;
        tried_at.is_none_or(|at| self.0.clock.now() - at >= PAUSE)
    }

    /// Fetches in a task of its own: a caller that goes away would otherwise leave the issuer unasked.
    async fn refresh(&self, turn: OwnedMutexGuard<()>) {
        let issuer = self.clone();
        let task = tokio::spawn(async move {
            let _turn = turn;
            issuer.fetch().await;
        });
        // The task neither panics nor is it cancelled but at the end of the process.
        let _ended = task.await;
    }

    async fn fetch(&self) {
        let now = self.0.clock.now();
        self.0.state.write().unwrap_or_else(PoisonError::into_inner).tried_at = Some(now);
        let fetched = self.fetch_all(now).await;
        let name = self.0.provider.name();
        match fetched {
            Ok(loaded) => {
                tracing::debug!(provider = name, keys = loaded.keys.len(), "the issuer was asked");
                let mut state = self.0.state.write().unwrap_or_else(PoisonError::into_inner);
                state.loaded = Some(Arc::new(loaded));
            }
            Err(error) => tracing::warn!(provider = name, %error, "the issuer could not be asked"),
        }
    }

    async fn fetch_all(&self, now: DateTime<Utc>) -> Result<Loaded, FetchError> {
        let Inner { provider, client, .. } = &*self.0;
        let place = format!(
            "{}/.well-known/openid-configuration",
            provider.settings.issuer.strip_suffix('/').unwrap_or(&provider.settings.issuer)
        );
        let described = fetch::document(client.get(place)).await;
        let described = described.and_then(|body| metadata(provider, &body).ok_or(FetchError::Malformed));
        fetch::count(provider.name(), "discovery", &described);
        let metadata = described?;
        let keys = fetch::document(client.get(metadata.jwks_uri.clone())).await;
        let keys = keys.and_then(|body| KeySet::parse(&body, provider.family).ok_or(FetchError::Malformed));
        fetch::count(provider.name(), "keys", &keys);
        Ok(Loaded { metadata, keys: keys?, at: now })
    }
}

/// Reads a description; `None` when it is another issuer's, or its keys are where they must not be.
fn metadata(provider: &Provider, body: &[u8]) -> Option<Metadata> {
    let document = json::object(body)?;
    let text = |name: &str| document.get(name).and_then(Value::as_str);
    if text("issuer") != Some(provider.settings.issuer.as_str()) {
        return None;
    }
    let offers = |name: &str, wanted: &str| has(&document, name, wanted);
    let code_flow = offers("response_types_supported", "code").unwrap_or(false)
        && offers("code_challenge_methods_supported", "S256").unwrap_or(true);
    let endpoint = |name: &str| text(name).and_then(|text| provider.endpoint(text)).filter(|_| code_flow);
    let methods = "token_endpoint_auth_methods_supported";
    Some(Metadata {
        jwks_uri: provider.endpoint(text("jwks_uri")?)?,
        authorization_endpoint: endpoint("authorization_endpoint"),
        token_endpoint: endpoint("token_endpoint"),
        names_itself: document.get("authorization_response_iss_parameter_supported")
            == Some(&Value::Bool(true)),
        secret_in_body: !offers(methods, "client_secret_basic").unwrap_or(true)
            && offers(methods, "client_secret_post").unwrap_or(false),
    })
}

/// Tells whether a list has a word; `None` without a list.
fn has(document: &Map<String, Value>, list: &str, word: &str) -> Option<bool> {
    Some(document.get(list)?.as_array()?.iter().any(|one| one == word))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::oidc::settings::tests::settings;

    fn read(changes: Value) -> Option<Metadata> {
        let mut document = json!({
            "issuer": "https://idp.example/realms/x",
            "jwks_uri": "https://keys.example/jwks",
            "authorization_endpoint": "https://idp.example/auth",
            "token_endpoint": "https://idp.example/token",
            "response_types_supported": ["code"],
        });
        for (name, value) in changes.as_object().unwrap() {
            document[name] = value.clone();
        }
        metadata(&Provider::check(settings(), false).unwrap(), &serde_json::to_vec(&document).unwrap())
    }

    #[test]
    fn a_description_of_another_issuer_is_refused() {
        assert!(read(json!({})).is_some());
        for issuer in [
            json!("https://idp.example/realms/x/"),
            json!("https://IDP.example/realms/x"),
            json!("https://idp.example/realms/y"),
            json!(["https://idp.example/realms/x"]),
            json!(null),
        ] {
            assert!(read(json!({ "issuer": issuer })).is_none(), "{issuer}");
        }
        assert!(read(json!({"jwks_uri": "https://evil.example/jwks"})).is_none());
    }

    #[test]
    fn the_code_flow_needs_pkce_and_known_endpoints() {
        let flow = |changes| read(changes).unwrap().authorization_endpoint.is_some();
        assert!(flow(json!({})));
        assert!(flow(json!({"code_challenge_methods_supported": ["plain", "S256"]})));
        assert!(!flow(json!({"code_challenge_methods_supported": ["plain"]})));
        assert!(!flow(json!({"response_types_supported": ["id_token"]})));
        assert!(!flow(json!({"authorization_endpoint": "https://evil.example/auth"})));
    }
}
