//! Tables of a tenant's schema, as the catalog names them.

use clinicx_migration::tenant::ledger;
use clinicx_persistence::SystemExecutor;
use clinicx_types::name::SchemaName;
use sea_orm::{DbErr, FromQueryResult, raw_sql};
use serde::{Deserialize, Serialize};

/// A table and the columns that are written: not those that are computed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Table {
    /// Its name.
    pub name: Identifier,
    /// Its columns, in their order.
    pub columns: Vec<Column>,
}

/// A column.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Column {
    /// Its name.
    pub name: Identifier,
    /// Its type, as PostgreSQL writes it.
    #[serde(rename = "type")]
    pub type_: String,
}

/// A name from the catalog. It reaches SQL quoted.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Identifier(String);

impl Identifier {
    /// Returns the bare name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the name as it stands in SQL.
    pub fn quoted(&self) -> String {
        format!("\"{}\"", self.0.replace('"', "\"\""))
    }
}

impl Table {
    /// Returns the place of a column.
    pub(crate) fn place(&self, column: &str) -> Option<usize> {
        self.columns.iter().position(|known| known.name.as_str() == column)
    }

    /// Tells whether another has the same columns, in whatever order.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        let sorted = |table: &Self| {
            let mut columns = table.columns.clone();
            columns.sort();
            columns
        };
        sorted(self) == sorted(other)
    }

    /// Writes the statement that reads its rows.
    pub(crate) fn copy_out(&self, schema: &SchemaName) -> String {
        format!("COPY {} TO STDOUT", self.named(schema))
    }

    /// Writes the statement that takes its rows.
    pub(crate) fn copy_in(&self, schema: &SchemaName) -> String {
        format!("COPY {} FROM STDIN", self.named(schema))
    }

    fn named(&self, schema: &SchemaName) -> String {
        let columns: Vec<String> = self.columns.iter().map(|column| column.name.quoted()).collect();
        format!("{}.{} ({})", schema.quoted(), self.name.quoted(), columns.join(", "))
    }
}

#[derive(FromQueryResult)]
struct Row {
    table: String,
    column: String,
    type_: String,
}

/// Lists the tables of a schema with their columns, by name. The ledger of migrations is none of them: migrations
/// write it.
///
/// # Errors
/// What the database answers.
pub(crate) async fn tables(db: &impl SystemExecutor, schema: &SchemaName) -> Result<Vec<Table>, DbErr> {
    let (schema, ledger) = (schema.as_str(), ledger::TABLE);
    let rows: Vec<Row> = db
        .query_all(raw_sql!(
            Postgres,
            r#"SELECT CAST(c.relname AS text) AS "table", CAST(a.attname AS text) AS "column",
                      pg_catalog.format_type(a.atttypid, a.atttypmod) AS type_
               FROM pg_catalog.pg_class AS c
               JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
               JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.oid
               WHERE n.nspname = {schema} AND c.relkind = 'r' AND c.relname <> {ledger}
                   AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
               ORDER BY c.relname, a.attnum"#
        ))
        .await?;
    let mut tables: Vec<Table> = Vec::new();
    for row in rows {
        let column = Column { name: Identifier(row.column), type_: row.type_ };
        match tables.last_mut() {
            Some(table) if table.name.as_str() == row.table => table.columns.push(column),
            _ => tables.push(Table { name: Identifier(row.table), columns: vec![column] }),
        }
    }
    Ok(tables)
}
