//! The audit trail: rows that are only ever added, and whose origin the database itself writes down.

use super::{
    SystemMigration,
    roles::SystemRole::{App, Backup, Control},
    script::SystemScript,
};

pub(super) const MIGRATION: SystemMigration =
    SystemMigration { name: "m0002_audit", up, irreversible: "an audit trail is kept" };

/// The tenant whose role this is, or NULL. A tenant's role learns its own alone.
///
/// Everybody may execute it because it is a column default, which runs with the rights of whoever inserts. The
/// setting `role` is what SET ROLE left there; it is not changed by SECURITY DEFINER.
pub(super) const TENANT_ID_OF: &str = "\
CREATE FUNCTION tenant_id_of(p_role text) RETURNS uuid
LANGUAGE plpgsql STABLE STRICT SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $fn$
BEGIN
    IF p_role NOT LIKE 'tenant\\_%'
        OR (current_setting('role') LIKE 'tenant\\_%' AND current_setting('role') <> p_role)
    THEN
        RETURN NULL;
    END IF;
    RETURN (SELECT t.id FROM public.tenants AS t WHERE t.database_schema = p_role);
END
$fn$";

const TABLE: &str = "\
CREATE TABLE audit_logs (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    tenant_id uuid DEFAULT public.tenant_id_of(current_user::text),
    database_role text NOT NULL DEFAULT current_user,
    actor_kind text NOT NULL,
    actor_id uuid,
    actor_job text,
    action text NOT NULL,
    entity text NOT NULL,
    entity_id uuid,
    patient_id uuid,
    request_id uuid,
    source_address inet,
    before jsonb,
    after jsonb,
    CONSTRAINT pk_audit_logs PRIMARY KEY (id),
    CONSTRAINT ck_audit_logs__actor_kind CHECK (actor_kind IN ('user', 'operator', 'system', 'anonymous'))
)";

/// What a writer may say; the rest is the database's to say. PUBLIC, because a list of a thousand tenants' roles in
/// each column's rights outgrows a catalog row: nobody but the logins may connect, and nobody may read.
const GRANT_TO_EVERYBODY: &str = "\
GRANT INSERT (actor_kind, actor_id, actor_job, action, entity, entity_id, patient_id, request_id, source_address, \
before, after) ON TABLE audit_logs TO PUBLIC";

/// Anybody who can connect may add rows; the backup login is for reading. The rows that are there are left alone.
pub(super) const BACKUP_READS: SystemMigration = SystemMigration {
    name: "m0043_backup_writes_no_audit",
    up: backup_reads,
    irreversible: "the backup login would write again",
};

fn backup_reads(script: &mut SystemScript<'_>) {
    let backup = script.name_of(Backup);
    script.role_sql(format!(
        "ALTER TABLE audit_logs ADD CONSTRAINT ck_audit_logs__database_role CHECK (database_role <> '{backup}') NOT VALID"
    ));
}

fn up(script: &mut SystemScript<'_>) {
    script.sql(TENANT_ID_OF);
    script.sql("GRANT EXECUTE ON FUNCTION tenant_id_of(text) TO PUBLIC");
    script.sql(TABLE);
    script
        .sql("CREATE INDEX ix_audit_logs__tenant_id_recorded_at ON audit_logs (tenant_id, recorded_at, id)");
    script.sql(
        "CREATE INDEX ix_audit_logs__tenant_id_patient_id ON audit_logs (tenant_id, patient_id, recorded_at, id) \
         WHERE patient_id IS NOT NULL",
    );
    script.sql(GRANT_TO_EVERYBODY);
    // The service and the control login write rows about a tenant without being its role.
    script.grant("INSERT (tenant_id)", "audit_logs", &[App, Control]);
}
