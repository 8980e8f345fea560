//! Adoption from shared tables: how far each tenant has come, which row has become which, and what did not fit.

use super::{SystemMigration, roles::SystemRole::Control, script::SystemScript};

pub(super) const MIGRATION: SystemMigration = SystemMigration {
    name: "m0040_adoptions",
    up,
    irreversible: "it says which rows of the old tables have become which of the new",
};

/// A tenant has a row from its making until its old rows are cleaned up, and after.
const ADOPTIONS: &str = "\
CREATE TABLE adoptions (
    tenant_id uuid NOT NULL,
    state text NOT NULL DEFAULT 'copying',
    mapping_digest char(64) NOT NULL,
    legacy_tenant text NOT NULL,
    rounds integer NOT NULL DEFAULT 0,
    rows_moved bigint NOT NULL DEFAULT 0,
    rows_misfit bigint NOT NULL DEFAULT 0,
    pause_ms integer,
    error text,
    archive_path text,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    verified_at timestamptz,
    switched_at timestamptz,
    cleaned_at timestamptz,
    CONSTRAINT pk_adoptions PRIMARY KEY (tenant_id),
    CONSTRAINT fk_adoptions__tenant FOREIGN KEY (tenant_id) REFERENCES tenants (id) ON DELETE CASCADE,
    CONSTRAINT ck_adoptions__state CHECK (
        state IN ('copying', 'copied', 'switching', 'switched', 'reverting', 'reverted', 'cleaning', 'cleaned'))
)";

/// `row_hash` is NULL from before a row is written until that is known to have happened.
const KEYS: &str = "\
CREATE TABLE adoption_keys (
    tenant_id uuid NOT NULL,
    table_name varchar(63) NOT NULL,
    legacy_key text NOT NULL,
    id uuid NOT NULL,
    row_hash bytea,
    CONSTRAINT pk_adoption_keys PRIMARY KEY (tenant_id, table_name, legacy_key),
    CONSTRAINT ux_adoption_keys__id UNIQUE (tenant_id, table_name, id),
    CONSTRAINT fk_adoption_keys__tenant FOREIGN KEY (tenant_id) REFERENCES adoptions (tenant_id) ON DELETE CASCADE,
    CONSTRAINT ck_adoption_keys__row_hash CHECK (octet_length(row_hash) = 32)
)";

/// Which rows were left behind, and why: keys and rules, and nothing of what stands in them.
const MISFITS: &str = "\
CREATE TABLE adoption_misfits (
    tenant_id uuid NOT NULL,
    table_name varchar(63) NOT NULL,
    legacy_key text NOT NULL,
    field text NOT NULL,
    rule text NOT NULL,
    CONSTRAINT pk_adoption_misfits PRIMARY KEY (tenant_id, table_name, legacy_key, field, rule),
    CONSTRAINT fk_adoption_misfits__tenant FOREIGN KEY (tenant_id) REFERENCES adoptions (tenant_id) ON DELETE CASCADE
)";

fn up(script: &mut SystemScript<'_>) {
    for table in [ADOPTIONS, KEYS, MISFITS] {
        script.sql(table);
    }
    for table in ["adoptions", "adoption_keys", "adoption_misfits"] {
        script.grant("SELECT, INSERT, UPDATE, DELETE", table, &[Control]);
    }
}
