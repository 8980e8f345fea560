//! Brings every tenant's schema forward, several at a time.

use std::{
    collections::{BTreeSet, VecDeque},
    num::NonZeroUsize,
    sync::Arc,
};

use clinicx_persistence::SystemExecutor;
use clinicx_types::{
    id::TenantId,
    name::{ModuleName, NameError, SchemaName},
    version::{SchemaVersion, SchemaVersionError},
};
use sea_orm::{FromQueryResult, raw_sql};
use tokio::{
    sync::{Mutex, mpsc},
    task::JoinSet,
};

use super::{
    apply::{self, MigrateError, Outcome, Subject},
    plan::Plan,
};
use crate::{failure::DatabaseFailure, owner::OwnerLogin};

/// How many tenants are migrated at a time unless the caller says otherwise.
pub const CONCURRENCY: NonZeroUsize = NonZeroUsize::MIN.saturating_add(7);

/// What came of one tenant.
#[derive(Clone, Debug)]
pub struct TenantResult {
    /// The tenant.
    pub subject: Subject,
    /// What was done, or why nothing was.
    pub result: Result<Outcome, MigrateError>,
}

/// Why the fleet could not be listed.
#[derive(Debug, thiserror::Error)]
pub enum FleetError {
    /// The registry holds a name that is none.
    #[error("the registry holds a name that is none")]
    Name(#[from] NameError),
    /// The registry holds a schema version that is none.
    #[error("the registry holds a schema version that is none")]
    Version(#[from] SchemaVersionError),
    /// The database said no.
    #[error(transparent)]
    Database(#[from] DatabaseFailure),
}

/// Lists the tenants that have a schema, by slug.
///
/// # Errors
/// [`FleetError`].
pub async fn subjects(db: &impl SystemExecutor) -> Result<Vec<Subject>, FleetError> {
    rows(db).await?.into_iter().map(|row| Subject::try_from(row).map_err(FleetError::from)).collect()
}

/// How far one tenant's schema has come, by the registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The tenant.
    pub subject: Subject,
    /// Its slug.
    pub slug: String,
    /// The version of its schema.
    pub version: SchemaVersion,
    /// The version that the program would bring it to; `None` when it has a module that the program lacks.
    pub target: Option<SchemaVersion>,
    /// How many migrations are between the two.
    pub pending: u32,
}

/// Tells of every tenant that has a schema how far it has come, by slug. One query of the registry; the schemas
/// themselves are not looked at.
///
/// # Errors
/// [`FleetError`].
pub async fn standings(db: &impl SystemExecutor, plan: &Plan) -> Result<Vec<Standing>, FleetError> {
    let standing = |row: Row| -> Result<Standing, FleetError> {
        let slug = row.slug.clone();
        let version: SchemaVersion = row.schema_version.parse()?;
        let subject = Subject::try_from(row)?;
        let target =
            plan.of_modules(subject.modules.iter().map(ModuleName::as_str)).ok().map(|plan| plan.version());
        let missing = |target: SchemaVersion| {
            target.core.saturating_sub(version.core) + target.modules.saturating_sub(version.modules)
        };
        Ok(Standing { slug, version, pending: target.map_or(0, missing), target, subject })
    };
    rows(db).await?.into_iter().map(standing).collect()
}

/// Migrates the given tenants, up to `concurrency` at a time, and calls `progress` as each is done.
///
/// One tenant's failure does not hold up the others. When the future is dropped, what runs is rolled back.
pub async fn migrate_all(
    login: &OwnerLogin,
    plan: &Plan,
    subjects: Vec<Subject>,
    concurrency: NonZeroUsize,
    mut progress: impl FnMut(&TenantResult) + Send,
) -> Vec<TenantResult> {
    let workers = concurrency.get().min(subjects.len());
    let mut results = Vec::with_capacity(subjects.len());
    let queue = Arc::new(Mutex::new(VecDeque::from(subjects)));
    let (sender, mut receiver) = mpsc::channel(workers.max(1));
    let mut tasks = JoinSet::new();
    for _ in 0..workers {
        tasks.spawn(work(login.clone(), plan.clone(), Arc::clone(&queue), sender.clone()));
    }
    drop(sender);
    while let Some(result) = receiver.recv().await {
        progress(&result);
        results.push(result);
    }
    results
}

#[derive(FromQueryResult)]
struct Row {
    id: TenantId,
    slug: String,
    schema: String,
    schema_version: String,
    modules: String,
}

impl TryFrom<Row> for Subject {
    type Error = NameError;
    fn try_from(row: Row) -> Result<Self, NameError> {
        let names = row.modules.split(',').filter(|name| !name.is_empty());
        let modules = names.map(ModuleName::parse).collect::<Result<BTreeSet<_>, _>>()?;
        Ok(Self { tenant_id: row.id, schema: SchemaName::parse(&row.schema)?, modules })
    }
}

async fn rows(db: &impl SystemExecutor) -> Result<Vec<Row>, FleetError> {
    let statement = raw_sql!(
        Postgres,
        r#"SELECT id, slug, CAST(database_schema AS text) AS schema, CAST(schema_version AS text) AS schema_version,
                  array_to_string(modules, ',') AS modules
           FROM public.tenants
           WHERE status IN ('active', 'suspended', 'archived')
           ORDER BY slug"#
    );
    let rows = db.query_all(statement).await;
    Ok(rows.map_err(|error| DatabaseFailure::of("list the tenants", &error))?)
}

async fn work(
    login: OwnerLogin,
    plan: Plan,
    queue: Arc<Mutex<VecDeque<Subject>>>,
    results: mpsc::Sender<TenantResult>,
) {
    let mut slot = None;
    loop {
        let next = queue.lock().await.pop_front();
        let Some(subject) = next else { break };
        let result = apply::migrate(&login, &mut slot, &plan, &subject, &[]).await;
        if results.send(TenantResult { subject, result }).await.is_err() {
            break;
        }
    }
    if let Some(connection) = slot {
        connection.close().await;
    }
}
