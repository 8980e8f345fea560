//! What the kit asks of identity and tenancy, so that it depends on neither.

use std::{collections::BTreeSet, net::IpAddr, sync::Arc, time::Duration};

use actix_web::http::StatusCode;
use async_trait::async_trait;
use clinicx_keys::FieldCipher;
use clinicx_persistence::{Actor, TenantConnection, TenantTarget};
use clinicx_types::{
    id::{BreakGlassGrantId, RequestId, SessionId, TenantId, UserId},
    money::Currency,
    name::{ModuleName, TenantSlug},
    permission::Role,
};

use crate::{disclosure::Disclosure, error::ApiError};

/// Who has shown a valid token.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The user.
    pub user_id: UserId,
    /// The log-in from which the token came.
    pub session_id: Option<SessionId>,
    /// The tenant that the token names; an operator's names none.
    pub tenant_id: Option<TenantId>,
    /// Whether the user operates the platform.
    pub operator: bool,
    /// What the user is in that tenant.
    pub roles: Vec<Role>,
    /// The grant under which an operator acts in that tenant.
    pub grant_id: Option<BreakGlassGrantId>,
    /// Whether an operator may do nothing on the platform before a second factor is enrolled.
    pub must_enrol: bool,
}

/// What the kit needs to know of a tenant.
#[derive(Clone, Debug)]
pub struct TenantEntry {
    /// Its id.
    pub id: TenantId,
    /// Its slug.
    pub slug: TenantSlug,
    /// Its name.
    pub name: Arc<str>,
    /// The time zone of the clinic.
    pub time_zone: chrono_tz::Tz,
    /// The currency of the clinic.
    pub currency: Currency,
    /// The locale of the clinic, a BCP 47 tag.
    pub locale: Arc<str>,
    /// The modules that it has, `core` among them.
    pub modules: BTreeSet<ModuleName>,
    /// Where it lives.
    pub target: TenantTarget,
    /// Its own limits.
    pub limits: TenantLimits,
    /// Why it can't be served now: 403 `tenant_suspended`, 410 `tenant_gone`, 503 in maintenance or below the
    /// oldest schema version; `None` for a tenant in good standing.
    pub refusal: Option<ApiError>,
    /// Why its writes are refused now while reads go on: 503 `maintenance`.
    pub write_refusal: Option<ApiError>,
}

impl TenantEntry {
    /// Tells whether the tenant has a module.
    pub fn has_module(&self, name: &str) -> bool {
        self.modules.iter().any(|module| module.as_str() == name)
    }
}

/// The limits of one tenant; what is `None` is as for all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TenantLimits {
    /// How many requests it may send each second in the long run; 0 is without limit.
    pub requests_per_second: Option<u32>,
    /// How many at once after a pause.
    pub burst: Option<u32>,
    /// How many of its requests run at a time; 0 is without limit.
    pub concurrent_requests: Option<u32>,
    /// How many connections to the database it may hold at a time.
    pub connections: Option<u32>,
}

/// A refusal that leaves an audit row.
#[derive(Clone, Debug)]
pub struct Denial {
    /// The code of the answer, such as `tenant_mismatch` or `permission_denied`.
    pub code: &'static str,
    /// The operation that was asked for.
    pub operation: &'static str,
    /// Who asked.
    pub actor: Actor,
    /// The log-in from which the request came.
    pub session_id: Option<SessionId>,
    /// The grant under which an operator asked.
    pub grant_id: Option<BreakGlassGrantId>,
    /// The tenant of the token.
    pub tenant_id: Option<TenantId>,
    /// The request.
    pub request_id: RequestId,
    /// Where it came from.
    pub source: Option<IpAddr>,
}

/// The request for which something is asked, for the audit rows of what comes of it.
#[derive(Clone, Copy, Debug)]
pub struct RequestOrigin {
    /// The request.
    pub request_id: RequestId,
    /// Where it came from.
    pub source: Option<IpAddr>,
}

/// Knows callers and tenants.
#[async_trait]
pub trait Gatekeeper: Send + Sync + 'static {
    /// Checks a bearer token and what has happened to its user and session since it was made.
    ///
    /// # Errors
    /// 401 when the token is not good, 503 when that can't be found out.
    async fn authenticate(&self, token: &str, origin: RequestOrigin) -> Result<Caller, ApiError>;

    /// Looks a tenant up; one in bad standing is returned with its [`TenantEntry::refusal`].
    ///
    /// # Errors
    /// 410 `tenant_gone` when there is none, 503 when that can't be found out.
    async fn tenant(&self, id: TenantId) -> Result<Arc<TenantEntry>, ApiError>;

    /// Returns a connection for the tenant; it sends nothing yet.
    ///
    /// # Errors
    /// 503 when the tenant's cluster is not connected.
    fn connection(&self, tenant: &TenantEntry) -> Result<TenantConnection, ApiError>;

    /// Returns the cipher of a tenant's fields, under which the answers that are kept in its schema are sealed.
    ///
    /// # Errors
    /// 503 while the tenant's key can't be had.
    async fn cipher(&self, id: TenantId) -> Result<FieldCipher, ApiError>;

    /// Forgets what is cached of a tenant: the database has just refused it as fenced or moved.
    async fn invalidate(&self, id: TenantId);

    /// Is told of each answer to a request of a tenant, and how long it took; for counting.
    fn answered(&self, tenant: TenantId, status: StatusCode, took: Duration) {
        let _ = (tenant, status, took);
    }

    /// Leaves the audit row of a 403 that a known caller is about to get, and returns when it may be given. The kit
    /// calls it once for each, wherever the refusal was made.
    ///
    /// # Errors
    /// 503 when the row can't be left; then that is the answer.
    async fn denied(&self, denial: Denial) -> Result<(), ApiError>;

    /// Leaves the audit row of a read, and returns when its answer may be given.
    ///
    /// # Errors
    /// 503 when the row can't be left; then there is no answer.
    async fn disclosed(&self, disclosure: Disclosure) -> Result<(), ApiError>;
}
