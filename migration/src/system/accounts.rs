//! What an account can do for itself and others: resets, invitations, one-time passwords, mail, break-glass.

use super::{
    SystemMigration,
    roles::SystemRole::{App, Registrar},
    script::SystemScript,
};

pub(super) const MIGRATION: SystemMigration = SystemMigration {
    name: "m0006_accounts",
    up,
    irreversible: "second factors and grants can't be made again from anything else",
};

/// Only the digest of the token is kept: whoever reads the table can't use it.
const PASSWORD_RESETS: &str = "\
CREATE TABLE password_resets (
    token_hash bytea NOT NULL,
    user_id uuid NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    CONSTRAINT pk_password_resets PRIMARY KEY (token_hash),
    CONSTRAINT ck_password_resets__token_hash CHECK (octet_length(token_hash) = 32),
    CONSTRAINT fk_password_resets__user FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE
)";

/// Invitations that wait: an accepted or revoked one has no row any more, the audit has its history.
const INVITATIONS: &str = "\
CREATE TABLE invitations (
    id uuid NOT NULL,
    tenant_id uuid NOT NULL,
    email text NOT NULL,
    email_key text NOT NULL,
    full_name text NOT NULL,
    roles text[] NOT NULL,
    token_hash bytea NOT NULL,
    invited_by uuid,
    sent_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    CONSTRAINT pk_invitations PRIMARY KEY (id),
    CONSTRAINT ux_invitations__tenant_id_email_key UNIQUE (tenant_id, email_key),
    CONSTRAINT ux_invitations__token_hash UNIQUE (token_hash),
    CONSTRAINT ck_invitations__token_hash CHECK (octet_length(token_hash) = 32),
    CONSTRAINT ck_invitations__email CHECK (octet_length(email) BETWEEN 3 AND 254),
    CONSTRAINT ck_invitations__full_name CHECK (char_length(full_name) BETWEEN 1 AND 200),
    CONSTRAINT ck_invitations__roles CHECK (cardinality(roles) > 0 AND array_position(roles, NULL) IS NULL),
    CONSTRAINT fk_invitations__tenant FOREIGN KEY (tenant_id) REFERENCES tenants (id) ON DELETE CASCADE,
    CONSTRAINT fk_invitations__invited_by FOREIGN KEY (invited_by) REFERENCES users (id) ON DELETE SET NULL
)";

/// `secret` is sealed; `last_step` is the step of the newest code that was used, so that none is used twice.
const TOTP: &str = "\
CREATE TABLE totp_secrets (
    user_id uuid NOT NULL,
    secret bytea NOT NULL,
    confirmed_at timestamptz,
    last_step bigint NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL,
    CONSTRAINT pk_totp_secrets PRIMARY KEY (user_id),
    CONSTRAINT fk_totp_secrets__user FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE
)";

const RECOVERY_CODES: &str = "\
CREATE TABLE recovery_codes (
    user_id uuid NOT NULL,
    code_hash bytea NOT NULL,
    created_at timestamptz NOT NULL,
    CONSTRAINT pk_recovery_codes PRIMARY KEY (user_id, code_hash),
    CONSTRAINT ck_recovery_codes__code_hash CHECK (octet_length(code_hash) = 32),
    CONSTRAINT fk_recovery_codes__user FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE
)";

/// Mail that was not sent yet; `sealed` can't be read with the database alone.
const MAIL_OUTBOX: &str = "\
CREATE TABLE mail_outbox (
    id uuid NOT NULL,
    sealed bytea NOT NULL,
    attempts integer NOT NULL DEFAULT 0,
    next_attempt_at timestamptz NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    CONSTRAINT pk_mail_outbox PRIMARY KEY (id)
)";

const BREAK_GLASS_GRANTS: &str = "\
CREATE TABLE break_glass_grants (
    id uuid NOT NULL,
    tenant_id uuid NOT NULL,
    operator_id uuid NOT NULL,
    reason text NOT NULL,
    roles text[] NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    ended_at timestamptz,
    ended_by uuid,
    version bigint NOT NULL DEFAULT 1,
    CONSTRAINT pk_break_glass_grants PRIMARY KEY (id),
    CONSTRAINT ck_break_glass_grants__reason CHECK (char_length(reason) BETWEEN 10 AND 500),
    CONSTRAINT ck_break_glass_grants__roles CHECK (cardinality(roles) > 0 AND array_position(roles, NULL) IS NULL),
    CONSTRAINT ck_break_glass_grants__time CHECK
        (expires_at > created_at AND expires_at <= created_at + interval '60 minutes'),
    CONSTRAINT ck_break_glass_grants__ended CHECK ((ended_at IS NULL) = (ended_by IS NULL)),
    CONSTRAINT fk_break_glass_grants__tenant FOREIGN KEY (tenant_id) REFERENCES tenants (id) ON DELETE CASCADE,
    CONSTRAINT fk_break_glass_grants__operator FOREIGN KEY (operator_id) REFERENCES users (id),
    CONSTRAINT fk_break_glass_grants__ended_by FOREIGN KEY (ended_by) REFERENCES users (id)
)";

fn up(script: &mut SystemScript<'_>) {
    for table in [PASSWORD_RESETS, INVITATIONS, TOTP, RECOVERY_CODES, MAIL_OUTBOX, BREAK_GLASS_GRANTS] {
        script.sql(table);
    }
    // From where a session was opened, and the grant that lets an operator's session be in a tenant.
    script.sql("ALTER TABLE sessions ADD COLUMN source_address inet, ADD COLUMN grant_id uuid");
    script.add_constraint(
        "sessions",
        "fk_sessions__grant",
        "FOREIGN KEY (grant_id) REFERENCES break_glass_grants (id) ON DELETE CASCADE",
    );
    script.add_constraint(
        "sessions",
        "ck_sessions__grant",
        "CHECK (grant_id IS NULL OR tenant_id IS NOT NULL)",
    );
    for index in [
        "CREATE INDEX ix_sessions__grant_id ON sessions (grant_id) WHERE grant_id IS NOT NULL",
        "CREATE INDEX ix_password_resets__user_id ON password_resets (user_id)",
        "CREATE INDEX ix_password_resets__expires_at ON password_resets (expires_at)",
        "CREATE INDEX ix_invitations__tenant_id_id ON invitations (tenant_id, id)",
        "CREATE INDEX ix_invitations__expires_at ON invitations (expires_at)",
        "CREATE INDEX ix_mail_outbox__next_attempt_at ON mail_outbox (next_attempt_at)",
        "CREATE INDEX ix_mail_outbox__expires_at ON mail_outbox (expires_at)",
        "CREATE INDEX ix_break_glass_grants__tenant_id_id ON break_glass_grants (tenant_id, id)",
        "CREATE INDEX ix_break_glass_grants__operator_id ON break_glass_grants (operator_id)",
    ] {
        script.sql(index);
    }
    script.grant("SELECT, INSERT, DELETE", "password_resets", &[App]);
    script.grant("SELECT, INSERT, UPDATE, DELETE", "invitations", &[App]);
    script.grant("SELECT (tenant_id), DELETE", "invitations", &[Registrar]);
    script.grant("SELECT, INSERT, UPDATE, DELETE", "totp_secrets", &[App]);
    script.grant("SELECT, INSERT, DELETE", "recovery_codes", &[App]);
    script.grant("SELECT, INSERT, UPDATE, DELETE", "mail_outbox", &[App]);
    // A grant is ended, never removed or made longer: the trail of who was let in goes on naming it.
    script.grant("SELECT, INSERT, UPDATE (ended_at, ended_by, version)", "break_glass_grants", &[App]);
}
