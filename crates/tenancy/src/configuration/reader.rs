//! Reads configurations from a small cache.

use std::{collections::BTreeMap, sync::Arc};

use clinicx_persistence::{SystemConnection, SystemExecutor};
use clinicx_types::setting::{Configuration, Kind};
use sea_orm::{FromQueryResult, raw_sql};
use serde_json::Value;

use crate::{error::TenancyError, kept::Kept};

/// Reads the platform's configurations. Cheap to clone.
///
/// What this process changes is seen at once, what another one changes after two seconds at the latest.
#[derive(Clone, Debug)]
pub struct Configurations(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    app: SystemConnection,
    kept: Kept<(), BTreeMap<String, Value>>,
}

impl Configurations {
    /// Makes one that reads with the application's login.
    pub fn new(app: SystemConnection) -> Self {
        Self(Arc::new(Inner { app, kept: Kept::new(1) }))
    }

    /// Returns what a configuration is now. While the database is away it is what it was, or its default.
    pub async fn get<K: Kind>(&self, configuration: &Configuration<K>) -> K::Value {
        let all = self.0.kept.get((), read(&self.0.app)).await;
        let Some(value) = all.as_ref().and_then(|all| all.get(configuration.key)) else {
            return configuration.kind.fallback().0;
        };
        configuration.kind.read(value).unwrap_or_else(|error| {
            // It was checked when it was set; the bounds may have become narrower since.
            tracing::warn!(configuration = configuration.key, %error, "the value is not acceptable; its default counts");
            configuration.kind.fallback().0
        })
    }

    /// Forgets what is kept, so that this process sees its change at once.
    pub fn forget(&self) {
        self.0.kept.forget();
    }
}

async fn read(db: &impl SystemExecutor) -> Result<BTreeMap<String, Value>, TenancyError> {
    #[derive(FromQueryResult)]
    struct Row {
        key: String,
        value: Value,
    }
    // One that was taken back to its default keeps its row, with its version and without a value.
    let statement =
        raw_sql!(Postgres, r#"SELECT key, value FROM public.system_configurations WHERE value <> 'null'"#);
    let rows: Vec<Row> = db.query_all(statement).await?;
    Ok(rows.into_iter().map(|row| (row.key, row.value)).collect())
}
