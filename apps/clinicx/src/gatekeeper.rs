//! Answers the HTTP kit's questions about callers and tenants.

use std::{sync::Arc, time::Duration};

use actix_web::http::StatusCode;
use async_trait::async_trait;
use clinicx_audit::{AuditError, Entry};
use clinicx_identity::{IdentityError, Origin};
use clinicx_keys::FieldCipher;
use clinicx_persistence::TenantConnection;
use clinicx_tenancy::{
    TenancyError, Tenant,
    configuration::{MAINTENANCE_MESSAGE, MAINTENANCE_RETRY_AFTER, READ_ONLY},
    watch::traffic::Answer,
};
use clinicx_types::id::TenantId;
use clinicx_web::{
    ApiError, Caller, Denial, Disclosure, Gatekeeper, RequestOrigin, TenantEntry, TenantLimits,
};
use serde_json::json;

use crate::wiring::Platform;

/// The gate of one platform.
pub struct Gate {
    platform: Platform,
}

impl Gate {
    /// Makes the gate.
    pub fn new(platform: Platform) -> Self {
        Self { platform }
    }

    fn entry(&self, tenant: &Tenant) -> TenantEntry {
        TenantEntry {
            id: tenant.id,
            slug: tenant.slug.clone(),
            name: tenant.name.as_str().into(),
            time_zone: tenant.time_zone,
            currency: tenant.currency,
            locale: tenant.locale.as_str().into(),
            modules: tenant.modules.clone(),
            target: tenant.target(),
            limits: limits(&tenant.limits),
            refusal: self.platform.resolver.require_served(tenant).err().map(ApiError::from),
            write_refusal: None,
        }
    }

    /// Says why writes are refused, when the platform is read-only.
    async fn write_refusal(&self) -> Option<ApiError> {
        let configurations = &self.platform.configurations;
        if !configurations.get(&READ_ONLY).await {
            return None;
        }
        let retry_after_s = configurations.get(&MAINTENANCE_RETRY_AFTER).await.as_secs();
        let refusal = ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "maintenance")
            .retry_after_s(u32::try_from(retry_after_s).unwrap_or(u32::MAX).max(1));
        let message = configurations.get(&MAINTENANCE_MESSAGE).await;
        Some(if message.is_empty() { refusal } else { refusal.member("message", message.into()) })
    }
}

/// Returns those of a tenant's own limits that requests are held to.
fn limits(own: &clinicx_tenancy::TenantLimits) -> TenantLimits {
    TenantLimits {
        requests_per_second: own.requests_per_second,
        burst: own.burst,
        concurrent_requests: own.concurrent_requests,
        connections: own.connections,
    }
}

#[async_trait]
impl Gatekeeper for Gate {
    fn answered(&self, tenant: TenantId, status: StatusCode, took: Duration) {
        let answer = match status.as_u16() {
            500.. => Answer::Failed,
            400.. => Answer::Refused,
            _ => Answer::Good,
        };
        self.platform.traffic.count(tenant, answer, took);
    }

    async fn authenticate(&self, token: &str, origin: RequestOrigin) -> Result<Caller, ApiError> {
        let origin = Origin { request_id: origin.request_id, source: origin.source };
        let found = self.platform.identity.authenticate(token, &origin).await;
        let principal = found.map_err(|error| match error {
            // Why a token is not good is nobody's business but the log's.
            IdentityError::InvalidToken(_) | IdentityError::Refused(_) => {
                ApiError::new(StatusCode::UNAUTHORIZED, "invalid_token").caused_by(error)
            }
            other => crate::routes::auth::refused(other),
        })?;
        Ok(Caller {
            user_id: principal.user_id,
            session_id: Some(principal.session_id),
            tenant_id: principal.tenant,
            operator: principal.is_operator,
            roles: principal.roles.clone(),
            grant_id: principal.grant,
            must_enrol: principal.must_enrol,
        })
    }

    async fn tenant(&self, id: TenantId) -> Result<Arc<TenantEntry>, ApiError> {
        let tenant = self.platform.resolver.resolve_id(id).await.map_err(|error| match error {
            TenancyError::UnknownTenant => TenancyError::Gone,
            other => other,
        })?;
        let write_refusal = self.write_refusal().await;
        Ok(Arc::new(TenantEntry { write_refusal, ..self.entry(&tenant) }))
    }

    fn connection(&self, tenant: &TenantEntry) -> Result<TenantConnection, ApiError> {
        if tenant.target.cluster == *self.platform.cluster.name() {
            Ok(self.platform.cluster.tenant_with(tenant.target.clone(), tenant.limits.connections))
        } else {
            Err(ApiError::unavailable())
        }
    }

    async fn cipher(&self, id: TenantId) -> Result<FieldCipher, ApiError> {
        Ok(self.platform.keyring.cipher(id).await?)
    }

    async fn invalidate(&self, id: TenantId) {
        if let Ok(tenant) = self.platform.resolver.resolve_id(id).await {
            self.platform.resolver.invalidate(&tenant).await;
        }
    }

    async fn denied(&self, denial: Denial) -> Result<(), ApiError> {
        let Denial { code, operation, actor, session_id, grant_id, tenant_id, request_id, source } = denial;
        let entry = Entry {
            tenant_id,
            actor,
            session_id,
            break_glass_id: grant_id,
            action: "access.denied".into(),
            entity: "operation",
            entity_id: None,
            patient_id: None,
            patient_ids: None,
            request_id,
            source,
            after: Some(json!({ "operation": operation, "code": code })),
        };
        self.platform.audit.write(entry).await.map_err(unaudited)
    }

    async fn disclosed(&self, disclosure: Disclosure) -> Result<(), ApiError> {
        self.platform.audit.write(entry_of(disclosure)).await.map_err(unaudited)
    }
}

/// Whatever keeps a row from being written, whoever asked has done nothing wrong.
fn unaudited(error: AuditError) -> ApiError {
    match error {
        AuditError::Database(failure) => {
            ApiError::unavailable().caused_by(format_args!("the audit: {failure}"))
        }
        other => ApiError::unavailable().caused_by(other),
    }
}

/// A read of one record concerns its patient; a list is one row with all whom it has shown.
fn entry_of(disclosure: Disclosure) -> Entry {
    let Disclosure { patients, is_list, operation, filters, .. } = disclosure;
    let (patient_id, patient_ids) = match patients.as_deref() {
        Some([one]) if !is_list => (Some(*one), None),
        _ => (None, patients),
    };
    let after = match is_list {
        true => json!({ "operation": operation, "filters": filters }),
        false => json!({ "operation": operation }),
    };
    Entry {
        tenant_id: disclosure.tenant_id,
        actor: disclosure.actor,
        session_id: disclosure.session_id,
        break_glass_id: disclosure.grant_id,
        action: disclosure.action.into(),
        entity: disclosure.entity,
        entity_id: disclosure.entity_id,
        patient_id,
        patient_ids,
        request_id: disclosure.request_id,
        source: disclosure.source,
        after: Some(after),
    }
}
