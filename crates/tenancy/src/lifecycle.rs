//! The states of a tenant after its creation, with a fence in the database around each but one.

use clinicx_persistence::{SystemExecutor, SystemTransaction};
use clinicx_types::name::TenantSlug;
use sea_orm::{Statement, raw_sql};
use serde_json::json;

use crate::{
    audit,
    draft::{self, Findings, TenantPatch},
    error::TenancyError,
    limits::TenantLimits,
    registry,
    scope::PlatformScope,
    service::{Tenancy, settle},
    tenant::{Tenant, TenantStatus},
};

/// How surely a tenant's data are to be destroyed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Purge {
    /// Only when it has been archived for the retention time.
    AfterRetention {
        /// The slug, said again.
        confirm: Option<String>,
    },
    /// As soon as it is archived.
    Now {
        /// The slug, said again.
        confirm: Option<String>,
    },
}

impl Purge {
    fn confirm(&self) -> Option<&str> {
        match self {
            Self::AfterRetention { confirm } | Self::Now { confirm } => confirm.as_deref(),
        }
    }
}

impl Tenancy {
    /// Suspends an active tenant: its role loses the schema, whatever process asks.
    ///
    /// # Errors
    /// [`TenancyError::UnknownTenant`], [`TenancyError::VersionMismatch`], [`TenancyError::RefusedTransition`],
    /// [`TenancyError::Database`].
    pub async fn suspend(
        &self,
        slug: &TenantSlug,
        expected: Option<i64>,
        by: &PlatformScope,
    ) -> Result<Tenant, TenancyError> {
        let from = &[TenantStatus::Active];
        self.change(slug, expected, from, TenantStatus::Suspended, "tenant.suspended", by).await
    }

    /// Resumes a suspended tenant.
    ///
    /// # Errors
    /// As [`Tenancy::suspend`].
    pub async fn resume(
        &self,
        slug: &TenantSlug,
        expected: Option<i64>,
        by: &PlatformScope,
    ) -> Result<Tenant, TenancyError> {
        let from = &[TenantStatus::Suspended];
        self.change(slug, expected, from, TenantStatus::Active, "tenant.resumed", by).await
    }

    /// Archives a tenant, which begins its retention time.
    ///
    /// # Errors
    /// As [`Tenancy::suspend`].
    pub async fn archive(
        &self,
        slug: &TenantSlug,
        expected: Option<i64>,
        by: &PlatformScope,
    ) -> Result<Tenant, TenancyError> {
        let from = &[TenantStatus::Active, TenantStatus::Suspended];
        self.change(slug, expected, from, TenantStatus::Archived, "tenant.archived", by).await
    }

    /// Brings an archived tenant back into service.
    ///
    /// # Errors
    /// As [`Tenancy::suspend`].
    pub async fn restore(
        &self,
        slug: &TenantSlug,
        expected: Option<i64>,
        by: &PlatformScope,
    ) -> Result<Tenant, TenancyError> {
        let from = &[TenantStatus::Archived];
        self.change(slug, expected, from, TenantStatus::Active, "tenant.restored", by).await
    }

    /// Checks that a purge would find the tenant archived and, unless it is forced, long enough; for whoever asks
    /// before it is done. Changes nothing.
    ///
    /// # Errors
    /// As [`Tenancy::purge`], but for the slug that has to be said again.
    pub async fn check_purge(
        &self,
        slug: &TenantSlug,
        purge: &Purge,
        by: &PlatformScope,
    ) -> Result<Tenant, TenancyError> {
        let tx = self.control().begin().await?;
        let result = self.purgeable(&tx, slug, None, purge, by).await;
        settle(tx, result).await
    }

    /// As [`Tenancy::check_purge`], for somebody who has said the slug again: what is done next can't be undone.
    ///
    /// # Errors
    /// As [`Tenancy::purge`].
    pub async fn confirm_purge(
        &self,
        slug: &TenantSlug,
        expected: Option<i64>,
        purge: &Purge,
        by: &PlatformScope,
    ) -> Result<Tenant, TenancyError> {
        require_confirmed(slug, purge)?;
        let tx = self.control().begin().await?;
        let result = self.purgeable(&tx, slug, expected, purge, by).await;
        settle(tx, result).await
    }

    /// Destroys an archived tenant's schema, role, memberships and sessions, with `also` in the same transaction.
    /// A tombstone keeps the slug, so that old links find something gone and not somebody else.
    ///
    /// # Errors
    /// [`TenancyError::Invalid`] unless the slug is confirmed, [`TenancyError::RetentionNotOver`], and as
    /// [`Tenancy::suspend`].
    #[tracing::instrument(name = "tenancy.purge", skip_all, fields(tenant.slug = %slug), err(level = "debug"))]
    pub async fn purge(
        &self,
        slug: &TenantSlug,
        expected: Option<i64>,
        purge: &Purge,
        by: &PlatformScope,
        also: Vec<Statement>,
    ) -> Result<Tenant, TenancyError> {
        require_confirmed(slug, purge)?;
        let tx = self.control().begin().await?;
        let result = match self.purgeable(&tx, slug, expected, purge, by).await {
            Ok(tenant) => purge_in(&tx, &tenant, by, also).await,
            Err(error) => Err(error),
        };
        let tenant = settle(tx, result).await?;
        tracing::info!("tenant purged");
        Ok(tenant)
    }

    /// Locks the tenant's row and returns the tenant when it may be purged.
    async fn purgeable(
        &self,
        tx: &SystemTransaction,
        slug: &TenantSlug,
        expected: Option<i64>,
        purge: &Purge,
        by: &PlatformScope,
    ) -> Result<Tenant, TenancyError> {
        let tenant = lock(tx, slug, expected).await?;
        require(&tenant, &[TenantStatus::Archived])?;
        if matches!(purge, Purge::AfterRetention { .. }) {
            self.require_retention_over(tx, &tenant, by).await?;
        }
        Ok(tenant)
    }

    /// Changes what may be changed of a tenant that is not gone; a change that changes nothing leaves no trace.
    ///
    /// # Errors
    /// [`TenancyError::Invalid`], [`TenancyError::Gone`], and as [`Tenancy::suspend`].
    #[tracing::instrument(name = "tenancy.update", skip_all, fields(tenant.slug = %slug), err(level = "debug"))]
    pub async fn update(
        &self,
        slug: &TenantSlug,
        patch: TenantPatch,
        expected: Option<i64>,
        by: &PlatformScope,
    ) -> Result<Tenant, TenancyError> {
        let patch = check(patch)?;
        let tx = self.control().begin().await?;
        let result = update_in(&tx, slug, patch, expected, by).await;
        settle(tx, result).await
    }

    #[tracing::instrument(name = "tenancy.change_status", skip_all, fields(tenant.slug = %slug, to = %to), err(level = "debug"))]
    async fn change(
        &self,
        slug: &TenantSlug,
        expected: Option<i64>,
        from: &[TenantStatus],
        to: TenantStatus,
        action: &'static str,
        by: &PlatformScope,
    ) -> Result<Tenant, TenancyError> {
        let tx = self.control().begin().await?;
        let change = Change { from, to, action };
        let result = change_in(&tx, slug, expected, &change, by).await;
        let tenant = settle(tx, result).await?;
        if to != TenantStatus::Active {
            self.end_transactions(&tenant).await;
        }
        Ok(tenant)
    }

    /// Waits for what the service still does in a tenant that has just been fenced; the database ends it after a
    /// second. The change itself stands whatever comes of this.
    async fn end_transactions(&self, tenant: &Tenant) {
        #[derive(sea_orm::FromQueryResult)]
        struct Left {
            transactions: i32,
        }
        let (id, schema) = (tenant.id.to_string(), tenant.database_schema.as_str());
        let statement =
            raw_sql!(Postgres, r#"SELECT public.end_tenant_transactions({id}, {schema}) AS transactions"#);
        match self.control().query_one::<Left>(statement).await {
            Ok(left) => {
                let transactions = left.map_or(0, |left| left.transactions);
                if transactions > 0 {
                    tracing::warn!(tenant.slug = %tenant.slug, transactions, "a fenced tenant's transactions go on");
                }
            }
            Err(error) => {
                let failure = clinicx_persistence::Failure::of(&error);
                tracing::warn!(tenant.slug = %tenant.slug, ?failure, "a fenced tenant's transactions may go on");
            }
        }
    }

    async fn require_retention_over(
        &self,
        tx: &SystemTransaction,
        tenant: &Tenant,
        by: &PlatformScope,
    ) -> Result<(), TenancyError> {
        #[derive(sea_orm::FromQueryResult)]
        struct Archived {
            archived_at: Option<chrono::DateTime<chrono::Utc>>,
        }
        let id = tenant.id;
        let statement = raw_sql!(Postgres, r#"SELECT archived_at FROM public.tenants WHERE id = {id}"#);
        let row: Option<Archived> = tx.query_one(statement).await?;
        let since = row.and_then(|row| row.archived_at).unwrap_or_else(|| by.now());
        let retention = chrono::TimeDelta::from_std(self.retention()).unwrap_or(chrono::TimeDelta::MAX);
        let until = since.checked_add_signed(retention).unwrap_or(chrono::DateTime::<chrono::Utc>::MAX_UTC);
        if until > by.now() { Err(TenancyError::RetentionNotOver { until }) } else { Ok(()) }
    }
}

fn require_confirmed(slug: &TenantSlug, purge: &Purge) -> Result<(), TenancyError> {
    match purge.confirm() == Some(slug.as_str()) {
        true => Ok(()),
        false => {
            let detail = "must repeat the tenant's slug";
            Err(TenancyError::field("?confirm", "confirmation_missing", detail))
        }
    }
}

/// A step from one state to another.
struct Change<'a> {
    from: &'a [TenantStatus],
    to: TenantStatus,
    action: &'static str,
}

async fn change_in(
    tx: &SystemTransaction,
    slug: &TenantSlug,
    expected: Option<i64>,
    change: &Change<'_>,
    by: &PlatformScope,
) -> Result<Tenant, TenancyError> {
    let old = lock(tx, slug, expected).await?;
    require(&old, change.from)?;
    let (id, schema) = (old.id.to_string(), old.database_schema.as_str());
    let (status, now) = (change.to.as_str(), by.now());
    let statement =
        raw_sql!(Postgres, r#"SELECT public.change_tenant_status({id}, {schema}, {status}, {now})"#);
    tx.execute(statement).await?;
    let record = audit::Action::on_tenant(
        change.action,
        old.id,
        Some(json!({ "status": old.status })),
        Some(json!({ "status": change.to })),
    );
    tx.execute(audit::statement(by, record)).await?;
    registry::get_by_slug(tx, slug).await
}

async fn purge_in(
    tx: &SystemTransaction,
    tenant: &Tenant,
    by: &PlatformScope,
    also: Vec<Statement>,
) -> Result<Tenant, TenancyError> {
    for statement in also {
        tx.execute(statement).await?;
    }
    destroy(tx, tenant, by).await?;
    registry::get_by_slug(tx, &tenant.slug).await
}

async fn update_in(
    tx: &SystemTransaction,
    slug: &TenantSlug,
    patch: CheckedPatch,
    expected: Option<i64>,
    by: &PlatformScope,
) -> Result<Tenant, TenancyError> {
    let old = lock(tx, slug, expected).await?;
    if old.status == TenantStatus::Purged {
        return Err(TenancyError::Gone);
    }
    let (id, now) = (old.id, by.now());
    let name = patch.name.unwrap_or_else(|| old.name.clone());
    let plan = patch.plan.unwrap_or_else(|| old.plan.clone());
    let limits = patch.limits.unwrap_or(old.limits);
    let time_zone = patch.time_zone.unwrap_or(old.time_zone);
    if (&name, &plan, limits, time_zone) == (&old.name, &old.plan, old.limits, old.time_zone) {
        return Ok(old);
    }
    let (limits, time_zone) = (limits.to_stored(), time_zone.name());
    let statement = raw_sql!(
        Postgres,
        r#"UPDATE public.tenants
           SET name = {name}, plan = {plan}, limits = {limits}, time_zone = {time_zone}, version = version + 1,
               updated_at = {now}
           WHERE id = {id}"#
    );
    tx.execute(statement).await?;
    let tenant = registry::get_by_slug(tx, slug).await?;
    let shown = |tenant: &Tenant| {
        json!({
            "name": tenant.name, "plan": tenant.plan, "limits": tenant.limits,
            "time_zone": tenant.time_zone.name(),
        })
    };
    let action = audit::Action::on_tenant("tenant.updated", id, Some(shown(&old)), Some(shown(&tenant)));
    tx.execute(audit::statement(by, action)).await?;
    Ok(tenant)
}

async fn lock(
    tx: &SystemTransaction,
    slug: &TenantSlug,
    expected: Option<i64>,
) -> Result<Tenant, TenancyError> {
    let tenant = registry::lock_by_slug(tx, slug).await?;
    match expected {
        Some(version) if version != tenant.version => {
            Err(TenancyError::VersionMismatch { current: tenant.version })
        }
        _ => Ok(tenant),
    }
}

pub(crate) fn require(tenant: &Tenant, from: &[TenantStatus]) -> Result<(), TenancyError> {
    if from.contains(&tenant.status) {
        return Ok(());
    }
    Err(TenancyError::RefusedTransition { from: tenant.status, allowed: tenant.status.leads_to() })
}

/// Drops schema and role and leaves the tombstone; the caller commits.
async fn destroy(tx: &SystemTransaction, tenant: &Tenant, by: &PlatformScope) -> Result<(), TenancyError> {
    let (id, schema) = (tenant.id.to_string(), tenant.database_schema.as_str());
    for statement in [
        // Dropping every table of a large tenant takes longer than anything else on the system schema.
        raw_sql!(Postgres, r#"SET LOCAL statement_timeout TO '5min'"#),
        raw_sql!(Postgres, r#"SELECT public.drop_tenant_schema({id}, {schema})"#),
    ] {
        tx.execute(statement).await?;
    }
    let action = audit::Action::on_tenant(
        "tenant.purged",
        tenant.id,
        Some(json!({ "status": tenant.status })),
        Some(json!({ "status": TenantStatus::Purged })),
    );
    tx.execute(audit::statement(by, action)).await?;
    Ok(())
}

/// A patch whose parts were checked.
struct CheckedPatch {
    name: Option<String>,
    plan: Option<Option<String>>,
    limits: Option<TenantLimits>,
    time_zone: Option<chrono_tz::Tz>,
}

fn check(patch: TenantPatch) -> Result<CheckedPatch, TenancyError> {
    let mut findings = Findings::default();
    let name = patch.name.and_then(|name| draft::check_name(&mut findings, &name));
    let time_zone = patch.time_zone.and_then(|zone| draft::check_time_zone(&mut findings, &zone));
    draft::check_word(&mut findings, "/plan", patch.plan.as_ref().and_then(Option::as_deref));
    if let Some(limits) = &patch.limits {
        draft::check_limits(&mut findings, limits);
    }
    if findings.0.is_empty() {
        Ok(CheckedPatch { name, plan: patch.plan, limits: patch.limits, time_zone })
    } else {
        Err(TenancyError::Invalid(findings.0))
    }
}
