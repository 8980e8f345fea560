//! The runner and PostgreSQL are killed at random points of runs over a fleet: every tenant ends at the target, and each
//! migration was applied once.
//!
//! `FLEET_KILLS` and `FLEET_TENANTS` set other numbers; `just fleet-kills` takes 200 and 300.

use std::{
    process::{Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use clinicx_embedded_postgres::TestServer;
use clinicx_migration::{
    owner::OwnerLogin,
    system::{self, RoleNames, SystemRole},
    tenant::{
        TenantMigration,
        fleet::{self, RunEnd, RunOptions, check::check},
        limits::{Limits, Target},
        outside::{Backfill, ConcurrentIndex},
    },
};
use clinicx_persistence::{SystemConnection, SystemOptions, Timeouts};
use clinicx_tenancy::{Module, ModuleRegistry, Tenancy, TenancyOptions, Tenant};
use clinicx_testing::database;
use clinicx_types::module::ModuleFacts;
use rand::RngExt;
use sqlx::{Connection, Executor, PgConnection, postgres::PgConnectOptions};

use crate::fleet::{NOTES, core, create, options, plan, step};

/// Where the process that is killed finds its server.
const SERVER: &str = "FLEET_RUNNER_URL";
/// How far it goes.
const TARGET: &str = "FLEET_RUNNER_TARGET";
/// How long one run may take.
const PATIENCE: Duration = Duration::from_secs(300);

/// Each leaves a row behind, so that a second application shows.
macro_rules! marked {
    ($number:literal, $statement:literal) => {
        step(concat!("m", $number, "_step"), |script| {
            script.sql($statement);
            script.sql(concat!(
                "INSERT INTO notes (id, body) VALUES (gen_random_uuid(), 'step ",
                $number,
                "')"
            ));
        })
    };
}

const FIRST: &[TenantMigration] = &[NOTES];
const ALL: &[TenantMigration] = &[
    NOTES,
    marked!("0002", "ALTER TABLE notes ADD COLUMN c2 text"),
    marked!("0003", "CREATE INDEX ix_notes__c2 ON notes (c2)"),
    step("m0004_index", |script| {
        script.create_index_concurrently(ConcurrentIndex {
            name: "ix_notes__body",
            table: "notes",
            on: "(body)",
            is_unique: false,
        });
    }),
    marked!("0005", "ALTER TABLE notes ADD COLUMN c5 text"),
    step("m0006_backfill", |script| {
        script.backfill(Backfill {
            table: "notes",
            set: "folded = lower(body)",
            due: "folded IS NULL",
            rows: 2,
        });
    }),
    marked!("0007", "ALTER TABLE notes ADD COLUMN c7 text"),
    marked!("0008", "CREATE INDEX ix_notes__c7 ON notes (c7)"),
    marked!("0009", "ALTER TABLE notes ADD COLUMN c9 text"),
    marked!("0010", "CREATE INDEX ix_notes__c9 ON notes (c9)"),
    step("m0011_index", |script| {
        script.create_index_concurrently(ConcurrentIndex {
            name: "ix_notes__folded",
            table: "notes",
            on: "(folded)",
            is_unique: false,
        });
    }),
    marked!("0012", "ALTER TABLE notes ADD COLUMN c12 text"),
    marked!("0013", "CREATE INDEX ix_notes__c12 ON notes (c12)"),
    marked!("0014", "ALTER TABLE notes ADD COLUMN c14 text"),
    marked!("0015", "CREATE INDEX ix_notes__c14 ON notes (c14)"),
];
/// How many of them are [`marked`].
const MARKED: i64 = 11;

fn number(name: &str, default: usize) -> usize {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// The process that is killed; as a test of its own it does nothing.
#[tokio::test(flavor = "multi_thread")]
async fn runner() {
    let Ok(url) = std::env::var(SERVER) else { return };
    let login = OwnerLogin::new(url.parse().unwrap(), &RoleNames::default());
    let target: Target = std::env::var(TARGET).unwrap().parse().unwrap();
    let asked = RunOptions { target, ..options() };
    let report = fleet::run(&login, &plan(ALL), &asked, |_| {}).await;
    let is_there = report.is_ok_and(|report| matches!(report.end, RunEnd::Nothing | RunEnd::Succeeded));
    std::process::exit(if is_there { 0 } else { 1 });
}

struct Killed {
    server: TestServer,
    tenants: Vec<Tenant>,
}

impl Killed {
    fn options(&self, role: SystemRole) -> PgConnectOptions {
        self.server.url(RoleNames::default().of(role).as_str(), "postgres").parse().unwrap()
    }

    async fn system(&self, role: SystemRole) -> SystemConnection {
        let options = SystemOptions {
            connect: self.options(role),
            session_authorization: None,
            max_connections: 4,
            acquire_timeout: Duration::from_secs(20),
            timeouts: Timeouts::SYSTEM,
        };
        SystemConnection::connect(options).await.unwrap()
    }

    async fn start(number: usize) -> Self {
        let server = TestServer::start().unwrap();
        let superuser: PgConnectOptions = server.superuser_url("postgres").parse().unwrap();
        system::migrate(&superuser, &RoleNames::default()).await.unwrap();
        let mut killed = Self { server, tenants: Vec::new() };
        let module = Module { name: "core", migrations: core(FIRST), facts: ModuleFacts::default() };
        let tenancy = Tenancy::new(TenancyOptions {
            app: killed.system(SystemRole::App).await,
            control: killed.system(SystemRole::Control).await,
            migrator: Some(OwnerLogin::new(killed.options(SystemRole::Migrator), &RoleNames::default())),
            modules: Arc::new(ModuleRegistry::new([module]).unwrap()),
            keys: database::keys(),
            home: database::home(),
            others: Vec::new(),
            retention: Duration::from_secs(3600),
        });
        tenancy.register_clusters().await.unwrap();
        while killed.tenants.len() < number {
            let batch = (number - killed.tenants.len()).min(4);
            let made = futures_util::future::join_all((0..batch).map(|_| create(&tenancy))).await;
            killed.tenants.extend(made);
        }
        tenancy.close().await;
        tenancy.control().close().await;
        tenancy.app().close().await;
        killed
    }

    /// Starts the runner as a process of its own.
    fn runner(&self, target: usize) -> std::process::Child {
        let url = self.server.url(RoleNames::default().of(SystemRole::Migrator).as_str(), "postgres");
        Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "kills::runner", "--nocapture"])
            .env(SERVER, url)
            .env(TARGET, format!("core={target}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    }

    async fn superuser(&self) -> PgConnection {
        let started = Instant::now();
        loop {
            match PgConnection::connect(&self.server.superuser_url("postgres")).await {
                Ok(connection) => return connection,
                // It recovers.
                Err(error) => assert!(started.elapsed() < PATIENCE, "{error}"),
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Kills a server process that works for the runner, which makes the server end all and recover.
    async fn kill_backend(&self) {
        let mut superuser = self.superuser().await;
        let backend: Option<i32> = sqlx::query_scalar(
            "SELECT pid FROM pg_stat_activity WHERE usename = 'clinicx_migrator' ORDER BY random() LIMIT 1",
        )
        .fetch_optional(&mut superuser)
        .await
        .unwrap_or_default();
        if let Some(backend) = backend {
            let kill = format!("kill -s KILL {backend}");
            let _ended = Command::new("sh").args(["-c", &kill]).stderr(Stdio::null()).status().unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_tenant_ends_at_the_target_whoever_is_killed() {
    let (kills, tenants) = (number("FLEET_KILLS", 12), number("FLEET_TENANTS", 24));
    let killed = Killed::start(tenants).await;
    let begun = Instant::now();
    let (mut done, mut of_server, mut target, mut typical) = (0, 0, 2, Duration::from_millis(400));
    while done < kills {
        let started = Instant::now();
        let mut runner = killed.runner(target);
        // Anywhere from before its first statement to a little after its end.
        let moment = typical.mul_f64(rand::rng().random_range(0.0..1.2));
        tokio::time::sleep(moment).await;
        if let Some(status) = runner.try_wait().unwrap() {
            if status.success() {
                // Around again, from where it all begins when there is nothing further.
                typical = (typical + started.elapsed()) / 2;
                target += 1;
            }
            if target > ALL.len() {
                target = ALL.len();
                rewind(&killed).await;
            }
            continue;
        }
        // Every eighth time it is the server, and the runner finds out.
        if done % 8 == 7 {
            killed.kill_backend().await;
            of_server += 1;
            let waiting = Instant::now();
            while runner.try_wait().unwrap().is_none() && waiting.elapsed() < Duration::from_secs(30) {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        let _ended = runner.kill();
        runner.wait().unwrap();
        done += 1;
        typical = typical.max(Duration::from_millis(50)) + Duration::from_millis(20);
    }
    drop(killed.superuser().await);
    let started = Instant::now();
    loop {
        let status = killed.runner(ALL.len()).wait().unwrap();
        if status.success() {
            break;
        }
        assert!(started.elapsed() < PATIENCE, "it does not come to its end");
    }
    println!(
        "{done} kills ({of_server} of the server), {tenants} tenants, {:.1?}: all at the target",
        begun.elapsed()
    );
    verify(&killed).await;
}

/// Takes every tenant back to the beginning, so that there is something to do again.
async fn rewind(killed: &Killed) {
    let mut superuser = killed.superuser().await;
    for tenant in &killed.tenants {
        let schema = &tenant.database_schema;
        let columns = "DROP COLUMN IF EXISTS c2, DROP COLUMN IF EXISTS c5, DROP COLUMN IF EXISTS c7, \
                       DROP COLUMN IF EXISTS c9, DROP COLUMN IF EXISTS c12, DROP COLUMN IF EXISTS c14";
        let script = format!(
            "SET search_path TO {schema}, pg_temp; DELETE FROM notes; ALTER TABLE notes {columns}; \
             DROP INDEX IF EXISTS ix_notes__body; DROP INDEX IF EXISTS ix_notes__folded; \
             DELETE FROM schema_migrations WHERE position > 1; \
             UPDATE public.tenant_modules SET schema_version = 1 WHERE tenant_id = '{id}'; \
             UPDATE public.tenants SET schema_version = '1.1.0' WHERE id = '{id}'",
            id = tenant.id
        );
        superuser.execute(sqlx::AssertSqlSafe(script)).await.unwrap();
    }
}

async fn verify(killed: &Killed) {
    let login = OwnerLogin::new(killed.options(SystemRole::Migrator), &RoleNames::default());
    let plan = plan(ALL);
    let registry = killed.system(SystemRole::App).await;
    let standings = fleet::standings(&registry, &plan).await.unwrap();
    assert_eq!(standings.len(), killed.tenants.len());
    assert!(standings.iter().all(|one| one.pending == 0), "by the registry");
    let asked: Vec<_> = standings.into_iter().map(|one| (one.subject, Limits::default())).collect();
    let checked = check(&login, &plan, &asked).await.unwrap();
    assert!(checked.iter().all(|one| one.work.as_ref().is_ok_and(|work| work.is_done())), "by the ledgers");
    let mut superuser = killed.superuser().await;
    for tenant in &killed.tenants {
        let schema = &tenant.database_schema;
        let query =
            format!("SELECT count(*), count(DISTINCT body) FROM {schema}.notes WHERE body LIKE 'step %'");
        let (all, distinct): (i64, i64) =
            sqlx::query_as(sqlx::AssertSqlSafe(query)).fetch_one(&mut superuser).await.unwrap();
        assert_eq!((all, distinct), (MARKED, MARKED), "each was applied once in {schema}");
        let query = format!(
            "SELECT count(*) FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid \
             WHERE c.relnamespace = '{schema}'::regnamespace AND NOT i.indisvalid"
        );
        let invalid: i64 =
            sqlx::query_scalar(sqlx::AssertSqlSafe(query)).fetch_one(&mut superuser).await.unwrap();
        assert_eq!(invalid, 0, "{schema}");
    }
    let left: i64 = sqlx::query_scalar("SELECT count(*) FROM public.migration_positions")
        .fetch_one(&mut superuser)
        .await
        .unwrap();
    assert_eq!(left, 0);
}
