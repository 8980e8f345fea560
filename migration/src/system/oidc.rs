//! People as issuers know them, what issuers have granted, and log-ins under way.

use super::{SystemMigration, roles::SystemRole::App, script::SystemScript};

pub(super) const MIGRATION: SystemMigration = SystemMigration {
    name: "m0007_oidc",
    up,
    irreversible: "who came from which issuer can't be found out again",
};

/// Who somebody is at an issuer. `operator_granted` tells a right that the issuer gave from one that was given here.
const IDENTITIES: &str = "\
CREATE TABLE user_identities (
    id uuid NOT NULL,
    issuer text NOT NULL,
    subject text NOT NULL,
    user_id uuid NOT NULL,
    operator_granted boolean NOT NULL DEFAULT false,
    claimed_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    last_used_at timestamptz,
    CONSTRAINT pk_user_identities PRIMARY KEY (id),
    CONSTRAINT ux_user_identities__issuer_subject UNIQUE (issuer, subject),
    CONSTRAINT fk_user_identities__user FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE,
    CONSTRAINT ck_user_identities__subject CHECK (octet_length(subject) BETWEEN 1 AND 255)
)";

/// What an issuer last granted. The row outlives the membership: one that was taken away here stays away.
const GRANTS: &str = "\
CREATE TABLE identity_grants (
    user_id uuid NOT NULL,
    tenant_id uuid NOT NULL,
    identity_id uuid NOT NULL,
    roles text[] NOT NULL,
    claimed_at timestamptz NOT NULL,
    CONSTRAINT pk_identity_grants PRIMARY KEY (user_id, tenant_id),
    CONSTRAINT fk_identity_grants__user FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE,
    CONSTRAINT fk_identity_grants__tenant FOREIGN KEY (tenant_id) REFERENCES tenants (id) ON DELETE CASCADE,
    CONSTRAINT fk_identity_grants__identity FOREIGN KEY (identity_id) REFERENCES user_identities (id) ON DELETE CASCADE
)";

/// From which identity a session came.
const SESSIONS: &str = "\
CREATE TABLE session_identities (
    session_id uuid NOT NULL,
    identity_id uuid NOT NULL,
    confined boolean NOT NULL,
    CONSTRAINT pk_session_identities PRIMARY KEY (session_id),
    CONSTRAINT fk_session_identities__session FOREIGN KEY (session_id) REFERENCES sessions (id) ON DELETE CASCADE,
    CONSTRAINT fk_session_identities__identity FOREIGN KEY (identity_id) REFERENCES user_identities (id)
        ON DELETE CASCADE
)";

/// Log-ins that were sent to an issuer. The content is sealed under a secret that only the browser has.
const FLOWS: &str = "\
CREATE TABLE oidc_flows (
    state_hash bytea NOT NULL,
    provider text NOT NULL,
    network cidr,
    sealed bytea NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    CONSTRAINT pk_oidc_flows PRIMARY KEY (state_hash),
    CONSTRAINT ck_oidc_flows__state_hash CHECK (octet_length(state_hash) = 32)
)";

fn up(script: &mut SystemScript<'_>) {
    for table in [IDENTITIES, GRANTS, SESSIONS, FLOWS] {
        script.sql(table);
    }
    for index in [
        "CREATE INDEX ix_user_identities__user_id ON user_identities (user_id)",
        "CREATE INDEX ix_identity_grants__tenant_id ON identity_grants (tenant_id)",
        "CREATE INDEX ix_identity_grants__identity_id ON identity_grants (identity_id)",
        "CREATE INDEX ix_session_identities__identity_id ON session_identities (identity_id)",
        "CREATE INDEX ix_oidc_flows__expires_at ON oidc_flows (expires_at)",
        "CREATE INDEX ix_oidc_flows__network_expires_at ON oidc_flows (network, expires_at)",
    ] {
        script.sql(index);
    }
    script.grant("SELECT, INSERT, UPDATE", "user_identities", &[App]);
    script.grant("SELECT, INSERT, UPDATE, DELETE", "identity_grants", &[App]);
    script.grant("SELECT, INSERT", "session_identities", &[App]);
    script.grant("SELECT, INSERT, DELETE", "oidc_flows", &[App]);
}
