# The everyday commands; `just` lists them.

default:
    @just --list

# Everything on this machine: PostgreSQL, two demo clinics, the service
dev *args:
    cargo run --package clinicx -- dev {{args}}

# Every test, against a PostgreSQL that the run starts for itself
test *args:
    cargo test --workspace {{args}}

# Format, lints, docs, tests: what CI runs
ci:
    .ci/run

# Format and lint
check:
    cargo fmt --all
    cargo clippy --workspace --all-targets

# Bring the checked-in OpenAPI document up to date
openapi:
    cargo run --quiet --package clinicx -- openapi > docs/openapi.json

# From an empty folder to /readyz, the second start, and the size of the program, against their bars
bench-start runs="3":
    cargo build --release --package clinicx
    apps/clinicx/benches/start target/release/clinicx {{runs}}

# The tenant connection against SeaORM's stock pool: ratios of requests/s and CPU
bench-connection:
    cargo bench --package clinicx-persistence --bench connection

# What role, row-level security and CHECK cost: a point read and a booking, with them and without, in turns
bench-overhead:
    cargo bench --package clinicx-core --bench overhead

# What the audit costs: an audited point read and a booking, with the audit and without, in turns, over HTTP
bench-audit:
    cargo bench --package clinicx --bench audit --features clinicx-persistence/unaudited

# What the two modules ask most: an invoice of three lines and an adult's chart, as ratios to a point read
bench-modules:
    cargo bench --package clinicx --bench modules

# Provisioning a tenant against psql with the same script
bench-provisioning:
    cargo bench --package clinicx-tenancy --bench provisioning

# Provisioning, a point read of the same ten and the first page of tenants, with 1,000 tenants against 10
bench-tenants:
    cargo bench --package clinicx --bench tenants

# 50 bookings of one slot at a time, 20 times, and with the default limits: one wins, the others are told so
booking-race:
    cargo test --package clinicx --test it one_winner -- --nocapture

# Every operation of the API document, asked by everybody there is, against the table of who may do what
access:
    cargo test --package clinicx --test it every_operation_meets_every_caller -- --nocapture

# A fleet of 1,000: status, check of every ledger, ADD COLUMN and CREATE INDEX against a bare script, memory
bench-fleet:
    cargo bench --package clinicx-migration --bench fleet

# A backup among 1,000 tenants against 10 and against pg_dump, and a tenant of 1 GB with its restore against COPY alone
bench-archive:
    cargo bench --package clinicx-archive --bench archive

# Archives that were changed, more than 600, all refused
archive-mutations:
    cargo test --package clinicx-archive --test it mutation -- --nocapture

# The runner and PostgreSQL killed at random while a fleet is migrated: every tenant at the target, each step once
fleet-kills kills="200" tenants="300":
    FLEET_KILLS={{kills}} FLEET_TENANTS={{tenants}} cargo test --package clinicx-migration --test it kills -- --nocapture

# Clinics with awkward rows in shared tables become tenants: every row moved or named, nothing different, pauses
adoption clinics="100" rows="10000":
    ADOPTION_TENANTS={{clinics}} ADOPTION_ROWS={{rows}} cargo test --package clinicx-adoption --test it every_row_is_moved -- --nocapture

# The process that moves a clinic killed at random
adoption-kills kills="100" rows="10000":
    ADOPTION_KILLS={{kills}} ADOPTION_KILLS_ROWS={{rows}} cargo test --package clinicx-adoption --test it kills -- --nocapture

# 32 clients read and write while the service is killed ten times: no answer without its audit row
audit-completeness answers="10000" kills="10":
    COMPLETENESS_ANSWERS={{answers}} COMPLETENESS_KILLS={{kills}} cargo test --package clinicx --test it completeness -- --nocapture

# What a superuser can do to the sealed audit, at random: each time it is found
audit-tamperings number="10000":
    AUDIT_TAMPERINGS={{number}} cargo test --package clinicx-audit --test it tampering -- --nocapture

# 64 clients, 20 tenants, 100,000 answers, 10 % of requests aborted: no row of another tenant; with --faults, also
# five backends killed each second: nothing but 503 besides, no write lost or doubled
soak *args:
    .ci/soak {{args}}

# One tenant at 50 times its load: the others' p99 stays within twice what it was
bench-neighbour:
    cargo bench --package clinicx --bench neighbour

# Schemathesis over the whole OpenAPI document, as an owner and as an operator: no 5xx, no answer off the document
fuzz-api *args:
    cargo build --package clinicx
    apps/clinicx/tests/fuzz/run target/debug/clinicx {{args}}

# Each database path of each handler dropped at each await point, and 3,000 at random, in both modes
sweep:
    cargo test --package clinicx --test it cancellation -- --nocapture

# Plant each of eleven leaks between tenants in turn: a test notices each, and none fails without one
leak-report:
    .ci/leak-report
