//! Giving modules to tenants, and taking them back.

use std::collections::BTreeSet;

use clinicx_migration::{
    owner::OwnerLogin,
    tenant::{MigrateError, Subject, apply},
};
use clinicx_types::name::{ModuleName, TenantSlug};
use serde_json::json;

use crate::{
    audit,
    error::TenancyError,
    lifecycle::require,
    registry,
    scope::PlatformScope,
    service::Tenancy,
    tenant::{Tenant, TenantStatus},
};

/// How often it is tried on a tenant that others change meanwhile.
const ATTEMPTS: u32 = 8;

impl Tenancy {
    /// Gives a tenant a further module, with what that requires, and brings its schema up to date. A module that
    /// it has already changes nothing.
    ///
    /// # Errors
    /// [`TenancyError::Invalid`] for an unknown module, [`TenancyError::RefusedTransition`] unless the tenant is
    /// active or suspended, [`TenancyError::Maintenance`], [`TenancyError::Migration`],
    /// [`TenancyError::NotConfigured`], [`TenancyError::Database`].
    #[tracing::instrument(name = "tenancy.enable_module", skip_all, fields(tenant.slug = %slug, module = tracing::field::Empty), err(level = "debug"))]
    pub async fn enable_module(
        &self,
        slug: &TenantSlug,
        name: &str,
        by: &PlatformScope,
    ) -> Result<Tenant, TenancyError> {
        let known = ModuleName::parse(name).ok().filter(|name| self.modules().find(name.as_str()).is_some());
        let Some(module) = known else {
            let all: Vec<&str> = self.modules().names().map(ModuleName::as_str).collect();
            let detail = format!("must be one of {}", all.join(", "));
            return Err(TenancyError::field("/module", "unknown_module", &detail));
        };
        // Recorded only now: before, it is whatever the caller has sent.
        tracing::Span::current().record("module", module.as_str());
        let migrator = self.migrator()?;
        let _turn = self.turn().await;
        for _ in 0..ATTEMPTS {
            let tenant = registry::get_by_slug(self.control(), slug).await?;
            require(&tenant, &[TenantStatus::Active, TenantStatus::Suspended])?;
            if tenant.modules.contains(&module) {
                return Ok(tenant);
            }
            match self.add_module(migrator, &tenant, &module, by).await {
                Err(MigrateError::Changed) => {}
                Err(error) => return Err(error.into()),
                Ok(()) => return registry::get_by_slug(self.control(), slug).await,
            }
        }
        Err(TenancyError::Maintenance)
    }

    /// Adds a module to a tenant that is still what was read.
    async fn add_module(
        &self,
        migrator: &OwnerLogin,
        tenant: &Tenant,
        module: &ModuleName,
        by: &PlatformScope,
    ) -> Result<(), MigrateError> {
        let modules = self.modules().with_required(tenant.modules.iter().cloned().chain([module.clone()]));
        let action = audit::Action::on_tenant(
            "tenant.module_enabled",
            tenant.id,
            Some(json!({ "modules": tenant.modules })),
            Some(json!({ "modules": modules })),
        );
        let subject = Subject { tenant_id: tenant.id, schema: tenant.database_schema.clone(), modules };
        // Without one at hand the migration opens its own.
        let mut slot = self.owner_connection().await.ok();
        let also = [audit::statement(by, action)];
        let plan = self.modules().plan();
        let result = apply::migrate_at(migrator, &mut slot, plan, &subject, tenant.version, &also).await;
        if let Some(connection) = slot {
            self.park(connection).await;
        }
        result.map(drop)
    }

    /// Takes a module from a tenant. What its tables hold stays, and is there again when the tenant gets it back. A
    /// module that the tenant has not changes nothing.
    ///
    /// # Errors
    /// [`TenancyError::Invalid`] for a module that nobody can be without or that another one of the tenant's needs,
    /// [`TenancyError::UnknownModule`], [`TenancyError::VersionMismatch`], [`TenancyError::RefusedTransition`] unless
    /// the tenant is active or suspended, [`TenancyError::Maintenance`], [`TenancyError::Migration`],
    /// [`TenancyError::NotConfigured`], [`TenancyError::Database`].
    #[tracing::instrument(name = "tenancy.disable_module", skip_all, fields(tenant.slug = %slug, module = tracing::field::Empty), err(level = "debug"))]
    pub async fn disable_module(
        &self,
        slug: &TenantSlug,
        name: &str,
        expected: Option<i64>,
        by: &PlatformScope,
    ) -> Result<Tenant, TenancyError> {
        let known = ModuleName::parse(name).ok().filter(|name| self.modules().find(name.as_str()).is_some());
        let module = known.ok_or(TenancyError::UnknownModule)?;
        tracing::Span::current().record("module", module.as_str());
        let migrator = self.migrator()?;
        let _turn = self.turn().await;
        for _ in 0..ATTEMPTS {
            let tenant = registry::get_by_slug(self.control(), slug).await?;
            require(&tenant, &[TenantStatus::Active, TenantStatus::Suspended])?;
            if expected.is_some_and(|expected| expected != tenant.version) {
                return Err(TenancyError::VersionMismatch { current: tenant.version });
            }
            let rest = tenant.modules.iter().filter(|other| **other != module).cloned();
            if self.modules().with_required(rest).contains(&module) {
                return Err(TenancyError::field("/module", "module_needed", "is needed by another module"));
            }
            if !tenant.modules.contains(&module) {
                return Ok(tenant);
            }
            match self.remove_module(migrator, &tenant, &module, by).await {
                Err(MigrateError::Changed) => {}
                Err(error) => return Err(error.into()),
                Ok(()) => return registry::get_by_slug(self.control(), slug).await,
            }
        }
        Err(TenancyError::Maintenance)
    }

    /// Takes a module from a tenant that is still what was read.
    async fn remove_module(
        &self,
        migrator: &OwnerLogin,
        tenant: &Tenant,
        module: &ModuleName,
        by: &PlatformScope,
    ) -> Result<(), MigrateError> {
        let rest: BTreeSet<ModuleName> =
            tenant.modules.iter().filter(|other| *other != module).cloned().collect();
        let action = audit::Action::on_tenant(
            "tenant.module_disabled",
            tenant.id,
            Some(json!({ "modules": tenant.modules })),
            Some(json!({ "modules": rest })),
        );
        let subject = Subject { tenant_id: tenant.id, schema: tenant.database_schema.clone(), modules: rest };
        let mut slot = self.owner_connection().await.ok();
        let also = [audit::statement(by, action)];
        let result = apply::disable_at(migrator, &mut slot, &subject, module, tenant.version, &also).await;
        if let Some(connection) = slot {
            self.park(connection).await;
        }
        result
    }
}
