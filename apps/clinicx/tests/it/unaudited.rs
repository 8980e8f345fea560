//! The service while rows of the audit can't be written or sealed.

use std::time::{Duration, Instant};

use clinicx::{
    config::{AuditReads, Config},
    server::Service,
};
use reqwest::{Client, Method};
use serde_json::json;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

use crate::support::{Api, Clinic, OPERATOR, configuration};

/// What of the audit the database does not take from now on: no matter of the request, and no outage either.
const REFUSE: &str = "ALTER TABLE audit_logs ADD CONSTRAINT refused
    CHECK (action NOT IN ('access.denied', 'patient.read')) NOT VALID";

struct World {
    service: Service,
    clinic: Clinic,
    superuser: PgConnection,
}

impl World {
    async fn start(config: Config) -> Self {
        clinicx::cli::migrate::system(&config).await.unwrap();
        let service = Service::start(&config).await.unwrap();
        let anonymous =
            Api { base: format!("http://{}", service.address()), token: None, client: Client::new() };
        let operator = anonymous.login(json!({"email": OPERATOR.0, "password": OPERATOR.1})).await;
        let clinic = Clinic::made_by(&operator, json!({})).await;
        let superuser = PgConnection::connect(config.database.url.as_ref().unwrap().expose()).await.unwrap();
        Self { service, clinic, superuser }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn neither_a_read_nor_a_refusal_is_answered_without_its_row() {
    let mut world = World::start(configuration("unaudited").await).await;
    let api = &world.clinic.admin;
    let patient = world.clinic.patient("Unseen").await;
    let path = format!("/patients/{}", patient["id"].as_str().unwrap());
    let denied = || api.request(Method::GET, "/patients").header("X-Tenant-ID", "another-clinic");
    api.get(&path).await.expect(200);
    api.send(denied()).await.expect_problem(403, "tenant_mismatch");
    world.superuser.execute(REFUSE).await.unwrap();
    for answer in [api.get(&path).await, api.send(denied()).await] {
        answer.expect_problem(503, "unavailable");
        assert_eq!(answer.header("retry-after"), "2");
        assert!(!answer.text.contains("Unseen"), "{}", answer.text);
    }
    world.superuser.execute("ALTER TABLE audit_logs DROP CONSTRAINT refused").await.unwrap();
    api.get(&path).await.expect(200);
    api.send(denied()).await.expect_problem(403, "tenant_mismatch");
    world.service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_service_ends_though_it_owes_rows() {
    let mut config = configuration("owing").await;
    config.audit.reads = AuditReads::Within1s;
    config.http.shutdown_timeout = Duration::from_secs(1);
    let mut world = World::start(config).await;
    let patient = world.clinic.patient("Owed").await;
    world.superuser.execute(REFUSE).await.unwrap();
    let path = format!("/patients/{}", patient["id"].as_str().unwrap());
    world.clinic.admin.get(&path).await.expect(200);
    drop(world.clinic);
    let begun = Instant::now();
    tokio::time::timeout(Duration::from_secs(60), world.service.stop()).await.expect("it ends");
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_that_holds_sealing_up_shows_in_the_metrics() {
    let mut config = configuration("unsealed").await;
    config.audit.seal_every = Duration::from_millis(100);
    let mut world = World::start(config).await;
    let schema = world.clinic.tenant["database_schema"].as_str().unwrap().to_owned();
    let hold =
        format!("BEGIN; SET LOCAL ROLE {schema}; SELECT pg_advisory_xact_lock(x'636c696e69637805'::bigint)");
    world.superuser.execute(AssertSqlSafe(hold)).await.unwrap();
    world.clinic.patient("Unsealed").await;
    until(&world.clinic.admin, |waits| waits > 1.0).await;
    world.superuser.execute("ROLLBACK").await.unwrap();
    until(&world.clinic.admin, |waits| waits == 0.0).await;
    world.service.stop().await;
}

/// Waits until the oldest row waits for its sealing as long as is expected.
async fn until(api: &Api, is_expected: impl Fn(f64) -> bool) {
    let begun = Instant::now();
    loop {
        let metrics = api.get("//metrics").await.text;
        let line = metrics.lines().find_map(|line| line.strip_prefix("clinicx_audit_unsealed_seconds "));
        if line.is_some_and(|waits| is_expected(waits.parse().unwrap())) {
            return;
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "{line:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
