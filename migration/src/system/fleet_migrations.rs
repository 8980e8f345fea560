//! The migration of the fleet: its runs, what came of each tenant, how far a step has come, and who goes first.

use super::{
    SystemMigration,
    roles::SystemRole::{App, Control},
    script::SystemScript,
};

pub(super) const MIGRATION: SystemMigration = SystemMigration {
    name: "m0033_fleet_migrations",
    up,
    irreversible: "a run that was cut short is resumed by what stands there",
};

/// Who goes first, and who goes no further. A tenant without a row is in the general ring and not pinned; `pin` is the
/// last position of some modules.
const ROLLOUTS: &str = "\
CREATE TABLE tenant_rollouts (
    tenant_id uuid NOT NULL,
    ring text NOT NULL DEFAULT 'general',
    pin jsonb,
    version bigint NOT NULL DEFAULT 1,
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT pk_tenant_rollouts PRIMARY KEY (tenant_id),
    CONSTRAINT fk_tenant_rollouts__tenant FOREIGN KEY (tenant_id) REFERENCES tenants (id) ON DELETE CASCADE,
    CONSTRAINT ck_tenant_rollouts__ring CHECK (ring IN ('canary', 'early', 'general')),
    CONSTRAINT ck_tenant_rollouts__pin CHECK (jsonb_typeof(pin) = 'object')
)";

/// `digest` is over the migrations and what was asked for: a run is resumed by whoever asks for the same.
const RUNS: &str = "\
CREATE TABLE migration_runs (
    id uuid NOT NULL,
    state text NOT NULL DEFAULT 'running',
    digest char(64) NOT NULL,
    target text NOT NULL,
    reason text,
    started_at timestamptz NOT NULL DEFAULT now(),
    resumed_at timestamptz,
    finished_at timestamptz,
    CONSTRAINT pk_migration_runs PRIMARY KEY (id),
    CONSTRAINT ck_migration_runs__state CHECK (state IN ('running', 'halted', 'succeeded', 'partly', 'superseded')),
    CONSTRAINT ck_migration_runs__finished_at CHECK (
        (finished_at IS NOT NULL) = (state IN ('succeeded', 'partly', 'superseded')))
)";

/// A row says `done` from the same commit on as the tenant's schema has what was to be done.
const TENANTS: &str = "\
CREATE TABLE migration_run_tenants (
    run_id uuid NOT NULL,
    tenant_id uuid NOT NULL,
    wave smallint NOT NULL,
    state text NOT NULL DEFAULT 'pending',
    attempts integer NOT NULL DEFAULT 0,
    limits jsonb NOT NULL,
    from_version text,
    to_version text,
    error text,
    finished_at timestamptz,
    CONSTRAINT pk_migration_run_tenants PRIMARY KEY (run_id, tenant_id),
    CONSTRAINT fk_migration_run_tenants__run FOREIGN KEY (run_id) REFERENCES migration_runs (id) ON DELETE CASCADE,
    CONSTRAINT fk_migration_run_tenants__tenant FOREIGN KEY (tenant_id) REFERENCES tenants (id) ON DELETE CASCADE,
    CONSTRAINT ck_migration_run_tenants__wave CHECK (wave BETWEEN 0 AND 3),
    CONSTRAINT ck_migration_run_tenants__state CHECK (state IN ('pending', 'done', 'failed', 'skipped')),
    CONSTRAINT ck_migration_run_tenants__error CHECK ((state IN ('failed', 'skipped')) = (error IS NOT NULL))
)";

/// How far rows were filled in by batches; gone when the step stands in the tenant's ledger.
const POSITIONS: &str = "\
CREATE TABLE migration_positions (
    tenant_id uuid NOT NULL,
    module varchar(63) NOT NULL,
    position integer NOT NULL,
    last_id uuid NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT pk_migration_positions PRIMARY KEY (tenant_id, module, position),
    CONSTRAINT fk_migration_positions__tenant FOREIGN KEY (tenant_id) REFERENCES tenants (id) ON DELETE CASCADE
)";

fn up(script: &mut SystemScript<'_>) {
    for table in [ROLLOUTS, RUNS, TENANTS, POSITIONS] {
        script.sql(table);
    }
    // One run at a time is open, whoever races.
    script.sql(
        "CREATE UNIQUE INDEX ux_migration_runs__open ON migration_runs ((true)) \
         WHERE state IN ('running', 'halted')",
    );
    script.sql("CREATE INDEX ix_migration_runs__started_at ON migration_runs (started_at, id)");
    script.sql("CREATE INDEX ix_migration_run_tenants__tenant_id ON migration_run_tenants (tenant_id)");
    script.grant("SELECT, INSERT, UPDATE, DELETE", "tenant_rollouts", &[Control]);
    script.grant("SELECT", "tenant_rollouts", &[App]);
    for table in ["migration_runs", "migration_run_tenants"] {
        script.grant("SELECT", table, &[App, Control]);
    }
}
