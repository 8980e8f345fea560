//! A gatekeeper without a database.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use actix_web::http::StatusCode;
use async_trait::async_trait;
use clinicx_keys::FieldCipher;
use clinicx_persistence::{TenantConnection, TenantTarget};
use clinicx_types::{
    id::{BreakGlassGrantId, SessionId, TenantId, UserId},
    name::{ClusterName, ModuleName, TenantSlug},
    permission::Role,
    uuid::Uuid,
};
use clinicx_web::{
    ApiError, Caller, Denial, Disclosure, Gatekeeper, RequestOrigin, TenantEntry, TenantLimits,
};

/// Knows the tokens `doctor`, `accountant`, `guest` (an operator with a grant), `operator`, `suspended` and `purged`,
/// named after who shows them.
#[derive(Default)]
pub(crate) struct FakeGatekeeper {
    pub(crate) denials: Mutex<Vec<&'static str>>,
    pub(crate) disclosures: Mutex<Vec<Disclosure>>,
    /// Whether rows of reads and refusals can't be left.
    pub(crate) audit_is_down: AtomicBool,
}

pub(crate) const CLINIC: u128 = 1;
const SUSPENDED: u128 = 2;
const PURGED: u128 = 3;

#[async_trait]
impl Gatekeeper for FakeGatekeeper {
    async fn authenticate(&self, token: &str, _origin: RequestOrigin) -> Result<Caller, ApiError> {
        let (tenant, roles) = match token {
            "doctor" => (Some(CLINIC), vec![Role::Doctor]),
            "accountant" => (Some(CLINIC), vec![Role::Accountant]),
            "guest" => (Some(CLINIC), vec![Role::Doctor]),
            "suspended" => (Some(SUSPENDED), vec![Role::Owner]),
            "purged" => (Some(PURGED), vec![Role::Owner]),
            "operator" => (None, vec![]),
            "down" => return Err(ApiError::unavailable()),
            _ => return Err(ApiError::new(StatusCode::UNAUTHORIZED, "invalid_token")),
        };
        Ok(Caller {
            user_id: UserId::new(Uuid::from_u128(9)),
            session_id: Some(SessionId::new(Uuid::from_u128(10))),
            tenant_id: tenant.map(|id| TenantId::new(Uuid::from_u128(id))),
            operator: token == "operator",
            roles,
            grant_id: (token == "guest").then(|| BreakGlassGrantId::new(Uuid::from_u128(11))),
            must_enrol: false,
        })
    }

    async fn tenant(&self, id: TenantId) -> Result<Arc<TenantEntry>, ApiError> {
        let (slug, refusal) = match id.uuid().as_u128() {
            CLINIC => ("clinic1", None),
            SUSPENDED => ("clinic2", Some(ApiError::new(StatusCode::FORBIDDEN, "tenant_suspended"))),
            _ => return Err(ApiError::new(StatusCode::GONE, "tenant_gone")),
        };
        let slug = TenantSlug::parse(slug).unwrap();
        let target = TenantTarget {
            tenant_id: id,
            cluster: ClusterName::parse("main").unwrap(),
            database: None,
            schema: slug.schema(),
            role: Some(slug.schema().role()),
            schema_version: "1.1.0".parse().unwrap(),
        };
        Ok(Arc::new(TenantEntry {
            id,
            name: "Clinic".into(),
            slug,
            time_zone: chrono_tz::UTC,
            currency: "EUR".parse().unwrap(),
            locale: "de-DE".into(),
            modules: BTreeSet::from([ModuleName::parse("core").unwrap()]),
            target,
            limits: TenantLimits::default(),
            refusal,
            write_refusal: None,
        }))
    }

    fn connection(&self, _: &TenantEntry) -> Result<TenantConnection, ApiError> {
        Err(ApiError::unavailable())
    }

    async fn cipher(&self, _: TenantId) -> Result<FieldCipher, ApiError> {
        Err(ApiError::unavailable())
    }

    async fn invalidate(&self, _: TenantId) {}

    async fn denied(&self, denial: Denial) -> Result<(), ApiError> {
        if self.audit_is_down.load(Ordering::Relaxed) {
            return Err(ApiError::unavailable());
        }
        self.denials.lock().unwrap().push(denial.code);
        Ok(())
    }

    async fn disclosed(&self, disclosure: Disclosure) -> Result<(), ApiError> {
        if self.audit_is_down.load(Ordering::Relaxed) {
            return Err(ApiError::unavailable());
        }
        self.disclosures.lock().unwrap().push(disclosure);
        Ok(())
    }
}
