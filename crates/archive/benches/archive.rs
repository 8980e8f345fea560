//! What a backup costs: of one tenant among ten and among a thousand, beside `pg_dump -n` among a thousand, and of a
//! tenant of a gigabyte, with its restore, beside COPY alone.
//!
//! `cargo bench -p clinicx-archive --bench archive` starts a durable PostgreSQL (fsync on) and makes the tenants, which
//! takes minutes. It prints times and ratios, and fails when a bar is missed. `CLINICX_BENCH_TENANTS` sets another number
//! than 1,000, `CLINICX_BENCH_MB` another size than 1,024. Needs `pg_dump` on the PATH.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark")]

use std::{
    env, fs,
    future::Future,
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use clinicx_archive::{
    Archivist, ArchivistOptions, Backup, BackupLogin, Folder, Target, Watch, registry::Reason,
};
use clinicx_embedded_postgres::server::{Options, Server};
use clinicx_migration::{
    owner::OwnerLogin,
    system::{self, RoleNames, SystemRole},
};
use clinicx_persistence::{SystemConnection, SystemOptions, Timeouts};
use clinicx_tenancy::{PlatformScope, Tenancy, TenancyOptions, Tenant, TenantDraft};
use clinicx_testing::{database, tenant::unique_slug};
use clinicx_types::id::TenantId;
use futures_util::TryStreamExt;
use sqlx::{Connection, Executor, PgConnection, postgres::PgConnectOptions};

const FEW: usize = 10;
const MORE_TENANTS: f64 = 2.0;
const BESIDE_PG_DUMP: f64 = 0.1;
const BESIDE_COPY: f64 = 3.0;
const ROUNDS: usize = 5;
/// How many bytes COPY writes for one of the rows that fill a large tenant.
const ROW_BYTES: usize = 320;

fn main() {
    // `cargo test --benches` asks for a run as a test.
    if env::args().any(|argument| argument == "--test") {
        return;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(run(number("CLINICX_BENCH_TENANTS", 1_000), number("CLINICX_BENCH_MB", 1_024)));
}

fn number(variable: &str, otherwise: usize) -> usize {
    env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

struct Bench {
    server: Server,
    tenancy: Tenancy,
    archivist: Archivist,
    by: PlatformScope,
}

async fn run(many: usize, megabytes: usize) {
    let folder = env::temp_dir().join(format!("clinicx-bench-archive-{}", std::process::id()));
    let bench = Bench::start(&folder).await;
    let tenants = bench.tenants(FEW).await;
    let one = tenants.first().unwrap();
    let among_few = bench.backups(one).await;
    bench.tenants(many - FEW).await;
    let among_many = bench.backups(one).await;
    let dumped = bench.pg_dump(one);
    let large = bench.tenants(1).await.remove(0);
    bench.fill(&large, megabytes).await;
    let (reading, writing) = bench.copy_alone(&large).await;
    let (backup, backed_up) = timed(bench.back_up(&large)).await;
    let target = Target::new(unique_slug(), &bench.by);
    let watch = Watch::default();
    let restoring = bench.archivist.restore_into(&backup, &target, &bench.by, &watch);
    let (restored, restoring) = timed(restoring).await;
    restored.unwrap();
    let bars = [
        ("backup among many : among few", among_many, among_few, MORE_TENANTS),
        ("backup among many : pg_dump -n", among_many, dumped, BESIDE_PG_DUMP),
        ("backup of the large tenant : COPY out", backed_up, reading, BESIDE_COPY),
        ("restore of the large tenant : COPY in", restoring, writing, BESIDE_COPY),
    ];
    println!(
        "{many} tenants, one of {megabytes} MB ({} stored), fsync on",
        backup.stored_bytes.unwrap_or_default()
    );
    let mut holds = true;
    for (what, ours, other, bar) in bars {
        let ratio = ours.as_secs_f64() / other.as_secs_f64();
        holds &= ratio <= bar;
        println!("{what} {ours:.3?} : {other:.3?} = {ratio:.2} (bar {bar})");
    }
    bench.tenancy.close().await;
    bench.server.stop().await.unwrap();
    let _removed = fs::remove_dir_all(&folder);
    assert!(holds, "a bar is missed");
}

impl Bench {
    async fn start(folder: &Path) -> Self {
        let server = Server::start(Options::new(folder)).await.unwrap();
        let superuser: PgConnectOptions = server.url("postgres", "postgres").parse().unwrap();
        let names = RoleNames::default();
        system::migrate(&superuser, &names).await.unwrap();
        let login = |role: SystemRole| -> PgConnectOptions {
            server.url(names.of(role).as_str(), "postgres").parse().unwrap()
        };
        let tenancy = Tenancy::new(TenancyOptions {
            app: system(login(SystemRole::App)).await,
            control: system(login(SystemRole::Control)).await,
            migrator: Some(OwnerLogin::new(login(SystemRole::Migrator), &names)),
            modules: database::modules(&[]),
            keys: database::keys(),
            home: database::home(),
            others: Vec::new(),
            retention: Duration::from_secs(3600),
        });
        tenancy.register_clusters().await.unwrap();
        let archivist = Archivist::new(ArchivistOptions {
            tenancy: tenancy.clone(),
            backup: Some(BackupLogin { connect: login(SystemRole::Backup), session_authorization: None }),
            store: Some(Arc::new(Folder::new(folder.join("archives")))),
            sealed: clinicx_core::sealed::COLUMNS.to_vec(),
            left_behind: &["outbox", "idempotency_keys"],
        });
        Self { server, tenancy, archivist, by: PlatformScope::system("bench") }
    }

    async fn tenants(&self, count: usize) -> Vec<Tenant> {
        let mut made = Vec::new();
        while made.len() < count {
            let batch = (count - made.len()).min(4);
            made.extend(futures_util::future::join_all((0..batch).map(|_| self.tenant())).await);
        }
        made
    }

    async fn tenant(&self) -> Tenant {
        let draft = TenantDraft {
            slug: unique_slug(),
            name: "Bench".to_owned(),
            modules: self.tenancy.modules().names().map(ToString::to_string).collect(),
            time_zone: "UTC".to_owned(),
            currency: "EUR".to_owned(),
            locale: "en".to_owned(),
            ..TenantDraft::default()
        };
        let new = self.tenancy.check(draft, TenantId::new(self.by.next_id())).unwrap();
        self.tenancy.create(new, &self.by, Vec::new()).await.unwrap()
    }

    async fn back_up(&self, tenant: &Tenant) -> Backup {
        self.archivist.back_up(tenant, Reason::Demand, &self.by, &Watch::default()).await.unwrap()
    }

    /// The median of several backups, after one that pays for cold caches.
    async fn backups(&self, tenant: &Tenant) -> Duration {
        self.back_up(tenant).await;
        let mut all = Vec::new();
        for _ in 0..ROUNDS {
            all.push(timed(self.back_up(tenant)).await.1);
        }
        all.sort();
        all.swap_remove(ROUNDS / 2)
    }

    fn pg_dump(&self, tenant: &Tenant) -> Duration {
        let started = Instant::now();
        let status = Command::new("pg_dump")
            .args(["--no-owner", "--schema", tenant.database_schema.as_str()])
            .args(["--dbname", &self.server.url("postgres", "postgres")])
            .stdout(Stdio::null())
            .status()
            .unwrap();
        assert!(status.success());
        started.elapsed()
    }

    async fn superuser(&self) -> PgConnection {
        let options: PgConnectOptions = self.server.url("postgres", "postgres").parse().unwrap();
        PgConnection::connect_with(&options).await.unwrap()
    }

    async fn fill(&self, tenant: &Tenant, megabytes: usize) {
        let rows = megabytes * 1024 * 1024 / ROW_BYTES;
        let schema = tenant.database_schema.quoted();
        let mut superuser = self.superuser().await;
        for statement in [
            format!(
                "INSERT INTO {schema}.rooms (id, name, kind) \
                 SELECT gen_random_uuid(), md5(g::text) || md5((g + 1)::text) || md5((g + 2)::text) || md5((g + 3)::text), \
                        'chair' FROM generate_series(1, {rows}) AS g"
            ),
            format!("ANALYZE {schema}.rooms"),
            "CHECKPOINT".to_owned(),
        ] {
            superuser.execute(sqlx::AssertSqlSafe(statement)).await.unwrap();
        }
        superuser.close().await.unwrap();
    }

    /// COPY of the large table out to nobody, and out of it into the same table of another tenant, indexes and all.
    async fn copy_alone(&self, tenant: &Tenant) -> (Duration, Duration) {
        const COLUMNS: &str = "id, version, created_at, updated_at, name, kind, parent_id, time_zone, active";
        let other = self.tenant().await;
        let (mut reader, mut writer) = (self.superuser().await, self.superuser().await);
        let out = format!("COPY {}.rooms ({COLUMNS}) TO STDOUT", tenant.database_schema.quoted());
        let into = format!("COPY {}.rooms ({COLUMNS}) FROM STDIN", other.database_schema.quoted());
        let (_, reading) = timed(async {
            let mut rows = reader.copy_out_raw(&out).await.unwrap();
            while rows.try_next().await.unwrap().is_some() {}
        })
        .await;
        let (_, writing) = timed(async {
            let mut rows = reader.copy_out_raw(&out).await.unwrap();
            let mut sink = writer.copy_in_raw(&into).await.unwrap();
            while let Some(piece) = rows.try_next().await.unwrap() {
                sink.send(piece).await.unwrap();
            }
            sink.finish().await.unwrap();
        })
        .await;
        (reading, writing)
    }
}

async fn system(connect: PgConnectOptions) -> SystemConnection {
    let options = SystemOptions {
        connect,
        session_authorization: None,
        max_connections: 4,
        acquire_timeout: Duration::from_secs(20),
        timeouts: Timeouts::SYSTEM,
    };
    SystemConnection::connect(options).await.unwrap()
}

async fn timed<T>(work: impl Future<Output = T>) -> (T, Duration) {
    let started = Instant::now();
    let done = work.await;
    (done, started.elapsed())
}
