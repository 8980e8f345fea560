//! The module from outside on a real PostgreSQL: a tenant gets its tables, its routes answer, the others have neither.

use clinicx::{
    cli,
    config::{Config, LimitsConfig, Secret, StateDir},
    extension::Extensions,
    server::Service,
};
use clinicx_embedded_postgres::TestServer;
use reqwest::{Client, Method};
use serde_json::{Value, json};

const EMAIL: &str = "operator@platform.example";
const PASSWORD: &str = "correct horse battery staple";

struct Api {
    base: String,
    token: Option<String>,
    client: Client,
}

impl Api {
    async fn ask(&self, method: Method, path: &str, body: Option<Value>) -> (u16, Value) {
        let mut request = self.client.request(method, format!("{}/api/v1{path}", self.base));
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        if let Some(body) = body {
            request = request.json(&body).header("if-match", "*");
        }
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap_or_default())
    }

    async fn get(&self, path: &str) -> (u16, Value) {
        self.ask(Method::GET, path, None).await
    }

    async fn post(&self, path: &str, body: Value) -> (u16, Value) {
        self.ask(Method::POST, path, Some(body)).await
    }

    async fn log_in(&self, email: &str) -> Self {
        let (status, tokens) = self.post("/auth/login", json!({"email": email, "password": PASSWORD})).await;
        assert_eq!(status, 200, "{tokens}");
        let token = tokens["access_token"].as_str().map(str::to_owned);
        Self { base: self.base.clone(), token, client: self.client.clone() }
    }

    /// Creates a clinic with these modules and returns its owner's client.
    async fn clinic(&self, slug: &str, modules: &[&str]) -> Self {
        let email = format!("owner@{slug}.example");
        let body = json!({
            "slug": slug, "name": "A clinic", "modules": modules, "time_zone": "Europe/Berlin", "currency": "EUR",
            "locale": "de-DE", "admin": {"email": email, "full_name": "Ada Owner", "password": PASSWORD},
        });
        let (status, made) = self.post("/platform/tenants", body).await;
        assert_eq!(status, 201, "{made}");
        self.log_in(&email).await
    }

    async fn patient(&self) -> String {
        let body = json!({"family_name": "Haddad", "given_name": "Layla", "phones": [], "emails": []});
        let (status, made) = self.post("/patients", body).await;
        assert_eq!(status, 201, "{made}");
        made["id"].as_str().unwrap().to_owned()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_module_from_outside_is_one_of_the_clinics_modules() {
    let server = TestServer::start().unwrap();
    let state = StateDir(std::env::temp_dir().join(format!("clinic-orthodontics-{}", std::process::id())));
    let mut config = Config { state_dir: state.clone(), ..Config::default() };
    config.extensions = Extensions::new([clinic::ORTHODONTICS]);
    config.http.port = 0;
    config.limits = LimitsConfig::unlimited();
    config.database.url = Some(Secret::new(server.superuser_url("postgres")));
    config.database.pool.min_connections = 0;
    config.bootstrap.email = Some(EMAIL.to_owned());
    config.bootstrap.password = Some(Secret::new(PASSWORD));
    config.log.filter = "off".to_owned();
    cli::migrate::system(&config).await.unwrap();
    let service = Service::start(&config).await.unwrap();
    let anonymous = Api { base: format!("http://{}", service.address()), token: None, client: Client::new() };
    let operator = anonymous.log_in(EMAIL).await;

    // A module brings what it requires.
    let braces = operator.clinic("braces", &["orthodontics"]).await;
    let patient = braces.patient().await;
    let brackets = format!("/patients/{patient}/brackets");
    let (status, bonded) = braces.post(&brackets, json!({"tooth": "11", "kind": "ceramic"})).await;
    assert_eq!((status, &bonded["tooth"], &bonded["version"]), (201, &json!("11"), &json!(1)), "{bonded}");
    let (status, problem) = braces.post(&brackets, json!({"tooth": "11", "kind": "metal"})).await;
    assert_eq!((status, &problem["code"]), (409, &json!("conflict")), "{problem}");
    let (status, problem) = braces.post(&brackets, json!({"tooth": "19", "kind": "metal"})).await;
    assert_eq!((status, &problem["errors"][0]["pointer"]), (422, &json!("/tooth")), "{problem}");
    let gone = json!({"tooth": "21", "state": "missing"});
    let (status, gone) = braces.post(&format!("/patients/{patient}/tooth-presence"), gone).await;
    assert_eq!(status, 201, "{gone}");
    let (status, problem) = braces.post(&brackets, json!({"tooth": "21", "kind": "metal"})).await;
    assert_eq!((status, &problem["code"]), (409, &json!("tooth_gone")), "{problem}");
    let one = format!("{brackets}/{}", bonded["id"].as_str().unwrap());
    assert_eq!(braces.get(&one).await, (200, bonded.clone()));
    let remove = format!("{one}/remove");
    let (status, removed) = braces.post(&remove, json!({})).await;
    assert_eq!((status, &removed["version"]), (200, &json!(2)), "{removed}");
    let (_, page) = braces.get(&format!("{brackets}?count=true")).await;
    assert_eq!((&page["items"], &page["total"]), (&json!([removed]), &json!(1)));

    let staff = json!({"family_name": "Khoury", "given_name": "Sami", "roles": ["dentist"]});
    let (_, staff) = braces.post("/staff", staff).await;
    let visits = format!("/patients/{patient}/orthodontic-visits");
    let visit = json!({"staff_id": staff["id"], "archwire": "0.016 NiTi", "next_in_weeks": 6});
    let (status, recorded) = braces.post(&visits, visit).await;
    assert_eq!(status, 201, "{recorded}");
    let (_, page) = braces.get(&format!("{visits}?count=true")).await;
    assert_eq!((&page["items"], &page["total"]), (&json!([recorded]), &json!(1)));
    let one = format!("{visits}/{}", recorded["id"].as_str().unwrap());
    assert_eq!(braces.get(&one).await, (200, recorded));
    // What the module has shown and changed stands in the clinic's audit.
    let (_, trail) = braces.get("/audit-logs?limit=200").await;
    for action in ["orthodontic_bracket.bonded", "orthodontic_bracket.removed", "orthodontic_visit.recorded"]
    {
        assert!(trail["items"].as_array().unwrap().iter().any(|row| row["action"] == action), "{action}");
    }

    // A clinic without the module has none of it; enabling it later brings its tables.
    let plain = operator.clinic("plain", &[]).await;
    let patient = plain.patient().await;
    let brackets = format!("/patients/{patient}/brackets");
    let (status, problem) = plain.get(&brackets).await;
    assert_eq!((status, &problem["code"]), (403, &json!("module_not_enabled")), "{problem}");
    let (status, enabled) =
        operator.post("/platform/tenants/plain/modules", json!({"module": "orthodontics"})).await;
    assert!(status < 300, "{status} {enabled}");
    // Every process follows within seconds; this one at once.
    let (status, page) = plain.get(&brackets).await;
    assert_eq!((status, &page["items"]), (200, &json!([])), "{page}");

    service.stop().await;
    std::fs::remove_dir_all(state.0).unwrap();
}
