//! Whoever an issuer vouches for, brought into an account, a tenant and a session.

use chrono::{DateTime, Utc};
use clinicx_persistence::{Actor, SystemTransaction};
use clinicx_types::{
    error::DomainError,
    id::{SessionId, TenantId, UserId},
    name::TenantSlug,
    permission::Role,
};
use serde_json::{Map, Value, json};

use super::{
    profile,
    refusal::Refusal,
    settings::{Provider, TenantRule},
    settlement::{settle_operator, settle_roles},
    store::{self, Known},
    token::Basics,
};
use crate::{
    audit,
    destination::{self, Destination, Place, destination},
    dto::Tokens,
    error::IdentityError,
    identity::{Identity, settle},
    membership,
    scope::{IdentityScope, Origin},
    session::{self, NewSession},
    user::{self, NewUser},
};

/// How somebody comes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// With an access token of the issuer in each request.
    Bearer,
    /// By the code flow, for tokens of this service.
    Code,
}

impl Way {
    fn as_str(self) -> &'static str {
        match self {
            Self::Bearer => "oidc_token",
            Self::Code => "oidc_code",
        }
    }
}

/// Somebody whose token was found right.
pub(crate) struct Arrival<'a> {
    pub(crate) provider: &'a Provider,
    pub(crate) basics: &'a Basics,
    pub(crate) claims: &'a Map<String, Value>,
    /// The tenant that the person asked for.
    pub(crate) wanted: Option<&'a TenantSlug>,
    pub(crate) way: Way,
    pub(crate) session: SessionId,
    pub(crate) expires_at: DateTime<Utc>,
}

/// What came of an arrival.
pub(crate) enum Admitted {
    /// A session was opened.
    Opened(Option<Tokens>),
    /// The token's session was there already.
    Present,
}

impl Arrival<'_> {
    fn name(&self) -> (&str, &str) {
        (&self.provider.settings.issuer, &self.basics.subject)
    }

    /// Returns the roles that the claims give.
    pub(super) fn roles(&self) -> Vec<Role> {
        self.provider.settings.roles.as_ref().map(|rule| rule.roles(self.claims)).unwrap_or_default()
    }

    /// Tells whether the claims make an operator.
    pub(super) fn operates(&self) -> bool {
        self.provider.settings.operator.as_ref().is_some_and(|rule| rule.holds(self.claims))
    }

    /// Refuses one who has to say in which of several tenants.
    fn ambiguous(&self, tenants: Vec<TenantSlug>) -> IdentityError {
        match self.way {
            Way::Bearer => IdentityError::Refused(Refusal::Tenant),
            Way::Code => IdentityError::TenantRequired { tenants },
        }
    }
}

impl Identity {
    /// Opens a session for somebody whose token was found right. Writes audit rows of what it changes, and of the
    /// log-in or its refusal.
    ///
    /// # Errors
    /// [`IdentityError::NotLinked`], [`IdentityError::NoMembership`], [`IdentityError::TenantRequired`],
    /// [`IdentityError::TenantSuspended`], [`IdentityError::TenantGone`], [`IdentityError::Refused`].
    pub(crate) async fn admit_arrival(
        &self,
        arrival: &Arrival<'_>,
        origin: &Origin,
    ) -> Result<Admitted, IdentityError> {
        let tx = self.app.begin().await?;
        let result = self.admit_arrival_in(&tx, arrival, origin).await;
        // A refusal is committed: what the issuer has taken away, and the audit rows.
        settle(tx, result).await?
    }

    async fn admit_arrival_in(
        &self,
        tx: &SystemTransaction,
        arrival: &Arrival<'_>,
        origin: &Origin,
    ) -> Result<Result<Admitted, IdentityError>, IdentityError> {
        let scope = self.scope(Actor::System("oidc"), *origin);
        let (issuer, subject) = arrival.name();
        store::lock(tx, issuer, subject).await?;
        if arrival.way == Way::Bearer && store::session_exists(tx, arrival.session).await? {
            return Ok(Ok(Admitted::Present));
        }
        let known = match store::find(tx, issuer, subject).await? {
            Some(known) => Some(known),
            None => self.make_known(tx, &scope, arrival).await?,
        };
        let led = match &known {
            Some(known) if known.enabled => self.lead(tx, &scope, arrival, known).await?,
            _ => Err(IdentityError::NotLinked),
        };
        match (known, led) {
            (Some(known), Ok(tenant)) => self.let_in(tx, arrival, &known, tenant, origin).await.map(Ok),
            (known, led) => {
                let error = led.err().unwrap_or(IdentityError::NotLinked);
                record_refusal(tx, arrival, known.map(|known| known.user_id), &error, origin).await?;
                Ok(Err(error))
            }
        }
    }

    /// Finds the place of somebody who has an account, after what the issuer grants has been settled.
    async fn lead(
        &self,
        tx: &SystemTransaction,
        scope: &IdentityScope,
        arrival: &Arrival<'_>,
        known: &Known,
    ) -> Result<Result<Option<TenantId>, IdentityError>, IdentityError> {
        let operator = settle_operator(tx, scope, arrival, known).await?;
        let tenant = match lead_to(tx, arrival, known.user_id, operator).await? {
            Ok(Some(tenant)) => tenant,
            elsewhere => return Ok(elsewhere),
        };
        let belongs = settle_roles(tx, scope, arrival, known, tenant).await?;
        Ok(if belongs { Ok(Some(tenant)) } else { Err(IdentityError::NoMembership) })
    }

    async fn let_in(
        &self,
        tx: &SystemTransaction,
        arrival: &Arrival<'_>,
        known: &Known,
        tenant: Option<TenantId>,
        origin: &Origin,
    ) -> Result<Admitted, IdentityError> {
        let (user, now) = (known.user_id, self.clock.now());
        store::touch(tx, known.id, user, arrival.basics.issued_at, now).await?;
        let id = arrival.session;
        let new = NewSession {
            id,
            family: id,
            user,
            tenant,
            expires_at: arrival.expires_at,
            source: origin.source,
            grant: None,
        };
        let tokens = match arrival.way {
            Way::Code => Some(self.open_session(tx, &new).await?),
            Way::Bearer => {
                session::open(tx, &new, now).await?;
                None
            }
        };
        let roams = arrival.provider.settings.tenant == TenantRule::Memberships;
        let confined = arrival.way == Way::Bearer || !roams;
        store::mark_session(tx, id, known.id, confined).await?;
        let actor = if tenant.is_none() { Actor::Operator(user) } else { Actor::User(user) };
        let after = json!({
            "session_id": id, "provider": arrival.provider.name(), "by": arrival.way.as_str(), "identity_id": known.id,
        });
        let entry = audit::Entry {
            action: "user.logged_in",
            entity: "user",
            entity_id: Some(user.uuid()),
            tenant,
            before: None,
            after: Some(after),
        };
        audit::record(tx, &self.scope(actor, *origin), entry).await?;
        Ok(Admitted::Opened(tokens))
    }

    /// Finds or makes the account of somebody who comes for the first time, as the provider's settings allow it.
    async fn make_known(
        &self,
        tx: &SystemTransaction,
        scope: &IdentityScope,
        arrival: &Arrival<'_>,
    ) -> Result<Option<Known>, IdentityError> {
        let Arrival { provider, claims, .. } = arrival;
        let verified = profile::verified_email(claims).filter(|email| provider.speaks_for(email));
        let owner = match &verified {
            Some(email) => user::find_by_email(tx, email.as_str()).await?,
            None => None,
        };
        if let Some(user) = owner {
            let links = provider.settings.link_by_verified_email && may_link(tx, provider, user.id).await?;
            return if links {
                attach(tx, scope, arrival, user.id, "identity.linked").await
            } else {
                Ok(None)
            };
        }
        // An account that would open nothing is not made.
        let opens = provider.settings.tenant == TenantRule::Memberships
            || arrival.operates()
            || !arrival.roles().is_empty();
        if !provider.settings.create_users || !opens {
            return Ok(None);
        }
        let email = verified.or_else(|| profile::placeholder_email(provider, &arrival.basics.subject));
        let (Some(email), Ok(full_name)) = (email, profile::full_name(provider, claims)) else {
            return Ok(None);
        };
        let new = NewUser { email, full_name, password: None, is_operator: false };
        match user::create(tx, scope, &new).await {
            Ok(user) => attach(tx, scope, arrival, user.id, "identity.created").await,
            Err(IdentityError::EmailTaken) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// Tells whether the issuer may speak for an account that was made here: the platform's for every one, a tenant's own
/// for those that belong to the tenant and to nothing else.
async fn may_link(tx: &SystemTransaction, provider: &Provider, user: UserId) -> Result<bool, IdentityError> {
    let Some(slug) = provider.tenant() else { return Ok(true) };
    match store::places(tx, std::slice::from_ref(slug)).await?.as_slice() {
        [place, ..] => Ok(store::belongs_only_to(tx, user, place.tenant_id).await?),
        [] => Ok(false),
    }
}

/// Joins an identity to an account.
async fn attach(
    tx: &SystemTransaction,
    scope: &IdentityScope,
    arrival: &Arrival<'_>,
    user: UserId,
    action: &'static str,
) -> Result<Option<Known>, IdentityError> {
    let id = scope.next_id();
    store::link(tx, id, arrival.name(), user, scope.now()).await?;
    let after = json!({ "identity_id": id, "provider": arrival.provider.name() });
    record(tx, scope, action, user, None, after).await?;
    let (issuer, subject) = arrival.name();
    Ok(store::find(tx, issuer, subject).await?)
}

/// Decides where somebody is led: to a tenant, or as an operator to the platform.
async fn lead_to(
    tx: &SystemTransaction,
    arrival: &Arrival<'_>,
    user: UserId,
    operator: bool,
) -> Result<Result<Destination, IdentityError>, IdentityError> {
    let (places, operates) = match &arrival.provider.settings.tenant {
        TenantRule::Fixed(slug) => (store::places(tx, std::slice::from_ref(slug)).await?, false),
        TenantRule::Claim(path) => {
            let texts = path.texts(arrival.claims).into_iter();
            let slugs: Vec<_> = texts.filter_map(|text| TenantSlug::parse(text).ok()).collect();
            // Named together with tenants, the right to operate is no way to the platform.
            (store::places(tx, &slugs).await?, operator && slugs.is_empty())
        }
        TenantRule::Memberships => {
            let belongings = membership::list_for_user(tx, user).await?.into_iter();
            (belongings.map(Place::from).collect(), operator)
        }
    };
    Ok(destination(operates, &places, arrival.wanted).map_err(|refusal| match refusal {
        destination::Refusal::Said(IdentityError::TenantRequired { tenants }) => arrival.ambiguous(tenants),
        destination::Refusal::Said(error) => error,
        destination::Refusal::Unknown(_) => IdentityError::NoMembership,
    }))
}

pub(super) async fn record(
    tx: &SystemTransaction,
    scope: &IdentityScope,
    action: &'static str,
    user: UserId,
    tenant: Option<TenantId>,
    after: Value,
) -> Result<(), IdentityError> {
    let entity_id = Some(user.uuid());
    let entry = audit::Entry { action, entity: "user", entity_id, tenant, before: None, after: Some(after) };
    Ok(audit::record(tx, scope, entry).await?)
}

async fn record_refusal(
    tx: &SystemTransaction,
    arrival: &Arrival<'_>,
    user: Option<UserId>,
    error: &IdentityError,
    origin: &Origin,
) -> Result<(), IdentityError> {
    let reason = match error {
        IdentityError::Refused(refusal) => refusal.label(),
        other => other.code(),
    };
    let after = json!({ "reason": reason, "provider": arrival.provider.name(), "by": arrival.way.as_str() });
    let entry = audit::Entry {
        action: "user.login_refused",
        entity: "user",
        entity_id: user.map(|user| user.uuid()),
        tenant: None,
        before: None,
        after: Some(after),
    };
    Ok(audit::record_anonymous(tx, origin, entry).await?)
}
