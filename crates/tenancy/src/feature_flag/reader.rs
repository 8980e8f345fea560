//! Answers whether a flag is on for a tenant, from a small cache.

use std::{collections::BTreeMap, sync::Arc};

use clinicx_persistence::{SystemConnection, SystemExecutor};
use clinicx_types::{id::TenantId, setting::FeatureFlag};
use sea_orm::{FromQueryResult, raw_sql};

use super::rollout;
use crate::{error::TenancyError, kept::Kept};

/// Of how many tenants the overrides are kept.
const TENANTS: u64 = 20_000;

/// Answers whether flags are on. Cheap to clone.
///
/// What this process changes is seen at once, what another one changes after two seconds at the latest.
#[derive(Clone, Debug)]
pub struct FeatureFlags(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    app: SystemConnection,
    flags: Kept<(), BTreeMap<String, General>>,
    overrides: Kept<TenantId, BTreeMap<String, bool>>,
}

/// What holds for tenants without an override.
#[derive(Clone, Copy, Debug)]
struct General {
    /// `None` for as it is declared.
    enabled: Option<bool>,
    rollout_percent: i16,
}

impl FeatureFlags {
    /// Makes one that reads with the application's login.
    pub fn new(app: SystemConnection) -> Self {
        Self(Arc::new(Inner { app, flags: Kept::new(1), overrides: Kept::new(TENANTS) }))
    }

    /// Tells whether a flag is on for a tenant. While the database is away it is what it was, or its default.
    pub async fn is_enabled(&self, tenant: TenantId, flag: &FeatureFlag) -> bool {
        let overrides = self.0.overrides.get(tenant, read_overrides(&self.0.app, tenant)).await;
        if let Some(enabled) = overrides.as_ref().and_then(|overrides| overrides.get(flag.key)) {
            return *enabled;
        }
        let flags = self.0.flags.get((), read_flags(&self.0.app)).await;
        match flags.as_ref().and_then(|flags| flags.get(flag.key)) {
            Some(general) => {
                general.enabled.unwrap_or(flag.enabled)
                    && rollout::reaches(flag.key, tenant, general.rollout_percent)
            }
            None => flag.enabled,
        }
    }

    /// Forgets what is kept, so that this process sees its change at once.
    pub fn forget(&self) {
        self.0.flags.forget();
        self.0.overrides.forget();
    }
}

async fn read_flags(db: &impl SystemExecutor) -> Result<BTreeMap<String, General>, TenancyError> {
    #[derive(FromQueryResult)]
    struct Row {
        key: String,
        enabled: Option<bool>,
        rollout_percent: i16,
    }
    let statement = raw_sql!(Postgres, r#"SELECT key, enabled, rollout_percent FROM public.feature_flags"#);
    let rows: Vec<Row> = db.query_all(statement).await?;
    let general =
        |row: Row| (row.key, General { enabled: row.enabled, rollout_percent: row.rollout_percent });
    Ok(rows.into_iter().map(general).collect())
}

async fn read_overrides(
    db: &impl SystemExecutor,
    tenant: TenantId,
) -> Result<BTreeMap<String, bool>, TenancyError> {
    #[derive(FromQueryResult)]
    struct Row {
        flag: String,
        enabled: bool,
    }
    let statement = raw_sql!(
        Postgres,
        r#"SELECT flag, enabled FROM public.feature_flag_overrides WHERE tenant_id = {tenant}"#
    );
    let rows: Vec<Row> = db.query_all(statement).await?;
    Ok(rows.into_iter().map(|row| (row.flag, row.enabled)).collect())
}
