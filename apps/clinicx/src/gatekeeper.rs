//! Answers the HTTP kit's questions about callers and tenants.

use std::sync::Arc;

use actix_web::http::StatusCode;
use async_trait::async_trait;
use clinicx_identity::IdentityError;
use clinicx_persistence::{SystemExecutor, TenantConnection};
use clinicx_tenancy::{TenancyError, Tenant};
use clinicx_types::id::TenantId;
use clinicx_web::{ApiError, Caller, Denial, Gatekeeper, TenantEntry};
use sea_orm::raw_sql;

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
            time_zone: tenant.time_zone,
            currency: tenant.currency,
            locale: tenant.locale.as_str().into(),
            modules: tenant.modules.clone(),
            target: tenant.target(),
            refusal: self.platform.resolver.require_served(tenant).err().map(ApiError::from),
        }
    }
}

#[async_trait]
impl Gatekeeper for Gate {
    async fn authenticate(&self, token: &str) -> Result<Caller, ApiError> {
        let principal = self.platform.identity.authenticate(token).await.map_err(|error| match error {
            // Why a token is not good is nobody's business but the log's.
            IdentityError::InvalidToken(_) => {
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
        })
    }

    async fn tenant(&self, id: TenantId) -> Result<Arc<TenantEntry>, ApiError> {
        let tenant = self.platform.resolver.resolve_id(id).await.map_err(|error| match error {
            TenancyError::UnknownTenant => TenancyError::Gone,
            other => other,
        })?;
        Ok(Arc::new(self.entry(&tenant)))
    }

    fn connection(&self, tenant: &TenantEntry) -> Result<TenantConnection, ApiError> {
        if tenant.target.cluster == *self.platform.cluster.name() {
            Ok(self.platform.cluster.tenant(tenant.target.clone()))
        } else {
            Err(ApiError::unavailable())
        }
    }

    async fn invalidate(&self, id: TenantId) {
        if let Ok(tenant) = self.platform.resolver.resolve_id(id).await {
            self.platform.resolver.invalidate(&tenant).await;
        }
    }

    async fn denied(&self, denial: Denial) {
        let Denial { code, operation, user_id, tenant_id, request_id, source } = denial;
        let source = source.map(|address| address.to_string());
        let after = serde_json::json!({ "operation": operation, "code": code });
        let statement = raw_sql!(
            Postgres,
            r#"INSERT INTO public.audit_logs
                   (tenant_id, actor_kind, actor_id, action, entity, request_id, source_address, after)
               VALUES ({tenant_id}, 'user', {user_id}, 'access.denied', 'operation', {request_id},
                       CAST({source} AS inet), {after})"#
        );
        if let Err(error) = self.platform.app.execute(statement).await {
            tracing::error!(failure = %clinicx_persistence::Failure::of(&error), "a denial left no audit row");
        }
    }
}
