//! What the login that reads the old tables may do: the expressions of a mapping can do the same.

use clinicx_migration::DatabaseFailure;
use sqlx::{PgConnection, Row};

use crate::error::AdoptionError;

/// One row for each thing that it may and must not; `$1` is the schema of the old tables.
const TOO_MUCH: &str = "\
SELECT 'is a superuser or may make roles, databases or replicas, or pass row-level security' AS what
FROM pg_catalog.pg_roles AS r
WHERE r.rolname = session_user
    AND (r.rolsuper OR r.rolcreaterole OR r.rolcreatedb OR r.rolreplication OR r.rolbypassrls)
UNION ALL
SELECT 'is a member of ' || pg_catalog.quote_ident(CAST(r.rolname AS text))
FROM pg_catalog.pg_auth_members AS m
JOIN pg_catalog.pg_roles AS r ON r.oid = m.roleid
WHERE m.member = (SELECT s.oid FROM pg_catalog.pg_roles AS s WHERE s.rolname = session_user)
    AND (r.rolname LIKE 'pg\\_%' OR r.rolname LIKE 'tenant\\_%' OR r.rolsuper OR r.rolcreaterole OR r.rolbypassrls
         OR EXISTS (SELECT FROM pg_catalog.pg_class AS c WHERE c.relowner = r.oid))
UNION ALL
(SELECT 'may change ' || pg_catalog.format('%I.%I', n.nspname, c.relname)
FROM pg_catalog.pg_class AS c
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'f') AND n.nspname NOT IN ('pg_catalog', 'information_schema')
    AND n.nspname NOT LIKE 'pg\\_toast%' AND n.nspname NOT LIKE 'pg\\_temp%'
    AND (pg_catalog.has_table_privilege(c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE, TRIGGER')
         OR (pg_catalog.has_any_column_privilege(c.oid, 'INSERT, UPDATE')
             -- Everybody may add audit rows, which say themselves who did.
             AND NOT (n.nspname = 'public' AND c.relname = 'audit_logs')))
LIMIT 1)
UNION ALL
(SELECT 'may read ' || pg_catalog.format('%I.%I', n.nspname, c.relname)
FROM pg_catalog.pg_class AS c
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname NOT IN ('pg_catalog', 'information_schema', $1)
    AND n.nspname NOT LIKE 'pg\\_toast%' AND n.nspname NOT LIKE 'pg\\_temp%'
    AND pg_catalog.has_schema_privilege(n.oid, 'USAGE') AND pg_catalog.has_any_column_privilege(c.oid, 'SELECT')
LIMIT 1)
UNION ALL
(SELECT 'may create in the schema ' || pg_catalog.quote_ident(CAST(n.nspname AS text))
FROM pg_catalog.pg_namespace AS n
WHERE n.nspname NOT LIKE 'pg\\_temp%' AND n.nspname NOT LIKE 'pg\\_toast\\_temp%'
    AND pg_catalog.has_schema_privilege(n.oid, 'CREATE')
LIMIT 1)
UNION ALL
(SELECT 'may call ' || pg_catalog.format('%I.%I', n.nspname, p.proname) || ', which has its owner''s rights'
FROM pg_catalog.pg_proc AS p
JOIN pg_catalog.pg_namespace AS n ON n.oid = p.pronamespace
WHERE p.prosecdef AND n.nspname NOT IN ('pg_catalog', 'information_schema')
    -- Two of this service's own: whose a role is, and the audit rows of that role alone.
    AND NOT (n.nspname = 'public' AND p.proname IN ('tenant_id_of', 'tenant_audit_logs'))
    AND pg_catalog.has_schema_privilege(n.oid, 'USAGE') AND pg_catalog.has_function_privilege(p.oid, 'EXECUTE')
LIMIT 1)";

/// Refuses a login that may do anything but read the old tables.
pub(super) async fn require_reading_alone(
    connection: &mut PgConnection,
    schema: &str,
) -> Result<(), AdoptionError> {
    let failed = |error| DatabaseFailure::new("look at the rights of the reading login", error);
    let found = sqlx::query(TOO_MUCH).bind(schema).fetch_optional(&mut *connection).await.map_err(failed)?;
    let Some(row) = found else { return Ok(()) };
    let what: String = row.try_get(0).map_err(failed)?;
    let login: String = sqlx::query_scalar("SELECT CAST(session_user AS text)")
        .fetch_one(connection)
        .await
        .map_err(failed)?;
    Err(AdoptionError::ReaderMayMore { login, what })
}
