//! Background work: what is to be done, who is at it, and when what is repeated is next due.

use super::{
    SystemMigration,
    roles::SystemRole::{App, Control},
    script::SystemScript,
};

pub(super) const MIGRATION: SystemMigration =
    SystemMigration { name: "m0032_jobs", up, irreversible: "work that waits would be forgotten" };

/// `party` is whom the work is shared out to: a tenant, or the platform with the nil UUID. `lease_token` is new with
/// each claim: whoever lost a lease has a token that fits no row. `input` and `output` hold ids and settings, never a
/// patient's data.
const JOBS: &str = "\
CREATE TABLE jobs (
    id uuid NOT NULL,
    kind text NOT NULL,
    tenant_id uuid,
    party uuid NOT NULL GENERATED ALWAYS AS
        (COALESCE(tenant_id, '00000000-0000-0000-0000-000000000000'::uuid)) STORED,
    unique_key text,
    input jsonb NOT NULL,
    state text NOT NULL DEFAULT 'queued',
    priority smallint NOT NULL DEFAULT 0,
    run_after timestamptz NOT NULL DEFAULT now(),
    attempts integer NOT NULL DEFAULT 0,
    max_attempts integer NOT NULL,
    lease_token uuid,
    leased_by text,
    lease_until timestamptz,
    heartbeat_at timestamptz,
    progress jsonb,
    steps jsonb NOT NULL DEFAULT '[]',
    error_code text,
    error_detail text,
    output jsonb,
    created_by uuid,
    request_id uuid NOT NULL,
    cancel_requested_at timestamptz,
    version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    started_at timestamptz,
    finished_at timestamptz,
    CONSTRAINT pk_jobs PRIMARY KEY (id),
    CONSTRAINT fk_jobs__tenant FOREIGN KEY (tenant_id) REFERENCES tenants (id) ON DELETE CASCADE,
    CONSTRAINT ck_jobs__kind CHECK (char_length(kind) BETWEEN 1 AND 100),
    CONSTRAINT ck_jobs__unique_key CHECK (char_length(unique_key) BETWEEN 1 AND 200),
    CONSTRAINT ck_jobs__input CHECK (octet_length(input::text) <= 65536),
    CONSTRAINT ck_jobs__state CHECK (state IN ('queued', 'running', 'succeeded', 'failed', 'cancelled')),
    CONSTRAINT ck_jobs__attempts CHECK (attempts >= 0 AND max_attempts >= 1),
    CONSTRAINT ck_jobs__lease CHECK (
        (state = 'running') = (lease_token IS NOT NULL) AND (state = 'running') = (lease_until IS NOT NULL)),
    CONSTRAINT ck_jobs__finished CHECK (
        (state IN ('succeeded', 'failed', 'cancelled')) = (finished_at IS NOT NULL))
)";

const SCHEDULES: &str = "\
CREATE TABLE job_schedules (
    name text NOT NULL,
    kind text NOT NULL,
    expression text NOT NULL,
    time_zone text NOT NULL,
    enabled boolean NOT NULL DEFAULT true,
    next_run timestamptz NOT NULL,
    last_run timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT pk_job_schedules PRIMARY KEY (name),
    CONSTRAINT ck_job_schedules__name CHECK (char_length(name) BETWEEN 1 AND 100)
)";

/// What a runner changes. Which job it is, whose and with what input is said once, when it is made.
const UPDATE_OF_A_RUNNER: &str = "\
SELECT, INSERT, DELETE, UPDATE (state, run_after, attempts, lease_token, leased_by, lease_until, heartbeat_at, progress, \
steps, error_code, error_detail, output, cancel_requested_at, version, updated_at, started_at, finished_at)";

fn up(script: &mut SystemScript<'_>) {
    script.sql(JOBS);
    script.sql(SCHEDULES);
    for index in [
        "CREATE INDEX ix_jobs__party_priority ON jobs (party, priority DESC, run_after, id) WHERE state = 'queued'",
        "CREATE INDEX ix_jobs__run_after ON jobs (run_after) WHERE state = 'queued'",
        "CREATE INDEX ix_jobs__lease_until ON jobs (lease_until) WHERE state = 'running'",
        "CREATE INDEX ix_jobs__party_started_at ON jobs (party, started_at)",
        "CREATE INDEX ix_jobs__finished_at ON jobs (finished_at) WHERE finished_at IS NOT NULL",
        "CREATE INDEX ix_jobs__tenant_id_id ON jobs (tenant_id, id)",
        "CREATE INDEX ix_jobs__kind_id ON jobs (kind, id)",
        "CREATE INDEX ix_jobs__state_id ON jobs (state, id)",
        "CREATE UNIQUE INDEX ux_jobs__unique_key ON jobs (kind, party, unique_key) \
         WHERE unique_key IS NOT NULL AND state IN ('queued', 'running')",
    ] {
        script.sql(index);
    }
    script.grant(UPDATE_OF_A_RUNNER, "jobs", &[App]);
    // Work that belongs to a change of the registry is asked for in the transaction of that change.
    script.grant("SELECT, INSERT", "jobs", &[Control]);
    script.grant("SELECT, INSERT, UPDATE", "job_schedules", &[App]);
}
