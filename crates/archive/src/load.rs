//! Puts rows into the tables of a tenant that is being made, in its transaction.
//!
//! Foreign keys, indexes and exclusions are taken away before and put back after, by their definitions of the catalog,
//! which the migrations have just made: the order of the tables does not matter then, and an index is built once. The
//! policies let nobody copy rows in, not even the owner, so they are not forced until the rows are there; nobody else
//! can see the tables before the commit, and the CHECK on the tenant's id stands all the time.

use bytes::Bytes;
use clinicx_keys::sealed::SealedColumn;
use clinicx_migration::owner::{CopyError, OwnerTransaction};
use clinicx_persistence::SystemExecutor;
use clinicx_types::name::SchemaName;
use futures_util::{StreamExt, stream::BoxStream};
use sea_orm::{FromQueryResult, raw_sql};

use crate::{
    catalog::{self, Table},
    error::{ArchiveError, Refusal},
    rewrite::{Rewrite, Transfer},
    rows::{Lines, TableSum},
    snapshot::FORMS,
};

/// The tables of one schema while they are filled.
pub(crate) struct Loading<'a> {
    pub(crate) tx: &'a OwnerTransaction,
    pub(crate) schema: &'a SchemaName,
    pub(crate) transfer: &'a Transfer,
    pub(crate) sealed: &'a [SealedColumn],
    put_back: Vec<String>,
}

/// The rows of a table as they came, and as they were sent.
pub(crate) struct Sums {
    pub(crate) came: TableSum,
    pub(crate) sent: TableSum,
}

#[derive(FromQueryResult)]
struct Taken {
    away: String,
    back: String,
}

impl<'a> Loading<'a> {
    /// Makes the tables ready. `expected` are those of the archive, which must be those of the schema.
    ///
    /// # Errors
    /// [`Refusal::Structure`]; what the database answers.
    pub(crate) async fn begin(
        tx: &'a OwnerTransaction,
        schema: &'a SchemaName,
        transfer: &'a Transfer,
        sealed: &'a [SealedColumn],
        expected: &[&Table],
    ) -> Result<Self, ArchiveError> {
        let failed = |error| ArchiveError::of("look at the tables", &error);
        let tables = catalog::tables(tx, schema).await.map_err(failed)?;
        let made: Vec<&Table> = tables.iter().collect();
        let stranger = stranger(expected, &made).or_else(|| stranger(&made, expected));
        if let Some(table) = stranger {
            return Err(Refusal::Structure(table.name.as_str().to_owned()).into());
        }
        let name = schema.as_str();
        let taken: Vec<Taken> = tx.query_all(dependents(name)).await.map_err(failed)?;
        let mut script: Vec<String> =
            FORMS.iter().map(|(name, value)| format!("SET LOCAL {name} TO '{value}'")).collect();
        script.extend(taken.iter().map(|one| one.away.clone()));
        for table in &tables {
            let table = format!("{}.{}", schema.quoted(), table.name.quoted());
            script.push(format!("ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY"));
            // What the migrations have written stands among the rows that come.
            script.push(format!("DELETE FROM {table}"));
        }
        tx.run("make the tables ready", script.join(";\n")).await?;
        // What hangs on others goes first, so it comes back last.
        let put_back = taken.into_iter().rev().map(|one| one.back).collect();
        Ok(Self { tx, schema, transfer, sealed, put_back })
    }

    /// Sends a table's rows. `piece` hears of every piece, and may end it.
    ///
    /// # Errors
    /// What the source says; [`Refusal`]; what the database answers.
    pub(crate) async fn table(
        &self,
        table: &Table,
        key: &TableSum,
        rows: BoxStream<'_, Result<Bytes, ArchiveError>>,
        mut piece: impl FnMut(u64, u64) -> Result<(), ArchiveError> + Send,
    ) -> Result<Sums, ArchiveError> {
        let rewrite = Rewrite::new(self.transfer, table, self.sealed)?;
        let mut sums = Sums { came: key.clone(), sent: key.clone() };
        let mut lines = Lines::default();
        let rewritten = rows.map(|bytes| {
            let (bytes, before) = (bytes?, sums.came.rows());
            let mut out = Vec::with_capacity(bytes.len() + bytes.len() / 8);
            lines.push(&bytes, |row| {
                sums.came.add(row);
                let start = out.len();
                rewrite.row(row, &mut out)?;
                sums.sent.add(out.get(start..).unwrap_or_default());
                out.push(b'\n');
                Ok::<(), ArchiveError>(())
            })?;
            let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
            piece(sums.came.rows() - before, length)?;
            Ok::<Bytes, ArchiveError>(out.into())
        });
        let statement = table.copy_in(self.schema);
        let copied = self.tx.copy_in("write the rows of a table", &statement, rewritten).await;
        copied.map_err(|error| match error {
            CopyError::Source(error) => error,
            CopyError::Database(failure) => failure.into(),
        })?;
        if !lines.is_at_an_end() {
            return Err(Refusal::Rows(table.name.as_str().to_owned()).into());
        }
        Ok(sums)
    }

    /// Puts back what was taken away, which proves that the rows keep to it, and looks at how the rows are spread.
    ///
    /// # Errors
    /// What the database answers: a row that breaks a foreign key, say.
    pub(crate) async fn put_back(&self, tables: &[&Table]) -> Result<(), ArchiveError> {
        let mut script = self.put_back.clone();
        script.extend(tables.iter().map(|table| format!("ANALYZE {}", self.named(table))));
        self.tx.run("put indexes and foreign keys back", script.join(";\n")).await?;
        Ok(())
    }

    /// Forces the policies again.
    ///
    /// # Errors
    /// What the database answers.
    pub(crate) async fn finish(self, tables: &[&Table]) -> Result<(), ArchiveError> {
        let force = |table: &&Table| format!("ALTER TABLE {} FORCE ROW LEVEL SECURITY", self.named(table));
        let script: Vec<String> = tables.iter().map(force).collect();
        self.tx.run("force the policies again", script.join(";\n")).await?;
        Ok(())
    }

    fn named(&self, table: &Table) -> String {
        format!("{}.{}", self.schema.quoted(), table.name.quoted())
    }

    /// Reads a table back.
    ///
    /// # Errors
    /// What the database answers.
    pub(crate) async fn read_back(&self, table: &Table, key: &TableSum) -> Result<TableSum, ArchiveError> {
        let (mut sum, mut lines) = (key.clone(), Lines::default());
        let statement = table.copy_out(self.schema);
        let read = self.tx.copy_out("read the rows back", &statement, |piece| {
            let add = |row: &[u8]| -> Result<(), std::convert::Infallible> {
                sum.add(row);
                Ok(())
            };
            let Ok(()) = lines.push(piece, add);
        });
        read.await?;
        Ok(sum)
    }
}

/// Finds a table that is not among the others, or is there with other columns.
fn stranger<'a>(tables: &[&'a Table], others: &[&Table]) -> Option<&'a Table> {
    let is_among = |one: &Table| others.iter().any(|other| other.name == one.name && other.is_like(one));
    tables.iter().copied().find(|one| !is_among(one))
}

/// Lists what is taken away, in the order in which it can be: foreign keys, exclusions, indexes of no constraint.
fn dependents(schema: &str) -> sea_orm::Statement {
    raw_sql!(
        Postgres,
        r#"SELECT away, back FROM (
               SELECT CASE k.contype WHEN 'f' THEN 1 ELSE 2 END AS turn, CAST(k.conname AS text) AS name,
                      pg_catalog.format('ALTER TABLE %I.%I DROP CONSTRAINT %I', n.nspname, c.relname, k.conname) AS away,
                      pg_catalog.format('ALTER TABLE %I.%I ADD CONSTRAINT %I %s', n.nspname, c.relname, k.conname,
                          pg_catalog.pg_get_constraintdef(k.oid)) AS back
               FROM pg_catalog.pg_constraint AS k
               JOIN pg_catalog.pg_class AS c ON c.oid = k.conrelid
               JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
               WHERE n.nspname = {schema} AND k.contype IN ('f', 'x')
               UNION ALL
               SELECT 3, CAST(i.relname AS text), pg_catalog.format('DROP INDEX %I.%I', n.nspname, i.relname),
                      pg_catalog.pg_get_indexdef(x.indexrelid)
               FROM pg_catalog.pg_index AS x
               JOIN pg_catalog.pg_class AS i ON i.oid = x.indexrelid
               JOIN pg_catalog.pg_class AS c ON c.oid = x.indrelid
               JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
               WHERE n.nspname = {schema} AND c.relname <> 'schema_migrations'
                   AND NOT EXISTS (SELECT FROM pg_catalog.pg_constraint AS k WHERE k.conindid = x.indexrelid)
           ) AS dependent ORDER BY turn, name"#
    )
}
