//! Tenants that are made and answer nobody yet, while their rows are brought over from elsewhere.
//!
//! Such a tenant is complete and in the state `provisioning`: its role can use its schema, so that its rows are written
//! behind the same fences as ever, and every request for it is told that it is being worked on.

use clinicx_migration::owner::OwnerTransaction;
use clinicx_persistence::SystemExecutor;
use clinicx_types::name::TenantSlug;
use sea_orm::{Statement, raw_sql};
use serde_json::{Value, json};

use crate::{
    audit,
    draft::NewTenant,
    error::TenancyError,
    lifecycle::require,
    registry,
    scope::PlatformScope,
    service::Tenancy,
    tenant::{Tenant, TenantStatus},
};

/// How long a change waits for others.
const SETTINGS: &str = "SET LOCAL lock_timeout TO '10s'; SET LOCAL statement_timeout TO '60s'";

impl Tenancy {
    /// Makes a tenant as [`Tenancy::create`] does, that answers nobody before [`Tenancy::open_closed`].
    ///
    /// # Errors
    /// As [`Tenancy::create`].
    pub async fn create_closed(
        &self,
        new: NewTenant,
        by: &PlatformScope,
        mut finish: Vec<Statement>,
    ) -> Result<Tenant, TenancyError> {
        let id = new.id;
        finish.push(raw_sql!(
            Postgres,
            r#"UPDATE public.tenants SET status = 'provisioning' WHERE id = {id} AND status = 'active'"#
        ));
        let tenant = self.create(new, by, finish).await?;
        Ok(Tenant { status: TenantStatus::Provisioning, ..tenant })
    }

    /// Lets a closed tenant answer, with `also` in the same transaction. Writes an audit row with `what` in it.
    ///
    /// # Errors
    /// [`TenancyError::UnknownTenant`], [`TenancyError::RefusedTransition`] unless it is closed,
    /// [`TenancyError::NotConfigured`], [`TenancyError::Database`].
    #[tracing::instrument(name = "tenancy.open_closed", skip_all, fields(tenant.slug = %slug), err(level = "debug"))]
    pub async fn open_closed(
        &self,
        slug: &TenantSlug,
        by: &PlatformScope,
        what: Value,
        also: Vec<Statement>,
    ) -> Result<Tenant, TenancyError> {
        self.turn_to(slug, by, Turn { from: TenantStatus::Provisioning, name: "tenant.adopted", what }, also)
            .await
    }

    /// Closes a suspended tenant again, so that its rows can be brought over anew, with `also` in the same transaction.
    /// Writes an audit row.
    ///
    /// # Errors
    /// As [`Tenancy::open_closed`], with [`TenancyError::RefusedTransition`] unless it is suspended.
    #[tracing::instrument(name = "tenancy.close_again", skip_all, fields(tenant.slug = %slug), err(level = "debug"))]
    pub async fn close_again(
        &self,
        slug: &TenantSlug,
        by: &PlatformScope,
        also: Vec<Statement>,
    ) -> Result<Tenant, TenancyError> {
        let what = json!({});
        self.turn_to(slug, by, Turn { from: TenantStatus::Suspended, name: "tenant.closed", what }, also)
            .await
    }

    async fn turn_to(
        &self,
        slug: &TenantSlug,
        by: &PlatformScope,
        turn: Turn,
        also: Vec<Statement>,
    ) -> Result<Tenant, TenancyError> {
        let _turn = self.turn().await;
        let connection = self.owner_connection().await?;
        let tx =
            connection.begin(SETTINGS).await.map_err(|failure| TenancyError::Database(failure.failure))?;
        match change(&tx, slug, by, turn, also).await {
            Ok(tenant) => {
                let connection =
                    tx.commit().await.map_err(|failure| TenancyError::Database(failure.failure))?;
                self.park(connection).await;
                Ok(tenant)
            }
            Err(error) => {
                // A connection that can't even roll back is closed, which rolls back too.
                if let Ok(connection) = tx.rollback().await {
                    self.park(connection).await;
                }
                Err(error)
            }
        }
    }
}

/// A step between closed and not.
struct Turn {
    from: TenantStatus,
    name: &'static str,
    what: Value,
}

async fn change(
    tx: &OwnerTransaction,
    slug: &TenantSlug,
    by: &PlatformScope,
    turn: Turn,
    also: Vec<Statement>,
) -> Result<Tenant, TenancyError> {
    let name = slug.as_str();
    tx.execute(raw_sql!(Postgres, r#"SELECT id FROM public.tenants WHERE slug = {name} FOR NO KEY UPDATE"#))
        .await?;
    let old = registry::get_by_slug(tx, slug).await?;
    require(&old, &[turn.from])?;
    let (id, now) = (old.id, by.now());
    if turn.from == TenantStatus::Suspended {
        // The registrar takes the fence away; it opens the tenant for the moment until the commit, which nobody sees.
        let (id, schema) = (old.id.to_string(), old.database_schema.as_str());
        tx.execute(raw_sql!(
            Postgres,
            r#"SELECT public.change_tenant_status({id}, {schema}, 'active', {now})"#
        ))
        .await?;
    }
    let to = match turn.from {
        TenantStatus::Provisioning => TenantStatus::Active,
        _ => TenantStatus::Provisioning,
    };
    let status = to.as_str();
    tx.execute(raw_sql!(
        Postgres,
        r#"UPDATE public.tenants SET status = {status}, version = version + 1, updated_at = {now} WHERE id = {id}"#
    ))
    .await?;
    for statement in also {
        tx.execute(statement).await?;
    }
    let mut after = json!({ "status": to });
    if let (Value::Object(after), Value::Object(what)) = (&mut after, turn.what) {
        after.extend(what);
    }
    let before = Some(json!({ "status": old.status }));
    let action = audit::Action::on_tenant(turn.name, old.id, before, Some(after));
    tx.execute(audit::statement(by, action)).await?;
    registry::get_by_slug(tx, slug).await
}
