//! Reads the mapped rows of one clinic, as a login that can do nothing else.

use std::collections::{BTreeMap, BTreeSet};

use clinicx_core::intake::Thing;
use clinicx_migration::DatabaseFailure;
use futures_util::{StreamExt, TryStreamExt, stream::BoxStream};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, Row, postgres::PgConnectOptions};

use super::{connect, rights};
use crate::{
    error::AdoptionError,
    mapping::{Mapping, MappingError, Origin, TableMapping},
};

/// Which rows are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// All of the clinic.
    All,
    /// Those of the clinic with these keys.
    Keys(BTreeSet<String>),
}

/// A row as it was read: its key, and the values of the mapped fields in their order.
pub(crate) struct Read {
    pub(crate) key: Option<String>,
    pub(crate) values: Vec<Option<String>>,
}

/// The types of the columns by which rows are found.
#[derive(Clone, Debug)]
struct Types {
    tenant: String,
    key: String,
}

/// A connection of the login that reads.
#[derive(Debug)]
pub struct Reader {
    connection: PgConnection,
    types: BTreeMap<Thing, Types>,
}

impl Reader {
    /// Connects, and refuses a login that may do more than read the old tables, and tables without a column that the
    /// mapping names.
    ///
    /// # Errors
    /// [`AdoptionError::ReaderMayMore`], [`AdoptionError::Mapping`], [`AdoptionError::Legacy`].
    pub async fn open(options: &PgConnectOptions, mapping: &Mapping) -> Result<Self, AdoptionError> {
        let mut connection = connect(options).await?;
        rights::require_reading_alone(&mut connection, mapping.schema.as_str()).await?;
        connection
            .execute("SET default_transaction_read_only TO on")
            .await
            .map_err(|error| DatabaseFailure::new("set up the session", error))?;
        let mut types = BTreeMap::new();
        for (thing, table) in &mapping.tables {
            types.insert(*thing, types_of(&mut connection, mapping, *thing, table).await?);
        }
        Ok(Self { connection, types })
    }

    /// Opens a snapshot, in which all that is read agrees, until [`Reader::leave`].
    pub(crate) async fn enter(&mut self) -> Result<(), DatabaseFailure> {
        let text = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
        self.connection
            .execute(text)
            .await
            .map_err(|error| DatabaseFailure::new("open a snapshot", error))?;
        Ok(())
    }

    /// Lets the snapshot go.
    pub(crate) async fn leave(&mut self) -> Result<(), DatabaseFailure> {
        self.connection
            .execute("ROLLBACK")
            .await
            .map_err(|error| DatabaseFailure::new("let the snapshot go", error))?;
        Ok(())
    }

    /// Counts the rows of a clinic that are to be read.
    pub(crate) async fn count(&mut self, mapping: &Mapping, tenant: &str) -> Result<u64, AdoptionError> {
        let mut all = 0;
        for (thing, table) in &mapping.tables {
            let Some(types) = self.types.get(thing) else { continue };
            let sql = format!(
                "SELECT count(*) FROM {} AS t WHERE {}",
                mapping.relation(table),
                condition(table, types)
            );
            let count: i64 = sqlx::query_scalar(AssertSqlSafe(sql))
                .bind(tenant)
                .fetch_one(&mut self.connection)
                .await
                .map_err(|error| DatabaseFailure::new("count the old rows", error))?;
            all += u64::try_from(count).unwrap_or_default();
        }
        Ok(all)
    }

    /// Reads the rows of a clinic from one table, in the order of their keys.
    pub(crate) fn rows<'a>(
        &'a mut self,
        mapping: &Mapping,
        (thing, table): (Thing, &TableMapping),
        tenant: &str,
        wanted: &Wanted,
    ) -> BoxStream<'a, Result<Read, DatabaseFailure>> {
        let Some(types) = self.types.get(&thing) else { return futures_util::stream::empty().boxed() };
        let key = table.key.quoted();
        let mut columns = vec![format!("CAST(t.{key} AS text)")];
        columns.extend(table.columns.values().map(|source| format!("CAST({} AS text)", source.sql())));
        let mut sql = format!(
            "SELECT {} FROM {} AS t WHERE {}",
            columns.join(", "),
            mapping.relation(table),
            condition(table, types)
        );
        let keys = match wanted {
            Wanted::All => None,
            Wanted::Keys(keys) => {
                sql.push_str(&format!(" AND t.{key} = ANY (CAST($2 AS {}[]))", types.key));
                Some(keys.iter().cloned().collect::<Vec<String>>())
            }
        };
        sql.push_str(&format!(" ORDER BY t.{key}"));
        let mut query = sqlx::query(AssertSqlSafe(sql)).bind(tenant.to_owned());
        if let Some(keys) = keys {
            query = query.bind(keys);
        }
        let action = action(thing);
        let width = table.columns.len();
        query
            .persistent(false)
            .fetch(&mut self.connection)
            .map_err(move |error| DatabaseFailure::new(action, error))
            .map(move |row| {
                let row = row?;
                let value = |at: usize| {
                    row.try_get::<Option<String>, _>(at).map_err(|error| DatabaseFailure::new(action, error))
                };
                let values = (1..=width).map(value).collect::<Result<Vec<_>, _>>()?;
                Ok(Read { key: value(0)?, values })
            })
            .boxed()
    }

    /// Closes it.
    pub async fn close(self) {
        // Nothing is open on it; a failure to say good-bye changes nothing.
        let _closed = self.connection.close().await;
    }
}

/// Takes the turn of whoever moves a clinic; another has to wait until the connection is closed.
///
/// # Errors
/// [`AdoptionError::Busy`] when another has it; [`AdoptionError::Legacy`].
pub async fn take_turn(options: &PgConnectOptions, tenant: &str) -> Result<PgConnection, AdoptionError> {
    let failed = |error| DatabaseFailure::new("take the clinic's turn", error);
    let mut connection = connect(options).await?;
    connection.execute("BEGIN").await.map_err(failed)?;
    let taken: bool = sqlx::query_scalar(
        "SELECT pg_catalog.pg_try_advisory_xact_lock(pg_catalog.hashtextextended('clinicx adopts ' || $1, 0))",
    )
    .bind(tenant)
    .fetch_one(&mut connection)
    .await
    .map_err(failed)?;
    if taken { Ok(connection) } else { Err(AdoptionError::Busy) }
}

/// The condition under which a row is one of the clinic that is to be moved. The tenant's value takes the type of
/// the column, so that an index on it serves; as texts they must be the same too, as they are for the gate.
fn condition(table: &TableMapping, types: &Types) -> String {
    let column = table.tenant.quoted();
    let mine = format!("t.{column} = CAST($1 AS {}) AND CAST(t.{column} AS text) = $1", types.tenant);
    match &table.filter {
        Some(filter) => format!("{mine} AND ({filter})"),
        None => mine,
    }
}

fn action(thing: Thing) -> &'static str {
    match thing {
        Thing::Staff => "read the rows for staff",
        Thing::Room => "read the rows for rooms",
        Thing::Service => "read the rows for services",
        Thing::Patient => "read the rows for patients",
        Thing::WorkingHours => "read the rows for working_hours",
        Thing::TimeOff => "read the rows for time_off",
        Thing::Appointment => "read the rows for appointments",
    }
}

/// Looks a table's columns up, and names one that it has not.
async fn types_of(
    connection: &mut PgConnection,
    mapping: &Mapping,
    thing: Thing,
    table: &TableMapping,
) -> Result<Types, AdoptionError> {
    // A type without its length: a value that is too long must not be cut to another's.
    let rows = sqlx::query(
        "SELECT CAST(a.attname AS text), pg_catalog.format_type(a.atttypid, -1) \
         FROM pg_catalog.pg_attribute AS a \
         JOIN pg_catalog.pg_class AS c ON c.oid = a.attrelid \
         JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace \
         WHERE n.nspname = $1 AND c.relname = $2 AND a.attnum > 0 AND NOT a.attisdropped",
    )
    .bind(mapping.schema.as_str())
    .bind(table.from.as_str())
    .fetch_all(connection)
    .await
    .map_err(|error| DatabaseFailure::new("look the old tables up", error))?;
    let mut columns: BTreeMap<String, String> = BTreeMap::new();
    for row in rows {
        let read = |error| DatabaseFailure::new("look the old tables up", error);
        columns.insert(row.try_get(0).map_err(read)?, row.try_get(1).map_err(read)?);
    }
    let path = format!("tables.{}", thing.table());
    if columns.is_empty() {
        let what = format!("names the table {}, which is not there", mapping.relation(table));
        return Err(MappingError::Wrong { key: format!("{path}.from"), what }.into());
    }
    let find = |key: String, name: &str| {
        columns.get(name).cloned().ok_or_else(|| {
            let nearest = columns
                .keys()
                .max_by(|a, b| strsim::jaro_winkler(name, a).total_cmp(&strsim::jaro_winkler(name, b)));
            let hint = nearest.map(|name| format!("; did you mean {name}?")).unwrap_or_default();
            MappingError::Wrong { key, what: format!("names the column {name}, which is not there{hint}") }
        })
    };
    for (field, source) in &table.columns {
        if let Origin::Column(name) = &source.origin {
            find(format!("{path}.columns.{field}"), name.as_str())?;
        }
    }
    Ok(Types {
        tenant: find(format!("{path}.tenant"), table.tenant.as_str())?,
        key: find(format!("{path}.key"), table.key.as_str())?,
    })
}
