//! A step outside of transactions: done under the lock of the schema, and written into the ledger when it is complete.

use std::time::{Duration, Instant};

use clinicx_types::uuid::Uuid;
use sqlx::Row;
use tokio::sync::Mutex;

use super::{LOCK_TIMEOUT, MigrateError, Subject, lock_key, registry};
use crate::{
    failure::DatabaseFailure,
    owner::{OwnerConnection, OwnerLogin, OwnerTransaction},
    tenant::{
        ledger::{self, LedgerRow},
        limits::Limits,
        outside::{Backfill, ConcurrentIndex, Outside},
        plan::{Plan, PlannedMigration},
        render,
    },
};

/// How long the building of an index waits for what runs. It keeps nobody waiting meanwhile.
const INDEX_LOCK_TIMEOUT: Duration = Duration::from_secs(60);
/// One index with expressions or a condition is built at a time; for others PostgreSQL sees to it (from 14 on).
static TURN: Mutex<()> = Mutex::const_new(());

/// Does the step and writes it into the ledger. A step that another has done meanwhile is left alone.
///
/// The connection goes back into the slot when all went well; otherwise it is closed, and its locks go with it.
pub(super) async fn run(
    login: &OwnerLogin,
    slot: &mut Option<OwnerConnection>,
    plan: &Plan,
    subject: &Subject,
    planned: &PlannedMigration,
) -> Result<Duration, MigrateError> {
    let started = Instant::now();
    let mut connection = match slot.take() {
        Some(connection) => connection,
        None => login.open().await?,
    };
    let key = lock_key(&subject.schema);
    let lock = format!(
        "SET lock_timeout TO {}; SELECT pg_catalog.pg_advisory_lock({key})",
        LOCK_TIMEOUT.as_millis()
    );
    connection.run("lock the schema", lock).await?;
    let step = Step { subject, planned };
    let connection = match step.has_been_done(connection).await? {
        (connection, true) => connection,
        (connection, false) => {
            let connection = match &planned.outside {
                Some(Outside::Index(index)) => build(connection, subject, index).await?,
                Some(Outside::Backfill(backfill)) => step.fill(connection, backfill).await?,
                None => connection,
            };
            step.write_down(connection, plan, started).await?
        }
    };
    let mut connection = connection;
    let unlock = format!(
        "RESET lock_timeout; SET search_path TO pg_catalog, pg_temp; SELECT pg_catalog.pg_advisory_unlock({key})"
    );
    connection.run("unlock the schema", unlock).await?;
    *slot = Some(connection);
    Ok(started.elapsed())
}

/// Builds an index; one that a crash has left unfinished is dropped first, and a finished one is left alone.
async fn build(
    mut connection: OwnerConnection,
    subject: &Subject,
    index: &ConcurrentIndex,
) -> Result<OwnerConnection, MigrateError> {
    let (schema, name) = (subject.schema.literal(), index.name);
    let search_path = format!(
        "SET search_path TO {}, pg_temp; SET lock_timeout TO {}",
        subject.schema.quoted(),
        INDEX_LOCK_TIMEOUT.as_millis()
    );
    connection.run("build an index", search_path).await?;
    let look = format!(
        "SELECT i.indisvalid AS is_valid FROM pg_catalog.pg_index AS i \
         JOIN pg_catalog.pg_class AS c ON c.oid = i.indexrelid \
         JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace \
         WHERE n.nspname = {schema} AND c.relname = '{name}'"
    );
    let found = connection.rows("look for an index", look).await?;
    let is_valid = found.first().map(|row| row.try_get("is_valid")).transpose();
    match is_valid.map_err(|error| DatabaseFailure::new("look for an index", error))? {
        Some(true) => return Ok(connection),
        Some(false) => {
            connection.run("drop an unfinished index", format!("DROP INDEX CONCURRENTLY \"{name}\"")).await?;
        }
        None => {}
    }
    // Of two that are built at a time each would wait for the other's snapshot.
    let _turn = if index.is_of_columns() { None } else { Some(TURN.lock().await) };
    connection.run("build an index", index.concurrently()).await?;
    Ok(connection)
}

/// A migration that is a step outside of transactions, for one tenant.
struct Step<'a> {
    subject: &'a Subject,
    planned: &'a PlannedMigration,
}

impl Step<'_> {
    async fn begin(&self, connection: OwnerConnection) -> Result<OwnerTransaction, MigrateError> {
        Ok(connection.begin(&render::settings(&self.subject.target())).await?)
    }

    async fn has_been_done(
        &self,
        connection: OwnerConnection,
    ) -> Result<(OwnerConnection, bool), MigrateError> {
        let tx = self.begin(connection).await?;
        let ledger = self.ledger(&tx).await?;
        let is_there =
            |row: &LedgerRow| row.module == self.planned.module && row.position == self.planned.position;
        Ok((tx.commit().await?, ledger.iter().any(is_there)))
    }

    async fn ledger(&self, tx: &OwnerTransaction) -> Result<Vec<LedgerRow>, MigrateError> {
        let rows = tx.rows("read the ledger", ledger::READ.to_owned()).await?;
        let read: Result<_, _> = rows.iter().map(LedgerRow::read).collect();
        Ok(read.map_err(|error| DatabaseFailure::new("read the ledger", error))?)
    }

    /// Which of the saved positions it is.
    fn place(&self) -> String {
        let (id, module) = (self.subject.tenant_id, self.planned.module);
        format!("tenant_id = '{id}' AND module = '{module}' AND position = {}", self.planned.position)
    }

    /// Fills rows in, a transaction for each batch, from where the last one has stopped.
    async fn fill(
        &self,
        mut connection: OwnerConnection,
        backfill: &Backfill,
    ) -> Result<OwnerConnection, MigrateError> {
        let mut after = self.saved(&mut connection).await?;
        loop {
            let tx = self.begin(connection).await?;
            let rows = tx.rows("fill rows in", backfill.batch(after)).await?;
            let last: Option<Uuid> = match rows.first() {
                Some(row) => {
                    row.try_get("last").map_err(|error| DatabaseFailure::new("fill rows in", error))?
                }
                None => None,
            };
            let Some(last) = last else { return Ok(tx.commit().await?) };
            tx.run("save the position", self.save(last)).await?;
            connection = tx.commit().await?;
            after = last;
        }
    }

    async fn saved(&self, connection: &mut OwnerConnection) -> Result<Uuid, MigrateError> {
        let look = format!("SELECT last_id FROM public.migration_positions WHERE {}", self.place());
        let rows = connection.rows("read the position", look).await?;
        let saved = rows.first().map(|row| row.try_get("last_id")).transpose();
        Ok(saved.map_err(|error| DatabaseFailure::new("read the position", error))?.unwrap_or(Uuid::nil()))
    }

    fn save(&self, last: Uuid) -> String {
        let (id, module, position) = (self.subject.tenant_id, self.planned.module, self.planned.position);
        format!(
            "INSERT INTO public.migration_positions (tenant_id, module, position, last_id) \
             VALUES ('{id}', '{module}', {position}, '{last}') \
             ON CONFLICT (tenant_id, module, position) DO UPDATE SET last_id = excluded.last_id, updated_at = now()"
        )
    }

    /// Writes the ledger and the registry.
    async fn write_down(
        &self,
        connection: OwnerConnection,
        plan: &Plan,
        started: Instant,
    ) -> Result<OwnerConnection, MigrateError> {
        let tx = self.begin(connection).await?;
        registry::lock(&tx, self.subject).await?;
        let mut counts = plan.work(&self.ledger(&tx).await?, &Limits::default())?.applied;
        *counts.entry(self.planned.module).or_default() += 1;
        let target = self.subject.target();
        let rows = [(self.planned, Some(started.elapsed()))];
        let mut batch: Vec<String> =
            ledger::insert(&target, &rows, ledger::Origin::Applied).into_iter().collect();
        batch.push(format!("DELETE FROM public.migration_positions WHERE {}", self.place()));
        registry::write(&tx, self.subject.tenant_id, &counts, batch).await?;
        Ok(tx.commit().await?)
    }
}
