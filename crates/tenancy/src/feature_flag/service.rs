//! Shows and changes feature flags.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use clinicx_persistence::{SystemExecutor, SystemTransaction};
use clinicx_types::{
    name::TenantSlug,
    page::{Page, PageRequest},
    setting::FeatureFlag,
};
use sea_orm::{FromQueryResult, raw_sql};
use serde_json::{Value, json};

use super::{Flag, Override};
use crate::{
    audit::{self, Action},
    configuration::service::{check_description, require_version},
    error::TenancyError,
    module::ModuleRegistry,
    registry,
    scope::PlatformScope,
    service::{Tenancy, settle},
    tenant::{Tenant, TenantStatus},
};

/// What a flag is to be for tenants without an override.
#[derive(Clone, Debug)]
pub struct NewFlag {
    /// Whether it is on for those that the roll-out has reached.
    pub enabled: bool,
    /// For how many tenants in a hundred.
    pub rollout_percent: i16,
    /// A note about it, instead of the declared description; at most 500 characters.
    pub description: Option<String>,
}

/// Lists every flag that is declared, by its name.
///
/// # Errors
/// [`TenancyError::Database`].
pub async fn list(db: &impl SystemExecutor, modules: &ModuleRegistry) -> Result<Vec<Flag>, TenancyError> {
    let statement = raw_sql!(
        Postgres,
        r#"SELECT f.key, f.enabled, f.rollout_percent, f.description, f.version, f.created_at, f.updated_at,
                  (SELECT count(*) FROM public.feature_flag_overrides AS o WHERE o.flag = f.key) AS overrides
           FROM public.feature_flags AS f"#
    );
    let rows: Vec<Row> = db.query_all(statement).await?;
    let mut by_key: BTreeMap<String, Row> = rows.into_iter().map(|row| (row.key.clone(), row)).collect();
    let mut all: Vec<_> =
        modules.flags().map(|declared| flag(declared, by_key.remove(declared.key))).collect();
    all.sort_by_key(|flag| flag.key);
    Ok(all)
}

/// Returns a flag.
///
/// # Errors
/// [`TenancyError::UnknownSetting`], [`TenancyError::Database`].
pub async fn get(
    db: &impl SystemExecutor,
    modules: &ModuleRegistry,
    key: &str,
) -> Result<Flag, TenancyError> {
    let declared = declared(modules, key)?;
    Ok(flag(declared, find(db, key).await?))
}

/// Lists the overrides of a flag by the tenants' slugs, a page at a time.
///
/// # Errors
/// [`TenancyError::UnknownSetting`], [`TenancyError::Database`].
pub async fn list_overrides(
    db: &impl SystemExecutor,
    modules: &ModuleRegistry,
    key: &str,
    page: &PageRequest,
) -> Result<Page<Override>, TenancyError> {
    #[derive(FromQueryResult)]
    struct Row {
        slug: String,
        enabled: bool,
        created_at: DateTime<Utc>,
    }
    let declared = declared(modules, key)?;
    let after = page.after.as_ref().and_then(|key| key.0.first()).map_or("", String::as_str);
    let limit = i64::from(page.limit()) + 1;
    let statement = raw_sql!(
        Postgres,
        r#"SELECT t.slug, o.enabled, o.created_at
           FROM public.feature_flag_overrides AS o
           JOIN public.tenants AS t ON t.id = o.tenant_id
           WHERE o.flag = {key} AND t.slug > {after}
           ORDER BY t.slug
           LIMIT {limit}"#
    );
    let rows: Vec<Row> = db.query_all(statement).await?;
    let total = match page.count {
        true => Some(u64::try_from(flag(declared, find(db, key).await?).overrides).unwrap_or_default()),
        false => None,
    };
    let overrides = rows.into_iter().filter_map(|row| {
        let Row { slug, enabled, created_at } = row;
        Some(Override { slug: TenantSlug::parse(&slug).ok()?, enabled, created_at })
    });
    Ok(Page::from_rows(overrides.collect(), page, total, |one| vec![one.slug.to_string()]))
}

impl Tenancy {
    /// Says what a flag is for tenants without an override, with its audit row in the same transaction.
    ///
    /// # Errors
    /// [`TenancyError::UnknownSetting`], [`TenancyError::Invalid`], [`TenancyError::VersionMismatch`],
    /// [`TenancyError::Database`].
    #[tracing::instrument(name = "tenancy.feature_flag.set", skip_all, fields(flag = key), err(level = "debug"))]
    pub async fn set_flag(
        &self,
        key: &str,
        new: NewFlag,
        expected: Option<i64>,
        by: &PlatformScope,
    ) -> Result<Flag, TenancyError> {
        let declared = declared(self.modules(), key)?;
        if !(0..=100).contains(&new.rollout_percent) {
            return Err(TenancyError::field("/rollout_percent", "out_of_range", "must be from 0 to 100"));
        }
        check_description(new.description.as_deref())?;
        let tx = self.control().begin().await?;
        let result = set_in(&tx, declared, new, expected, by).await;
        let set = settle(tx, result).await?;
        tracing::info!("feature flag set");
        Ok(set)
    }

    /// Takes a flag back to its default and removes its overrides, with its audit row in the same transaction; one
    /// that has it already stays as it is.
    ///
    /// # Errors
    /// As [`Tenancy::set_flag`].
    #[tracing::instrument(name = "tenancy.feature_flag.unset", skip_all, fields(flag = key), err(level = "debug"))]
    pub async fn unset_flag(
        &self,
        key: &str,
        expected: Option<i64>,
        by: &PlatformScope,
    ) -> Result<(), TenancyError> {
        let declared = declared(self.modules(), key)?;
        let tx = self.control().begin().await?;
        let result = unset_in(&tx, declared, expected, by).await;
        settle(tx, result).await?;
        tracing::info!("feature flag unset");
        Ok(())
    }

    /// Says what a flag is for one tenant, `None` for what it is for all; with its audit row, which the tenant sees
    /// too, in the same transaction. It is a change of the flag, whose version rises.
    ///
    /// # Errors
    /// [`TenancyError::UnknownTenant`] also for a purged one, and as [`Tenancy::set_flag`].
    #[tracing::instrument(name = "tenancy.feature_flag.override", skip_all, fields(flag = key, tenant.slug = %slug), err(level = "debug"))]
    pub async fn override_flag(
        &self,
        key: &str,
        slug: &TenantSlug,
        enabled: Option<bool>,
        expected: Option<i64>,
        by: &PlatformScope,
    ) -> Result<Flag, TenancyError> {
        let declared = declared(self.modules(), key)?;
        let tx = self.control().begin().await?;
        let result = override_in(&tx, declared, slug, enabled, expected, by).await;
        let changed = settle(tx, result).await?;
        tracing::info!("feature flag overridden");
        Ok(changed)
    }
}

fn declared<'a>(modules: &'a ModuleRegistry, key: &str) -> Result<&'a FeatureFlag, TenancyError> {
    modules.flags().find(|declared| declared.key == key).ok_or(TenancyError::UnknownSetting)
}

async fn set_in(
    tx: &SystemTransaction,
    declared: &FeatureFlag,
    new: NewFlag,
    expected: Option<i64>,
    by: &PlatformScope,
) -> Result<Flag, TenancyError> {
    let key = declared.key;
    let before = lock_or_make(tx, declared, expected).await?;
    let NewFlag { enabled, rollout_percent, description } = new;
    let said = description.clone();
    let update = raw_sql!(
        Postgres,
        r#"UPDATE public.feature_flags
           SET enabled = {enabled}, rollout_percent = {rollout_percent}, description = {description},
               version = version + 1, updated_at = now()
           WHERE key = {key}"#
    );
    tx.execute(update).await?;
    let action = Action {
        name: "feature_flag.set",
        entity: "feature_flag",
        entity_id: None,
        tenant_id: None,
        before: Some(before.told(declared)),
        after: Some(json!({
            "key": key, "enabled": enabled, "rollout_percent": rollout_percent, "description": said,
        })),
    };
    tx.execute(audit::statement(by, action)).await?;
    Ok(flag(declared, find(tx, key).await?))
}

async fn unset_in(
    tx: &SystemTransaction,
    declared: &FeatureFlag,
    expected: Option<i64>,
    by: &PlatformScope,
) -> Result<(), TenancyError> {
    let key = declared.key;
    let row = lock(tx, key).await?;
    require_version(row.as_ref().map_or(0, |row| row.version), expected)?;
    let Some(row) = row else { return Ok(()) };
    let remove = raw_sql!(Postgres, r#"DELETE FROM public.feature_flag_overrides WHERE flag = {key}"#);
    let removed = tx.execute(remove).await?;
    if removed == 0 && row.enabled.is_none() {
        return Ok(());
    }
    // The row stays, so that a version that somebody has read never comes again.
    let update = raw_sql!(
        Postgres,
        r#"UPDATE public.feature_flags
           SET enabled = NULL, rollout_percent = 100, description = NULL, version = version + 1, updated_at = now()
           WHERE key = {key}"#
    );
    tx.execute(update).await?;
    let action = Action {
        name: "feature_flag.unset",
        entity: "feature_flag",
        entity_id: None,
        tenant_id: None,
        before: Some(row.told(declared)),
        after: Some(json!({
            "key": key, "enabled": declared.enabled, "rollout_percent": 100, "description": null,
        })),
    };
    tx.execute(audit::statement(by, action)).await?;
    Ok(())
}

async fn override_in(
    tx: &SystemTransaction,
    declared: &FeatureFlag,
    slug: &TenantSlug,
    enabled: Option<bool>,
    expected: Option<i64>,
    by: &PlatformScope,
) -> Result<Flag, TenancyError> {
    #[derive(FromQueryResult)]
    struct Was {
        enabled: bool,
    }
    let key = declared.key;
    let Tenant { id, status, .. } = registry::get_by_slug(tx, slug).await?;
    if status == TenantStatus::Purged {
        return Err(TenancyError::UnknownTenant);
    }
    lock_or_make(tx, declared, expected).await?;
    let was: Option<Was> = tx
        .query_one(raw_sql!(
            Postgres,
            r#"SELECT enabled FROM public.feature_flag_overrides WHERE flag = {key} AND tenant_id = {id}"#
        ))
        .await?;
    let was = was.map(|was| was.enabled);
    if was != enabled {
        let change = match enabled {
            Some(enabled) => raw_sql!(
                Postgres,
                r#"INSERT INTO public.feature_flag_overrides (flag, tenant_id, enabled)
                   VALUES ({key}, {id}, {enabled})
                   ON CONFLICT (flag, tenant_id) DO UPDATE SET enabled = excluded.enabled, created_at = now()"#
            ),
            None => raw_sql!(
                Postgres,
                r#"DELETE FROM public.feature_flag_overrides WHERE flag = {key} AND tenant_id = {id}"#
            ),
        };
        tx.execute(change).await?;
        let rise = raw_sql!(
            Postgres,
            r#"UPDATE public.feature_flags SET version = version + 1, updated_at = now() WHERE key = {key}"#
        );
        tx.execute(rise).await?;
        let action = Action {
            name: "feature_flag.overridden",
            entity: "feature_flag",
            entity_id: None,
            tenant_id: Some(id),
            before: Some(json!({ "key": key, "override": was })),
            after: Some(json!({ "key": key, "override": enabled })),
        };
        tx.execute(audit::statement(by, action)).await?;
    }
    Ok(flag(declared, find(tx, key).await?))
}

/// Locks the flag's row, which is made as the flag is declared when there is none.
async fn lock_or_make(
    tx: &SystemTransaction,
    declared: &FeatureFlag,
    expected: Option<i64>,
) -> Result<Row, TenancyError> {
    let key = declared.key;
    let insert = raw_sql!(
        Postgres,
        r#"INSERT INTO public.feature_flags (key, enabled, rollout_percent, version) VALUES ({key}, NULL, 100, 0)
           ON CONFLICT (key) DO NOTHING"#
    );
    tx.execute(insert).await?;
    let row = lock(tx, key).await?;
    // Somebody removed it by hand in between.
    let row = row.ok_or(TenancyError::VersionMismatch { current: 0 })?;
    require_version(row.version, expected)?;
    Ok(row)
}

async fn lock(tx: &SystemTransaction, key: &str) -> Result<Option<Row>, TenancyError> {
    let statement = raw_sql!(
        Postgres,
        r#"SELECT key, enabled, rollout_percent, description, version, created_at, updated_at,
                  CAST(0 AS bigint) AS overrides
           FROM public.feature_flags WHERE key = {key} FOR UPDATE"#
    );
    Ok(tx.query_one(statement).await?)
}

async fn find(db: &impl SystemExecutor, key: &str) -> Result<Option<Row>, TenancyError> {
    let statement = raw_sql!(
        Postgres,
        r#"SELECT f.key, f.enabled, f.rollout_percent, f.description, f.version, f.created_at, f.updated_at,
                  (SELECT count(*) FROM public.feature_flag_overrides AS o WHERE o.flag = f.key) AS overrides
           FROM public.feature_flags AS f WHERE f.key = {key}"#
    );
    Ok(db.query_one(statement).await?)
}

#[derive(FromQueryResult)]
struct Row {
    key: String,
    /// `None` for as it is declared.
    enabled: Option<bool>,
    rollout_percent: i16,
    description: Option<String>,
    version: i64,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    overrides: i64,
}

impl Row {
    /// Returns what the audit says of it.
    fn told(&self, declared: &FeatureFlag) -> Value {
        let enabled = self.enabled.unwrap_or(declared.enabled);
        json!({
            "key": self.key, "enabled": enabled, "rollout_percent": self.rollout_percent,
            "description": self.description,
        })
    }
}

fn flag(declared: &FeatureFlag, row: Option<Row>) -> Flag {
    let Some(row) = row else {
        return Flag {
            key: declared.key,
            description: declared.description.to_owned(),
            enabled: declared.enabled,
            rollout_percent: 100,
            overrides: 0,
            version: 0,
            created_at: None,
            updated_at: None,
        };
    };
    Flag {
        key: declared.key,
        description: row.description.unwrap_or_else(|| declared.description.to_owned()),
        enabled: row.enabled.unwrap_or(declared.enabled),
        rollout_percent: row.rollout_percent,
        overrides: row.overrides,
        version: row.version,
        created_at: Some(row.created_at),
        updated_at: Some(row.updated_at),
    }
}
