//! The tenant's row of the registry while its schema is changed.
//!
//! The statements hold ids, names and numbers that were parsed into types, and no word of anybody's: they go to the
//! server in one batch with what else is written, which a thousand tenants notice.

use std::collections::BTreeMap;

use clinicx_types::{id::TenantId, version::SchemaVersion};
use sqlx::{Column, Row, postgres::PgRow};

use super::{MigrateError, Subject};
use crate::{failure::DatabaseFailure, owner::OwnerTransaction};

/// What the registry says of a tenant whose row is locked.
#[derive(Clone, Copy, Debug)]
pub(in crate::tenant) struct Registered {
    pub(in crate::tenant) version: i64,
    pub(in crate::tenant) schema_version: SchemaVersion,
}

/// Writes the statement that locks the tenant's row, so that its state can't change meanwhile.
pub(super) fn lock_statement(subject: &Subject) -> String {
    format!(
        "SELECT version, CAST(schema_version AS text) AS schema_version FROM public.tenants \
         WHERE id = '{}' AND database_schema = {} AND status <> 'purged' FOR NO KEY UPDATE",
        subject.tenant_id,
        subject.schema.literal()
    )
}

/// Locks the tenant's row in the registry, so that its state can't change meanwhile.
pub(in crate::tenant) async fn lock(
    tx: &OwnerTransaction,
    subject: &Subject,
) -> Result<Registered, MigrateError> {
    let rows = tx.rows("lock the registry row", lock_statement(subject)).await?;
    rows.first().map_or(Err(MigrateError::UnknownTenant), read)
}

/// Tells whether a row is that of [`lock_statement`].
pub(super) fn is_row(row: &PgRow) -> bool {
    row.columns().iter().any(|column| column.name() == "schema_version")
}

/// Reads the row of [`lock_statement`].
pub(super) fn read(row: &PgRow) -> Result<Registered, MigrateError> {
    let failed = |error| DatabaseFailure::new("lock the registry row", error);
    let schema_version: String = row.try_get("schema_version").map_err(failed)?;
    Ok(Registered {
        version: row.try_get("version").map_err(failed)?,
        // The column's check lets nothing else in; a version that is none is overwritten.
        schema_version: schema_version.parse().unwrap_or_default(),
    })
}

/// Writes how far each module has come, and the schema's version; nothing that is written already. `before` runs
/// first. Returns the version and whether anything of the registry was written.
pub(in crate::tenant) async fn write(
    tx: &OwnerTransaction,
    id: TenantId,
    counts: &BTreeMap<&'static str, i32>,
    mut before: Vec<String>,
) -> Result<(SchemaVersion, bool), MigrateError> {
    before.extend(statements(id, counts));
    let rows = tx.rows("write the ledger and the registry", before.join(";\n")).await?;
    let read = |row: &PgRow| row.try_get::<String, _>("version").ok();
    let version = rows.iter().rev().find_map(read).ok_or(MigrateError::UnknownTenant)?;
    // Each row that was written answers with one, and the version is one more.
    Ok((version.parse().unwrap_or_default(), rows.len() > 1))
}

fn statements(id: TenantId, counts: &BTreeMap<&'static str, i32>) -> Vec<String> {
    let modules: Vec<String> =
        counts.iter().map(|(module, count)| format!("('{id}', '{module}', {count}, true)")).collect();
    let mut statements = Vec::new();
    if !modules.is_empty() {
        statements.push(format!(
            "INSERT INTO public.tenant_modules AS m (tenant_id, module, schema_version, enabled) VALUES {} \
             ON CONFLICT (tenant_id, module) DO UPDATE SET schema_version = excluded.schema_version, enabled = true \
             WHERE m.schema_version <> excluded.schema_version OR NOT m.enabled \
             RETURNING CAST(m.module AS text) AS written",
            modules.join(", ")
        ));
    }
    statements.push(format!(
        "UPDATE public.tenants AS t \
         SET schema_version = m.version, modules = m.names, version = t.version + 1, updated_at = now() \
         FROM (SELECT concat('1.', COALESCE(sum(schema_version) FILTER (WHERE module = 'core'), 0), '.', \
                             COALESCE(sum(schema_version) FILTER (WHERE module <> 'core'), 0)) AS version, \
                      COALESCE(array_agg(CAST(module AS text) ORDER BY module) FILTER (WHERE enabled), \
                               CAST(ARRAY[] AS text[])) AS names \
               FROM public.tenant_modules WHERE tenant_id = '{id}') AS m \
         WHERE t.id = '{id}' AND (t.schema_version <> m.version OR t.modules <> m.names) \
         RETURNING t.slug AS written"
    ));
    statements.push(format!(
        "SELECT CAST(schema_version AS text) AS version FROM public.tenants WHERE id = '{id}'"
    ));
    statements
}
