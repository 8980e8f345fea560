//! What the fences cost: the same operations on tenants behind them and on tenants without any, in one run.
//!
//! `cargo bench -p clinicx-core --bench overhead` starts a durable PostgreSQL (fsync on), makes tenants of both kinds, and
//! measures requests/s through this library in short turns, so that whatever else the machine does falls on both.
//! With the fences: the tenant's role, forced row-level security, the CHECK. Without: the same tables, indexes and
//! foreign keys, no policy, no CHECK on the tenant, and the application's login itself with rights on them.
//! `CLINICX_BENCH_ROUNDS` sets another number of turns than 12.

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a benchmark that can't go on has failed")]

use std::{
    env,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use chrono::{TimeDelta, TimeZone, Utc};
use clinicx_core::{
    FACTS, PatientId, StaffId,
    appointment::{self, BookAppointment},
    patient, staff,
};
use clinicx_embedded_postgres::server::{Options, Server};
use clinicx_keys::{FieldCipher, KeyProviders, Keyring, local::LocalProvider};
use clinicx_migration::{
    owner::OwnerLogin,
    system::{self, RoleNames},
    tenant::core,
};
use clinicx_persistence::{
    ApplyMode, Cluster, ClusterKind, ClusterOptions, PoolOptions, SystemConnection, SystemOptions,
    TenantConnection, TenantScope, TenantTarget, Timeouts,
};
use clinicx_tenancy::{
    ClusterEntry, Module, ModuleRegistry, PlatformScope, Tenancy, TenancyOptions, Tenant, TenantDraft,
};
use clinicx_types::{
    id::TenantId,
    name::{ClusterName, RoleName},
    permission::{PermissionSet, Role},
};
use serde_json::json;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, postgres::PgConnectOptions};

/// Tenants of each kind.
const TENANTS: usize = 8;
/// Callers at a time; more than one tenant's, so that connections change their tenant.
const CALLERS: usize = 8;
const PATIENTS: usize = 50;
const TURN: Duration = Duration::from_millis(1_000);
/// The most that may be lost.
const BAR: f64 = 0.15;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let rounds = env::var("CLINICX_BENCH_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(12);
    let folder = env::temp_dir().join(format!("clinicx-overhead-{}", std::process::id()));
    let server = Server::start(Options::new(&folder)).await.unwrap();
    let connect: PgConnectOptions = server.address().superuser_url().parse().unwrap();
    let mut superuser = PgConnection::connect_with(&connect).await.unwrap();
    let fsync: String = sqlx::query_scalar("SHOW fsync").fetch_one(&mut superuser).await.unwrap();
    assert_eq!(fsync, "on");
    let tenancy = tenancy(&connect).await;
    let (with, without) = (
        Side::make(&connect, &tenancy, None).await,
        Side::make(&connect, &tenancy, Some(&mut superuser)).await,
    );

    println!(
        "{TENANTS} tenants of each kind, {CALLERS} callers, {rounds} turns of {TURN:?} each, fsync {fsync}, through the library"
    );
    let mut held = true;
    for operation in [Operation::PointRead, Operation::Booking] {
        for side in [&with, &without] {
            side.turn(operation).await;
        }
        let (mut on, mut off, mut ratios) = (0.0, 0.0, Vec::new());
        for round in 0..rounds {
            // Whoever comes first has the colder caches.
            let (first, second) = if round % 2 == 0 { (&with, &without) } else { (&without, &with) };
            let (first, second) = (first.turn(operation).await, second.turn(operation).await);
            let (with, without) = if round % 2 == 0 { (first, second) } else { (second, first) };
            on += with;
            off += without;
            ratios.push(with / without);
        }
        ratios.sort_by(f64::total_cmp);
        let (ratio, median) = (on / off, ratios[ratios.len() / 2]);
        let count = f64::from(u32::try_from(rounds).unwrap());
        let verdict = if 1.0 - ratio <= BAR { "holds" } else { "is missed" };
        held &= 1.0 - ratio <= BAR;
        println!(
            "{operation:?}: {:.0} requests/s with the fences : {:.0} without = {ratio:.3} (median of turns {median:.3}, \
             from {:.3} to {:.3}); the bar of {BAR} loss {verdict}",
            on / count,
            off / count,
            ratios[0],
            ratios[ratios.len() - 1],
        );
    }
    with.cluster.close().await;
    without.cluster.close().await;
    tenancy.close().await;
    let _closed = superuser.close().await;
    server.stop().await.unwrap();
    let _removed = std::fs::remove_dir_all(&folder);
    assert!(held, "a bar is missed");
}

#[derive(Clone, Copy, Debug)]
enum Operation {
    PointRead,
    Booking,
}

/// A tenant, and what is asked of it.
struct Clinic {
    connection: TenantConnection,
    scope: TenantScope,
    cipher: FieldCipher,
    patients: Vec<PatientId>,
    staff: StaffId,
    booked: AtomicU64,
}

/// The tenants of one kind behind a pool of their own.
struct Side {
    cluster: Cluster,
    clinics: Arc<Vec<Clinic>>,
    next: Arc<AtomicUsize>,
}

impl Side {
    /// Makes tenants; a superuser then takes their fences down.
    async fn make(
        connect: &PgConnectOptions,
        tenancy: &Tenancy,
        mut tear: Option<&mut PgConnection>,
    ) -> Self {
        let cluster = Cluster::connect(cluster_options(connect)).await.unwrap();
        let keyring = Keyring::new(login(connect, "clinicx_app").await, keys());
        let mut clinics = Vec::new();
        for number in 0..TENANTS {
            let kind = if tear.is_some() { "bare" } else { "fenced" };
            let tenant = make_tenant(tenancy, &format!("{kind}-{number}")).await;
            let mut target = tenant.target();
            if let Some(superuser) = tear.as_deref_mut() {
                tear_down(superuser, &target).await;
                target.role = None;
            }
            let cipher = keyring.cipher(tenant.id).await.unwrap();
            clinics.push(Clinic::open(&cluster, target, &tenant, cipher).await);
        }
        Self { cluster, clinics: Arc::new(clinics), next: Arc::default() }
    }

    /// Calls for a while and returns how many calls ended in a second.
    async fn turn(&self, operation: Operation) -> f64 {
        let started = Instant::now();
        let callers = (0..CALLERS).map(|_| {
            let (clinics, next) = (Arc::clone(&self.clinics), Arc::clone(&self.next));
            tokio::spawn(async move {
                let mut done = 0_u32;
                while started.elapsed() < TURN {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let clinic = &clinics[at % TENANTS];
                    match operation {
                        Operation::PointRead => clinic.read(at).await,
                        Operation::Booking => clinic.book(at).await,
                    }
                    done += 1;
                }
                done
            })
        });
        let mut done = 0;
        for caller in callers.collect::<Vec<_>>() {
            done += caller.await.unwrap();
        }
        f64::from(done) / started.elapsed().as_secs_f64()
    }
}

impl Clinic {
    async fn open(cluster: &Cluster, target: TenantTarget, tenant: &Tenant, cipher: FieldCipher) -> Self {
        let connection = cluster.tenant(target);
        let scope = TenantScope::system(
            tenant.id,
            tenant.slug.clone(),
            (tenant.time_zone, tenant.currency, &tenant.locale),
            "bench",
            PermissionSet::of_roles(&[Role::Owner], FACTS.permissions),
        );
        let tx = connection.begin().await.unwrap();
        let person = json!({"family_name": "Haddad", "given_name": "Layla", "roles": ["dentist"]});
        let person = serde_json::from_value(person).unwrap();
        let staff = staff::create(&tx, &scope, &staff::NoAccounts, person).await.unwrap().id;
        let mut patients = Vec::new();
        for number in 0..PATIENTS {
            let person = json!({"family_name": format!("Doe{number}"), "given_name": "Jo"});
            let made =
                patient::create(&tx, &scope, &cipher, serde_json::from_value(person).unwrap()).await.unwrap();
            patients.push(made.id);
        }
        tx.commit().await.unwrap();
        Self { connection, scope, cipher, patients, staff, booked: AtomicU64::new(0) }
    }

    async fn read(&self, at: usize) {
        let id = self.patients[at % PATIENTS];
        patient::get(&self.connection, &self.scope, &self.cipher, id).await.unwrap();
    }

    /// Books the next quarter of an hour that is free.
    async fn book(&self, at: usize) {
        let slot = i64::try_from(self.booked.fetch_add(1, Ordering::Relaxed)).unwrap();
        let start = Utc.with_ymd_and_hms(2031, 1, 1, 0, 0, 0).unwrap() + TimeDelta::minutes(15 * slot);
        let mut wish = BookAppointment::new(self.patients[at % PATIENTS], self.staff, start.to_rfc3339());
        wish.duration_minutes = Some(15);
        let tx = self.connection.begin().await.unwrap();
        appointment::book(&tx, &self.scope, &self.cipher, wish).await.unwrap();
        tx.commit().await.unwrap();
    }
}

/// Leaves tables, indexes and foreign keys, and takes everything else that a tenant's schema has.
async fn tear_down(superuser: &mut PgConnection, target: &TenantTarget) {
    let schema = target.schema.as_str();
    let script = format!(
        "DO $do$ DECLARE t record; BEGIN
             FOR t IN SELECT tablename AS name FROM pg_tables WHERE schemaname = '{schema}' LOOP
                 EXECUTE format('DROP POLICY tenant_isolation ON {schema}.%I', t.name);
                 EXECUTE format('ALTER TABLE {schema}.%I DISABLE ROW LEVEL SECURITY, NO FORCE ROW LEVEL SECURITY, \
                                 DROP CONSTRAINT %I', t.name, 'ck_' || t.name || '__tenant');
                 EXECUTE format('DROP TRIGGER refuse_truncate ON {schema}.%I', t.name);
             END LOOP;
         END $do$;
         GRANT USAGE ON SCHEMA {schema} TO clinicx_app; GRANT ALL ON ALL TABLES IN SCHEMA {schema} TO clinicx_app"
    );
    superuser.execute(AssertSqlSafe(script)).await.unwrap();
}

fn cluster_options(connect: &PgConnectOptions) -> ClusterOptions {
    ClusterOptions {
        name: ClusterName::parse("main").unwrap(),
        connect: connect.clone(),
        session_authorization: Some(RoleName::parse("clinicx_app").unwrap()),
        kind: ClusterKind::Postgres,
        apply_mode: ApplyMode::Session,
        pool: PoolOptions {
            max_connections: u32::try_from(CALLERS).unwrap() + 1,
            min_connections: 0,
            tenant_share: 1.0,
            ..PoolOptions::default()
        },
        timeouts: Timeouts::default(),
    }
}

async fn login(connect: &PgConnectOptions, role: &str) -> SystemConnection {
    let options = SystemOptions {
        connect: connect.clone(),
        session_authorization: Some(RoleName::parse(role).unwrap()),
        max_connections: 2,
        acquire_timeout: Duration::from_secs(10),
        timeouts: Timeouts::SYSTEM,
    };
    SystemConnection::connect(options).await.unwrap()
}

fn keys() -> KeyProviders {
    KeyProviders::new(Arc::new(LocalProvider::new(LocalProvider::FILE, [7; 32])))
}

async fn tenancy(connect: &PgConnectOptions) -> Tenancy {
    let names = RoleNames::default();
    system::migrate(connect, &names).await.unwrap();
    let module = Module { name: "core", migrations: core::MIGRATIONS, facts: FACTS };
    let tenancy = Tenancy::new(TenancyOptions {
        app: login(connect, "clinicx_app").await,
        control: login(connect, "clinicx_control").await,
        migrator: Some(OwnerLogin::through_superuser(connect.clone(), &names)),
        modules: Arc::new(ModuleRegistry::new([module]).unwrap()),
        keys: keys(),
        home: ClusterEntry { name: ClusterName::parse("main").unwrap(), region: None },
        others: Vec::new(),
        retention: Duration::from_secs(3600),
    });
    tenancy.register_clusters().await.unwrap();
    tenancy
}

async fn make_tenant(tenancy: &Tenancy, slug: &str) -> Tenant {
    let draft = TenantDraft {
        slug: slug.to_owned(),
        name: "Bench".to_owned(),
        time_zone: "UTC".to_owned(),
        currency: "EUR".to_owned(),
        locale: "en".to_owned(),
        ..TenantDraft::default()
    };
    let by = PlatformScope::system("bench");
    let new = tenancy.check(draft, TenantId::new(by.next_id())).unwrap();
    tenancy.create(new, &by, Vec::new()).await.unwrap()
}
