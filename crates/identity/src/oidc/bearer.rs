//! An issuer's access token as a bearer's.
//!
//! The first use of a token opens a session, which ends with the token; its id is a digest of what was signed, so that
//! each process finds it again. A log-out ends it, and with it the token.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use clinicx_types::id::SessionId;
use sha2::{Digest, Sha256};

use super::{
    admission::{Arrival, Way},
    count,
    refusal::Refusal,
    token::{CLOCK_LEEWAY_S, Unverified},
};
use crate::{error::IdentityError, identity::Identity, principal::Principal, scope::Origin};

/// What stands for an issuer that nobody knows, in metrics.
const UNKNOWN: &str = "unknown";

impl Identity {
    /// Returns who has shown this access token of an issuer.
    pub(crate) async fn authenticate_foreign(
        &self,
        token: &str,
        origin: &Origin,
    ) -> Result<Arc<Principal>, IdentityError> {
        let unverified = Unverified::read(token).map_err(|refusal| refuse(UNKNOWN, refusal))?;
        let issuer = unverified.issuer().and_then(|url| self.issuers.of_url(url).ok_or(Refusal::Issuer));
        let issuer = issuer.map_err(|refusal| refuse(UNKNOWN, refusal))?;
        let provider = issuer.provider();
        let refused = |refusal| refuse(provider.name(), refusal);
        let (algorithm, key_id) = unverified.key(provider).map_err(refused)?;
        let loaded = issuer.with_key(key_id).await.map_err(|_| IdentityError::IssuerUnavailable)?;
        let key = loaded.keys.get(key_id).ok_or(Refusal::Key).map_err(refused)?;
        let session = session_of(unverified.message);
        let verified = unverified.verify(key, algorithm).map_err(refused)?;
        let now = self.clock.now();
        let basics = verified.access_token(provider, now.timestamp()).map_err(refused)?;
        if let Some(principal) = self.principals.standing(&self.app, session, now).await? {
            return Ok(principal);
        }
        if let Some(closed) = self.issuers.closed.get(&session).await {
            return Err(closed.error(provider.name()));
        }
        let expires_at = last_use(basics.expires_at);
        let arrival = Arrival {
            provider,
            basics: &basics,
            claims: &verified.claims,
            wanted: None,
            way: Way::Bearer,
            session,
            expires_at,
        };
        self.admit_bearer(arrival, origin, now).await
    }

    async fn admit_bearer(
        &self,
        arrival: Arrival<'_>,
        origin: &Origin,
        now: DateTime<Utc>,
    ) -> Result<Arc<Principal>, IdentityError> {
        let (session, provider) = (arrival.session, arrival.provider);
        let principal = match self.admit_arrival(&arrival, origin).await {
            Ok(_) => self.principals.fresh(&self.app, session, now).await?,
            Err(error) => {
                let Some(closed) = Closed::of(&error) else { return Err(error) };
                self.issuers.closed.insert(session, closed).await;
                return Err(closed.error(provider.name()));
            }
        };
        if principal.is_none() {
            self.issuers.closed.insert(session, Closed::Refused(Refusal::Ended)).await;
        }
        principal.ok_or_else(|| refuse(provider.name(), Refusal::Ended))
    }
}

/// Why a token that is right opens nothing. It is kept for a few seconds, so that whoever shows it again and again costs
/// neither a transaction nor an audit row each time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Closed {
    /// It is not believed, or leads to no tenant.
    Refused(Refusal),
    /// The person has no account here, or none that may log in.
    NotLinked,
    /// The person belongs to no tenant to which the token leads.
    NoMembership,
}

impl Closed {
    fn of(error: &IdentityError) -> Option<Self> {
        match error {
            IdentityError::Refused(refusal) => Some(Self::Refused(*refusal)),
            IdentityError::NotLinked => Some(Self::NotLinked),
            IdentityError::NoMembership => Some(Self::NoMembership),
            _ => None,
        }
    }

    fn error(self, provider: &str) -> IdentityError {
        match self {
            Self::Refused(refusal) => refuse(provider, refusal),
            Self::NotLinked => IdentityError::NotLinked,
            Self::NoMembership => IdentityError::NoMembership,
        }
    }
}

/// Counts a refusal and makes its error.
pub(super) fn refuse(provider: &str, refusal: Refusal) -> IdentityError {
    count(provider, refusal);
    IdentityError::Refused(refusal)
}

/// Returns the session of a token. The signature takes no part: an elliptic curve's has two forms that are both right.
fn session_of(message: &str) -> SessionId {
    let digest = Sha256::new().chain_update("session of an access token\n").chain_update(message).finalize();
    let mut bytes = [0_u8; 16];
    bytes.iter_mut().zip(digest).for_each(|(slot, byte)| *slot = byte);
    SessionId::new(uuid::Builder::from_custom_bytes(bytes).into_uuid())
}

/// Returns until when a token is taken, with the leeway of clocks.
fn last_use(expires_at: DateTime<Utc>) -> DateTime<Utc> {
    expires_at.checked_add_signed(TimeDelta::seconds(CLOCK_LEEWAY_S)).unwrap_or(expires_at)
}
