//! Watching the fleet: what each tenant's schema holds, how it is used, and what somebody should look at.

use super::{
    SystemMigration,
    roles::SystemRole::{App, Backup, Control, Migrator},
    script::SystemScript,
};

pub(super) const MIGRATION: SystemMigration = SystemMigration {
    name: "m0037_watching",
    up,
    irreversible: "how the tenants have grown would be forgotten",
};

/// The last look at each tenant. Counts of rows are PostgreSQL's estimates; `writes` is what it has counted since its
/// own statistics were reset.
const STATISTICS: &str = "\
CREATE TABLE tenant_statistics (
    tenant_id uuid NOT NULL,
    table_count integer NOT NULL,
    total_bytes bigint NOT NULL,
    index_bytes bigint NOT NULL,
    row_estimate bigint NOT NULL,
    dead_rows bigint NOT NULL,
    writes bigint NOT NULL,
    last_analyzed_at timestamptz,
    taken_at timestamptz NOT NULL,
    CONSTRAINT pk_tenant_statistics PRIMARY KEY (tenant_id),
    CONSTRAINT fk_tenant_statistics__tenant FOREIGN KEY (tenant_id) REFERENCES tenants (id) ON DELETE CASCADE
)";

/// The last look of each day (UTC).
const DAYS: &str = "\
CREATE TABLE tenant_statistics_days (
    tenant_id uuid NOT NULL,
    day date NOT NULL,
    total_bytes bigint NOT NULL,
    row_estimate bigint NOT NULL,
    dead_rows bigint NOT NULL,
    connections_most integer NOT NULL,
    slow_statements bigint NOT NULL,
    CONSTRAINT pk_tenant_statistics_days PRIMARY KEY (tenant_id, day),
    CONSTRAINT fk_tenant_statistics_days__tenant FOREIGN KEY (tenant_id) REFERENCES tenants (id) ON DELETE CASCADE
)";

/// What the processes have counted and added up here, by the hour (UTC).
const HOURS: &str = "\
CREATE TABLE tenant_traffic_hours (
    tenant_id uuid NOT NULL,
    hour timestamptz NOT NULL,
    requests bigint NOT NULL,
    refused bigint NOT NULL,
    errors bigint NOT NULL,
    slow bigint NOT NULL,
    busy_ms bigint NOT NULL,
    last_at timestamptz NOT NULL,
    CONSTRAINT pk_tenant_traffic_hours PRIMARY KEY (tenant_id, hour),
    CONSTRAINT fk_tenant_traffic_hours__tenant FOREIGN KEY (tenant_id) REFERENCES tenants (id) ON DELETE CASCADE
)";

/// A row is an alert from the look at which its rule was first broken to the one at which it no longer was.
const ALERTS: &str = "\
CREATE TABLE tenant_alerts (
    id uuid NOT NULL,
    tenant_id uuid NOT NULL,
    code text NOT NULL,
    severity text NOT NULL,
    value double precision,
    threshold double precision,
    raised_at timestamptz NOT NULL,
    seen_at timestamptz NOT NULL,
    cleared_at timestamptz,
    CONSTRAINT pk_tenant_alerts PRIMARY KEY (id),
    CONSTRAINT fk_tenant_alerts__tenant FOREIGN KEY (tenant_id) REFERENCES tenants (id) ON DELETE CASCADE,
    CONSTRAINT ck_tenant_alerts__severity CHECK (severity IN ('warning', 'critical'))
)";

/// The sizes of the tenants' schemas as they are now, for people in psql: it asks the file system for each table.
const SCHEMA_SIZES: &str = "\
CREATE VIEW schema_sizes WITH (security_invoker = true) AS
SELECT n.nspname AS schemaname,
       pg_size_pretty(sum(pg_total_relation_size(c.oid))) AS size,
       count(*) AS table_count,
       sum(pg_total_relation_size(c.oid))::bigint AS total_bytes,
       sum(pg_indexes_size(c.oid))::bigint AS index_bytes,
       sum(greatest(c.reltuples, 0))::bigint AS row_estimate
FROM pg_catalog.pg_namespace AS n
JOIN pg_catalog.pg_class AS c ON c.relnamespace = n.oid AND c.relkind = 'r'
WHERE n.nspname LIKE 'tenant\\_%'
GROUP BY n.nspname";

/// Who of the tenants does something now. A connection says by its name for which tenant it works; the role under
/// which it does so stands nowhere in `pg_stat_activity`. Idle connections only remember whom they served last.
const SCHEMA_ACTIVITY: &str = "\
CREATE VIEW schema_activity WITH (security_invoker = true) AS
SELECT a.datname,
       substr(a.application_name, 9) AS schemaname,
       count(*) FILTER (WHERE a.state <> 'idle') AS connections,
       count(*) FILTER (WHERE a.state = 'idle') AS idle_connections,
       count(*) FILTER (WHERE a.state = 'idle in transaction') AS idle_in_transaction,
       count(*) FILTER (WHERE a.wait_event_type = 'Lock') AS waiting,
       max(clock_timestamp() - a.query_start) FILTER (WHERE a.state = 'active') AS longest_statement,
       max(clock_timestamp() - a.xact_start) AS longest_transaction
FROM pg_catalog.pg_stat_activity AS a
WHERE a.datname = current_database() AND a.application_name LIKE 'clinicx:tenant\\_%'
GROUP BY a.datname, a.application_name";

fn up(script: &mut SystemScript<'_>) {
    for statement in [
        STATISTICS,
        DAYS,
        HOURS,
        ALERTS,
        "CREATE INDEX ix_tenant_statistics_days__day ON tenant_statistics_days (day)",
        "CREATE INDEX ix_tenant_traffic_hours__hour ON tenant_traffic_hours (hour)",
        "CREATE UNIQUE INDEX ux_tenant_alerts__open ON tenant_alerts (tenant_id, code) WHERE cleared_at IS NULL",
        "CREATE INDEX ix_tenant_alerts__tenant_id_id ON tenant_alerts (tenant_id, id)",
        "CREATE INDEX ix_tenant_alerts__cleared_at ON tenant_alerts (cleared_at) WHERE cleared_at IS NOT NULL",
        SCHEMA_SIZES,
        SCHEMA_ACTIVITY,
    ] {
        script.sql(statement);
    }
    for table in ["tenant_statistics", "tenant_statistics_days", "tenant_traffic_hours", "tenant_alerts"] {
        script.grant("SELECT, INSERT, UPDATE, DELETE", table, &[App]);
        script.grant("SELECT", table, &[Control]);
    }
    for view in ["schema_sizes", "schema_activity"] {
        script.grant("SELECT", view, &[App, Control, Migrator, Backup]);
    }
}
