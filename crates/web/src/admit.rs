//! Who may come in: authentication, tenant, module, permission and preconditions, in this order.

use std::{
    cell::Cell,
    net::IpAddr,
    sync::{Arc, OnceLock},
};

use actix_web::{
    HttpRequest,
    http::{Method, StatusCode},
};
use clinicx_persistence::TenantScope;
use clinicx_types::{
    id::{RequestId, TenantId},
    lang::Language,
    name::TenantSlug,
};

use crate::{
    api::Checked,
    context,
    error::ApiError,
    gate::{Caller, RequestOrigin, TenantEntry},
    headers::{self, Claim, Precondition},
    kit::Kit,
    limit::{RateClass, Standing},
    operation::{Access, Idempotency, IfMatch},
};

/// What is known of a request before anybody is asked.
pub(crate) struct Seen {
    pub(crate) request_id: RequestId,
    pub(crate) language: Language,
    pub(crate) source: Option<IpAddr>,
    /// Who asks, as soon as that is known.
    pub(crate) caller: OnceLock<Caller>,
    /// Whose request it is, as soon as that is known.
    pub(crate) tenant: OnceLock<TenantId>,
    /// What the tenant has left of its rate, once that is known.
    pub(crate) standing: Cell<Option<Standing>>,
}

impl Seen {
    pub(crate) fn new(kit: &Kit, request: &HttpRequest) -> Self {
        Self {
            request_id: headers::request_id(request, kit.options().ids.as_ref()),
            language: headers::language(request),
            source: headers::source(request, &kit.options().trusted_proxies),
            caller: OnceLock::new(),
            tenant: OnceLock::new(),
            standing: Cell::new(None),
        }
    }
}

/// Who has come in, and where to.
pub(crate) struct Admitted {
    pub(crate) caller: Option<Caller>,
    pub(crate) tenant: Option<(Arc<TenantEntry>, TenantScope)>,
    pub(crate) claimed_tenant: Option<TenantSlug>,
    pub(crate) expected_version: Option<i64>,
    pub(crate) key: Option<String>,
}

struct Gate<'a> {
    kit: &'a Kit,
    operation: &'a Checked,
    seen: &'a Seen,
}

/// Admits a request to an operation or refuses it.
pub(crate) async fn admit(
    kit: &Kit,
    operation: &Checked,
    request: &HttpRequest,
    seen: &Seen,
) -> Result<Admitted, ApiError> {
    let gate = Gate { kit, operation, seen };
    let claim = match operation.rate {
        // Who probes comes by whatever name, and by none that says anything of a tenant.
        RateClass::Exempt => Claim::None,
        _ => headers::claimed_tenant(request, kit.options().base_domain.as_deref()),
    };
    let (caller, tenant) = if operation.access == Access::Public {
        if let Claim::Malformed(header) = claim {
            return Err(headers::malformed(header));
        }
        (None, None)
    } else {
        let token = headers::bearer(request).ok_or_else(unauthenticated)?;
        let origin = RequestOrigin { request_id: seen.request_id, source: seen.source };
        let caller = kit.gatekeeper().authenticate(token, origin).await.map_err(ApiError::about_token)?;
        let caller = seen.caller.get_or_init(|| caller);
        let entry = gate.tenant(caller, &claim).await?;
        let tenant = gate.authorise(caller, entry)?;
        (Some(caller.clone()), tenant)
    };
    let expected_version = gate.precondition(request)?;
    let key = gate.key(request)?;
    let claimed_tenant = match claim {
        Claim::Tenant(slug) => Some(slug),
        Claim::None | Claim::Malformed(_) => None,
    };
    Ok(Admitted { caller, tenant, claimed_tenant, expected_version, key })
}

fn unauthenticated() -> ApiError {
    ApiError::new(StatusCode::UNAUTHORIZED, "unauthenticated")
}

fn denied(code: &'static str) -> ApiError {
    ApiError::new(StatusCode::FORBIDDEN, code)
}

impl Gate<'_> {
    /// Looks the token's tenant up, counts the request as one of its, and checks that header and host agree with it.
    async fn tenant(&self, caller: &Caller, claim: &Claim) -> Result<Option<Arc<TenantEntry>>, ApiError> {
        let is_needed = self.operation.access.needs_tenant() || *claim != Claim::None;
        let entry = match caller.tenant_id {
            Some(id) => match self.kit.gatekeeper().tenant(id).await {
                Err(error) if is_needed => return Err(error),
                found => found.ok(),
            },
            None => None,
        };
        // A denial counts too, since it leaves an audit row; what is throttled leaves none.
        if let Some(entry) = &entry {
            let _already = self.seen.tenant.set(entry.id);
            self.count_tenant(entry)?;
        }
        let agrees = match claim {
            Claim::None => true,
            Claim::Tenant(slug) => entry.as_ref().is_some_and(|entry| entry.slug == *slug),
            Claim::Malformed(_) => false,
        };
        if agrees { Ok(entry) } else { Err(denied("tenant_mismatch")) }
    }

    fn authorise(
        &self,
        caller: &Caller,
        entry: Option<Arc<TenantEntry>>,
    ) -> Result<Option<(Arc<TenantEntry>, TenantScope)>, ApiError> {
        if self.operation.closed_to_grants && caller.grant_id.is_some() {
            return Err(denied("break_glass_restricted"));
        }
        match self.operation.access {
            Access::Public | Access::Authenticated => return Ok(None),
            Access::Operator if caller.must_enrol => return Err(denied("totp_enrolment_required")),
            // A platform token names no tenant; whoever also works in a clinic needs one for each.
            Access::Operator if caller.operator && caller.tenant_id.is_none() => return Ok(None),
            Access::Operator => return Err(denied("permission_denied")),
            Access::Tenant(_) | Access::AnyTenantMember => {}
        }
        let Some(entry) = entry else {
            return Err(denied("permission_denied"));
        };
        tracing::Span::current().record("tenant.slug", entry.slug.as_str());
        if let Some(refusal) = &entry.refusal {
            return Err(refusal.clone());
        }
        if self.operation.tenant_module.is_some_and(|module| !entry.has_module(module)) {
            return Err(denied("module_not_enabled"));
        }
        let permissions = self.kit.api().permissions(&caller.roles);
        if let Access::Tenant(permission) = self.operation.access
            && !permissions.has(permission)
        {
            return Err(denied("permission_denied"));
        }
        if let Some(refusal) = entry.write_refusal.as_ref().filter(|_| self.operation.method != Method::GET) {
            return Err(refusal.clone());
        }
        let options = self.kit.options();
        let scope = TenantScope {
            tenant_id: entry.id,
            slug: entry.slug.clone(),
            name: Arc::clone(&entry.name),
            time_zone: entry.time_zone,
            currency: entry.currency,
            locale: Arc::clone(&entry.locale),
            actor: context::actor(caller),
            session_id: caller.session_id,
            break_glass_id: caller.grant_id,
            permissions,
            request_id: self.seen.request_id,
            source: self.seen.source,
            clock: Arc::clone(&options.clock),
            ids: Arc::clone(&options.ids),
        };
        Ok(Some((entry, scope)))
    }

    fn precondition(&self, request: &HttpRequest) -> Result<Option<i64>, ApiError> {
        if self.operation.if_match == IfMatch::None {
            return Ok(None);
        }
        match headers::expected_version(request)? {
            Precondition::Version(version) => Ok(Some(version)),
            Precondition::Absent if self.operation.if_match == IfMatch::Required => {
                Err(ApiError::new(StatusCode::PRECONDITION_REQUIRED, "precondition_required"))
            }
            Precondition::Any | Precondition::Absent => Ok(None),
        }
    }

    fn key(&self, request: &HttpRequest) -> Result<Option<String>, ApiError> {
        match self.operation.idempotency {
            Idempotency::None => Ok(None),
            Idempotency::Accepted | Idempotency::Brief => {
                Ok(headers::idempotency_key(request)?.map(str::to_owned))
            }
            Idempotency::Required => headers::idempotency_key(request)?
                .map(|key| Some(key.to_owned()))
                .ok_or_else(|| ApiError::new(StatusCode::BAD_REQUEST, "idempotency_key_required")),
        }
    }

    /// Counts the request as one of the tenant's.
    fn count_tenant(&self, entry: &TenantEntry) -> Result<(), ApiError> {
        match self.kit.limits().count_tenant(entry.id, &entry.limits) {
            Ok(standing) => {
                self.seen.standing.set(standing);
                Ok(())
            }
            Err((standing, refusal)) => {
                self.seen.standing.set(Some(standing));
                Err(refusal)
            }
        }
    }
}
