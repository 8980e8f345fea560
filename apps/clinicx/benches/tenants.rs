//! What a thousand tenants cost beside ten: making one more, reading a patient, and the first page of
//! `/platform/tenants`.
//!
//! `cargo bench -p clinicx --bench tenants` starts a PostgreSQL and the service in this process, and asks it over HTTP
//! for the pages; provisioning and reads go through the library, with the service's default pool. Each tenant has one
//! patient. It prints medians and their ratios, and fails when one with a bar is over 1.5: the same work while a thousand
//! tenants exist. Without a bar it prints what is more work: reads that go over all tenants alike, for which a connection
//! takes on another tenant each time, and a page of fifty beside one of ten.
//! `CLINICX_BENCH_TENANTS` sets another number than 1,000.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::print_stdout, reason = "a benchmark")]

use std::{
    env,
    future::Future,
    time::{Duration, Instant},
};

use clinicx::{
    cli::migrate,
    config::{Config, LimitsConfig, Secret, StateDir},
    server::Service,
    wiring::Platform,
};
use clinicx_core::{FACTS, PatientId, patient};
use clinicx_embedded_postgres::TestServer;
use clinicx_persistence::{TenantConnection, TenantScope};
use clinicx_tenancy::{PlatformScope, Tenant, TenantDraft};
use clinicx_types::{
    id::TenantId,
    permission::{PermissionSet, Role},
};
use reqwest::Client;
use sea_orm::EntityTrait;
use serde_json::{Value, json};

const OPERATOR: (&str, &str) = ("operator@bench.example", "correct horse battery staple");
const FEW: usize = 10;
const MADE: usize = 20;
const READS: usize = 4_000;
const PAGES: usize = 400;
const BAR: f64 = 1.5;
/// Goes through all tenants without two neighbours in turn; a prime, so that it reaches every one.
const STRIDE: usize = 7_919;

/// A tenant and the patient that it has.
struct Clinic {
    connection: TenantConnection,
    patient: PatientId,
}

/// The service, its library, and the tenants so far.
struct Bench {
    platform: Platform,
    base: String,
    client: Client,
    clinics: Vec<Clinic>,
}

/// Medians of what is measured.
struct Figures {
    provisioning: Duration,
    point_read: Duration,
    read_of_all: Duration,
    page_of_ten: Duration,
    default_page: Duration,
}

fn main() {
    // `cargo test --benches` asks for a run as a test.
    if env::args().any(|argument| argument == "--test") {
        return;
    }
    let many = env::var("CLINICX_BENCH_TENANTS").ok().and_then(|text| text.parse().ok()).unwrap_or(1_000);
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
        .block_on(run(many));
}

async fn run(many: usize) {
    let state = env::temp_dir().join(format!("clinicx-tenants-{}", std::process::id()));
    let config = configuration(&state);
    migrate::system(&config).await.unwrap();
    let service = Service::start(&config).await.unwrap();
    let mut bench = Bench {
        platform: Platform::open(&config).await.unwrap(),
        base: format!("http://{}/api/v1", service.address()),
        client: Client::new(),
        clinics: Vec::new(),
    };
    bench.platform.tenancy().unwrap().register_clusters().await.unwrap();
    bench.grow(FEW).await;
    let few = bench.measure().await;
    bench.grow(many).await;
    let lots = bench.measure().await;
    bench.platform.close().await;
    service.stop().await;
    let _removed = std::fs::remove_dir_all(&state);

    let held = [
        ("provisioning", lots.provisioning, few.provisioning),
        ("point read of the same ten", lots.point_read, few.point_read),
        ("first page of 10 over HTTP", lots.page_of_ten, few.page_of_ten),
    ]
    .map(|(what, lots, few)| report(&format!("{what}, {many} tenants : {FEW}"), lots, few));
    for (what, lots, few) in [
        ("point read, uniform over all tenants", lots.read_of_all, few.read_of_all),
        ("first page as it comes over HTTP (50 tenants : 10)", lots.default_page, few.default_page),
    ] {
        let ratio = lots.as_secs_f64() / few.as_secs_f64();
        println!("{what}, {many} tenants : {FEW}: {lots:.2?} : {few:.2?} = {ratio:.2} (no bar)");
    }
    assert!(held.iter().all(|held| *held), "a bar is missed");
}

fn configuration(state: &std::path::Path) -> Config {
    let mut config = Config { state_dir: StateDir(state.to_owned()), ..Config::default() };
    let server = TestServer::shared().unwrap();
    config.http.port = 0;
    config.limits = LimitsConfig::unlimited();
    config.database.url = Some(Secret::new(server.superuser_url("postgres")));
    config.bootstrap.email = Some(OPERATOR.0.to_owned());
    config.bootstrap.password = Some(Secret::new(OPERATOR.1));
    config
}

impl Bench {
    /// Makes tenants with a patient each until there are so many.
    async fn grow(&mut self, to: usize) {
        while self.clinics.len() < to {
            let tenant = self.create(self.clinics.len()).await;
            self.fill(&tenant).await;
        }
    }

    async fn create(&self, number: usize) -> Tenant {
        let tenancy = self.platform.tenancy().unwrap();
        let by = PlatformScope::system("bench");
        let draft = TenantDraft {
            slug: format!("bench{number}"),
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

    async fn fill(&mut self, tenant: &Tenant) {
        let scope = TenantScope::system(
            tenant.id,
            tenant.slug.clone(),
            (tenant.time_zone, tenant.currency, &tenant.locale),
            "bench",
            PermissionSet::of_roles(&[Role::Owner], FACTS.permissions),
        );
        let connection = self.platform.cluster.tenant(tenant.target());
        let cipher = self.platform.keyring.cipher(tenant.id).await.unwrap().lasting();
        let person = serde_json::from_value(json!({"family_name": "Haddad", "given_name": "Layla"})).unwrap();
        let tx = connection.begin().await.unwrap();
        let patient = patient::create(&tx, &scope, &cipher, person).await.unwrap().id;
        tx.commit().await.unwrap();
        self.clinics.push(Clinic { connection, patient });
    }

    async fn measure(&mut self) -> Figures {
        let clinics = self.clinics.len();
        let read_of_all = self.read(clinics).await;
        let point_read = self.read(FEW).await;
        let token = self.log_in().await;
        let (mut of_ten, mut default) = (Vec::with_capacity(PAGES), Vec::with_capacity(PAGES));
        for _ in 0..PAGES {
            of_ten.push(self.page(&token, "/platform/tenants?limit=10", 10).await);
            default.push(self.page(&token, "/platform/tenants", clinics.min(50)).await);
        }
        let mut provisioning = Vec::with_capacity(MADE);
        for number in clinics..clinics + MADE {
            let started = Instant::now();
            let tenant = self.create(number).await;
            provisioning.push(started.elapsed());
            self.fill(&tenant).await;
        }
        Figures {
            provisioning: median(provisioning),
            point_read,
            read_of_all,
            page_of_ten: median(of_ten),
            default_page: median(default),
        }
    }

    /// Returns the median of reads that go over the first so many tenants alike.
    async fn read(&self, tenants: usize) -> Duration {
        let mut reads = Vec::with_capacity(READS);
        // The first quarter warms what a service that runs has warm.
        for round in 0..READS + READS / 4 {
            let took = timed(self.clinics[round * STRIDE % tenants].read()).await;
            if round >= READS / 4 {
                reads.push(took);
            }
        }
        median(reads)
    }

    async fn log_in(&self) -> String {
        let body = json!({"email": OPERATOR.0, "password": OPERATOR.1});
        let answer = self.client.post(format!("{}/auth/login", self.base)).json(&body).send().await.unwrap();
        let answer: Value = answer.json().await.unwrap();
        answer["access_token"].as_str().unwrap().to_owned()
    }

    /// Returns how long the whole answer took to arrive.
    async fn page(&self, token: &str, path: &str, items: usize) -> Duration {
        let request = self.client.get(format!("{}{path}", self.base)).bearer_auth(token);
        let started = Instant::now();
        let answer = request.send().await.unwrap().bytes().await.unwrap();
        let took = started.elapsed();
        let answer: Value = serde_json::from_slice(&answer).unwrap();
        assert_eq!(answer["items"].as_array().unwrap().len(), items, "{answer}");
        took
    }
}

impl Clinic {
    async fn read(&self) {
        let found = patient::entity::Entity::find_by_id(self.patient).one(&self.connection).await.unwrap();
        assert!(found.is_some());
    }
}

async fn timed<T>(work: impl Future<Output = T>) -> Duration {
    let started = Instant::now();
    work.await;
    started.elapsed()
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

fn report(what: &str, measured: Duration, reference: Duration) -> bool {
    let ratio = measured.as_secs_f64() / reference.as_secs_f64();
    let verdict = if ratio <= BAR { "holds" } else { "is missed" };
    println!("{what}: {measured:.2?} : {reference:.2?} = {ratio:.2} (bar {BAR} {verdict})");
    ratio <= BAR
}
