//! Who of the fleet goes first, and who goes no further: rings and pins of tenants.

use clinicx_migration::tenant::{Limits, fleet::Ring};
use clinicx_persistence::{SystemExecutor, SystemTransaction};
use clinicx_types::name::TenantSlug;
use sea_orm::{FromQueryResult, raw_sql};
use serde_json::{Value, json};

use crate::{
    audit,
    error::TenancyError,
    registry,
    scope::PlatformScope,
    service::{Tenancy, settle},
    tenant::TenantStatus,
};

/// How a tenant goes with migrations of the fleet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rollout {
    /// When it goes.
    pub ring: Ring,
    /// How far its modules go, when it is pinned.
    pub pin: Option<Limits>,
}

/// What is changed of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RolloutPatch {
    /// Puts it into a ring.
    pub ring: Option<Ring>,
    /// Pins it, or with `Some(None)` lets it go on.
    pub pin: Option<Option<Pin>>,
}

/// To what a tenant is pinned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pin {
    /// To what it has now.
    Here,
    /// To these positions.
    At(Limits),
}

impl Tenancy {
    /// Puts a tenant into a ring, pins it or lets it go on. A patch that changes nothing writes nothing.
    ///
    /// # Errors
    /// [`TenancyError::UnknownTenant`], [`TenancyError::Gone`], [`TenancyError::Invalid`] for a pin on a module that the
    /// program does not have, [`TenancyError::Database`].
    #[tracing::instrument(name = "tenancy.set_rollout", skip_all, fields(tenant.slug = %slug), err(level = "debug"))]
    pub async fn set_rollout(
        &self,
        slug: &TenantSlug,
        patch: RolloutPatch,
        by: &PlatformScope,
    ) -> Result<Rollout, TenancyError> {
        if let Some(Some(Pin::At(limits))) = &patch.pin
            && let Some((module, _)) =
                limits.iter().find(|(module, _)| self.modules().find(module.as_str()).is_none())
        {
            let detail = format!("there is no module {module}");
            return Err(TenancyError::field("/pin", "unknown_module", &detail));
        }
        let tx = self.control().begin().await?;
        let result = set(&tx, slug, patch, by).await;
        settle(tx, result).await
    }
}

async fn set(
    tx: &SystemTransaction,
    slug: &TenantSlug,
    patch: RolloutPatch,
    by: &PlatformScope,
) -> Result<Rollout, TenancyError> {
    let tenant = registry::lock_by_slug(tx, slug).await?;
    if tenant.status == TenantStatus::Purged {
        return Err(TenancyError::Gone);
    }
    let id = tenant.id;
    #[derive(FromQueryResult)]
    struct Row {
        ring: String,
        pin: Option<Value>,
    }
    let statement =
        raw_sql!(Postgres, r#"SELECT ring, pin FROM public.tenant_rollouts WHERE tenant_id = {id}"#);
    let row: Option<Row> = tx.query_one(statement).await?;
    let old = row.map_or_else(Rollout::default, |row| Rollout {
        ring: row.ring.parse().unwrap_or_default(),
        pin: row.pin.as_ref().map(Limits::from_stored),
    });
    let pin = match patch.pin {
        None => old.pin.clone(),
        Some(None) => None,
        Some(Some(Pin::At(limits))) => Some(limits),
        Some(Some(Pin::Here)) => {
            Some(tenant.modules.iter().map(|module| (module.clone(), tenant.position(module))).collect())
        }
    };
    let new = Rollout { ring: patch.ring.unwrap_or(old.ring), pin };
    if new == old {
        return Ok(old);
    }
    let (ring, pin) = (new.ring.as_str(), new.pin.as_ref().map(Limits::to_stored));
    let statement = raw_sql!(
        Postgres,
        r#"INSERT INTO public.tenant_rollouts AS r (tenant_id, ring, pin) VALUES ({id}, {ring}, {pin})
           ON CONFLICT (tenant_id) DO UPDATE
           SET ring = excluded.ring, pin = excluded.pin, version = r.version + 1, updated_at = now()"#
    );
    tx.execute(statement).await?;
    let shown = |rollout: &Rollout| json!({ "ring": rollout.ring.as_str(), "pin": rollout.pin.as_ref().map(Limits::to_stored) });
    let action = audit::Action::on_tenant("tenant.rollout_changed", id, Some(shown(&old)), Some(shown(&new)));
    tx.execute(audit::statement(by, action)).await?;
    Ok(new)
}
