//! The wrapped data keys of the tenants.

use super::{
    SystemMigration,
    roles::SystemRole::{App, Control, Registrar},
    script::SystemScript,
};

pub(super) const MIGRATION: SystemMigration = SystemMigration {
    name: "m0008_tenant_keys",
    up,
    irreversible: "without its key nothing that was sealed can be read again",
};

/// Of the keys whose time has come (`sealing_from`) the one with the highest version seals. `completed_at` says since
/// when every sealed value of the tenant is known to be under this version or a later one.
const TABLE: &str = "\
CREATE TABLE tenant_keys (
    tenant_id uuid NOT NULL,
    version integer NOT NULL,
    wrapped_key bytea,
    provider text NOT NULL,
    provider_key_id text NOT NULL,
    algorithm text NOT NULL,
    state text NOT NULL DEFAULT 'active',
    created_at timestamptz NOT NULL DEFAULT now(),
    sealing_from timestamptz NOT NULL DEFAULT now(),
    completed_at timestamptz,
    retired_at timestamptz,
    destroyed_at timestamptz,
    CONSTRAINT pk_tenant_keys PRIMARY KEY (tenant_id, version),
    CONSTRAINT fk_tenant_keys__tenant FOREIGN KEY (tenant_id) REFERENCES tenants (id) ON DELETE CASCADE,
    CONSTRAINT ck_tenant_keys__version CHECK (version BETWEEN 1 AND 65535),
    CONSTRAINT ck_tenant_keys__algorithm CHECK (algorithm IN ('aes-256-gcm', 'aes-256-gcm/derived')),
    CONSTRAINT ck_tenant_keys__state CHECK (state IN ('active', 'retired', 'destroyed')),
    CONSTRAINT ck_tenant_keys__destroyed CHECK (
        (state = 'destroyed') = (wrapped_key IS NULL) AND (state = 'destroyed') = (destroyed_at IS NOT NULL)),
    CONSTRAINT ck_tenant_keys__retired CHECK (state = 'destroyed' OR (state = 'retired') = (retired_at IS NOT NULL))
)";

fn up(script: &mut SystemScript<'_>) {
    script.sql(TABLE);
    script
        .sql("CREATE UNIQUE INDEX ux_tenant_keys__active ON tenant_keys (tenant_id) WHERE state = 'active'");
    script.grant("SELECT", "tenant_keys", &[App]);
    script.grant("SELECT, INSERT, UPDATE", "tenant_keys", &[Control]);
    // Whoever ends a tenant destroys its keys in the same transaction.
    script.grant(
        "SELECT (tenant_id, state), UPDATE (state, wrapped_key, destroyed_at)",
        "tenant_keys",
        &[Registrar],
    );
}

/// The control login ends a version of a key through [`DESTROY_TENANT_KEY`] alone.
pub(super) const DESTRUCTION: SystemMigration = SystemMigration {
    name: "m0031_key_destruction",
    up: guard_destruction,
    irreversible: "a key that is destroyed stays so",
};

/// Says whether it has destroyed the version: a retired one, when every value is known to be under a later one. A
/// tenant that is ended loses its keys through `drop_tenant_schema`.
pub(super) const DESTROY_TENANT_KEY: &str = "\
CREATE FUNCTION destroy_tenant_key(p_tenant_id uuid, p_version integer) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $fn$
BEGIN
    UPDATE public.tenant_keys AS k
    SET state = 'destroyed', wrapped_key = NULL, destroyed_at = clock_timestamp()
    WHERE k.tenant_id = p_tenant_id AND k.version = p_version AND k.state = 'retired'
        AND EXISTS (
            SELECT FROM public.tenant_keys AS later
            WHERE later.tenant_id = p_tenant_id AND later.version > p_version AND later.state <> 'destroyed'
                AND later.completed_at IS NOT NULL);
    RETURN FOUND;
END
$fn$";

fn guard_destruction(script: &mut SystemScript<'_>) {
    script.sql(DESTROY_TENANT_KEY);
    script.grant_execute("destroy_tenant_key(uuid, integer)", &[Control]);
    // Without the time of the destruction no row can say that it is destroyed.
    script.revoke("UPDATE", "tenant_keys", &[Control]);
    script.grant(
        "UPDATE (state, wrapped_key, provider, provider_key_id, completed_at, retired_at)",
        "tenant_keys",
        &[Control],
    );
}
