//! The audit trail, second part: whose data a read has shown, who may look, and the Merkle log that seals the rows.

use super::{SystemMigration, roles::SystemRole::Control, script::SystemScript};

pub(super) const MIGRATION: SystemMigration =
    SystemMigration { name: "m0005_sealed_audit", up, irreversible: "an audit trail is kept" };

/// `transaction_id` says in which transaction a row was written, so that rows that are not sealed yet are found
/// without reading the sealed ones; no writer may set it.
const COLUMNS: &str = "\
ALTER TABLE audit_logs
    ADD COLUMN session_id uuid,
    ADD COLUMN break_glass_id uuid,
    ADD COLUMN patient_ids uuid[],
    ADD COLUMN transaction_id xid8 NOT NULL DEFAULT pg_current_xact_id(),
    ADD CONSTRAINT ck_audit_logs__patient_ids CHECK (array_position(patient_ids, NULL) IS NULL)";

const GRANT_TO_EVERYBODY: &str =
    "GRANT INSERT (session_id, break_glass_id, patient_ids) ON TABLE audit_logs TO PUBLIC";

/// The leaf of a row stays when the row is pruned; that is what makes the rest provable.
const LEAVES: &str = "\
CREATE TABLE audit_leaves (
    position bigint NOT NULL,
    audit_id uuid NOT NULL,
    encoding smallint NOT NULL,
    leaf_hash bytea NOT NULL,
    CONSTRAINT pk_audit_leaves PRIMARY KEY (position),
    CONSTRAINT ux_audit_leaves__audit_id UNIQUE (audit_id),
    CONSTRAINT ck_audit_leaves__position CHECK (position >= 0),
    CONSTRAINT ck_audit_leaves__leaf_hash CHECK (octet_length(leaf_hash) = 32)
)";

/// `frontier` holds the roots of the perfect subtrees, largest first: what the next root is made from.
/// Every row written in a transaction before `settled_below` is sealed.
const CHECKPOINTS: &str = "\
CREATE TABLE audit_checkpoints (
    tree_size bigint NOT NULL,
    root_hash bytea NOT NULL,
    frontier bytea NOT NULL,
    settled_below xid8 NOT NULL,
    note text NOT NULL,
    created_at timestamptz NOT NULL,
    CONSTRAINT pk_audit_checkpoints PRIMARY KEY (tree_size),
    CONSTRAINT ck_audit_checkpoints__root_hash CHECK (octet_length(root_hash) = 32)
)";

/// What a tenant's role reads of the audit: its own tenant's rows, by the role that was set and nothing that a
/// caller says. A function and not a view: behind a view's barrier the index on `patient_ids` would not be used.
/// The text is constant; EXECUTE plans it for the filters that are there.
pub(super) const TENANT_AUDIT_LOGS: &str = "\
CREATE FUNCTION tenant_audit_logs(
    p_patient_id uuid, p_actor_id uuid, p_action text, p_entity text, p_entity_id uuid,
    p_from timestamptz, p_to timestamptz, p_after_at timestamptz, p_after_id uuid, p_limit integer
) RETURNS TABLE (
    id uuid, recorded_at timestamptz, actor_kind text, actor_id uuid, actor_job text, session_id uuid,
    break_glass_id uuid, action text, entity text, entity_id uuid, patient_id uuid, patient_ids uuid[],
    request_id uuid, source_address text, before jsonb, after jsonb
)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $fn$
BEGIN
    RETURN QUERY EXECUTE
        'SELECT a.id, a.recorded_at, a.actor_kind, a.actor_id, a.actor_job, a.session_id, a.break_glass_id, a.action,
                a.entity, a.entity_id, a.patient_id, a.patient_ids, a.request_id, host(a.source_address), a.before,
                a.after
         FROM public.audit_logs AS a
         WHERE a.tenant_id = $1
             AND ($2 IS NULL OR a.patient_id = $2 OR a.patient_ids @> ARRAY[$2])
             AND ($3 IS NULL OR a.actor_id = $3)
             AND ($4 IS NULL OR a.action = $4)
             AND ($5 IS NULL OR a.entity = $5)
             AND ($6 IS NULL OR a.entity_id = $6)
             AND ($7 IS NULL OR a.recorded_at >= $7)
             AND ($8 IS NULL OR a.recorded_at < $8)
             AND ($9 IS NULL OR (a.recorded_at, a.id) < ($9, $10))
         ORDER BY a.recorded_at DESC, a.id DESC
         LIMIT $11'
    USING public.tenant_id_of(current_setting('role')), p_patient_id, p_actor_id, p_action, p_entity, p_entity_id,
        p_from, p_to, p_after_at, p_after_id, p_limit;
END
$fn$";

pub(super) const GRANT_TENANT_AUDIT_LOGS: &str = "\
GRANT EXECUTE ON FUNCTION tenant_audit_logs(uuid, uuid, text, text, uuid, timestamptz, timestamptz, timestamptz, uuid,
    integer) TO PUBLIC";

fn up(script: &mut SystemScript<'_>) {
    script.sql(COLUMNS);
    script.sql(
        "CREATE INDEX ix_audit_logs__patient_ids ON audit_logs USING gin (patient_ids) \
         WHERE patient_ids IS NOT NULL",
    );
    script.sql("CREATE INDEX ix_audit_logs__transaction_id_id ON audit_logs (transaction_id, id)");
    script.sql("CREATE INDEX ix_audit_logs__recorded_at_id ON audit_logs (recorded_at, id)");
    script.sql("CREATE INDEX ix_audit_logs__pruned ON audit_logs (id) WHERE action = 'audit.pruned'");
    script.sql(GRANT_TO_EVERYBODY);
    script.sql(LEAVES);
    script.sql(CHECKPOINTS);
    script.sql(TENANT_AUDIT_LOGS);
    script.sql(GRANT_TENANT_AUDIT_LOGS);
    // It seals, and it answers operators; it can add to the log and change nothing in it.
    script.grant("SELECT", "audit_logs", &[Control]);
    script.grant("SELECT, INSERT (position, audit_id, encoding, leaf_hash)", "audit_leaves", &[Control]);
    script.grant(
        "SELECT, INSERT (tree_size, root_hash, frontier, settled_below, note, created_at)",
        "audit_checkpoints",
        &[Control],
    );
}
