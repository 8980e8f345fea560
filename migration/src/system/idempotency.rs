//! Answers kept for a repeated request of the platform; a tenant's own are in its schema.

use super::{
    SystemMigration,
    roles::SystemRole::{App, Control},
    script::SystemScript,
};

pub(super) const MIGRATION: SystemMigration = SystemMigration {
    name: "m0003_idempotency",
    up,
    irreversible: "answers already given would be given again",
};

/// `status`, `headers` and `body` are NULL while the first request still runs.
const TABLE: &str = "\
CREATE TABLE idempotency_keys (
    id uuid NOT NULL,
    principal uuid NOT NULL,
    operation text NOT NULL,
    key text NOT NULL,
    request_hash bytea NOT NULL,
    status integer,
    headers jsonb,
    body bytea,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    CONSTRAINT pk_idempotency_keys PRIMARY KEY (id),
    CONSTRAINT ux_idempotency_keys__principal_operation_key UNIQUE (principal, operation, key)
)";

fn up(script: &mut SystemScript<'_>) {
    script.sql(TABLE);
    script.sql("CREATE INDEX ix_idempotency_keys__expires_at ON idempotency_keys (expires_at)");
    script.grant("SELECT, INSERT, UPDATE, DELETE", "idempotency_keys", &[App, Control]);
}
