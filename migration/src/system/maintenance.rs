//! The upkeep of the tenants' tables: when each had its turn, and how lean its indexes can be.

use super::{
    SystemMigration,
    roles::SystemRole::{App, Control},
    script::SystemScript,
};

pub(super) const MIGRATION: SystemMigration =
    SystemMigration { name: "m0038_maintenance", up, irreversible: "whose turn it is would be forgotten" };

const TURNS: &str = "\
CREATE TABLE tenant_maintenance (
    tenant_id uuid NOT NULL,
    finished_at timestamptz NOT NULL,
    done integer NOT NULL,
    failed integer NOT NULL,
    left_over integer NOT NULL,
    CONSTRAINT pk_tenant_maintenance PRIMARY KEY (tenant_id),
    CONSTRAINT fk_tenant_maintenance__tenant FOREIGN KEY (tenant_id) REFERENCES tenants (id) ON DELETE CASCADE
)";

/// What an index had for each row when it had just been built again: what it has beyond that is bloat.
const BASELINES: &str = "\
CREATE TABLE tenant_index_baselines (
    tenant_id uuid NOT NULL,
    index_name text NOT NULL,
    bytes_per_row double precision NOT NULL,
    rebuilt_at timestamptz NOT NULL,
    CONSTRAINT pk_tenant_index_baselines PRIMARY KEY (tenant_id, index_name),
    CONSTRAINT fk_tenant_index_baselines__tenant FOREIGN KEY (tenant_id) REFERENCES tenants (id) ON DELETE CASCADE
)";

fn up(script: &mut SystemScript<'_>) {
    script.sql(TURNS);
    script.sql(BASELINES);
    for table in ["tenant_maintenance", "tenant_index_baselines"] {
        script.grant("SELECT", table, &[App, Control]);
    }
}
