//! What a fleet of a thousand tenants costs: its status, a check of every schema's own ledger, and an ADD COLUMN with a
//! CREATE INDEX on all of them beside a bare script that runs the same on two connections, in turns.
//!
//! `cargo bench -p clinicx-migration --bench fleet` starts a durable PostgreSQL (fsync on) and makes the tenants with
//! every module, which takes minutes. It prints times, ratios and the memory of the process, and fails when a bar is
//! missed. `CLINICX_BENCH_TENANTS` sets another number than 1,000.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark")]

use std::{
    env, fs,
    future::Future,
    sync::Arc,
    time::{Duration, Instant},
};

use clinicx_embedded_postgres::server::{Options, Server};
use clinicx_migration::{
    owner::OwnerLogin,
    system::{self, RoleNames, SystemRole},
    tenant::{
        self, Down, Limits, ModuleMigrations, Plan, Subject, TenantMigration,
        fleet::{self, RunEnd, RunOptions, check::check, status},
    },
};
use clinicx_persistence::{SystemConnection, SystemOptions, Timeouts};
use clinicx_tenancy::{Module, ModuleRegistry, PlatformScope, Tenancy, TenancyOptions, Tenant, TenantDraft};
use clinicx_testing::{database, tenant::unique_slug};
use clinicx_types::{id::TenantId, module::ModuleFacts};
use sqlx::{Connection, Executor, PgConnection, postgres::PgConnectOptions};

const STATUS: Duration = Duration::from_millis(300);
const CHECK: Duration = Duration::from_secs(2);
const RATIO: f64 = 1.5;
const MEMORY_MB: u64 = 200;
const ROUNDS: usize = 3;

macro_rules! round {
    ($number:literal) => {
        [
            step(concat!("m000", $number, "_column"), |script| {
                script.sql(concat!("ALTER TABLE patients ADD COLUMN ours_", $number, " text"));
            }),
            step(concat!("m000", $number, "_index"), |script| {
                script.sql(concat!(
                    "CREATE INDEX ix_patients__ours_",
                    $number,
                    " ON patients (ours_",
                    $number,
                    ")"
                ));
            }),
        ]
    };
}

const fn step(name: &'static str, up: fn(&mut tenant::script::Script)) -> TenantMigration {
    TenantMigration { name, up, down: Down::Irreversible("a benchmark") }
}

const NOTHING: TenantMigration = step("m0000_nothing", |script| script.sql("SELECT 1"));
const LATE: &[TenantMigration] = &{
    let [a, b] = round!(1);
    let [c, d] = round!(2);
    let [e, f] = round!(3);
    [NOTHING, a, b, c, d, e, f]
};

/// The program of a round: two more migrations.
fn modules(round: usize) -> [ModuleMigrations; 4] {
    let migrations = LATE.get(..=2 * round).unwrap();
    let late = ModuleMigrations { module: "late", requires: &["core"], migrations, serves_from: None };
    [tenant::core::MIGRATIONS, tenant::billing::MIGRATIONS, tenant::dental::MIGRATIONS, late]
}

struct Bench {
    server: Server,
    tenants: Vec<Tenant>,
}

fn main() {
    // `cargo test --benches` asks for a run as a test.
    if env::args().any(|argument| argument == "--test") {
        return;
    }
    let many = env::var("CLINICX_BENCH_TENANTS").ok().and_then(|text| text.parse().ok()).unwrap_or(1_000);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(run(many));
}

async fn run(many: usize) {
    let folder = env::temp_dir().join(format!("clinicx-bench-fleet-{}", std::process::id()));
    let bench = Bench::start(&folder, many).await;
    let plan = Plan::new(modules(0)).unwrap();
    let registry = bench.system(SystemRole::App).await;
    let by_registry = async || {
        fleet::standings(&registry, &plan).await.unwrap();
        status::last_run(&registry).await.unwrap();
    };
    let (_, status) = (timed(by_registry()).await, timed(by_registry()).await);
    let checked = bench.subjects();
    let login = bench.login();
    let by_ledgers = async || {
        let found = check(&login, &plan, &checked).await.unwrap();
        assert!(found.iter().all(|one| one.work.as_ref().is_ok_and(|work| work.is_done())));
    };
    let (_, check) = (timed(by_ledgers()).await, timed(by_ledgers()).await);
    let options = RunOptions::new(PlatformScope::system("bench").next_id());
    let nothing = timed(async {
        assert_eq!(fleet::run(&login, &plan, &options, |_| {}).await.unwrap().end, RunEnd::Nothing);
    });
    let nothing = nothing.await;
    let (mut ratios, mut most) = (Vec::new(), 0);
    for round in 1..=ROUNDS {
        let bare = timed(bench.bare(round)).await;
        let before = memory_mb();
        let ours = timed(bench.ours(round)).await;
        let after = memory_mb();
        most = most.max(after);
        let ratio = ours.as_secs_f64() / bare.as_secs_f64();
        println!("round {round}: {ours:.2?} : {bare:.2?} = {ratio:.2}; memory {before} to {after} MB");
        ratios.push(ratio);
    }
    ratios.sort_by(f64::total_cmp);
    let ratio = ratios.get(ROUNDS / 2).copied().unwrap_or(f64::INFINITY);
    println!("{many} tenants, fsync on");
    println!("status of the registry {status:.2?} (bar {STATUS:?})");
    println!("check of every ledger {check:.2?} (bar {CHECK:?}); a run with nothing to do {nothing:.2?}");
    println!("ADD COLUMN and CREATE INDEX beside a bare script {ratio:.2} (bar {RATIO})");
    println!("memory of the process at most {most} MB (bar {MEMORY_MB} MB)");
    registry.close().await;
    bench.server.stop().await.unwrap();
    let _removed = fs::remove_dir_all(&folder);
    let holds = status <= STATUS && check <= CHECK && ratio <= RATIO && most <= MEMORY_MB;
    assert!(holds, "a bar is missed");
}

impl Bench {
    async fn start(folder: &std::path::Path, many: usize) -> Self {
        let server = Server::start(Options::new(folder)).await.unwrap();
        let superuser: PgConnectOptions = server.url("postgres", "postgres").parse().unwrap();
        system::migrate(&superuser, &RoleNames::default()).await.unwrap();
        let mut bench = Self { server, tenants: Vec::new() };
        let module = |migrations: ModuleMigrations| Module {
            name: migrations.module,
            migrations,
            facts: ModuleFacts::default(),
        };
        let tenancy = Tenancy::new(TenancyOptions {
            app: bench.system(SystemRole::App).await,
            control: bench.system(SystemRole::Control).await,
            migrator: Some(bench.login()),
            modules: Arc::new(ModuleRegistry::new(modules(0).map(module)).unwrap()),
            keys: database::keys(),
            home: database::home(),
            others: Vec::new(),
            retention: Duration::from_secs(3600),
        });
        tenancy.register_clusters().await.unwrap();
        let started = Instant::now();
        while bench.tenants.len() < many {
            let batch = (many - bench.tenants.len()).min(4);
            let made = futures_util::future::join_all((0..batch).map(|_| create(&tenancy))).await;
            bench.tenants.extend(made);
        }
        println!("{many} tenants made in {:.0?}", started.elapsed());
        tenancy.close().await;
        tenancy.control().close().await;
        tenancy.app().close().await;
        bench
    }

    fn options(&self, role: SystemRole) -> PgConnectOptions {
        self.server.url(RoleNames::default().of(role).as_str(), "postgres").parse().unwrap()
    }

    fn login(&self) -> OwnerLogin {
        OwnerLogin::new(self.options(SystemRole::Migrator), &RoleNames::default())
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

    fn subjects(&self) -> Vec<(Subject, Limits)> {
        let subject = |one: &Tenant| Subject {
            tenant_id: one.id,
            schema: one.database_schema.clone(),
            modules: one.modules.clone(),
        };
        self.tenants.iter().map(|one| (subject(one), Limits::default())).collect()
    }

    /// The same on two connections, a transaction for each tenant, and nothing else.
    async fn bare(&self, round: usize) {
        let (first, second) = self.tenants.split_at(self.tenants.len() / 2);
        tokio::join!(self.bare_half(round, first), self.bare_half(round, second));
    }

    async fn bare_half(&self, round: usize, tenants: &[Tenant]) {
        let mut connection = PgConnection::connect_with(&self.options(SystemRole::Migrator)).await.unwrap();
        connection.execute("SET ROLE clinicx_owner").await.unwrap();
        for tenant in tenants {
            for statement in [
                format!("BEGIN; SET LOCAL search_path TO {}", tenant.database_schema),
                format!("ALTER TABLE patients ADD COLUMN bare_{round} text"),
                format!("CREATE INDEX ix_patients__bare_{round} ON patients (bare_{round})"),
                "COMMIT".to_owned(),
            ] {
                connection.execute(sqlx::AssertSqlSafe(statement)).await.unwrap();
            }
        }
        connection.close().await.unwrap();
    }

    async fn ours(&self, round: usize) {
        let plan = Plan::new(modules(round)).unwrap();
        let options = RunOptions::new(PlatformScope::system("bench").next_id());
        let report = fleet::run(&self.login(), &plan, &options, |_| {}).await.unwrap();
        assert_eq!((report.end, report.done), (RunEnd::Succeeded, self.tenants.len()));
    }
}

async fn create(tenancy: &Tenancy) -> Tenant {
    let by = PlatformScope::system("bench");
    let draft = TenantDraft {
        slug: unique_slug(),
        name: "Bench".to_owned(),
        modules: tenancy.modules().names().map(ToString::to_string).collect(),
        time_zone: "UTC".to_owned(),
        currency: "EUR".to_owned(),
        locale: "en".to_owned(),
        ..TenantDraft::default()
    };
    let new = tenancy.check(draft, TenantId::new(by.next_id())).unwrap();
    tenancy.create(new, &by, Vec::new()).await.unwrap()
}

async fn timed(work: impl Future<Output = ()>) -> Duration {
    let started = Instant::now();
    work.await;
    started.elapsed()
}

/// The resident memory of this process.
fn memory_mb() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    let kilobytes: u64 =
        line.split_whitespace().next().and_then(|text| text.parse().ok()).unwrap_or_default();
    kilobytes / 1024
}
