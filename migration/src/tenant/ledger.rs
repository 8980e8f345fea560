//! The ledger of a tenant's schema: which migrations were applied to it, and what they said.

use std::time::Duration;

use clinicx_persistence::SystemExecutor;
use clinicx_types::uuid::Uuid;
use sea_orm::{DbBackend, DbErr, FromQueryResult, Statement, raw_sql, sea_query::IntoIden, sea_query::Table};
use sha2::{Digest, Sha256};
use sqlx::{Row, postgres::PgRow};

use super::{
    plan::PlannedMigration,
    script::{Script, ScriptTarget, col},
};

/// The table's name.
pub const TABLE: &str = "schema_migrations";

/// How a migration came into the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// It was run.
    Applied,
    /// Its tables existed already when the schema was adopted.
    Baseline,
}

/// One applied migration.
#[derive(Clone, Debug, PartialEq, Eq, FromQueryResult)]
pub struct LedgerRow {
    /// The module.
    pub module: String,
    /// Its place in the module's list, from 1.
    pub position: i32,
    /// The migration.
    pub name: String,
    /// SHA-256 over its script when it was applied, as hexadecimal digits.
    pub checksum: String,
}

/// Creates the ledger. It is a tenant's table like every other, which the tenant's role may only read.
pub fn create(script: &mut Script) {
    let mut table = Table::create();
    table
        .table(TABLE.into_iden())
        .col(col("module").string_len(63).not_null())
        .col(col("position").integer().not_null())
        .col(col("name").text().not_null())
        .col(col("checksum").char_len(64).not_null())
        .col(col("origin").text().not_null())
        .col(col("duration_ms").big_integer());
    script.create_read_only_table(table);
    script.add_constraint(TABLE, "ux_schema_migrations__module_position", "UNIQUE (module, position)");
    script.add_constraint(TABLE, "ux_schema_migrations__module_name", "UNIQUE (module, name)");
    script.add_constraint(
        TABLE,
        "ck_schema_migrations__origin",
        "CHECK (origin IN ('applied', 'baseline') AND position > 0)",
    );
}

/// Writes the ledger's rows of some migrations; nothing when there are none.
pub fn insert(
    target: &ScriptTarget,
    rows: &[(&PlannedMigration, Option<Duration>)],
    origin: Origin,
) -> Option<String> {
    let origin = match origin {
        Origin::Applied => "applied",
        Origin::Baseline => "baseline",
    };
    let values: Vec<String> = rows
        .iter()
        .map(|(planned, duration)| {
            let PlannedMigration { module, position, migration, checksum, .. } = planned;
            let id = row_id(target, module, migration.name);
            let duration = duration.map_or_else(|| "NULL".to_owned(), |took| took.as_millis().to_string());
            let name = migration.name.replace('\'', "''");
            format!("('{id}', '{module}', {position}, '{name}', '{checksum}', '{origin}', {duration})")
        })
        .collect();
    (!values.is_empty()).then(|| {
        format!(
            "INSERT INTO {TABLE} (id, module, position, name, checksum, origin, duration_ms) VALUES {}",
            values.join(", ")
        )
    })
}

/// Tells whether the schema on the search path has a ledger.
///
/// # Errors
/// What the database answers.
pub async fn exists(db: &impl SystemExecutor, schema: &str) -> Result<bool, DbErr> {
    #[derive(FromQueryResult)]
    struct Found {
        found: bool,
    }
    let table = TABLE;
    let statement = raw_sql!(
        Postgres,
        r#"SELECT EXISTS (
               SELECT FROM pg_catalog.pg_class AS c
               JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
               WHERE n.nspname = {schema} AND c.relname = {table}
           ) AS found"#
    );
    Ok(db.query_one::<Found>(statement).await?.is_some_and(|row| row.found))
}

/// Writes the statement that reads the ledger of the schema on the search path, for [`LedgerRow::read`].
pub(super) const READ: &str = "\
SELECT CAST(module AS text) AS module, position, name, CAST(checksum AS text) AS checksum \
FROM schema_migrations ORDER BY module, position";

/// Reads the ledger of the schema on the search path.
///
/// # Errors
/// What the database answers.
pub async fn read(db: &impl SystemExecutor) -> Result<Vec<LedgerRow>, DbErr> {
    db.query_all(query()).await
}

/// Returns the query with which [`read`] reads, for a connection of the tenant itself.
pub fn query() -> Statement {
    Statement::from_string(DbBackend::Postgres, READ)
}

/// Writes the statement that takes migrations out of the ledger; nothing when there are none.
pub(super) fn delete(rows: &[PlannedMigration]) -> Option<String> {
    let places: Vec<String> =
        rows.iter().map(|one| format!("('{}', {})", one.module, one.position)).collect();
    (!places.is_empty())
        .then(|| format!("DELETE FROM {TABLE} WHERE (module, position) IN (VALUES {})", places.join(", ")))
}

impl LedgerRow {
    /// Reads a row of [`READ`].
    pub(super) fn read(row: &PgRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            module: row.try_get("module")?,
            position: row.try_get("position")?,
            name: row.try_get("name")?,
            checksum: row.try_get("checksum")?,
        })
    }
}

/// The id of a ledger's row: made from what it says, so that a rendered script is always the same (RFC 9562
/// section 5.8).
fn row_id(target: &ScriptTarget, module: &str, name: &str) -> Uuid {
    let digest = Sha256::digest(format!("{}/{module}/{name}", target.tenant_id).as_bytes());
    let mut bytes = [0_u8; 16];
    bytes.iter_mut().zip(digest).for_each(|(to, from)| *to = from);
    clinicx_types::uuid::Builder::from_custom_bytes(bytes).into_uuid()
}
