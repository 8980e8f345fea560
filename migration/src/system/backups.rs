//! The backups of tenants.

use super::{
    SystemMigration,
    roles::SystemRole::{App, Control},
    script::SystemScript,
};

pub(super) const MIGRATION: SystemMigration = SystemMigration {
    name: "m0034_tenant_backups",
    up,
    irreversible: "without it nobody knows which archives there are, and of whom",
};

/// A backup outlives its tenant, so that neither the tenant's end nor that of its tombstone takes the row away.
/// `manifest_mac` is over the manifest that was written: another archive in its place is noticed.
const TABLE: &str = "\
CREATE TABLE tenant_backups (
    id uuid NOT NULL,
    tenant_id uuid NOT NULL,
    tenant_slug text NOT NULL,
    state text NOT NULL,
    reason text NOT NULL,
    location text NOT NULL,
    schema_version text,
    row_count bigint,
    raw_bytes bigint,
    stored_bytes bigint,
    manifest_mac char(64),
    lsn text,
    error text,
    verification text,
    taken_at timestamptz,
    started_at timestamptz NOT NULL,
    finished_at timestamptz,
    verified_at timestamptz,
    removed_at timestamptz,
    CONSTRAINT pk_tenant_backups PRIMARY KEY (id),
    CONSTRAINT ck_tenant_backups__state CHECK (state IN ('running', 'stored', 'failed', 'removed')),
    CONSTRAINT ck_tenant_backups__reason CHECK (reason IN ('demand', 'schedule')),
    CONSTRAINT ck_tenant_backups__stored CHECK (
        state <> 'stored' OR (manifest_mac IS NOT NULL AND taken_at IS NOT NULL AND finished_at IS NOT NULL)),
    CONSTRAINT ck_tenant_backups__verification CHECK (
        verification IN ('passed', 'failed') AND verified_at IS NOT NULL OR verification IS NULL AND verified_at IS NULL),
    CONSTRAINT ck_tenant_backups__removed CHECK ((state = 'removed') = (removed_at IS NOT NULL))
)";

fn up(script: &mut SystemScript<'_>) {
    script.sql(TABLE);
    script.sql("CREATE INDEX ix_tenant_backups__tenant_id_id ON tenant_backups (tenant_id, id)");
    script.sql(
        "CREATE INDEX ix_tenant_backups__started_at ON tenant_backups (started_at) WHERE state = 'running'",
    );
    script.grant("SELECT", "tenant_backups", &[App]);
    script.grant("SELECT, INSERT, UPDATE", "tenant_backups", &[Control]);
}
