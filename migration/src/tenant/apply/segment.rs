//! One transaction of a tenant's migration: everything up to its end or up to a step outside of transactions.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use clinicx_persistence::SystemExecutor;
use clinicx_types::version::SchemaVersion;

use super::{Applied, Direction, Done, Fences, MigrateError, Order, Subject, registry};
use crate::{
    failure::DatabaseFailure,
    owner::OwnerTransaction,
    tenant::{
        fences,
        ledger::{self, LedgerRow},
        limits::Limits,
        plan::{Plan, PlannedMigration, Work},
        render,
        script::ScriptTarget,
    },
};

/// What comes after a segment.
pub(super) enum Next {
    /// Nothing: the schema is where it is to be.
    Done(SchemaVersion),
    /// A step outside of transactions.
    Outside(PlannedMigration),
}

/// Runs a segment in the transaction, and adds what it does to `done`.
pub(super) async fn run(
    tx: &OwnerTransaction,
    plan: &Plan,
    subject: &Subject,
    order: Order<'_>,
    done: &mut Done,
) -> Result<Next, MigrateError> {
    let (registered, ledger) = look(tx, subject).await?;
    if order.version.is_some_and(|version| version != registered.version) {
        return Err(MigrateError::Changed);
    }
    let from = *done.from.get_or_insert(registered.schema_version);
    let all = Limits::default();
    let work = plan.work(&ledger, order.limits.unwrap_or(&all))?;
    let down = if order.direction == Direction::Both { work.down.as_slice() } else { &[] };
    let (up, next) = cut(&work, order);
    let target = subject.target();
    let undone = undo(tx, down, &target).await?;
    let (applied, touched) = apply(tx, up, &target).await?;
    let may_be_torn = order.fences == Fences::Always || touched || !undone.is_empty();
    let fences = match touched || !applied.is_empty() || !undone.is_empty() {
        true => fences::statement(&target),
        false => fences::mending_statement(&target),
    };
    if may_be_torn && let Some(statement) = fences {
        tx.run("put the fences up", statement).await?;
    }
    let rows: Vec<(&PlannedMigration, Option<Duration>)> =
        up.iter().zip(applied.iter().map(|one| Some(one.took))).collect();
    let mut batch: Vec<String> = ledger::delete(down).into_iter().collect();
    batch.extend(ledger::insert(&target, &rows, ledger::Origin::Applied));
    let counts = counts(&work, up, down);
    let (version, written) = registry::write(tx, subject.tenant_id, &counts, batch).await?;
    done.applied.extend(applied);
    done.undone.extend(undone);
    match next {
        Some(planned) => Ok(Next::Outside(planned.clone())),
        None => {
            let changed = written || !done.applied.is_empty() || !done.undone.is_empty();
            close(tx, subject, order, done, (from, version, changed)).await?;
            Ok(Next::Done(version))
        }
    }
}

/// Locks the registry's row and reads the ledger, in one round trip.
async fn look(
    tx: &OwnerTransaction,
    subject: &Subject,
) -> Result<(registry::Registered, Vec<LedgerRow>), MigrateError> {
    let batch = format!("{}; {}", registry::lock_statement(subject), ledger::READ);
    let rows = tx.rows("read the ledger", batch).await.map_err(|failure| match failure.sqlstate() {
        // The registry's table is there; the other one that is named is the ledger.
        Some("42P01") => MigrateError::NoLedger,
        _ => failure.into(),
    })?;
    let is_registered = |row: &&sqlx::postgres::PgRow| registry::is_row(row);
    let registered =
        rows.iter().find(is_registered).map_or(Err(MigrateError::UnknownTenant), registry::read)?;
    let ledger = rows.iter().filter(|row| !registry::is_row(row)).map(LedgerRow::read);
    let ledger: Result<Vec<_>, _> = ledger.collect();
    Ok((registered, ledger.map_err(|error| DatabaseFailure::new("read the ledger", error))?))
}

/// Cuts what is to be applied at the first step outside of transactions.
///
/// A module that is new to the schema has tables that nobody uses yet: its steps are plain ones. So they are for a
/// caller who needs one transaction.
fn cut<'a>(work: &'a Work, order: Order<'_>) -> (&'a [PlannedMigration], Option<&'a PlannedMigration>) {
    let is_new = |module: &str| work.applied.get(module).copied().unwrap_or_default() == 0;
    let is_outside = |one: &PlannedMigration| one.outside.is_some() && !is_new(one.module);
    let at = work.up.iter().position(is_outside).filter(|_| order.version.is_none());
    match at {
        Some(at) => (work.up.get(..at).unwrap_or_default(), work.up.get(at)),
        None => (&work.up, None),
    }
}

async fn undo(
    tx: &OwnerTransaction,
    down: &[PlannedMigration],
    target: &ScriptTarget,
) -> Result<Vec<Applied>, MigrateError> {
    let irreversible = down.iter().find_map(|one| one.irreversible().map(|why| (one, why)));
    if let Some((one, why)) = irreversible {
        return Err(MigrateError::Irreversible { module: one.module, name: one.migration.name, why });
    }
    let mut undone = Vec::with_capacity(down.len());
    for planned in down {
        let started = Instant::now();
        if let Some(script) = render::undo(planned, target) {
            tx.run("undo a migration", script).await?;
        }
        undone.push(applied(planned, started.elapsed()));
    }
    Ok(undone)
}

/// Applies migrations, and tells whether one of them could have touched the fences.
async fn apply(
    tx: &OwnerTransaction,
    up: &[PlannedMigration],
    target: &ScriptTarget,
) -> Result<(Vec<Applied>, bool), MigrateError> {
    let mut all = Vec::with_capacity(up.len());
    let mut touched = false;
    for planned in up {
        let statements = render::statements(planned, target);
        touched |= !statements.iter().all(|statement| fences::are_untouched_by(statement));
        let started = Instant::now();
        tx.run("apply a migration", statements.join(";\n")).await?;
        all.push(applied(planned, started.elapsed()));
    }
    Ok((all, touched))
}

fn applied(planned: &PlannedMigration, took: Duration) -> Applied {
    Applied { module: planned.module, name: planned.migration.name, took }
}

/// Counts what each module has had once this is done.
fn counts(work: &Work, up: &[PlannedMigration], down: &[PlannedMigration]) -> BTreeMap<&'static str, i32> {
    let mut counts = work.applied.clone();
    for one in up {
        *counts.entry(one.module).or_default() += 1;
    }
    for one in down {
        *counts.entry(one.module).or_default() -= 1;
    }
    counts
}

/// Writes what belongs to the end of it all.
async fn close(
    tx: &OwnerTransaction,
    subject: &Subject,
    order: Order<'_>,
    done: &Done,
    (from, version, changed): (SchemaVersion, SchemaVersion, bool),
) -> Result<(), MigrateError> {
    for statement in order.also.iter().filter(|_| changed) {
        tx.execute(statement.clone())
            .await
            .map_err(|error| MigrateError::database("write beside it", &error))?;
    }
    if let Some(mark) = order.mark {
        let script = mark.done(subject.tenant_id, (from, version), done.attempts, changed);
        tx.run("write the run's row", script).await?;
    }
    Ok(())
}
