//! Background work as operators see it, on a program with a kind of its own.

use std::time::{Duration, Instant};

use async_trait::async_trait;
use clinicx::{
    config::Config,
    extension::{Extension, Extensions},
    server::Service,
    wiring::Platform,
};
use clinicx_jobs::{InTenant, JobContext, JobError, JobId, JobKind, JobSet, NewJob, Schedule, enqueue};
use clinicx_migration::tenant::ModuleMigrations;
use clinicx_tenancy::{Module, PlatformScope};
use clinicx_types::{id::TenantId, module::ModuleFacts};
use reqwest::{Client, Method, Response};
use sea_orm::{ConnectionTrait, DbBackend, Statement};
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};
use tokio::sync::Semaphore;
use uuid::Uuid;

use crate::support::{Api, Clinic, OPERATOR, configuration, start};

/// Counts a clinic's rooms when it is let.
struct Count;

static GATE: Semaphore = Semaphore::const_new(0);

#[async_trait]
impl JobKind for Count {
    const NAME: &'static str = "test.count";
    type Scope = InTenant;
    /// Whether it waits until it is to stop, instead of at the gate.
    type Input = bool;
    type Output = i64;

    async fn run(&self, context: &JobContext<InTenant>, forever: bool) -> Result<i64, JobError> {
        context.step("wait").await;
        context.progress(1, Some(2), "parts").await;
        tokio::select! {
            permit = GATE.acquire(), if !forever => permit.unwrap().forget(),
            () = context.stop().cancelled() => return Err(JobError::Stopped),
        }
        let question = Statement::from_string(DbBackend::Postgres, "SELECT count(*) AS rooms FROM rooms");
        let row = context.connection().query_one_raw(question).await;
        let row = row.map_err(|error| JobError::database(&error))?.unwrap();
        context.progress(2, Some(2), "parts").await;
        Ok(row.try_get("", "rooms").unwrap())
    }
}

fn jobs(_: &Platform, set: JobSet) -> anyhow::Result<JobSet> {
    let yearly = Schedule::new::<Count>("test.yearly", "7 4 3 2 *", chrono_tz::Tz::UTC, &true)?;
    Ok(set.kind(Count)?.schedule(yearly)?)
}

const COUNTING: Extension = Extension {
    module: Module {
        name: "counting",
        migrations: ModuleMigrations {
            module: "counting",
            requires: &["core"],
            migrations: &[],
            serves_from: None,
        },
        facts: ModuleFacts { permissions: &[], events: &[], flags: &[], configurations: &[] },
    },
    routes: |_| Vec::new(),
    sealed_columns: &[],
    jobs,
};

async fn with_jobs() -> Config {
    let mut config = configuration("jobs").await;
    config.extensions = Extensions::new([COUNTING]);
    config.jobs.enabled = true;
    config.jobs.poll = Duration::from_millis(100);
    config
}

async fn log_in(base: String) -> Api {
    let anonymous = Api { base, token: None, client: Client::new() };
    anonymous.login(json!({"email": OPERATOR.0, "password": OPERATOR.1})).await
}

async fn ask(platform: &Platform, tenant: TenantId, forever: bool) -> JobId {
    let new = NewJob::<Count>::in_tenant(tenant, forever);
    enqueue(&platform.app, &PlatformScope::system("test"), new).await.unwrap().id
}

/// Waits until what is shown of a job is as it should be.
async fn until(operator: &Api, id: JobId, holds: impl Fn(&Value) -> bool) -> Value {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let job = operator.get(&format!("/platform/jobs/{id}")).await.expect(200);
        if holds(&job) {
            return job;
        }
        assert!(Instant::now() < deadline, "{job}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Server-sent events as they come.
struct Events {
    response: Response,
    rest: String,
}

impl Events {
    async fn of(operator: &Api, id: JobId) -> Self {
        let request = operator.request(Method::GET, &format!("/platform/jobs/{id}/events"));
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self { response, rest: String::new() }
    }

    /// Returns the job of the next event; `None` at the end.
    async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some((event, rest)) = self.rest.split_once("\n\n") {
                let (event, rest) = (event.to_owned(), rest.to_owned());
                self.rest = rest;
                let Some(data) = event.lines().find_map(|line| line.strip_prefix("data: ")) else { continue };
                let job: Value = serde_json::from_str(data).unwrap();
                assert!(
                    event.contains("event: job\n") && event.contains(&format!("id: {}\n", job["version"]))
                );
                return Some(job);
            }
            let chunk = self.response.chunk().await.unwrap()?;
            self.rest.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn operators_see_watch_and_cancel_jobs() {
    let config = with_jobs().await;
    let operator = log_in(start(config.clone()).await).await;
    let clinic = Clinic::made_by(&operator, json!({})).await;
    clinic.admin.post("/rooms", json!({"name": "1", "kind": "chair"})).await.expect(201);
    let tenant: TenantId = clinic.tenant["id"].as_str().unwrap().parse().unwrap();
    let platform = Platform::open(&config).await.unwrap();

    // It is begun by itself, and whoever watches sees it to its end.
    let id = ask(&platform, tenant, false).await;
    let running = until(&operator, id, |job| job["progress"]["done"] == 1).await;
    assert_eq!((&running["state"], &running["kind"]), (&json!("running"), &json!("test.count")));
    assert_eq!(running["progress"], json!({"done": 1, "total": 2, "unit": "parts"}));
    assert_eq!((&running["steps"][0]["name"], &running["attempts"]), (&json!("wait"), &json!(1)));
    assert_eq!((&running["tenant"], &running["error"]), (&json!(clinic.slug), &Value::Null));
    let mut events = Events::of(&operator, id).await;
    assert_eq!(events.next().await.unwrap(), running);
    GATE.add_permits(1);
    let mut last = running;
    while let Some(job) = events.next().await {
        assert!(job["version"].as_i64() > last["version"].as_i64(), "{last} {job}");
        last = job;
    }
    assert_eq!((&last["state"], &last["output"]), (&json!("succeeded"), &json!(1)));
    let shown = operator.get(&format!("/platform/jobs/{id}")).await;
    assert_eq!(shown.header("etag"), format!("\"{}\"", last["version"]));
    assert_eq!(shown.expect(200), last);
    let mut again = Events::of(&operator, id).await;
    assert_eq!((again.next().await, again.next().await), (Some(last), None), "of one that has ended");
    let head = operator.request(Method::HEAD, &format!("/platform/jobs/{id}/events"));
    assert_eq!(operator.send(head).await.status, 200);

    // One that is cancelled is told to stop; the trail says who has asked.
    let id = ask(&platform, tenant, true).await;
    until(&operator, id, |job| job["state"] == "running").await;
    let cancel = format!("/platform/jobs/{id}/cancel");
    let stale = operator.request(Method::POST, &cancel).header("If-Match", "\"1\"");
    operator.send(stale).await.expect_problem(412, "version_mismatch");
    let asked = Instant::now();
    let answer = operator.send(operator.request(Method::POST, &cancel)).await.expect(200);
    assert_eq!((&answer["state"], &answer["cancel_requested"]), (&json!("running"), &json!(true)));
    until(&operator, id, |job| job["state"] == "cancelled").await;
    assert!(asked.elapsed() < Duration::from_secs(2), "{:?}", asked.elapsed());
    let refused = operator.send(operator.request(Method::POST, &cancel)).await;
    assert_eq!(refused.expect_problem(409, "transition_refused")["allowed"], json!([]));
    let path = format!("/platform/audit-logs?action=job.cancel_requested&tenant={}", clinic.slug);
    let rows = operator.get(&path).await.expect(200);
    assert_eq!((rows["items"].as_array().unwrap().len(), &rows["items"][0]["entity_id"]), (1, &json!(id)));

    let list = async |query: &str| {
        let page = operator.get(&format!("/platform/jobs?{query}")).await.expect(200);
        page["items"].as_array().unwrap().len()
    };
    assert_eq!(list("kind=test.count").await, 2);
    assert_eq!(list(&format!("tenant={}&state=cancelled", clinic.slug)).await, 1);
    assert_eq!(list("state=failed").await, 0);
    let first = operator.get("/platform/jobs?kind=test.count&limit=1").await.expect(200);
    assert_eq!(first["items"][0]["id"], json!(id), "the newest first");
    let cursor = first["next_cursor"].as_str().unwrap();
    assert_eq!(list(&format!("kind=test.count&limit=1&cursor={cursor}")).await, 1);
    operator.get("/platform/jobs?state=done").await.expect_problem(422, "invalid");
    operator.get("/platform/jobs?tenant=nobody-has-this").await.expect_problem(404, "not_found");
    for path in ["", "/events"] {
        let unknown = format!("/platform/jobs/{}{path}", Uuid::now_v7());
        operator.get(&unknown).await.expect_problem(404, "not_found");
        clinic.admin.get(&unknown).await.expect_problem(403, "permission_denied");
    }
    let metrics = operator.get("//metrics").await.text;
    assert!(
        metrics.contains("clinicx_jobs_ended_total{kind=\"test.count\",outcome=\"succeeded\"}"),
        "{metrics}"
    );
    assert!(!metrics.contains(&clinic.slug));
    platform.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_due_is_done() {
    let config = with_jobs().await;
    let url = config.database.url.as_ref().unwrap().expose().to_owned();
    let operator = log_in(start(config).await).await;
    let mut database = PgConnection::connect(&url).await.unwrap();
    let names: Vec<String> = sqlx::query_scalar("SELECT name FROM public.job_schedules ORDER BY name")
        .fetch_all(&mut database)
        .await
        .unwrap();
    let known = [
        "appointments.expire_holds",
        "archive.back_up_due",
        "archive.retention",
        "jobs.retention",
        "platform.remove_expired",
        "tenants.watch",
        "test.yearly",
    ];
    assert_eq!(names, known);
    sqlx::query(
        "UPDATE public.job_schedules SET next_run = now() - interval '1 day' WHERE name <> 'test.yearly'",
    )
    .execute(&mut database)
    .await
    .unwrap();
    for kind in &known[..5] {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            let page = operator.get(&format!("/platform/jobs?kind={kind}")).await.expect(200);
            let job = &page["items"][0];
            if job["state"] == "succeeded" {
                assert_eq!((&job["tenant"], &job["created_by"]), (&Value::Null, &Value::Null));
                break;
            }
            assert!(Instant::now() < deadline, "{kind}: {page}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_stops_gives_its_jobs_back_and_lets_its_watchers_go() {
    let config = with_jobs().await;
    clinicx::cli::migrate::system(&config).await.unwrap();
    let service = Service::start(&config).await.unwrap();
    let operator = log_in(format!("http://{}", service.address())).await;
    let clinic = Clinic::made_by(&operator, json!({})).await;
    let platform = Platform::open(&config).await.unwrap();
    let id = ask(&platform, clinic.tenant["id"].as_str().unwrap().parse().unwrap(), true).await;
    until(&operator, id, |job| job["state"] == "running").await;
    let mut events = Events::of(&operator, id).await;
    assert_eq!(events.next().await.unwrap()["state"], "running");
    let stopped = Instant::now();
    let (ended, ()) = tokio::join!(
        async {
            while let Some(job) = events.next().await {
                assert!(["running", "queued"].contains(&job["state"].as_str().unwrap()), "{job}");
            }
            stopped.elapsed()
        },
        service.stop()
    );
    assert!(ended < Duration::from_secs(5), "{ended:?}");
    assert!(stopped.elapsed() < Duration::from_secs(10), "{:?}", stopped.elapsed());
    let job = clinicx_jobs::query::get(&platform.app, id).await.unwrap();
    assert_eq!((job.state.as_str(), job.attempts), ("queued", 0));
    platform.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_lost_the_right_sees_no_further_news_and_nobody_watches_without_end() {
    let config = with_jobs().await;
    let base = start(config.clone()).await;
    let (operator, leaving) = (log_in(base.clone()).await, log_in(base).await);
    let clinic = Clinic::made_by(&operator, json!({})).await;
    let platform = Platform::open(&config).await.unwrap();
    let id = ask(&platform, clinic.tenant["id"].as_str().unwrap().parse().unwrap(), true).await;
    until(&operator, id, |job| job["progress"]["done"] == 1).await;
    let mut events = Events::of(&leaving, id).await;
    assert_eq!(events.next().await.unwrap()["state"], "running");
    leaving.post("/auth/logout", json!({})).await.expect(204);
    let left = Instant::now();
    assert_eq!(events.next().await, None);
    assert!(left.elapsed() < Duration::from_secs(5), "{:?}", left.elapsed());

    let mut watched = Vec::new();
    for _ in 0..8 {
        watched.push(Events::of(&operator, id).await);
    }
    let path = format!("/platform/jobs/{id}/events");
    operator.get(&path).await.expect_problem(429, "throttled");
    let cancel = operator.request(Method::POST, &format!("/platform/jobs/{id}/cancel"));
    operator.send(cancel).await.expect(200);
    for mut events in watched {
        while events.next().await.is_some() {}
    }
    assert_eq!(operator.get(&path).await.status, 200);
    platform.close().await;
}
