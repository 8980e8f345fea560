//! Who acts in which tenant, with which rights, when, and in which request.

use std::{net::IpAddr, sync::Arc};

use chrono::{DateTime, Utc};
use clinicx_types::{
    clock::{Clock, IdSource, RandomIds, SystemClock},
    id::{BreakGlassGrantId, RequestId, SessionId, TenantId, UserId},
    money::Currency,
    name::TenantSlug,
    permission::{Permission, PermissionSet},
};
use uuid::Uuid;

/// Who does something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Actor {
    /// A user of the tenant.
    User(UserId),
    /// An operator of the platform.
    Operator(UserId),
    /// The service itself, in the named job or command.
    System(&'static str),
}

impl Actor {
    /// Returns the word for the kind of actor in audit rows.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::User(_) => "user",
            Self::Operator(_) => "operator",
            Self::System(_) => "system",
        }
    }

    /// Returns the user behind it, if there is one.
    pub fn user_id(&self) -> Option<UserId> {
        match self {
            Self::User(id) | Self::Operator(id) => Some(*id),
            Self::System(_) => None,
        }
    }

    /// Returns the job behind it, if there is one.
    pub fn job(&self) -> Option<&'static str> {
        match self {
            Self::System(job) => Some(job),
            Self::User(_) | Self::Operator(_) => None,
        }
    }
}

/// What a domain operation needs to know about its caller; made for one request, one job or one test.
#[derive(Clone, Debug)]
pub struct TenantScope {
    /// The tenant in which it acts; the connection's target must name the same one.
    pub tenant_id: TenantId,
    /// The tenant's slug.
    pub slug: TenantSlug,
    /// The tenant's name: how the clinic calls itself.
    pub name: Arc<str>,
    /// The clinic's time zone, in which its days begin and end.
    pub time_zone: chrono_tz::Tz,
    /// The clinic's currency.
    pub currency: Currency,
    /// The clinic's locale, a BCP 47 tag such as `ar-SY`; its region is where local phone numbers belong.
    pub locale: Arc<str>,
    /// Who acts.
    pub actor: Actor,
    /// The log-in from which the request came, for audit rows.
    pub session_id: Option<SessionId>,
    /// The break-glass grant under which an operator acts here.
    pub break_glass_id: Option<BreakGlassGrantId>,
    /// What the actor may do.
    pub permissions: PermissionSet,
    /// The request or job, for audit rows and logs.
    pub request_id: RequestId,
    /// Where the request came from.
    pub source: Option<IpAddr>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Where new identifiers come from.
    pub ids: Arc<dyn IdSource>,
}

impl TenantScope {
    /// Makes a scope of the service itself with every given permission, for jobs, commands and tests. The tenant's slug
    /// stands for its name until [`Self::named`] says it.
    pub fn system(
        tenant_id: TenantId,
        slug: TenantSlug,
        (time_zone, currency, locale): (chrono_tz::Tz, Currency, &str),
        job: &'static str,
        permissions: PermissionSet,
    ) -> Self {
        Self {
            tenant_id,
            name: slug.as_str().into(),
            slug,
            time_zone,
            currency,
            locale: locale.into(),
            actor: Actor::System(job),
            session_id: None,
            break_glass_id: None,
            permissions,
            request_id: RequestId::new(RandomIds.next()),
            source: None,
            clock: Arc::new(SystemClock),
            ids: Arc::new(RandomIds),
        }
    }

    /// Says the tenant's name.
    pub fn named(self, name: &str) -> Self {
        Self { name: name.into(), ..self }
    }

    /// Returns the present instant.
    pub fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    /// Returns a new identifier.
    pub fn next_id(&self) -> Uuid {
        self.ids.next()
    }

    /// Tells whether the actor has the permission.
    pub fn may(&self, permission: Permission) -> bool {
        self.permissions.has(permission)
    }
}
