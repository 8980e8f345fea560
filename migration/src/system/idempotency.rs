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

/// Makes a key its user's in a tenant, whatever it is sent to: the same one for another operation is another request.
pub(super) const SCOPE: SystemMigration = SystemMigration {
    name: "m0030_scope_idempotency_keys",
    up: scope,
    irreversible: "answers already given would be given again",
};

/// `operation` is `<operation>` or `<operation>@<tenant>`.
const ADD_SCOPE: &str = "\
ALTER TABLE idempotency_keys
    ADD COLUMN scope text NOT NULL GENERATED ALWAYS AS (split_part(operation, '@', 2)) STORED";

const KEEP_THE_NEWEST: &str = "\
DELETE FROM idempotency_keys AS older USING idempotency_keys AS newer
WHERE older.principal = newer.principal AND older.scope = newer.scope AND older.key = newer.key
    AND (older.created_at, older.id) < (newer.created_at, newer.id)";

const CHANGE_KEY: &str = "\
ALTER TABLE idempotency_keys
    DROP CONSTRAINT ux_idempotency_keys__principal_operation_key,
    ADD CONSTRAINT ux_idempotency_keys__principal_scope_key UNIQUE (principal, scope, key)";

fn scope(script: &mut SystemScript<'_>) {
    script.sql(ADD_SCOPE);
    script.sql(KEEP_THE_NEWEST);
    script.sql(CHANGE_KEY);
}

fn up(script: &mut SystemScript<'_>) {
    script.sql(TABLE);
    script.sql("CREATE INDEX ix_idempotency_keys__expires_at ON idempotency_keys (expires_at)");
    script.grant("SELECT, INSERT, UPDATE, DELETE", "idempotency_keys", &[App, Control]);
}
