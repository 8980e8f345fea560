//! One tenant's upkeep.

use std::time::{Duration, Instant};

use sqlx::Row;

use super::{
    due::{Due, Task, due},
    look::{self, Baselines},
    run::{Asked, Done, Maintained},
};
use crate::{
    failure::DatabaseFailure,
    owner::{OwnerConnection, OwnerLogin},
    tenant::apply::{self, Subject},
};

/// How long a statement waits for whoever holds its table; nobody waits behind it meanwhile for reading or writing.
const LOCK_TIMEOUT: Duration = Duration::from_secs(30);
/// The least time that a statement is given at the end of the window.
const LEAST: Duration = Duration::from_secs(1);

/// A connection that is kept from one tenant to the next, and thrown away when a statement on it has failed.
pub(super) struct Worker<'a> {
    pub(super) login: &'a OwnerLogin,
    pub(super) asked: &'a Asked,
    pub(super) fleet: &'a Baselines,
    pub(super) connection: Option<OwnerConnection>,
}

impl Worker<'_> {
    /// Does what is due in a tenant as long as there is time, or only says what is due.
    pub(super) async fn tenant(&mut self, subject: &Subject) -> Maintained {
        let mut maintained = Maintained::of(subject.clone());
        match self.look(subject).await {
            Ok(Some(found)) if self.asked.only_report => maintained.left = found,
            Ok(Some(found)) => self.carry_out(found, &mut maintained).await,
            Ok(None) => maintained.is_migrating = true,
            Err(failure) => maintained.failure = Some(failure),
        }
        if !self.asked.only_report
            && maintained.failure.is_none()
            && !maintained.is_migrating
            && let Err(failure) = self.write_down(&maintained).await
        {
            maintained.failure = Some(failure);
        }
        maintained
    }

    /// Returns what is due; `None` while the schema is being migrated, which has its own need of the tables.
    async fn look(&mut self, subject: &Subject) -> Result<Option<Vec<Due>>, DatabaseFailure> {
        let (asked, fleet) = (self.asked, self.fleet);
        let connection = self.connection().await?;
        let rows = connection.rows("look for a migration", apply::look_statement(&subject.schema)).await?;
        let migrating = rows.first().map(|row| row.try_get::<bool, _>("migrating")).transpose();
        if migrating.map_err(look::unreadable)?.unwrap_or_default() {
            return Ok(None);
        }
        let tables = look::tables(connection, &subject.schema).await?;
        let needs_indexes = asked.tasks.contains(&Task::Reindex);
        let (indexes, own) = match needs_indexes {
            true => (
                look::indexes(connection, &subject.schema).await?,
                look::own_baselines(connection, subject.tenant_id).await?,
            ),
            false => Default::default(),
        };
        Ok(Some(due(&tables, &indexes, fleet, &own, &asked.rules, &asked.tasks)))
    }

    async fn carry_out(&mut self, found: Vec<Due>, maintained: &mut Maintained) {
        let mut found = found.into_iter();
        while let Some(one) = found.next() {
            let left = self.asked.time_left();
            if left.is_zero() || (self.asked.stop)() {
                maintained.left.push(one);
                maintained.left.extend(found);
                return;
            }
            let started = Instant::now();
            let failure = self.one(&one, left.max(LEAST), maintained).await.err();
            if failure.is_some() {
                // What is applied to it, or left open on it, is not known any more.
                self.connection = None;
            }
            maintained.done.push(Done { due: one, took: started.elapsed(), failure });
            tokio::time::sleep(self.asked.pause).await;
        }
    }

    async fn one(
        &mut self,
        one: &Due,
        left: Duration,
        maintained: &Maintained,
    ) -> Result<(), DatabaseFailure> {
        let tenant = maintained.subject.tenant_id;
        let connection = self.connection().await?;
        let limit = format!("SET statement_timeout TO {}", left.as_millis().min(u128::from(u32::MAX >> 1)));
        connection.run("set limits", limit).await?;
        // VACUUM and whatever is CONCURRENTLY must come alone.
        connection.run("keep a table up", one.statement.clone()).await?;
        if one.task == Task::Reindex && one.share.is_some() {
            let schema = maintained.subject.schema.literal();
            let remember = format!(
                "INSERT INTO public.tenant_index_baselines (tenant_id, index_name, bytes_per_row, rebuilt_at) \
                 SELECT '{tenant}', c.relname, pg_relation_size(c.oid) / greatest(c.reltuples, 1), now() \
                 FROM pg_catalog.pg_class AS c \
                 JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace \
                 WHERE n.nspname = {schema} AND c.relname = {name} \
                 ON CONFLICT (tenant_id, index_name) DO UPDATE \
                 SET bytes_per_row = EXCLUDED.bytes_per_row, rebuilt_at = EXCLUDED.rebuilt_at",
                name = literal(&one.object)
            );
            connection.run("remember a rebuilt index", remember).await?;
        }
        Ok(())
    }

    /// Remembers when the tenant had its turn, so that a window that is too short for all comes to everybody in time.
    async fn write_down(&mut self, maintained: &Maintained) -> Result<(), DatabaseFailure> {
        let failed = maintained.done.iter().filter(|done| done.failure.is_some()).count();
        let text = format!(
            "INSERT INTO public.tenant_maintenance (tenant_id, finished_at, done, failed, left_over) \
             SELECT id, now(), {done}, {failed}, {left} FROM public.tenants WHERE id = '{tenant}' \
             ON CONFLICT (tenant_id) DO UPDATE \
             SET finished_at = EXCLUDED.finished_at, done = EXCLUDED.done, failed = EXCLUDED.failed, \
                 left_over = EXCLUDED.left_over",
            done = maintained.done.len() - failed,
            left = maintained.left.len(),
            tenant = maintained.subject.tenant_id
        );
        self.connection().await?.run("write down the upkeep", text).await
    }

    async fn connection(&mut self) -> Result<&mut OwnerConnection, DatabaseFailure> {
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => {
                let mut connection = self.login.open().await?;
                let settings = format!(
                    "SET lock_timeout TO {}; SET vacuum_cost_delay TO '2ms'; SET client_min_messages TO error",
                    LOCK_TIMEOUT.as_millis()
                );
                connection.run("set limits", settings).await?;
                connection
            }
        };
        Ok(self.connection.insert(connection))
    }
}

/// Quotes the name of an index, which the catalog has told, as a text.
fn literal(name: &str) -> String {
    format!("'{}'", name.replace('\'', "''"))
}
