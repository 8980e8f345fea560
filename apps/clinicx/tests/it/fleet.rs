//! The fleet as an operator sees it, and what a clinic notices while it is migrated: nothing.
//!
//! `FLEET_TRAFFIC_TENANTS` sets another number of tenants than 12; with `FLEET_P99` the times are held against their bar.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use clinicx::{
    config::Config,
    extension::{Extension, Extensions, no_jobs},
    provision,
    wiring::{self, Platform},
};
use clinicx_identity::{NewAccount, Password};
use clinicx_migration::tenant::{
    Down, ModuleMigrations, TenantMigration,
    fleet::{self, RunEnd, RunOptions},
    outside::ConcurrentIndex,
    script::Script,
};
use clinicx_tenancy::{Module, PlatformScope, TenantDraft};
use clinicx_types::module::ModuleFacts;
use reqwest::{Client, Method};
use serde_json::{Value, json};
use sqlx::{Connection, Executor, PgConnection};

use crate::{
    command::{create_tenant, on_an_empty_database, run},
    support::{Api, PASSWORD, configuration, start},
};

const fn step(name: &'static str, up: fn(&mut Script)) -> TenantMigration {
    TenantMigration { name, up, down: Down::Irreversible("a test") }
}

/// A module that is in the way of everything: its migrations change tables that all requests use.
const LATE: &[TenantMigration] = &[
    step("m0001_nothing", |script| script.sql("SELECT 1")),
    step("m0002_add_column", |script| script.sql("ALTER TABLE patients ADD COLUMN late_note text")),
    step("m0003_add_another", |script| script.sql("ALTER TABLE outbox ADD COLUMN late_note text")),
    step("m0004_create_index", |script| {
        script.create_index_concurrently(ConcurrentIndex {
            name: "ix_patients__late_note",
            table: "patients",
            on: "(late_note)",
            is_unique: false,
        });
    }),
];

/// The program with so many migrations of it, serving tenants from the first on.
fn extended(config: &Config, migrations: usize, serves_from: Option<i32>) -> Config {
    let migrations = ModuleMigrations {
        module: "late",
        requires: &["core"],
        migrations: &LATE[..migrations],
        serves_from,
    };
    let module = Module { name: "late", migrations, facts: ModuleFacts::default() };
    let extension = Extension { module, routes: |_| Vec::new(), sealed_columns: &[], jobs: no_jobs };
    Config { extensions: Extensions::new([extension]), ..config.clone() }
}

/// Makes tenants with the program of before and returns the addresses of their administrators.
async fn tenants(config: &Config, number: usize) -> Vec<String> {
    clinicx::cli::migrate::system(config).await.unwrap();
    let platform = Platform::open_current(config).await.unwrap();
    let mut emails = Vec::new();
    for _ in 0..number {
        let slug = clinicx_testing::tenant::unique_slug();
        let email = format!("admin@{slug}.example");
        let password = Password::new(PASSWORD.to_owned());
        let draft = TenantDraft {
            slug,
            name: "A clinic".to_owned(),
            modules: vec!["late".to_owned()],
            time_zone: "Europe/Berlin".to_owned(),
            currency: "EUR".to_owned(),
            locale: "de-DE".to_owned(),
            ..TenantDraft::default()
        };
        let admin = NewAccount {
            email: &email,
            full_name: "Ada Admin",
            password: Some(&password),
            is_operator: false,
        };
        provision::create(&platform, &PlatformScope::system("test"), draft, admin).await.unwrap();
        emails.push(email);
    }
    platform.close().await;
    emails
}

async fn migrate(config: &Config) -> fleet::RunReport {
    let platform = Platform::open_current(config).await.unwrap();
    let login = wiring::owner_login(platform.logins.migrator().unwrap(), &platform.roles);
    let options = RunOptions::new(PlatformScope::system("test").next_id());
    let report = fleet::run(&login, platform.modules.plan(), &options, |_| {}).await.unwrap();
    platform.close().await;
    report
}

fn p99(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times.get(times.len().saturating_sub(1) * 99 / 100).copied().unwrap_or_default()
}

/// What clients do until it is over: each answer's time, and every answer that is not what it should be.
#[derive(Default)]
struct Traffic {
    times: Mutex<Vec<Duration>>,
    failures: Mutex<Vec<String>>,
    is_over: AtomicBool,
}

impl Traffic {
    async fn client(self: Arc<Self>, clinics: Vec<Api>, first: usize) {
        let mut turn = first;
        while !self.is_over.load(Ordering::Relaxed) {
            let api = &clinics[turn % clinics.len()];
            let started = Instant::now();
            let (request, expected) = match turn % 3 {
                0 => {
                    let name = format!("Late {turn}");
                    let body = json!({"family_name": name, "given_name": "La", "phones": [], "emails": []});
                    (api.request(Method::POST, "/patients").json(&body), 201)
                }
                _ => (api.request(Method::GET, "/patients?q=Late"), 200),
            };
            match request.send().await {
                Ok(answer) if answer.status() == expected => {
                    self.times.lock().unwrap().push(started.elapsed());
                }
                Ok(answer) => {
                    let (status, text) = (answer.status(), answer.text().await.unwrap_or_default());
                    self.failures.lock().unwrap().push(format!("{status} {text}"));
                }
                Err(error) => self.failures.lock().unwrap().push(error.to_string()),
            }
            turn += 1;
        }
    }

    fn take(&self) -> Vec<Duration> {
        std::mem::take(&mut *self.times.lock().unwrap())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_request_fails_while_the_fleet_is_migrated() {
    let number = std::env::var("FLEET_TRAFFIC_TENANTS").ok().and_then(|text| text.parse().ok()).unwrap_or(12);
    let config = configuration("traffic").await;
    let emails = tenants(&extended(&config, 1, None), number).await;
    let newer = extended(&config, LATE.len(), Some(1));
    let base = start(newer.clone()).await;
    let api = Api { base, token: None, client: Client::new() };
    let mut clinics = Vec::new();
    for email in &emails {
        clinics.push(api.login(json!({"email": email, "password": PASSWORD})).await);
    }
    let traffic = Arc::new(Traffic::default());
    let clients: Vec<_> =
        (0..4).map(|client| tokio::spawn(Arc::clone(&traffic).client(clinics.clone(), client * 7))).collect();
    tokio::time::sleep(Duration::from_secs(2)).await;
    let before = p99(traffic.take());
    let report = migrate(&newer).await;
    assert_eq!((report.end, report.done), (RunEnd::Succeeded, number));
    let during = traffic.take();
    let (answers, during) = (during.len(), p99(during));
    // What is cached of the versions of before runs out meanwhile.
    tokio::time::sleep(Duration::from_secs(3)).await;
    traffic.is_over.store(true, Ordering::Relaxed);
    for client in clients {
        client.await.unwrap();
    }
    let failures = traffic.failures.lock().unwrap().clone();
    assert_eq!(failures, Vec::<String>::new());
    assert!(answers > 0);
    println!("{number} tenants, {answers} answers meanwhile, none failed; p99 {during:.1?} : {before:.1?}");
    if std::env::var_os("FLEET_P99").is_some() {
        assert!(during <= before * 2, "{during:?} : {before:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_below_the_oldest_that_is_served_needs_an_upgrade() {
    let config = configuration("skew").await;
    let emails = tenants(&extended(&config, 1, None), 1).await;
    let newer = extended(&config, 2, None);
    let base = start(newer.clone()).await;
    let api = Api { base, token: None, client: Client::new() };
    let body = json!({"email": emails[0], "password": PASSWORD});
    let clinic = api.login(body).await;
    let refused = clinic.get("/patients").await;
    refused.expect_problem(503, "tenant_upgrade_required");
    assert!(!refused.header("retry-after").is_empty());
    assert_eq!(migrate(&newer).await.done, 1);
    // Another process has done it; this one sees it when what it has kept runs out.
    let started = Instant::now();
    while clinic.get("/patients").await.status != 200 {
        assert!(started.elapsed() < Duration::from_secs(30), "the tenant is not served");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_sees_the_fleet_pins_and_compares() {
    let config = configuration("fleet").await;
    let url = config.database.url.clone().unwrap();
    let mut database = PgConnection::connect(url.expose()).await.unwrap();
    let program = on_an_empty_database().await.with("CLINICX_DATABASE__URL", url.expose());
    program.run(&["migrate", "system"]).expect(0);
    for slug in ["fleet-a", "fleet-b"] {
        run(&program, &create_tenant(slug, &["--module", "billing"])).expect(0);
    }
    let status = program.run(&["fleet", "status", "--json"]).json();
    assert_eq!(
        (&status["tenants"], &status["current"], &status["last_run"]),
        (&json!(2), &json!(2), &Value::Null)
    );
    assert_eq!(status["items"][0]["served"], true);
    let checked = program.run(&["fleet", "status", "--check"]);
    assert!(checked.expect(0).stdout.contains("agrees with the registry"), "{}", checked.stdout);
    let nothing = program.run(&["fleet", "migrate", "--json"]).json();
    assert_eq!((&nothing["state"], &nothing["done"]), (&json!("nothing_to_do"), &json!(0)));

    let pinned = program.run(&["fleet", "pin", "fleet-a", "--json"]).json();
    assert!(pinned["pin"].as_str().unwrap().contains("core="), "{pinned}");
    program.run(&["fleet", "pin", "fleet-a", "--at", "core"]).expect(2);
    assert_eq!(program.run(&["fleet", "ring", "fleet-b", "canary", "--json"]).json()["ring"], "canary");
    program.run(&["fleet", "ring", "fleet-b", "nowhere"]).expect(2);
    assert_eq!(program.run(&["fleet", "unpin", "fleet-a", "--json"]).json()["pin"], Value::Null);
    assert!(program.run(&["fleet", "unpin", "nobody-knows"]).refusal(1).contains("tenant list"));

    // As if the last migration of one tenant had not been there yet.
    let back = "DROP TABLE tenant_fleet_a.installments; \
                DELETE FROM tenant_fleet_a.schema_migrations WHERE name = 'm0018_create_installments'";
    database.execute(back).await.unwrap();
    let checked = program.run(&["fleet", "status", "--check", "--json"]);
    checked.expect(3);
    let checked: Value = serde_json::from_str(&checked.stdout).unwrap();
    assert!(checked["items"][0]["ledger"].as_str().unwrap().contains("the ledger is at"), "{checked}");
    assert_eq!(checked["items"][1]["ledger"], Value::Null);
    let dry = program.run(&["fleet", "migrate", "--dry-run", "--json"]).json();
    assert_eq!(dry["tenants"][0]["up"], json!(["billing/m0018_create_installments"]));
    assert!(dry["migrations"][0]["sql"].as_str().unwrap().contains("CREATE TABLE \"installments\""), "{dry}");
    let dry = program.run(&["fleet", "migrate", "--dry-run"]);
    assert!(dry.expect(0).stdout.contains("nothing was changed"), "{}", dry.stdout);
    let done = program.run(&["fleet", "migrate", "--canary", "fleet-a", "--json"]).json();
    assert_eq!((&done["state"], &done["done"]), (&json!("succeeded"), &json!(1)));
    let status = program.run(&["fleet", "status", "--json"]).json();
    assert_eq!(status["last_run"]["state"], "succeeded");
    for wrong in [
        &["--concurrency", "0"][..],
        &["--concurrency", "17"],
        &["--halt-at", "101%"],
        &["--target", "newest"],
        &["--down"],
    ] {
        program.run(&[&["fleet", "migrate"], wrong].concat()).expect(2);
    }
    assert!(
        program.run(&["fleet", "migrate", "--tenant", "nobody-knows"]).refusal(1).contains("nobody-knows")
    );

    assert_eq!(program.run(&["fleet", "drift", "--json"]).json(), json!([]));
    database.execute("ALTER TABLE tenant_fleet_b.rooms ADD COLUMN extra text").await.unwrap();
    let drift = program.run(&["fleet", "drift", "--tenant", "fleet-b", "--json"]);
    let found: Value = serde_json::from_str(&drift.expect(3).stdout).unwrap();
    assert_eq!((found.as_array().unwrap().len(), &found[0]["object"]), (1, &json!("rooms.extra")));
    let drift = program.run(&["fleet", "drift"]);
    assert!(
        drift.expect(3).stdout.contains("ALTER TABLE \"rooms\" DROP COLUMN \"extra\";"),
        "{}",
        drift.stdout
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_halts_names_whom_it_left() {
    let config = configuration("halted").await;
    let url = config.database.url.clone().unwrap();
    let mut database = PgConnection::connect(url.expose()).await.unwrap();
    let program = on_an_empty_database().await.with("CLINICX_DATABASE__URL", url.expose());
    program.run(&["migrate", "system"]).expect(0);
    for slug in ["halted-a", "halted-b"] {
        run(&program, &create_tenant(slug, &["--module", "billing"])).expect(0);
        let schema = format!("tenant_{}", slug.replace('-', "_"));
        let back = format!("DELETE FROM {schema}.schema_migrations WHERE name = 'm0018_create_installments'");
        database.execute(sqlx::AssertSqlSafe(back)).await.unwrap();
    }
    // The table of one stands in the way of its own migration.
    database.execute("DROP TABLE tenant_halted_b.installments").await.unwrap();
    let halted = program.run(&["fleet", "migrate", "--canary", "halted-a", "--json"]);
    assert!(halted.expect(1).stderr.contains("1 of 1 canaries failed"), "{}", halted.stderr);
    let report: Value = serde_json::from_str(&halted.stdout).unwrap();
    assert_eq!(report["state"], "halted");
    let named: Vec<_> =
        report["not_at_target"].as_array().unwrap().iter().map(|one| (&one["slug"], &one["state"])).collect();
    assert_eq!(named, [(&json!("halted-a"), &json!("failed")), (&json!("halted-b"), &json!("pending"))]);
    let partly = program.run(&["fleet", "migrate", "--halt-at", "100%", "--canary", "halted-b", "--json"]);
    // The same is asked for: the run is taken up, with its waves as they were.
    assert!(partly.expect(1).stdout.contains("halted"), "{}", partly.stdout);
    database.execute("DROP TABLE tenant_halted_a.installments").await.unwrap();
    let done = program.run(&["fleet", "migrate"]);
    assert!(done.expect(0).stdout.contains("2 tenants brought to their target"), "{}", done.stdout);
}
