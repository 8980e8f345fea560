//! Brings one tenant's schema forward: one lock, one connection, one transaction.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use clinicx_persistence::SystemExecutor;
use clinicx_types::{
    id::TenantId,
    name::{ModuleName, SchemaName},
    version::SchemaVersion,
};
use rand::RngExt;
use sea_orm::{DbErr, FromQueryResult, Statement, raw_sql};

use super::{
    fences, ledger,
    plan::{LedgerError, Plan, PlanError, PlannedMigration},
    render,
    script::ScriptTarget,
};
use crate::{
    failure::DatabaseFailure,
    owner::{OwnerConnection, OwnerLogin, OwnerTransaction},
};

/// How often a migration is tried that could not get a lock in time.
const ATTEMPTS: u32 = 6;
/// How long a migration waits for a lock: whoever waits for one keeps others waiting behind it.
const LOCK_TIMEOUT: Duration = Duration::from_secs(3);
/// The pause before the second try; it doubles, and each is stretched or cut by up to a half.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// The tenant whose schema is migrated, and what belongs to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    /// The tenant.
    pub tenant_id: TenantId,
    /// Its schema.
    pub schema: SchemaName,
    /// Its modules.
    pub modules: BTreeSet<ModuleName>,
}

impl Subject {
    /// Returns for whom its scripts are written.
    pub fn target(&self) -> ScriptTarget {
        ScriptTarget {
            tenant_id: self.tenant_id,
            role: Some(self.schema.role()),
            schema: self.schema.clone(),
        }
    }
}

/// Why a tenant's schema could not be brought forward. Nothing has been changed then.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MigrateError {
    /// The tenant's modules don't fit the program's.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The schema's ledger does not agree with the program.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The registry names no such tenant with this schema.
    #[error("the tenant is not in the registry")]
    UnknownTenant,
    /// The schema has no ledger: it was made by other means and has to be adopted with a baseline.
    #[error("the schema has no ledger; adopt it with a baseline")]
    NoLedger,
    /// The schema has a ledger already, with this module in it.
    #[error("the ledger has migrations of module {0} already")]
    AlreadyInLedger(String),
    /// A baseline claims more migrations than the module has.
    #[error("module {module} has {known} migrations, not {claimed}")]
    BaselineTooFar {
        /// The module.
        module: String,
        /// How many it has.
        known: i32,
        /// How many were claimed.
        claimed: i32,
    },
    /// The tenant has changed since it was read.
    #[error("the tenant has changed meanwhile")]
    Changed,
    /// A lock could not be had in all the tries.
    #[error("the schema was locked by others in every one of {attempts} tries")]
    Locked {
        /// How often it was tried.
        attempts: u32,
    },
    /// The database said no.
    #[error(transparent)]
    Database(#[from] DatabaseFailure),
}

impl MigrateError {
    pub(super) fn database(action: &'static str, error: &DbErr) -> Self {
        Self::Database(DatabaseFailure::of(action, error))
    }

    /// Tells whether another try of the whole transaction may succeed.
    fn is_worth_another_try(&self) -> bool {
        let Self::Database(failure) = self else { return false };
        // lock_not_available, deadlock_detected, serialization_failure
        matches!(failure.sqlstate(), Some("55P03" | "40P01" | "40001"))
    }
}

/// One migration that was applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// The module.
    pub module: &'static str,
    /// The migration.
    pub name: &'static str,
    /// How long it took.
    pub took: Duration,
}

/// What was done to one tenant's schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The migrations that were applied, in their order; none when the schema was up to date.
    pub applied: Vec<Applied>,
    /// The version after it.
    pub version: SchemaVersion,
    /// How often it was tried.
    pub attempts: u32,
}

/// Applies what is pending to one tenant's schema and writes the registry's row in the same transaction, with
/// `also` (an audit row, say) before the commit when there was anything to do.
///
/// The connection in `slot` is used and put back when it is still good; an empty slot opens one.
///
/// # Errors
/// [`MigrateError`].
pub async fn migrate(
    login: &OwnerLogin,
    slot: &mut Option<OwnerConnection>,
    plan: &Plan,
    subject: &Subject,
    also: &[Statement],
) -> Result<Outcome, MigrateError> {
    run(login, slot, plan, subject, Extra { also, version: None }).await
}

/// As [`migrate`], for a caller who has read the registry's row at this version and decided by what it says.
///
/// # Errors
/// [`MigrateError::Changed`] when the row has another version by the time that it is locked; [`MigrateError`].
pub async fn migrate_at(
    login: &OwnerLogin,
    slot: &mut Option<OwnerConnection>,
    plan: &Plan,
    subject: &Subject,
    version: i64,
    also: &[Statement],
) -> Result<Outcome, MigrateError> {
    run(login, slot, plan, subject, Extra { also, version: Some(version) }).await
}

/// Takes a module from a tenant whose registry row has this version, with `also` in the same transaction. Its tables
/// and their rows stay, and so does its ledger: a tenant that gets it again finds them brought up to date.
///
/// # Errors
/// [`MigrateError::Changed`] when the row has another version by the time that it is locked; [`MigrateError`].
pub async fn disable_at(
    login: &OwnerLogin,
    slot: &mut Option<OwnerConnection>,
    subject: &Subject,
    module: &ModuleName,
    version: i64,
    also: &[Statement],
) -> Result<(), MigrateError> {
    let tx = begin(login, slot, subject).await?;
    let result = disable(&tx, subject, module, version, also).await;
    match result {
        Ok(()) => {
            *slot = Some(tx.commit().await?);
            Ok(())
        }
        Err(error) => {
            *slot = tx.rollback().await.ok();
            Err(error)
        }
    }
}

async fn disable(
    tx: &OwnerTransaction,
    subject: &Subject,
    module: &ModuleName,
    version: i64,
    also: &[Statement],
) -> Result<(), MigrateError> {
    if lock_registry_row(tx, subject).await? != version {
        return Err(MigrateError::Changed);
    }
    let (id, module) = (subject.tenant_id, module.as_str());
    let switch = raw_sql!(
        Postgres,
        r#"UPDATE public.tenant_modules SET enabled = false WHERE tenant_id = {id} AND module = {module} AND enabled"#
    );
    let names = raw_sql!(
        Postgres,
        r#"UPDATE public.tenants
           SET modules = array_remove(modules, {module}), version = version + 1, updated_at = now()
           WHERE id = {id}"#
    );
    for statement in [switch, names].into_iter().chain(also.iter().cloned()) {
        tx.execute(statement).await.map_err(|error| MigrateError::database("take a module", &error))?;
    }
    Ok(())
}

/// What a caller wants beside the migrations.
#[derive(Clone, Copy)]
struct Extra<'a> {
    also: &'a [Statement],
    version: Option<i64>,
}

async fn run(
    login: &OwnerLogin,
    slot: &mut Option<OwnerConnection>,
    plan: &Plan,
    subject: &Subject,
    extra: Extra<'_>,
) -> Result<Outcome, MigrateError> {
    let plan = plan.of_modules(subject.modules.iter().map(ModuleName::as_str))?;
    let mut pause = FIRST_PAUSE;
    for attempt in 1..=ATTEMPTS {
        match attempt_once(login, slot, &plan, subject, extra).await {
            Ok((applied, version)) => return Ok(Outcome { applied, version, attempts: attempt }),
            Err(error) if !error.is_worth_another_try() => return Err(error),
            Err(error) => {
                tracing::debug!(tenant.id = %subject.tenant_id, attempt, error = %error, "migration has to wait");
            }
        }
        if attempt < ATTEMPTS {
            let stretch = rand::rng().random_range(0.5..1.5);
            tokio::time::sleep(pause.mul_f64(stretch)).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
    Err(MigrateError::Locked { attempts: ATTEMPTS })
}

async fn attempt_once(
    login: &OwnerLogin,
    slot: &mut Option<OwnerConnection>,
    plan: &Plan,
    subject: &Subject,
    extra: Extra<'_>,
) -> Result<(Vec<Applied>, SchemaVersion), MigrateError> {
    let tx = begin(login, slot, subject).await?;
    let result = bring_forward(&tx, plan, subject, extra).await;
    match result {
        Ok(done) => {
            *slot = Some(tx.commit().await?);
            Ok(done)
        }
        Err(error) => {
            // A connection that can't even roll back is closed, which rolls back too.
            *slot = tx.rollback().await.ok();
            Err(error)
        }
    }
}

/// Opens a transaction that holds the tenant's migration lock, with its schema as the search path.
pub(super) async fn begin(
    login: &OwnerLogin,
    slot: &mut Option<OwnerConnection>,
    subject: &Subject,
) -> Result<OwnerTransaction, MigrateError> {
    let connection = match slot.take() {
        Some(connection) => connection,
        None => login.open().await?,
    };
    let settings = format!(
        "SET LOCAL lock_timeout TO {}; {}; {}",
        LOCK_TIMEOUT.as_millis(),
        render::settings(&subject.target()),
        lock_statement(&subject.schema)
    );
    Ok(connection.begin(&settings).await?)
}

/// Writes the statement that takes the migration lock of one schema until the end of the transaction.
pub fn lock_statement(schema: &SchemaName) -> String {
    format!("SELECT pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended({}, 7))", schema.literal())
}

/// Writes the statement that tells, as `migrating`, whether somebody holds the migration lock of a schema.
pub fn look_statement(schema: &SchemaName) -> String {
    format!(
        "SELECT NOT pg_catalog.pg_try_advisory_xact_lock_shared(pg_catalog.hashtextextended({}, 7)) AS migrating",
        schema.literal()
    )
}

async fn bring_forward(
    tx: &OwnerTransaction,
    plan: &Plan,
    subject: &Subject,
    extra: Extra<'_>,
) -> Result<(Vec<Applied>, SchemaVersion), MigrateError> {
    let registered = lock_registry_row(tx, subject).await?;
    if extra.version.is_some_and(|version| version != registered) {
        return Err(MigrateError::Changed);
    }
    let read = |error: DbErr| MigrateError::database("read the ledger", &error);
    if !ledger::exists(tx, subject.schema.as_str()).await.map_err(read)? {
        return Err(MigrateError::NoLedger);
    }
    let pending = plan.pending(&ledger::read(tx).await.map_err(read)?)?;
    let target = subject.target();
    let mut applied = Vec::with_capacity(pending.len());
    for planned in &pending {
        let started = Instant::now();
        tx.run("apply a migration", render::one(planned, &target)).await?;
        applied.push(Applied {
            module: planned.module,
            name: planned.migration.name,
            took: started.elapsed(),
        });
    }
    if let Some(statement) = fences::statement(&target) {
        tx.run("put the fences up", statement).await?;
    }
    let rows: Vec<(&PlannedMigration, Option<Duration>)> =
        pending.iter().zip(applied.iter().map(|one| Some(one.took))).collect();
    if let Some(insert) = ledger::insert(&target, &rows, ledger::Origin::Applied) {
        tx.run("write the ledger", insert).await?;
    }
    let (version, written) = write_registry(tx, plan, subject.tenant_id, &plan.counts()).await?;
    if written || !applied.is_empty() {
        for statement in extra.also {
            tx.execute(statement.clone())
                .await
                .map_err(|error| MigrateError::database("write beside it", &error))?;
        }
    }
    Ok((applied, version))
}

/// Locks the tenant's row in the registry, so that its state can't change meanwhile, and returns its version.
pub(super) async fn lock_registry_row(tx: &OwnerTransaction, subject: &Subject) -> Result<i64, MigrateError> {
    #[derive(FromQueryResult)]
    struct Found {
        version: i64,
    }
    let id = subject.tenant_id;
    let schema = subject.schema.as_str();
    let statement = raw_sql!(
        Postgres,
        r#"SELECT version FROM public.tenants
           WHERE id = {id} AND database_schema = {schema} AND status <> 'purged'
           FOR NO KEY UPDATE"#
    );
    let found: Option<Found> = tx
        .query_one(statement)
        .await
        .map_err(|error| MigrateError::database("lock the registry row", &error))?;
    found.map(|row| row.version).ok_or(MigrateError::UnknownTenant)
}

/// Writes how far each module has come, and the schema's version; nothing that is written already. Returns the
/// version and whether anything was written.
pub(super) async fn write_registry(
    tx: &OwnerTransaction,
    plan: &Plan,
    id: TenantId,
    counts: &std::collections::BTreeMap<&'static str, i32>,
) -> Result<(SchemaVersion, bool), MigrateError> {
    let mut written = 0;
    let failed = |error: DbErr| MigrateError::database("write the registry", &error);
    for module in plan.modules() {
        let count = counts.get(module).copied().unwrap_or_default();
        let statement = raw_sql!(
            Postgres,
            r#"INSERT INTO public.tenant_modules AS m (tenant_id, module, schema_version, enabled)
               VALUES ({id}, {module}, {count}, true)
               ON CONFLICT (tenant_id, module) DO UPDATE SET schema_version = {count}, enabled = true
               WHERE m.schema_version <> {count} OR NOT m.enabled"#
        );
        written += tx.execute(statement).await.map_err(failed)?;
    }
    #[derive(FromQueryResult)]
    struct Module {
        module: String,
        schema_version: i32,
    }
    let statement = raw_sql!(
        Postgres,
        r#"SELECT CAST(module AS text) AS module, schema_version FROM public.tenant_modules WHERE tenant_id = {id}"#
    );
    let modules: Vec<Module> = tx.query_all(statement).await.map_err(failed)?;
    let version =
        super::plan::version_of(modules.iter().map(|module| (module.module.as_str(), module.schema_version)));
    let text = version.to_string();
    let statement = raw_sql!(
        Postgres,
        r#"UPDATE public.tenants AS t
           SET schema_version = {text}, modules = m.names, version = t.version + 1, updated_at = now()
           FROM (SELECT COALESCE(array_agg(CAST(module AS text) ORDER BY module), CAST(ARRAY[] AS text[])) AS names
                 FROM public.tenant_modules WHERE tenant_id = {id} AND enabled) AS m
           WHERE t.id = {id} AND (t.schema_version <> {text} OR t.modules <> m.names)"#
    );
    written += tx.execute(statement).await.map_err(failed)?;
    Ok((version, written > 0))
}
