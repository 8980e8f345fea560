//! A tenant whose tables are made in steps, by whoever has rows to put into them: a restore, a clone.

use std::collections::BTreeSet;

use clinicx_keys::{DataKey, FieldCipher};
use clinicx_migration::{
    DatabaseFailure,
    owner::OwnerTransaction,
    tenant::{Plan, Subject, apply},
};
use clinicx_persistence::SystemExecutor;
use clinicx_types::name::ModuleName;
use sea_orm::Statement;
use serde_json::Value;

use crate::{
    audit,
    draft::NewTenant,
    error::TenancyError,
    lifecycle::require,
    provisioning::{FIRST_KEY, activation, describe, make, open, register, replacement, structure, target},
    registry,
    scope::PlatformScope,
    service::Tenancy,
    tenant::{Tenant, TenantStatus},
};

/// Loading a large tenant takes as long as it takes.
const SETTINGS: &str = "SET LOCAL statement_timeout TO 0; SET LOCAL idle_in_transaction_session_timeout TO 0";

/// A tenant whose tables were just made, and that nobody sees as it is: all of it is one transaction, and dropping it
/// leaves everything as it was. Nothing routes to a new tenant before [`Creation::finish`].
#[derive(Debug)]
pub struct Creation {
    tx: OwnerTransaction,
    tenant: Tenant,
    cipher: FieldCipher,
    is_new: bool,
}

impl Tenancy {
    /// Begins to make a tenant whose schema is at what `structure` ends with; its modules are those of `new`, and those
    /// that `structure` has besides are there as modules that were taken from it.
    ///
    /// It has a connection of its own, because it may take long.
    ///
    /// # Errors
    /// [`TenancyError::SlugTaken`], [`TenancyError::Keys`], [`TenancyError::Database`].
    pub async fn begin_creation(
        &self,
        new: NewTenant,
        plan: &Plan,
        by: &PlatformScope,
    ) -> Result<Creation, TenancyError> {
        let tombstone = new.tombstone;
        let tenant = describe(new, plan, by);
        let key = DataKey::random()?;
        let stored = key.wrap(self.keys(), tenant.id, FIRST_KEY).await?;
        let cipher = FieldCipher::new(tenant.id, FIRST_KEY, key);
        let tx = self.open_for_long(&tenant).await?;
        register(&tx, &tenant, &stored, tombstone).await?;
        make(&tx, structure(&tenant, plan)).await?;
        Ok(Creation { tx, tenant, cipher, is_new: true })
    }

    /// Begins to make the tables of a suspended tenant anew, in the place of those that it has: at what `plan` ends
    /// with, and with these modules. `cipher` is the tenant's own.
    ///
    /// # Errors
    /// [`TenancyError::UnknownTenant`]; [`TenancyError::VersionMismatch`] when it has changed since it was read;
    /// [`TenancyError::RefusedTransition`] when it is not suspended; [`TenancyError::Database`].
    pub async fn begin_replacement(
        &self,
        old: &Tenant,
        modules: BTreeSet<ModuleName>,
        plan: &Plan,
        cipher: FieldCipher,
    ) -> Result<Creation, TenancyError> {
        let tx = self.open_for_long(old).await?;
        // In the order in which a migration takes the two.
        let lock = apply::lock_statement(&old.database_schema);
        tx.run("wait for migrations", lock)
            .await
            .map_err(|failure| TenancyError::Database(failure.failure))?;
        let locked = registry::lock_by_slug(&tx, &old.slug).await?;
        if locked.id != old.id {
            return Err(TenancyError::UnknownTenant);
        }
        if locked.version != old.version {
            return Err(TenancyError::VersionMismatch { current: locked.version });
        }
        require(&locked, &[TenantStatus::Suspended])?;
        let tenant = Tenant { modules, schema_version: plan.version(), ..locked };
        make(&tx, replacement(&tenant, plan)).await?;
        Ok(Creation { tx, tenant, cipher, is_new: false })
    }

    async fn open_for_long(&self, tenant: &Tenant) -> Result<OwnerTransaction, TenancyError> {
        let failed = |failure: DatabaseFailure| TenancyError::Database(failure.failure);
        let connection = self.migrator()?.open().await.map_err(failed)?;
        let tx = open(connection, &target(tenant.id, &tenant.database_schema)).await?;
        tx.run("let it take its time", SETTINGS.to_owned()).await.map_err(failed)?;
        Ok(tx)
    }
}

impl Creation {
    /// Returns the transaction, whose search path is the tenant's schema.
    pub fn transaction(&self) -> &OwnerTransaction {
        &self.tx
    }

    /// Returns the tenant as it will be.
    pub fn tenant(&self) -> &Tenant {
        &self.tenant
    }

    /// Returns the cipher of its first key.
    pub fn cipher(&self) -> &FieldCipher {
        &self.cipher
    }

    /// Brings its schema to the newest that the program has, and puts the fences up.
    ///
    /// # Errors
    /// [`TenancyError::Migration`], [`TenancyError::Database`].
    pub async fn bring_forward(&self, plan: &Plan) -> Result<(), TenancyError> {
        let Tenant { id, database_schema, modules, .. } = &self.tenant;
        let subject = Subject { tenant_id: *id, schema: database_schema.clone(), modules: modules.clone() };
        apply::migrate_within(&self.tx, plan, &subject).await?;
        Ok(())
    }

    /// Makes a new tenant routable, and leaves one that was there in its state, with `also` and an audit row of this name in the same transaction.
    ///
    /// # Errors
    /// [`TenancyError::Database`].
    pub async fn finish(
        self,
        action: &'static str,
        after: Value,
        also: Vec<Statement>,
        by: &PlatformScope,
    ) -> Result<Tenant, TenancyError> {
        for statement in also {
            self.tx.execute(statement).await?;
        }
        let action = audit::Action::on_tenant(action, self.tenant.id, None, Some(after));
        self.tx.execute(audit::statement(by, action)).await?;
        let failed = |failure: DatabaseFailure| TenancyError::Database(failure.failure);
        if self.is_new {
            self.tx.run("make the tenant routable", activation(&self.tenant)).await.map_err(failed)?;
        }
        let tenant = registry::get_by_slug(&self.tx, &self.tenant.slug).await?;
        self.tx.commit().await.map_err(failed)?.close().await;
        tracing::info!(tenant.id = %tenant.id, tenant.slug = %tenant.slug, "tenant made with its rows");
        Ok(tenant)
    }

    /// Undoes everything, and returns when the server has.
    ///
    /// # Errors
    /// [`TenancyError::Database`]; the connection is closed then, which undoes it too.
    pub async fn abandon(self) -> Result<(), TenancyError> {
        let ended = self.tx.rollback().await;
        ended.map_err(|failure| TenancyError::Database(failure.failure))?.close().await;
        Ok(())
    }
}
