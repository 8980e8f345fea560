//! Each handler as it is served, dropped at each of its awaits: admission, the handler, the answer.

use std::collections::BTreeSet;

use actix_web::{App, body::to_bytes, dev::Service, http::Method, test, test::TestRequest};
use clinicx::{
    modules,
    wiring::{Platform, Slot},
};
use clinicx_core::permission::RULES;
use clinicx_persistence::{ApplyMode, SystemExecutor, TenantScope};
use clinicx_tenancy::registry;
use clinicx_types::name::TenantSlug;
use clinicx_web::{Kit, Trace, api::OperationFacts};
use futures_util::future::LocalBoxFuture;
use sea_orm::{FromQueryResult, raw_sql};
use serde_json::{Value, json};
use sqlx::postgres::PgConnectOptions;
use uuid::Uuid;

use super::{
    Figures, billing,
    clinic::{Call, Clinic, Thing},
    cut::CancelAfter,
    ledger::Ledger,
    paths::{PATHS, Path},
};
use crate::{
    oidc::desk,
    support::{OPERATOR, PASSWORD, configuration},
};

/// No operation awaits as often.
const MOST_AWAITS: usize = 10_000;

/// Sends a request to the service inside this process and reads the answer to its end.
pub(super) type Ask = Box<dyn Fn(TestRequest) -> LocalBoxFuture<'static, (u16, String)>>;

/// A service without a socket, and two clinics in it.
pub(super) struct Bench {
    ask: Ask,
    pub(super) platform: Platform,
    pub(super) operator: String,
    /// An administrator of both clinics, acting in the first.
    pub(super) administrator: String,
    pub(super) slug: String,
    pub(super) clinics: Vec<Clinic>,
    pub(super) ledger: Ledger,
    pub(super) acknowledged: Vec<Uuid>,
    pub(super) keyed: Vec<Uuid>,
    pub(super) figures: Figures,
}

/// As whom the system schema is read.
#[derive(Debug, FromQueryResult)]
struct Reader {
    role: String,
    path: String,
}

impl Bench {
    pub(super) async fn open(ask: Ask, platform: Platform) -> Self {
        let operator = login(&ask, json!({"email": OPERATOR.0, "password": OPERATOR.1})).await;
        let email = "admin@bench.example";
        let (mut clinics, mut slugs) = (Vec::new(), Vec::new());
        for number in 0..2 {
            let slug = unique_slug();
            let body = tenant_body(&slug, json!({"email": email, "full_name": "Ada", "password": PASSWORD}));
            let request = TestRequest::post().uri("/api/v1/platform/tenants").set_json(body);
            let (status, text) = ask(bearing(request, &operator)).await;
            assert_eq!(status, 201, "{text}");
            let parsed = TenantSlug::parse(&slug).unwrap();
            let tenant = registry::get_by_slug(&platform.app, &parsed).await.unwrap();
            let scope = TenantScope::system(
                tenant.id,
                parsed,
                (tenant.time_zone, tenant.currency, &tenant.locale),
                "test",
                [RULES, clinicx_billing::permission::RULES, clinicx_dental::permission::RULES]
                    .concat()
                    .iter()
                    .map(|rule| rule.permission)
                    .collect(),
            );
            let db = platform.cluster.tenant(tenant.target());
            let cipher = platform.keyring.cipher(tenant.id).await.unwrap().lasting();
            clinics
                .push(Clinic::furnish(db, tenant.target(), scope, cipher, &format!("Bench{number}x")).await);
            slugs.push(slug);
        }
        let slug = slugs.swap_remove(0);
        let administrator = login(&ask, json!({"email": email, "password": PASSWORD, "tenant": slug})).await;
        let url = platform.config.database.url.as_ref().unwrap().expose();
        let superuser: PgConnectOptions = url.parse().unwrap();
        let ledger = Ledger::open(&superuser, &clinics[0].target).await;
        Self {
            ask,
            platform,
            operator,
            administrator,
            slug,
            clinics,
            ledger,
            acknowledged: Vec::new(),
            keyed: Vec::new(),
            figures: Figures::default(),
        }
    }

    /// Sweeps an operation of a tenant.
    async fn sweep_inside(&mut self, facts: &OperationFacts, path: &Path) {
        let keys: &[bool] = match facts.method == Method::POST {
            true if billing::NEED_A_KEY.contains(&facts.id) => &[true],
            true => &[false, true],
            false => &[false],
        };
        for keyed in keys {
            for poll in 1.. {
                let subject = self.clinics[0].prepare(path.subject).await;
                let call = self.clinics[0].call(path, subject);
                let request_id = call.scope.request_id.uuid();
                let mut request = request(facts, path, &call);
                if *keyed {
                    request = request.insert_header(("Idempotency-Key", request_id.to_string()));
                    self.keyed.push(request_id);
                }
                let outcome =
                    CancelAfter::polls(poll, (self.ask)(bearing(request, &self.administrator))).await;
                self.look(facts.id, poll).await;
                let Some((status, text)) = outcome else {
                    self.figures.drops += 1;
                    continue;
                };
                // What was dropped goes on: it may change the clinic's one set of settings after they were read.
                if status == 412 && path.subject == billing::SETTINGS && poll < MOST_AWAITS {
                    continue;
                }
                assert!((200..300).contains(&status), "{}: {status} {text}", facts.id);
                self.figures.ended += 1;
                self.figures.wrong_tenant += usize::from(text.contains(&*self.clinics[1].canary));
                if path.writes() {
                    self.figures.acknowledged += 1;
                    self.figures.lost += 1 - self.ledger.recorded_of(&[request_id]).await;
                    self.acknowledged.push(request_id);
                } else if facts.trace != Trace::Nothing {
                    self.figures.lost += usize::from(self.ledger.audit_rows_of(request_id).await == 0);
                }
                break;
            }
        }
    }

    /// Sweeps an operation outside of tenants.
    async fn sweep_outside(&mut self, facts: &OperationFacts) {
        for poll in 1.. {
            let request = self.outside(facts).await;
            let outcome = CancelAfter::polls(poll, (self.ask)(request)).await;
            self.look(facts.id, poll).await;
            let Some((status, text)) = outcome else {
                self.figures.drops += 1;
                continue;
            };
            assert!((200..300).contains(&status), "{}: {status} {text}", facts.id);
            self.figures.ended += 1;
            break;
        }
    }

    /// The other tenant is itself, the system schema is read as ever, and nobody stays in a transaction.
    pub(super) async fn look(&mut self, id: &str, poll: usize) {
        let question = raw_sql!(
            Postgres,
            r#"SELECT current_user::text AS role, current_setting('search_path') AS path"#
        );
        let reader: Reader = self.platform.app.query_one(question).await.unwrap().unwrap();
        let read_right = reader.path == "public, pg_temp"
            && reader.role == self.platform.roles.of(clinicx_migration::system::SystemRole::App).as_str();
        let right = self.clinics[1].is_itself().await && read_right;
        let left = self.ledger.left_in_transaction().await;
        self.figures.wrong_tenant += usize::from(!right);
        self.figures.left_in_transaction += left;
        if !right || left != 0 {
            println!("{id} poll {poll}: right {right} {reader:?}, in transaction {left}");
        }
    }

    /// Makes a request that will succeed, and whatever it needs.
    async fn outside(&self, facts: &OperationFacts) -> TestRequest {
        if let Some(request) = self.outside_on_accounts(facts).await {
            return request;
        }
        if let Some(request) = self.outside_on_jobs(facts).await {
            return request;
        }
        if let Some(request) = self.outside_on_backups(facts).await {
            return request;
        }
        let email = "admin@bench.example";
        let credentials = json!({"email": email, "password": PASSWORD, "tenant": self.slug});
        let spare = match facts.id {
            id if facts.path.starts_with("/api/v1/platform/tenants/{slug}") && id != "get_tenant" => {
                self.spare(id).await
            }
            _ => self.slug.clone(),
        };
        let key = match facts.path.contains("/configurations/") {
            true => "platform.maintenance_message",
            false => "patient.similar_search",
        };
        let mut uri =
            facts.path.replace("{slug}", &spare).replace("{key}", key).replace("{module}", "dental");
        if facts.id == "purge_tenant" {
            uri = format!("{uri}?confirm={spare}&force=true");
        }
        let request = TestRequest::default().method(facts.method.clone()).uri(&uri);
        match facts.id {
            "health" | "readiness" | "metrics" | "list_login_providers" => request,
            "begin_oidc_login" => request.uri(&uri.replace("{provider}", desk::NAME)).set_json(desk::begin()),
            "finish_oidc_login" => {
                let begin = format!("/api/v1/auth/oidc/{}/authorize", desk::NAME);
                let (status, text) =
                    (self.ask)(TestRequest::post().uri(&begin).set_json(desk::begin())).await;
                assert_eq!(status, 200, "{text}");
                let body = desk::finish(&serde_json::from_str(&text).unwrap());
                request.uri(&uri.replace("{provider}", desk::NAME)).set_json(body)
            }
            "login" => request.set_json(credentials),
            "refresh" => {
                let tokens = self.tokens(credentials).await;
                request.set_json(json!({"refresh_token": tokens["refresh_token"]}))
            }
            "logout" | "me" => {
                // A new token is one that nobody has checked before.
                let tokens = self.tokens(credentials).await;
                bearing(request, tokens["access_token"].as_str().unwrap())
            }
            "switch_tenant" => bearing(request.set_json(json!({"tenant": self.slug})), &self.administrator),
            "create_tenant" => {
                let body = tenant_body(&unique_slug(), json!({"email": email, "full_name": "Ada"}));
                let key = ("Idempotency-Key", Uuid::new_v4().to_string());
                bearing(request.set_json(body).insert_header(key), &self.operator)
            }
            "update_tenant" => {
                let request = request.insert_header(("If-Match", "*"));
                bearing(request.set_json(json!({"name": "Another"})), &self.operator)
            }
            "enable_module" => bearing(request.set_json(json!({"module": "billing"})), &self.operator),
            "set_configuration" | "set_feature_flag" | "override_feature_flag" => {
                let body = match facts.id {
                    "set_configuration" => json!({"value": "We are back at noon."}),
                    _ => json!({"enabled": true}),
                };
                bearing(request.insert_header(("If-Match", "*")).set_json(body), &self.operator)
            }
            "list_own_feature_flags" => bearing(request, &self.administrator),
            "list_platform_audit_logs"
            | "get_fleet_status"
            | "list_tenant_health"
            | "get_tenant_health"
            | "list_alerts"
            | "list_configurations"
            | "get_configuration"
            | "unset_configuration"
            | "list_feature_flags"
            | "get_feature_flag"
            | "unset_feature_flag"
            | "list_feature_flag_overrides"
            | "remove_feature_flag_override"
            | "list_tenants"
            | "get_tenant"
            | "disable_module"
            | "purge_tenant"
            | "suspend_tenant"
            | "resume_tenant"
            | "archive_tenant"
            | "restore_tenant" => bearing(request, &self.operator),
            id => panic!("the operation {id} is swept by nobody"),
        }
    }

    pub(super) async fn tokens(&self, credentials: Value) -> Value {
        tokens(&self.ask, credentials).await
    }

    /// Makes a tenant that stands as an operation wants it.
    pub(super) async fn spare(&self, id: &str) -> String {
        let slug = unique_slug();
        let body = tenant_body(&slug, json!({"email": "admin@bench.example", "full_name": "Ada"}));
        let request = TestRequest::post().uri("/api/v1/platform/tenants").set_json(body);
        let (status, text) = (self.ask)(bearing(request, &self.operator)).await;
        assert_eq!(status, 201, "{text}");
        let step = match id {
            "resume_tenant" => Some("suspend"),
            "restore_tenant" | "purge_tenant" => Some("archive"),
            _ => None,
        };
        if let Some(step) = step {
            let request = TestRequest::post().uri(&format!("/api/v1/platform/tenants/{slug}/{step}"));
            let (status, text) = (self.ask)(bearing(request, &self.operator)).await;
            assert_eq!(status, 200, "{text}");
        }
        slug
    }

    /// Looks at what is there now that every write has ended.
    pub(super) async fn settle(mut self) -> Figures {
        let acknowledged = self.acknowledged.len();
        self.figures.lost += acknowledged - self.ledger.recorded_of(&self.acknowledged).await;
        let torn = self.ledger.contradictions().await + self.ledger.half_kept_of(&self.keyed).await;
        self.figures.torn += usize::try_from(torn).unwrap();
        self.ledger.close().await;
        self.figures
    }
}

pub(super) fn request(facts: &OperationFacts, path: &Path, call: &Call) -> TestRequest {
    let uri = facts.path.replace("{staff_id}", &call.colleague.to_string());
    let uri = uri.replace("{patient_id}", &call.patient.to_string());
    let uri = format!("{}?{}", uri.replace("{id}", &call.subject.id.to_string()), (path.query)(call));
    let request_id = call.scope.request_id.to_string();
    let mut request = TestRequest::default().method(facts.method.clone()).uri(uri.trim_end_matches('?'));
    request = request.insert_header(("X-Request-ID", request_id));
    if call.subject != Thing::default() && path.writes() {
        request = request.insert_header(("If-Match", format!("\"{}\"", call.subject.version)));
    }
    if call.body.is_null() { request } else { request.set_json(&call.body) }
}

pub(super) fn bearing(request: TestRequest, token: &str) -> TestRequest {
    request.insert_header(("Authorization", format!("Bearer {token}")))
}

pub(super) fn unique_slug() -> String {
    format!("b-{}", Uuid::new_v4().simple())
}

fn tenant_body(slug: &str, admin: Value) -> Value {
    json!({
        "slug": slug, "name": "A clinic", "modules": ["billing", "dental"], "time_zone": "Europe/Berlin",
        "currency": "EUR",
        "locale": "de-DE", "admin": admin,
    })
}

async fn tokens(ask: &Ask, credentials: Value) -> Value {
    let (status, text) = ask(TestRequest::post().uri("/api/v1/auth/login").set_json(credentials)).await;
    assert_eq!(status, 200, "{text}");
    serde_json::from_str(&text).unwrap()
}

async fn login(ask: &Ask, credentials: Value) -> String {
    tokens(ask, credentials).await["access_token"].as_str().unwrap().to_owned()
}

/// Opens a platform with small pools on a database of its own.
pub(super) async fn open_platform(mode: ApplyMode) -> Platform {
    let mut config = configuration("handlers").await;
    config.database.apply_mode = mode;
    config.database.pool.max_connections = 3;
    config.database.pool.tenant_share = 1.0;
    config.database.system_connections = 3;
    config.auth.oidc = vec![desk::config()];
    clinicx::cli::migrate::system(&config).await.unwrap();
    let platform = Platform::open(&config).await.unwrap();
    platform.ready_to_serve().await.unwrap();
    platform
}

/// Serves a kit inside this process.
pub(super) async fn serve(kit: &Kit) -> Ask {
    let app = test::init_service(App::new().configure(kit.configure())).await;
    Box::new(move |request| {
        let answer = app.call(request.to_request());
        Box::pin(async move {
            let response = answer.await.unwrap();
            let status = response.status().as_u16();
            let Ok(body) = to_bytes(response.into_body()).await else { panic!("an answer without its end") };
            (status, String::from_utf8_lossy(&body).into_owned())
        })
    })
}

async fn sweep(mode: ApplyMode, with_platform: bool) {
    let platform = open_platform(mode).await;
    let kit = modules::kit(&platform).unwrap();
    let ask = serve(&kit).await;
    let mut bench = Bench::open(ask, platform.clone()).await;
    let offered: Vec<OperationFacts> =
        modules::api(&Slot::default(), &Default::default()).unwrap().operations().collect();
    let mut swept = BTreeSet::new();
    for facts in &offered {
        match PATHS.iter().find(|path| path.id == facts.id) {
            Some(path) => bench.sweep_inside(facts, path).await,
            None if with_platform => bench.sweep_outside(facts).await,
            None => continue,
        }
        swept.insert(facts.id);
    }
    assert_eq!(swept.len(), if with_platform { offered.len() } else { PATHS.len() });
    kit.finish().await;
    let half_made = raw_sql!(
        Postgres,
        r#"SELECT slug AS role, status AS path FROM tenants WHERE status = 'provisioning'"#
    );
    let half_made: Vec<Reader> = platform.app.query_all(half_made).await.unwrap();
    bench.figures.torn += half_made.len();
    platform.close().await;
    bench.figures.paths = swept.len();
    bench.settle().await.report(&format!("each await of each handler, {mode:?} mode"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_handler_leaves_anything_wherever_it_is_dropped_in_session_mode() {
    sweep(ApplyMode::Session, true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_handler_leaves_anything_wherever_it_is_dropped_in_transaction_mode() {
    sweep(ApplyMode::Transaction, false).await;
}
