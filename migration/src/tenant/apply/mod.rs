//! Brings one tenant's schema to where it is to be: one lock, one connection, one transaction.
//!
//! A step outside of transactions cuts the work: what comes before it is committed, the step is done under the same
//! lock of the schema, and the rest is another transaction. `segment` is one such transaction, `outside` one such
//! step, `registry` the tenant's row.

mod module;
mod outside;
pub(super) mod registry;
mod segment;

use std::{collections::BTreeSet, time::Duration};

use clinicx_persistence::FailureKind;
use clinicx_types::{
    id::TenantId,
    name::{ModuleName, SchemaName},
    version::SchemaVersion,
};
use rand::RngExt;
use sea_orm::{DbErr, Statement};

use super::{
    fleet::Mark,
    limits::Limits,
    plan::{LedgerError, Plan, PlanError},
    render,
    script::ScriptTarget,
};
use crate::{
    failure::DatabaseFailure,
    owner::{OwnerConnection, OwnerLogin, OwnerTransaction},
};

pub use module::disable_at;
use segment::Next;

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

/// Why a tenant's schema could not be brought forward. Nothing has been changed then, but for what was committed
/// before a step outside of transactions.
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
    /// A migration is to be undone that can't be.
    #[error("migration {module}/{name} can't be undone: {why}")]
    Irreversible {
        /// The module.
        module: &'static str,
        /// The migration.
        name: &'static str,
        /// Why not.
        why: &'static str,
    },
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

    /// Tells whether it is the database that is away, and no fault of the tenant's.
    pub fn is_away(&self) -> bool {
        let Self::Database(failure) = self else { return false };
        failure.failure.kind == FailureKind::Unavailable && failure.sqlstate() != Some("55P03")
    }

    /// Tells whether another try of the whole transaction may succeed.
    fn is_worth_another_try(&self) -> bool {
        let Self::Database(failure) = self else { return false };
        // lock_not_available, deadlock_detected, serialization_failure
        matches!(failure.sqlstate(), Some("55P03" | "40P01" | "40001"))
    }
}

/// One migration that was applied or undone.
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
    /// The migrations that were applied, in their order; none when the schema was where it is to be.
    pub applied: Vec<Applied>,
    /// The migrations that were undone, in that order.
    pub undone: Vec<Applied>,
    /// The version before it.
    pub from: SchemaVersion,
    /// The version after it.
    pub version: SchemaVersion,
    /// How often it was tried.
    pub attempts: u32,
}

/// In which directions a schema may be changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Direction {
    /// What is missing is applied; what lies beyond the limits stays.
    #[default]
    Forward,
    /// What lies beyond the limits is undone as well, where it can be.
    Both,
}

/// When the fences around a tenant's tables are put up anew.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fences {
    /// Always, so that what was torn by hand is mended.
    #[default]
    Always,
    /// When a migration has done what could have touched them.
    WhenTouched,
}

/// What is asked beside the tenant and the plan.
#[derive(Clone, Copy, Debug, Default)]
pub struct Order<'a> {
    /// How far the modules go; to their ends without.
    pub limits: Option<&'a Limits>,
    /// In which directions.
    pub direction: Direction,
    /// When the fences are put up.
    pub fences: Fences,
    /// What is written in the last transaction when anything was changed: an audit row, say.
    pub also: &'a [Statement],
    /// The version of the registry's row by which the caller has decided. Then it is all one transaction.
    pub version: Option<i64>,
    /// The run of the fleet that this belongs to.
    pub mark: Option<&'a Mark>,
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
    migrate_by(login, slot, plan, subject, Order { also, ..Order::default() }).await
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
    let order = Order { also, version: Some(version), ..Order::default() };
    migrate_by(login, slot, plan, subject, order).await
}

/// As [`migrate`], by an order that says how far, in which directions and what with it.
///
/// # Errors
/// [`MigrateError`].
pub async fn migrate_by(
    login: &OwnerLogin,
    slot: &mut Option<OwnerConnection>,
    plan: &Plan,
    subject: &Subject,
    order: Order<'_>,
) -> Result<Outcome, MigrateError> {
    let plan = plan.of_modules(subject.modules.iter().map(ModuleName::as_str))?;
    let mut done = Done::default();
    let mut pause = FIRST_PAUSE;
    for attempt in 1..=ATTEMPTS {
        done.attempts = attempt;
        match to_the_end(login, slot, &plan, subject, order, &mut done).await {
            Ok(version) => return Ok(done.outcome(version)),
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

/// Applies what is pending to one tenant's schema in a transaction of the caller's, whose search path is the schema
/// ([`render::settings`]): for a schema that nobody uses yet. Steps outside of transactions are plain ones here.
///
/// # Errors
/// [`MigrateError`]; the transaction is then to be rolled back or dropped.
pub async fn migrate_within(
    tx: &OwnerTransaction,
    plan: &Plan,
    subject: &Subject,
) -> Result<SchemaVersion, MigrateError> {
    let plan = plan.of_modules(subject.modules.iter().map(ModuleName::as_str))?;
    // A version says that it is all one transaction.
    let version = registry::lock(tx, subject).await?.version;
    let order = Order { version: Some(version), ..Order::default() };
    match segment::run(tx, &plan, subject, order, &mut Done::default()).await? {
        Next::Done(version) => Ok(version),
        Next::Outside(_) => Err(MigrateError::Changed),
    }
}

/// What was committed by now.
#[derive(Clone, Debug, Default)]
pub(super) struct Done {
    pub(super) from: Option<SchemaVersion>,
    pub(super) applied: Vec<Applied>,
    pub(super) undone: Vec<Applied>,
    pub(super) attempts: u32,
}

impl Done {
    fn outcome(self, version: SchemaVersion) -> Outcome {
        Outcome {
            applied: self.applied,
            undone: self.undone,
            from: self.from.unwrap_or(version),
            version,
            attempts: self.attempts,
        }
    }
}

/// Goes through the segments and the steps between them.
async fn to_the_end(
    login: &OwnerLogin,
    slot: &mut Option<OwnerConnection>,
    plan: &Plan,
    subject: &Subject,
    order: Order<'_>,
    done: &mut Done,
) -> Result<SchemaVersion, MigrateError> {
    loop {
        let tx = begin(login, slot, subject).await?;
        // Counts only once it is committed.
        let mut doing = done.clone();
        let next = match segment::run(&tx, plan, subject, order, &mut doing).await {
            Ok(next) => {
                *slot = Some(tx.commit().await?);
                *done = doing;
                next
            }
            Err(error) => {
                // A connection that can't even roll back is closed, which rolls back too.
                *slot = tx.rollback().await.ok();
                return Err(error);
            }
        };
        match next {
            Next::Done(version) => return Ok(version),
            Next::Outside(planned) => {
                let took = outside::run(login, slot, plan, subject, &planned).await?;
                let name = planned.migration.name;
                done.applied.push(Applied { module: planned.module, name, took });
            }
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
    format!("SELECT pg_catalog.pg_advisory_xact_lock({})", lock_key(schema))
}

/// Writes the statement that tells, as `migrating`, whether somebody holds the migration lock of a schema.
pub fn look_statement(schema: &SchemaName) -> String {
    format!("SELECT NOT pg_catalog.pg_try_advisory_xact_lock_shared({}) AS migrating", lock_key(schema))
}

/// Writes the key of the migration lock of one schema.
fn lock_key(schema: &SchemaName) -> String {
    format!("pg_catalog.hashtextextended({}, 7)", schema.literal())
}
