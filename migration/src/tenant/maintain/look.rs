//! What the catalog says of a schema's tables and indexes.

use std::collections::BTreeMap;

use clinicx_types::{id::TenantId, name::SchemaName};
use sqlx::{Row, postgres::PgRow};

use crate::{failure::DatabaseFailure, owner::OwnerConnection};

const LOOK: &str = "look at a schema";

/// A table or index with its schema, quoted by PostgreSQL itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place(String);

impl Place {
    /// Returns it as it stands in a statement.
    pub(super) fn quoted(&self) -> &str {
        &self.0
    }

    #[cfg(test)]
    pub(super) fn for_test(text: &str) -> Self {
        Self(text.to_owned())
    }
}

/// What is known of a table.
#[derive(Clone, Debug)]
pub(super) struct Table {
    pub(super) name: String,
    pub(super) place: Place,
    pub(super) bytes: i64,
    pub(super) live: i64,
    pub(super) dead: i64,
    pub(super) changed: i64,
    pub(super) is_analyzed: bool,
    pub(super) options: String,
}

/// What is known of an index.
#[derive(Clone, Debug)]
pub(super) struct Index {
    pub(super) name: String,
    pub(super) table: String,
    pub(super) place: Place,
    pub(super) bytes: i64,
    /// How many entries it has; negative while nobody has counted them.
    pub(super) rows: f64,
    pub(super) is_valid: bool,
    /// Whether it can be built again while its table is used.
    pub(super) is_rebuildable: bool,
    /// The bytes of its columns, when each is always as long.
    pub(super) width: Option<i64>,
}

/// How many bytes a row has in an index that is not bloated, by the names of table and index.
pub(super) type Baselines = BTreeMap<(String, String), f64>;

const TABLES: &str = "\
SELECT CAST(c.relname AS text) AS name, format('%I.%I', n.nspname, c.relname) AS place,
       pg_relation_size(c.oid) AS bytes, pg_stat_get_live_tuples(c.oid) AS live,
       pg_stat_get_dead_tuples(c.oid) AS dead, pg_stat_get_mod_since_analyze(c.oid) AS changed,
       COALESCE(pg_stat_get_last_analyze_time(c.oid), pg_stat_get_last_autoanalyze_time(c.oid)) IS NOT NULL
           AS is_analyzed,
       COALESCE(array_to_string(c.reloptions, ','), '') AS options
FROM pg_catalog.pg_class AS c
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND n.nspname = ";

const INDEXES: &str = "\
SELECT CAST(c.relname AS text) AS name, CAST(t.relname AS text) AS table_name,
       format('%I.%I', n.nspname, c.relname) AS place, pg_relation_size(c.oid) AS bytes,
       CAST(c.reltuples AS double precision) AS rows, i.indisvalid AS is_valid,
       m.amname = 'btree' AND NOT i.indisexclusion AS is_rebuildable,
       (SELECT CASE WHEN bool_and(a.attlen > 0) THEN CAST(sum(a.attlen) AS bigint) END
        FROM pg_catalog.pg_attribute AS a
        WHERE a.attrelid = c.oid AND a.attnum > 0) AS width
FROM pg_catalog.pg_index AS i
JOIN pg_catalog.pg_class AS c ON c.oid = i.indexrelid
JOIN pg_catalog.pg_class AS t ON t.oid = i.indrelid
JOIN pg_catalog.pg_am AS m ON m.oid = c.relam
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname = ";

/// All tenants have the same indexes, so that the leanest of each says how large it need be.
const BASELINES: &str = "\
SELECT CAST(t.relname AS text) AS table_name, CAST(c.relname AS text) AS name,
       min(pg_relation_size(c.oid) / CAST(c.reltuples AS double precision)) AS bytes_per_row
FROM pg_catalog.pg_index AS i
JOIN pg_catalog.pg_class AS c ON c.oid = i.indexrelid
JOIN pg_catalog.pg_class AS t ON t.oid = i.indrelid
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname LIKE 'tenant\\_%' AND i.indisvalid AND c.reltuples >= 1000
GROUP BY t.relname, c.relname";

/// Lists the tables of a schema.
pub(super) async fn tables(
    connection: &mut OwnerConnection,
    schema: &SchemaName,
) -> Result<Vec<Table>, DatabaseFailure> {
    let rows = connection.rows(LOOK, format!("{TABLES}{}", schema.literal())).await?;
    rows.iter().map(table).collect::<Result<_, _>>().map_err(unreadable)
}

fn table(row: &PgRow) -> Result<Table, sqlx::Error> {
    Ok(Table {
        name: row.try_get("name")?,
        place: Place(row.try_get("place")?),
        bytes: row.try_get("bytes")?,
        live: row.try_get("live")?,
        dead: row.try_get("dead")?,
        changed: row.try_get("changed")?,
        is_analyzed: row.try_get("is_analyzed")?,
        options: row.try_get("options")?,
    })
}

/// Lists the indexes of a schema.
pub(super) async fn indexes(
    connection: &mut OwnerConnection,
    schema: &SchemaName,
) -> Result<Vec<Index>, DatabaseFailure> {
    let rows = connection.rows(LOOK, format!("{INDEXES}{}", schema.literal())).await?;
    rows.iter().map(index).collect::<Result<_, _>>().map_err(unreadable)
}

fn index(row: &PgRow) -> Result<Index, sqlx::Error> {
    Ok(Index {
        name: row.try_get("name")?,
        table: row.try_get("table_name")?,
        place: Place(row.try_get("place")?),
        bytes: row.try_get("bytes")?,
        rows: row.try_get("rows")?,
        is_valid: row.try_get("is_valid")?,
        is_rebuildable: row.try_get("is_rebuildable")?,
        width: row.try_get("width")?,
    })
}

/// Returns the leanest of each index in the whole fleet.
pub(super) async fn baselines(connection: &mut OwnerConnection) -> Result<Baselines, DatabaseFailure> {
    let rows = connection.rows(LOOK, BASELINES.to_owned()).await?;
    let pair = |row: &PgRow| -> Result<_, sqlx::Error> {
        Ok(((row.try_get("table_name")?, row.try_get("name")?), row.try_get("bytes_per_row")?))
    };
    rows.iter().map(pair).collect::<Result<_, _>>().map_err(unreadable)
}

/// Returns how lean those indexes of a tenant were that have been built again here.
pub(super) async fn own_baselines(
    connection: &mut OwnerConnection,
    tenant: TenantId,
) -> Result<BTreeMap<String, f64>, DatabaseFailure> {
    let text = format!(
        "SELECT index_name, bytes_per_row FROM public.tenant_index_baselines WHERE tenant_id = '{tenant}'"
    );
    let rows = connection.rows(LOOK, text).await?;
    let pair = |row: &PgRow| -> Result<_, sqlx::Error> {
        Ok((row.try_get("index_name")?, row.try_get("bytes_per_row")?))
    };
    rows.iter().map(pair).collect::<Result<_, _>>().map_err(unreadable)
}

pub(super) fn unreadable(error: sqlx::Error) -> DatabaseFailure {
    DatabaseFailure::new(LOOK, error)
}
