//! The registry: clusters, tenants and their modules, configuration, feature flags.

use sea_orm::sea_query::{Alias, ColumnDef, ColumnType, Expr, Index, IntoIden, Table};

use super::{
    SystemMigration,
    roles::SystemRole::{App, Control, Migrator, Registrar},
    script::SystemScript,
};

pub(super) const MIGRATION: SystemMigration = SystemMigration {
    name: "m0001_registry",
    up,
    irreversible: "the registry says where every tenant's data is",
};

fn col(name: &'static str) -> ColumnDef {
    ColumnDef::new(Alias::new(name))
}

fn up(script: &mut SystemScript<'_>) {
    clusters(script);
    tenants(script);
    tenant_modules(script);
    configurations(script);
    feature_flags(script);
    script.sql(SET_CURRENT_TENANT);
    script.grant_execute("set_current_tenant(uuid)", &[App, Control, Migrator, super::SystemRole::Backup]);
}

/// For people at a psql prompt and for tools; the service itself sets a literal.
pub(super) const SET_CURRENT_TENANT: &str = "\
CREATE FUNCTION set_current_tenant(p_tenant_id uuid) RETURNS void
LANGUAGE plpgsql STRICT SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $fn$
BEGIN
    PERFORM set_config('app.current_tenant', p_tenant_id::text, false);
END
$fn$";

fn clusters(script: &mut SystemScript<'_>) {
    let mut table = Table::create();
    table
        .table("clusters".into_iden())
        .col(col("name").string_len(63).not_null().primary_key())
        .col(col("kind").text().not_null().default("postgres"))
        .col(col("region").text())
        .col(col("accepts_tenants").boolean().not_null().default(true))
        .col(col("version").big_integer().not_null().default(1))
        .col(now("created_at"))
        .col(now("updated_at"));
    script.create_table(&table);
    script.add_constraint("clusters", "ck_clusters__kind", "CHECK (kind IN ('postgres', 'citus'))");
    script.grant("SELECT", "clusters", &[App]);
    script.grant("SELECT, INSERT, UPDATE", "clusters", &[Control]);
}

fn tenants(script: &mut SystemScript<'_>) {
    let mut table = Table::create();
    table
        .table("tenants".into_iden())
        .col(col("id").uuid().not_null().primary_key())
        .col(col("slug").text().not_null())
        .col(col("name").text().not_null())
        .col(col("status").text().not_null().default("provisioning"))
        .col(col("database_schema").string_len(63).not_null())
        .col(col("schema_version").string_len(20).not_null().default("1.0.0"))
        .col(col("cluster").string_len(63).not_null())
        .col(col("database_name").string_len(63))
        .col(col("isolation").text().not_null().default("schema"))
        .col(col("region").text())
        .col(col("plan").text())
        // The names of tenant_modules again: a list of tenants reads one table.
        .col(col("modules").array(ColumnType::Text).not_null().default(Expr::cust("'{}'::text[]")))
        .col(col("limits").json_binary().not_null().default(Expr::cust("'{}'::jsonb")))
        .col(col("time_zone").text().not_null())
        .col(col("currency").char_len(3).not_null())
        .col(col("locale").text().not_null())
        .col(col("is_active").boolean().generated(Expr::cust("status = 'active'"), true))
        .col(col("version").big_integer().not_null().default(1))
        .col(now("created_at"))
        .col(now("updated_at"))
        .col(col("suspended_at").timestamp_with_time_zone())
        .col(col("archived_at").timestamp_with_time_zone())
        .col(col("purged_at").timestamp_with_time_zone());
    script.create_table(&table);
    for (name, body) in [
        ("ux_tenants__slug", "UNIQUE (slug)"),
        ("ux_tenants__database_schema", "UNIQUE (database_schema)"),
        (
            "ck_tenants__status",
            "CHECK (status IN ('provisioning', 'active', 'suspended', 'archived', 'purging', 'purged'))",
        ),
        ("ck_tenants__isolation", "CHECK (isolation IN ('schema', 'database'))"),
        ("ck_tenants__slug", "CHECK (slug ~ '^[a-z][a-z0-9]*(-[a-z0-9]+)*$' AND octet_length(slug) <= 40)"),
        ("ck_tenants__schema", "CHECK (database_schema = 'tenant_' || replace(slug, '-', '_'))"),
        ("ck_tenants__currency", "CHECK (currency ~ '^[A-Z]{3}$')"),
        ("ck_tenants__limits", "CHECK (jsonb_typeof(limits) = 'object')"),
        ("fk_tenants__cluster", "FOREIGN KEY (cluster) REFERENCES clusters (name) ON DELETE RESTRICT"),
    ] {
        script.add_constraint("tenants", name, body);
    }
    script.create_index(
        Index::create().name("ix_tenants__status_slug").table("tenants").col("status").col("slug"),
    );
    script.create_index(
        Index::create().name("ix_tenants__cluster_slug").table("tenants").col("cluster").col("slug"),
    );
    script.sql(
        "CREATE INDEX ix_tenants__search ON tenants \
         USING gin (slug extensions.gin_trgm_ops, lower(name) extensions.gin_trgm_ops)",
    );
    script.grant(
        "SELECT (id, slug, name, status, database_schema, schema_version, cluster, database_name, isolation, region, \
         plan, modules, limits, time_zone, currency, locale, is_active, version, created_at, updated_at)",
        "tenants",
        &[App],
    );
    // The state changes through the registrar's functions alone, together with the fence.
    script.grant(
        "SELECT, UPDATE (name, plan, limits, time_zone, version, updated_at)",
        "tenants",
        &[Control],
    );
    script.grant(
        "SELECT, UPDATE (status, name, plan, modules, limits, version, updated_at, suspended_at, archived_at, \
         purged_at)",
        "tenants",
        &[Registrar],
    );
}

fn tenant_modules(script: &mut SystemScript<'_>) {
    let mut table = Table::create();
    table
        .table("tenant_modules".into_iden())
        .col(col("tenant_id").uuid().not_null())
        .col(col("module").string_len(63).not_null())
        .col(col("schema_version").integer().not_null().default(0))
        .col(col("enabled").boolean().not_null().default(true))
        .primary_key(Index::create().col("tenant_id").col("module"));
    script.create_table(&table);
    script.add_constraint(
        "tenant_modules",
        "ck_tenant_modules__schema_version",
        "CHECK (schema_version >= 0)",
    );
    script.add_constraint(
        "tenant_modules",
        "fk_tenant_modules__tenant",
        "FOREIGN KEY (tenant_id) REFERENCES tenants (id) ON DELETE CASCADE",
    );
    script.grant("SELECT", "tenant_modules", &[App, Control]);
    script.grant("SELECT, DELETE", "tenant_modules", &[Registrar]);
}

fn configurations(script: &mut SystemScript<'_>) {
    let mut table = Table::create();
    table
        .table("system_configurations".into_iden())
        .col(col("key").text().not_null().primary_key())
        .col(col("value").json_binary().not_null())
        .col(col("description").text())
        .col(col("version").big_integer().not_null().default(1))
        .col(now("created_at"))
        .col(now("updated_at"));
    script.create_table(&table);
    script.grant("SELECT", "system_configurations", &[App]);
    script.grant("SELECT, INSERT, UPDATE, DELETE", "system_configurations", &[Control]);
}

fn feature_flags(script: &mut SystemScript<'_>) {
    let mut flags = Table::create();
    flags
        .table("feature_flags".into_iden())
        .col(col("key").text().not_null().primary_key())
        .col(col("enabled").boolean().not_null().default(false))
        .col(col("rollout_percent").small_integer().not_null().default(100))
        .col(col("description").text())
        .col(col("version").big_integer().not_null().default(1))
        .col(now("created_at"))
        .col(now("updated_at"));
    script.create_table(&flags);
    script.add_constraint(
        "feature_flags",
        "ck_feature_flags__rollout_percent",
        "CHECK (rollout_percent BETWEEN 0 AND 100)",
    );
    let mut overrides = Table::create();
    overrides
        .table("feature_flag_overrides".into_iden())
        .col(col("flag").text().not_null())
        .col(col("tenant_id").uuid().not_null())
        .col(col("enabled").boolean().not_null())
        .col(now("created_at"))
        .primary_key(Index::create().col("flag").col("tenant_id"));
    script.create_table(&overrides);
    for (name, body) in [
        (
            "fk_feature_flag_overrides__flag",
            "FOREIGN KEY (flag) REFERENCES feature_flags (key) ON DELETE CASCADE",
        ),
        (
            "fk_feature_flag_overrides__tenant",
            "FOREIGN KEY (tenant_id) REFERENCES tenants (id) ON DELETE CASCADE",
        ),
    ] {
        script.add_constraint("feature_flag_overrides", name, body);
    }
    script.create_index(
        Index::create()
            .name("ix_feature_flag_overrides__tenant_id")
            .table("feature_flag_overrides")
            .col("tenant_id"),
    );
    for table in ["feature_flags", "feature_flag_overrides"] {
        script.grant("SELECT", table, &[App]);
        script.grant("SELECT, INSERT, UPDATE, DELETE", table, &[Control]);
    }
    script.grant("SELECT, DELETE", "feature_flag_overrides", &[Registrar]);
}

/// A timestamp that is now unless the writer says otherwise.
fn now(name: &'static str) -> ColumnDef {
    col(name).timestamp_with_time_zone().not_null().default(Expr::cust("now()")).take()
}
