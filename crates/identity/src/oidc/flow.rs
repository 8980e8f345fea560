//! Logging in at an issuer: the authorisation code flow (RFC 6749, OpenID Connect Core) with PKCE (RFC 7636).
//!
//! What belongs to a log-in under way is kept in the database for ten minutes and used once. It is sealed under a key
//! that takes a secret of the browser to make, so that neither the database nor the address with the code is enough to
//! finish somebody else's log-in, and nobody is logged in to an account that is not theirs.

use chrono::{DateTime, Utc};
use clinicx_types::{id::SessionId, name::TenantSlug};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::time::Duration;

use super::{
    admission::{Admitted, Arrival, Way},
    dto::{Authorization, AuthorizeRequest, CallbackRequest, LoginProvider},
    exchange,
    issuer::Issuer,
    refusal::Refusal,
    seal::{self, random},
    store,
    token::Basics,
};
use crate::{
    attempt, audit,
    dto::Tokens,
    error::IdentityError,
    identity::{Identity, later},
    scope::Origin,
};

/// How long a log-in at an issuer may take.
const FLOW_TTL: Duration = Duration::from_secs(600);
/// How many log-ins may be under way from one network; a clinic's people share an address.
const MAX_FLOWS: i64 = 200;
/// The longest code, state and secret that are looked at, in bytes.
const MAX_CODE_BYTES: usize = 4096;
const MAX_WORD_BYTES: usize = 100;

/// What belongs to a log-in under way.
#[derive(Serialize, Deserialize)]
pub(super) struct Flow {
    nonce: String,
    pub(super) verifier: String,
    pub(super) redirect_uri: String,
    tenant: Option<TenantSlug>,
}

impl Identity {
    /// Lists the issuers at which people can log in: the platform's, and the tenant's own when one is named.
    pub fn login_providers(&self, tenant: Option<&TenantSlug>) -> Vec<LoginProvider> {
        let open = self.issuers.list.iter().map(Issuer::provider).filter(|provider| {
            let offered = provider.tenant().is_none_or(|own| Some(own) == tenant);
            offered && !provider.settings.redirect_uris.is_empty()
        });
        open.map(|provider| LoginProvider {
            name: provider.name().to_owned(),
            label: provider.settings.label.clone(),
        })
        .collect()
    }

    /// Begins a log-in at an issuer. `claimed` is the tenant that header or host name.
    ///
    /// # Errors
    /// [`IdentityError::TenantMismatch`] when the request names another tenant than `claimed`;
    /// [`IdentityError::NotFound`] for an issuer that is unknown or another tenant's; [`IdentityError::Invalid`] for an
    /// address that is not configured; [`IdentityError::TooManyAttempts`]; [`IdentityError::IssuerUnavailable`].
    #[tracing::instrument(name = "identity.oidc.authorize", skip_all, fields(request.id = %origin.request_id))]
    pub async fn authorize(
        &self,
        provider: &str,
        request: AuthorizeRequest,
        claimed: Option<&TenantSlug>,
        origin: &Origin,
    ) -> Result<Authorization, IdentityError> {
        let issuer = self.login_issuer(provider)?;
        let settings = &issuer.provider().settings;
        let tenant = agreed(request.tenant.as_ref(), claimed)?;
        if issuer.provider().tenant().zip(tenant).is_some_and(|(own, wanted)| own != wanted) {
            return Err(IdentityError::NotFound { thing: "provider" });
        }
        if !settings.redirect_uris.contains(&request.redirect_uri) {
            let detail = "must be one of the configured addresses";
            return Err(IdentityError::invalid("/redirect_uri", "not_allowed", detail));
        }
        let loaded = issuer.loaded().await.map_err(|_| IdentityError::IssuerUnavailable)?;
        let Some(mut url) = loaded.metadata.authorization_endpoint.clone() else {
            return Err(IdentityError::IssuerUnavailable);
        };
        let (state, binding) = (random()?, random()?);
        let flow = Flow {
            nonce: random()?,
            verifier: random()?,
            redirect_uri: request.redirect_uri.clone(),
            tenant: tenant.cloned(),
        };
        self.keep(issuer, &flow, (&state, &binding), origin).await?;
        let mut scopes = vec!["openid"];
        scopes.extend(settings.scopes.iter().map(String::as_str).filter(|scope| *scope != "openid"));
        url.query_pairs_mut()
            .append_pair("response_type", "code")
            .append_pair("client_id", &settings.client_id)
            .append_pair("redirect_uri", &flow.redirect_uri)
            .append_pair("scope", &scopes.join(" "))
            .append_pair("state", &state)
            .append_pair("nonce", &flow.nonce)
            .append_pair("code_challenge", &seal::encode(&Sha256::digest(&flow.verifier)))
            .append_pair("code_challenge_method", "S256");
        Ok(Authorization { authorization_url: url.into(), state, binding })
    }

    /// Finishes a log-in at an issuer. `claimed` is the tenant that header or host name. Writes an audit row of the success or the failure.
    ///
    /// # Errors
    /// [`IdentityError::InvalidFlow`] for a log-in that was not begun here, was finished, took too long or is another
    /// browser's; [`IdentityError::Invalid`] without `iss` and `redirect_uri`; [`IdentityError::LoginRefused`] when the issuer did not confirm it; [`IdentityError::NotLinked`],
    /// [`IdentityError::NoMembership`], [`IdentityError::TenantRequired`], [`IdentityError::TenantSuspended`],
    /// [`IdentityError::TenantGone`], [`IdentityError::IssuerUnavailable`].
    #[tracing::instrument(name = "identity.oidc.callback", skip_all, fields(request.id = %origin.request_id))]
    pub async fn callback(
        &self,
        provider: &str,
        request: CallbackRequest,
        claimed: Option<&TenantSlug>,
        origin: &Origin,
    ) -> Result<Tokens, IdentityError> {
        let issuer = self.login_issuer(provider)?;
        if request.iss.is_none() && request.redirect_uri.is_none() {
            let detail = "must say where the answer arrived, since the issuer does not name itself";
            return Err(IdentityError::invalid("/redirect_uri", "required", detail));
        }
        let flow = self.take(issuer, &request).await?;
        let wanted = agreed(flow.tenant.as_ref(), claimed)?;
        match self.confirmed(issuer, &request, &flow).await {
            Ok((basics, claims)) => {
                let (settings, now) = (&issuer.provider().settings, self.clock.now());
                let ttl = settings.session_ttl.min(self.settings.session_ttl);
                let arrival = Arrival {
                    provider: issuer.provider(),
                    basics: &basics,
                    claims: &claims,
                    wanted,
                    way: Way::Code,
                    session: SessionId::new(self.ids.next()),
                    expires_at: later(now, ttl),
                };
                match self.admit_arrival(&arrival, origin).await? {
                    Admitted::Opened(Some(tokens)) => Ok(tokens),
                    Admitted::Opened(None) | Admitted::Present => Err(IdentityError::InvalidFlow),
                }
            }
            Err(error) => {
                self.note_refusal(issuer, &error, origin).await?;
                Err(error)
            }
        }
    }

    /// Has the issuer confirm the log-in, and checks what it says.
    async fn confirmed(
        &self,
        issuer: &Issuer,
        request: &CallbackRequest,
        flow: &Flow,
    ) -> Result<(Basics, serde_json::Map<String, serde_json::Value>), IdentityError> {
        let refused = |refusal| {
            super::count(issuer.provider().name(), refusal);
            IdentityError::LoginRefused(refusal)
        };
        let loaded = issuer.loaded().await.map_err(|_| IdentityError::IssuerUnavailable)?;
        let named = request.iss.as_deref();
        let right = named == Some(issuer.provider().settings.issuer.as_str());
        // An answer of another issuer, sent here so that this one gets its code (RFC 9207).
        if !right && (named.is_some() || loaded.metadata.names_itself) {
            return Err(refused(Refusal::Issuer));
        }
        // Each address is one issuer's alone, so that an answer at another one is another issuer's (RFC 9700, 4.4.2).
        if request.redirect_uri.as_ref().is_some_and(|arrived| *arrived != flow.redirect_uri) {
            return Err(refused(Refusal::Issuer));
        }
        let now = self.clock.now().timestamp();
        let tokens =
            exchange::redeem(issuer, &loaded.metadata, &request.code, flow).await?.map_err(refused)?;
        exchange::id_token(issuer, &tokens, &flow.nonce, now).await?.map_err(refused)
    }

    fn login_issuer(&self, name: &str) -> Result<&Issuer, IdentityError> {
        let mut open = self.issuers.list.iter().filter(|issuer| {
            issuer.provider().name() == name && !issuer.provider().settings.redirect_uris.is_empty()
        });
        open.next().ok_or(IdentityError::NotFound { thing: "provider" })
    }

    async fn keep(
        &self,
        issuer: &Issuer,
        flow: &Flow,
        (state, binding): (&str, &str),
        origin: &Origin,
    ) -> Result<(), IdentityError> {
        let place = place(issuer, state);
        let plain = serde_json::to_vec(flow).map_err(|_| IdentityError::Crypto("write a log-in"))?;
        let now = self.clock.now();
        let row = store::NewFlow {
            state_hash: Sha256::digest(state).to_vec(),
            provider: issuer.provider().name().to_owned(),
            network: origin.source.map(attempt::network),
            sealed: seal::seal(&self.flow_key, binding, &place, &plain)?,
            expires_at: later(now, FLOW_TTL),
        };
        if store::add_flow(&self.app, row, MAX_FLOWS, now).await? {
            Ok(())
        } else {
            Err(IdentityError::TooManyAttempts { retry_after: FLOW_TTL / 10 })
        }
    }

    /// Takes a log-in out of the database, whoever asks for it and with whatever secret: it has one try.
    async fn take(&self, issuer: &Issuer, request: &CallbackRequest) -> Result<Flow, IdentityError> {
        let CallbackRequest { code, state, binding, .. } = request;
        let words = [state, binding].iter().all(|word| (1..=MAX_WORD_BYTES).contains(&word.len()));
        if !words || !(1..=MAX_CODE_BYTES).contains(&code.len()) {
            return Err(IdentityError::InvalidFlow);
        }
        let now: DateTime<Utc> = self.clock.now();
        let hash = Sha256::digest(state).to_vec();
        let sealed = store::take_flow(&self.app, hash, issuer.provider().name(), now).await?;
        let sealed = sealed.ok_or(IdentityError::InvalidFlow)?;
        let plain = seal::open(&self.flow_key, binding, &place(issuer, state), &sealed);
        let flow = plain.and_then(|plain| serde_json::from_slice(&plain).ok());
        flow.ok_or(IdentityError::InvalidFlow)
    }

    async fn note_refusal(
        &self,
        issuer: &Issuer,
        error: &IdentityError,
        origin: &Origin,
    ) -> Result<(), IdentityError> {
        let IdentityError::LoginRefused(refusal) = error else { return Ok(()) };
        let provider = issuer.provider().name();
        let after = serde_json::json!({ "reason": refusal.label(), "provider": provider, "by": "oidc_code" });
        let entry = audit::Entry {
            action: "user.login_refused",
            entity: "user",
            entity_id: None,
            tenant: None,
            before: None,
            after: Some(after),
        };
        Ok(audit::record_anonymous(&self.app, origin, entry).await?)
    }
}

/// Returns the tenant that is meant: the one that was named, else the one that header or host name.
fn agreed<'a>(
    named: Option<&'a TenantSlug>,
    claimed: Option<&'a TenantSlug>,
) -> Result<Option<&'a TenantSlug>, IdentityError> {
    match (named, claimed) {
        (Some(named), Some(claimed)) if named != claimed => Err(IdentityError::TenantMismatch),
        _ => Ok(named.or(claimed)),
    }
}

/// Returns what is authenticated with a sealed log-in.
fn place(issuer: &Issuer, state: &str) -> Vec<u8> {
    format!("{}\n{state}", issuer.provider().name()).into_bytes()
}
