//! One running service for all tests of this binary, and clients of it.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        LazyLock,
        atomic::{AtomicUsize, Ordering},
    },
};

use clinicx::{
    config::{Config, LimitsConfig, Secret, StateDir},
    server::Service,
};
use clinicx_embedded_postgres::TestServer;
use reqwest::{Client, Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use sqlx::{ConnectOptions, postgres::PgConnectOptions};
use tokio::sync::OnceCell;
use uuid::Uuid;

use crate::program::is_alive;

/// The first operator of the platform under test.
pub(crate) const OPERATOR: (&str, &str) = ("operator@platform.example", "correct horse battery staple");
/// The password of every user that a test makes.
pub(crate) const PASSWORD: &str = "a quite good passphrase";

/// Returns the service's base address; the service starts with the first call.
pub(crate) async fn base() -> &'static str {
    &shared().await.0
}

/// Returns the folder into which the service puts its mail.
pub(crate) async fn mail_folder() -> PathBuf {
    shared().await.1.join("mail")
}

/// Returns the superuser's address of the service's database.
pub(crate) async fn database() -> String {
    shared().await.2.clone()
}

async fn shared() -> &'static (String, PathBuf, String) {
    static SHARED: OnceCell<(String, PathBuf, String)> = OnceCell::const_new();
    SHARED
        .get_or_init(|| async {
            let config = configuration("http").await;
            let state_dir = config.state_dir.0.clone();
            let database = config.database.url.as_ref().unwrap().expose().to_owned();
            (start(config).await, state_dir, database)
        })
        .await
}

/// A configuration for a service on a new, empty database of the test server.
pub(crate) async fn configuration(purpose: &str) -> Config {
    let server = TestServer::shared().unwrap();
    let database = format!("{purpose}_{}", Uuid::now_v7().simple());
    let options: PgConnectOptions = server.superuser_url("postgres").parse().unwrap();
    let mut connection = options.connect().await.unwrap();
    let create = format!("CREATE DATABASE {database}");
    sqlx::query(sqlx::AssertSqlSafe(create)).execute(&mut connection).await.unwrap();
    let state_dir = StateDir(STATE.join(&database));
    let mut config = Config { state_dir, ..Config::default() };
    config.http.port = 0;
    config.http.workers = Some(2);
    config.limits = LimitsConfig::unlimited();
    config.http.base_domain = Some("clinics.example".to_owned());
    config.database.url = Some(Secret::new(server.superuser_url(&database)));
    config.database.pool.min_connections = 0;
    config.database.pool.max_connections = 16;
    // The services of a run stay to its end, and the server has places for the connections of some of them.
    config.database.pool.idle_timeout = std::time::Duration::from_secs(10);
    // A test that wants background work asks for it; no other is to be met by what comes up by the clock.
    config.jobs.enabled = false;
    config.archive.folder = Some(config.state_dir.0.join("archives"));
    config.bootstrap.email = Some(OPERATOR.0.to_owned());
    config.bootstrap.password = Some(Secret::new(OPERATOR.1));
    config.log.filter = std::env::var("CLINICX_TEST_LOG").unwrap_or_else(|_| "off".to_owned());
    config
}

/// The folder for what the services of this run keep beside their databases, in cargo's target folder. A run can't
/// remove it at its end, as services outlive their tests: the next run does.
static STATE: LazyLock<PathBuf> = LazyLock::new(|| {
    let all = Path::new(env!("CARGO_TARGET_TMPDIR")).join("state");
    for entry in fs::read_dir(&all).into_iter().flatten().flatten() {
        let run = entry.file_name().to_string_lossy().parse();
        if !run.is_ok_and(is_alive) {
            // Another run may be removing it too.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
    all.join(std::process::id().to_string())
});

/// Starts a service on a thread and a runtime of its own, so that it outlives the test that asked first.
pub(crate) async fn start(config: Config) -> String {
    let (sender, receiver) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(async move {
            clinicx::cli::migrate::system(&config).await.unwrap();
            let service = Service::start(&config).await.unwrap();
            sender.send(format!("http://{}", service.address())).unwrap();
            std::future::pending::<()>().await;
        });
    });
    receiver.await.expect("the service starts")
}

/// Returns the one-time password of now for a secret in base32.
pub(crate) fn code_of(secret: &str) -> String {
    code_at(secret, std::time::UNIX_EPOCH.elapsed().unwrap().as_secs())
}

/// Returns the one-time password of a time in seconds.
pub(crate) fn code_at(secret: &str, time_s: u64) -> String {
    let secret = totp_rs::Secret::try_from_base32(secret).unwrap();
    let totp = totp_rs::Builder::new().with_secret(secret).build_noncompliant();
    totp.generate(time_s).to_string()
}

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("no JSON: {} {}", self.status, self.text))
    }

    pub(crate) fn code(&self) -> String {
        self.json()["code"].as_str().unwrap_or_default().to_owned()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
    }

    /// Asserts the status and returns the body.
    #[track_caller]
    pub(crate) fn expect(&self, status: u16) -> Value {
        assert_eq!(self.status.as_u16(), status, "{}", self.text);
        if self.text.is_empty() { Value::Null } else { self.json() }
    }

    /// Asserts a problem with this status and code.
    #[track_caller]
    pub(crate) fn expect_problem(&self, status: u16, code: &str) -> Value {
        assert_eq!((self.status.as_u16(), self.code().as_str()), (status, code), "{}", self.text);
        assert_eq!(self.header("content-type"), "application/problem+json");
        self.json()
    }
}

/// A client of the service with one token.
#[derive(Clone, Debug)]
pub(crate) struct Api {
    pub(crate) base: String,
    pub(crate) token: Option<String>,
    pub(crate) client: Client,
}

impl Api {
    pub(crate) async fn anonymous() -> Self {
        Self { base: base().await.to_owned(), token: None, client: Client::new() }
    }

    pub(crate) async fn operator() -> Self {
        let api = Self::anonymous().await;
        api.login(json!({"email": OPERATOR.0, "password": OPERATOR.1})).await
    }

    /// Logs in and returns a client with the token.
    pub(crate) async fn login(&self, body: Value) -> Self {
        let tokens = self.post("/auth/login", body).await.expect(200);
        self.with_token(tokens["access_token"].as_str().unwrap())
    }

    pub(crate) fn with_token(&self, token: &str) -> Self {
        Self { token: Some(token.to_owned()), ..self.clone() }
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let prefix = if path.starts_with("//") { "" } else { "/api/v1" };
        let path = path.strip_prefix('/').filter(|_| path.starts_with("//")).unwrap_or(path);
        let request = self.client.request(method, format!("{}{prefix}{path}", self.base));
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    pub(crate) async fn send(&self, request: RequestBuilder) -> Answer {
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        Answer { status, headers, text: response.text().await.unwrap() }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(self.request(Method::GET, path)).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        self.send(self.request(Method::POST, path).json(&body)).await
    }

    /// Sends a change with the version that it is for.
    pub(crate) async fn change(&self, method: Method, path: &str, version: &Value, body: Value) -> Answer {
        self.send(self.request(method, path).header("If-Match", format!("\"{version}\"")).json(&body)).await
    }

    pub(crate) async fn patch(&self, path: &str, version: &Value, body: Value) -> Answer {
        self.change(Method::PATCH, path, version, body).await
    }
}

/// A new tenant and its administrator's client.
pub(crate) struct Clinic {
    pub(crate) slug: String,
    pub(crate) tenant: Value,
    pub(crate) admin: Api,
}

impl Clinic {
    pub(crate) async fn create() -> Self {
        Self::with(json!({})).await
    }

    /// Creates one; `extra` overrides parts of the body.
    pub(crate) async fn with(extra: Value) -> Self {
        Self::made_by(&Api::operator().await, extra).await
    }

    /// Creates one on the operator's service.
    pub(crate) async fn made_by(operator: &Api, extra: Value) -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let slug = format!(
            "c{}-{}",
            NUMBER.fetch_add(1, Ordering::Relaxed),
            &Uuid::new_v4().simple().to_string()[..8]
        );
        let email = format!("admin@{slug}.example");
        let mut body = json!({
            "slug": slug, "name": "A clinic", "modules": [], "time_zone": "Europe/Berlin", "currency": "EUR",
            "locale": "de-DE", "admin": {"email": email, "full_name": "Ada Admin", "password": PASSWORD},
        });
        for (name, value) in extra.as_object().unwrap() {
            body[name] = value.clone();
        }
        let tenant = operator.post("/platform/tenants", body).await.expect(201);
        let admin = operator.login(json!({"email": email, "password": PASSWORD})).await;
        Self { slug, tenant, admin }
    }

    pub(crate) async fn patient(&self, family_name: &str) -> Value {
        let body = json!({"family_name": family_name, "given_name": "Test", "phones": [], "emails": []});
        self.admin.post("/patients", body).await.expect(201)
    }

    pub(crate) async fn staff(&self) -> Value {
        let body = json!({"family_name": "Doc", "given_name": "Tor", "roles": ["dentist"]});
        self.admin.post("/staff", body).await.expect(201)
    }
}
