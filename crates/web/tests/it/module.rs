//! A small module whose operations need no database, and the service that is made of it.

use std::{sync::Arc, time::Duration};

use actix_web::{
    App, Error,
    body::BoxBody,
    dev::{Service, ServiceResponse},
    http::{StatusCode, header},
    test::TestRequest,
};
use clinicx_types::{
    error::{DomainError, ErrorKind, FieldError},
    page::{CursorKey, Page},
    permission::{Permission, PermissionRule, Role},
    uuid::Uuid,
};
use clinicx_web::{
    Access, Api, ApiError, ApiInfo, Body, CallerCx, Cx, Disclosure, HttpModule, Idempotency, IfMatch, Kit,
    KitOptions, List, Operation, Path, Query, RateClass, Reply, TenantCx,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use validator::Validate;

use crate::gatekeeper::FakeGatekeeper;

pub(crate) const THING_READ: Permission = Permission("thing.read");
pub(crate) const THING_WRITE: Permission = Permission("thing.write");
pub(crate) static RULES: [PermissionRule; 2] = [
    PermissionRule {
        permission: THING_READ,
        roles: &[Role::Doctor, Role::Accountant],
        description: "See things",
    },
    PermissionRule { permission: THING_WRITE, roles: &[Role::Doctor], description: "Change things" },
];
pub(crate) const INFO: ApiInfo = ApiInfo { title: "Things", version: "1.0.0", description: "For tests." };

#[derive(Clone, Debug, Deserialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewThing {
    #[validate(length(min = 1, max = 20))]
    name: String,
    #[serde(default)]
    #[validate(nested)]
    parts: Vec<Part>,
}

#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields)]
pub(crate) struct Part {
    #[validate(range(min = 1, max = 9))]
    size: u8,
}

#[derive(Serialize, JsonSchema)]
pub(crate) struct Thing {
    id: Uuid,
    name: String,
    parts: Vec<Part>,
    version: i64,
}

#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Filter {
    #[schemars(length(max = 10))]
    q: Option<String>,
    #[serde(default)]
    sort: Sort,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Sort {
    #[default]
    Name,
    Age,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Weight {
    grams: u32,
}

#[derive(Debug, Deserialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields)]
pub(crate) struct Closing {
    #[validate(length(max = 5))]
    reason: Option<String>,
}

#[derive(Debug, thiserror::Error)]
enum ThingError {
    #[error("the time is taken by a thing")]
    Taken(Uuid),
    #[error("close is not possible from closed")]
    Closed,
    #[error("the thing has changed")]
    Stale,
    #[error("the input is bad")]
    Invalid,
}

impl DomainError for ThingError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Taken(_) | Self::Closed => ErrorKind::Conflict,
            Self::Stale => ErrorKind::Stale,
            Self::Invalid => ErrorKind::Invalid,
        }
    }
    fn code(&self) -> &'static str {
        match self {
            Self::Taken(_) => "slot_taken",
            Self::Closed => "transition_refused",
            Self::Stale => "version_mismatch",
            Self::Invalid => "invalid",
        }
    }
    fn fields(&self) -> Vec<FieldError> {
        vec![FieldError::new("/name", "required", "is required")]
    }
    fn allowed(&self) -> Vec<&'static str> {
        if matches!(self, Self::Closed) { vec!["open"] } else { vec![] }
    }
    fn conflicts(&self) -> Vec<Uuid> {
        if let Self::Taken(id) = self { vec![*id] } else { vec![] }
    }
}

pub(crate) fn module() -> HttpModule {
    let (read, write) = (Access::Tenant(THING_READ), Access::Tenant(THING_WRITE));
    HttpModule::new("things", "Things").operations([
        Operation::post("/things", "create_thing").access(write).answers::<Thing>(201).handler(create),
        Operation::get("/things", "list_things")
            .access(read)
            .shows_patients("thing")
            .answers_page::<Thing>()
            .handler(list),
        Operation::get("/things/{id}", "get_thing")
            .access(read)
            .shows_patients("thing")
            .answers::<Thing>(200)
            .handler(get),
        Operation::patch("/things/{id}", "update_thing").access(write).answers::<Thing>(200).handler(update),
        Operation::get("/things/special", "special_thing")
            .access(read)
            .leaves_row("thing")
            .answers::<Thing>(200)
            .derived()
            .handler(special),
        Operation::get("/things/{id}.svg", "draw_thing")
            .access(read)
            .shows_no_patient()
            .answers_content("image/svg+xml")
            .handler(draw),
        Operation::transition("/things/{id}/close", "close_thing")
            .access(write)
            .answers::<Thing>(200)
            .errors(&["slot_taken"])
            .handler(close),
        Operation::get("/weight", "weigh")
            .access(Access::AnyTenantMember)
            .shows_no_patient()
            .answers::<Value>(200)
            .handler(weigh),
        Operation::post("/payments", "pay")
            .access(write)
            .idempotency(Idempotency::Required)
            .answers_empty(204)
            .handler(pay),
        Operation::post("/jobs", "start_job").access(Access::Operator).answers::<Value>(202).handler(start),
        Operation::get("/me", "me").access(Access::Authenticated).answers::<Value>(200).handler(me),
        Operation::get("/probe", "probe")
            .access(Access::Public)
            .rate(RateClass::Exempt)
            .answers_empty(204)
            .handler(probe),
        Operation::post("/login", "login")
            .access(Access::Public)
            .idempotency(Idempotency::Brief)
            .if_match(IfMatch::None)
            .answers::<Value>(200)
            .handler(login),
        Operation::post("/panic", "panic").access(write).answers_empty(204).handler(panicking),
        Operation::get("/slow", "slow").access(read).shows_no_patient().answers_empty(204).handler(slow),
    ])
}

fn chairs() -> HttpModule {
    HttpModule::new("chairs", "Chairs").requires("dental").operations([Operation::get(
        "/chairs",
        "list_chairs",
    )
    .access(Access::Tenant(THING_READ))
    .shows_no_patient()
    .answers::<Value>(200)
    .handler(async |_: TenantCx| Ok(Reply::ok(&json!([]))))])
}

fn thing(id: Uuid) -> Thing {
    Thing { id, name: "Ding".to_owned(), parts: vec![], version: 3 }
}

async fn create(cx: TenantCx, Body(input): Body<NewThing>) -> Result<Reply, ApiError> {
    let id = cx.scope().next_id();
    if input.name == "taken" {
        return Err(ThingError::Taken(Uuid::from_u128(7)).into());
    }
    if input.name == "beyond" {
        return Err(ApiError::new(StatusCode::FORBIDDEN, "permission_denied"));
    }
    if input.name == "invalid" {
        return Err(ThingError::Invalid.into());
    }
    Ok(Reply::created(
        format!("/things/{id}"),
        &Thing { id, name: input.name, parts: input.parts, version: 1 },
    ))
}

async fn list(_: TenantCx, list: List<Filter>) -> Result<Reply, ApiError> {
    let _ = (&list.filter.q, list.filter.sort);
    let start: u128 = list.page.after.as_ref().map_or(0, |key| key.0[0].parse().unwrap());
    let items: Vec<_> = (start + 1..=3).map(|id| thing(Uuid::from_u128(id))).collect();
    let total = list.page.count.then_some(3);
    let page = Page::from_rows(items, &list.page, total, |last| vec![last.id.as_u128().to_string()]);
    assert!(list.page.after.as_ref().is_none_or(|CursorKey(parts)| parts.len() == 1));
    Ok(Reply::page(&list, &page).showing(page.items.iter().map(|thing| thing.id)))
}

async fn get(_: TenantCx, Path(id): Path<Uuid>) -> Result<Reply, ApiError> {
    if id.as_u128() == 1 { Ok(Reply::ok(&thing(id)).showing([id])) } else { Err(ApiError::not_found()) }
}

async fn special(_: TenantCx) -> Result<Reply, ApiError> {
    Ok(Reply::ok(&thing(Uuid::from_u128(99))))
}

async fn draw(_: TenantCx, Path(_): Path<Uuid>) -> Result<Reply, ApiError> {
    Ok(Reply::content("image/svg+xml", "<svg xmlns=\"http://www.w3.org/2000/svg\"/>"))
}

async fn update(cx: TenantCx, Path(id): Path<Uuid>, _: Body<NewThing>) -> Result<Reply, ApiError> {
    match cx.expected_version() {
        None | Some(3) => Ok(Reply::ok(&Thing { version: 4, ..thing(id) })),
        Some(_) => Err(ThingError::Stale.into()),
    }
}

async fn close(cx: TenantCx, Path(_): Path<Uuid>, Body(_): Body<Closing>) -> Result<Reply, ApiError> {
    cx.detached(async { Err(ThingError::Closed.into()) }).await
}

async fn weigh(_: TenantCx, Query(weight): Query<Weight>) -> Result<Reply, ApiError> {
    Ok(Reply::ok(&json!({"grams": weight.grams})))
}

async fn pay(cx: TenantCx) -> Result<Reply, ApiError> {
    cx.write(|_, _| Box::pin(async { Ok(Reply::no_content()) })).await
}

async fn start(cx: CallerCx) -> Result<Reply, ApiError> {
    let id = Uuid::from_u128(5);
    cx.perform(move || Box::pin(async move { Ok(Reply::accepted(id, format!("/jobs/{id}"))) })).await
}

async fn me(cx: CallerCx) -> Result<Reply, ApiError> {
    Ok(Reply::ok(&json!({"user_id": cx.caller().user_id})))
}

async fn probe() -> Result<Reply, ApiError> {
    Ok(Reply::no_content())
}

async fn login(cx: Cx, Body(_): Body<Closing>) -> Result<Reply, ApiError> {
    Ok(Reply::ok(&json!({"tenant": cx.claimed_tenant().map(|slug| slug.as_str())})))
}

async fn panicking(cx: TenantCx) -> Result<Reply, ApiError> {
    cx.perform(|| panic!("a defect that a test wants")).await
}

async fn slow(_: TenantCx) -> Result<Reply, ApiError> {
    std::future::pending().await
}

pub(crate) fn api() -> Api {
    Api::new(&INFO, [module(), chairs()], RULES.iter()).unwrap()
}

/// An answer that has been read.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: header::HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap()
    }
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
    pub(crate) fn code(&self) -> String {
        self.json()["code"].as_str().unwrap_or_default().to_owned()
    }
}

/// Sends requests to a service of its own.
pub(crate) struct Client {
    gatekeeper: Arc<FakeGatekeeper>,
    kit: Kit,
}

impl Client {
    pub(crate) fn new() -> Self {
        Self::of(api())
    }

    pub(crate) fn of(api: Api) -> Self {
        Self::of_with(api, |_| {})
    }

    /// Makes one whose kit is set otherwise.
    pub(crate) fn with(change: impl FnOnce(&mut KitOptions)) -> Self {
        Self::of_with(api(), change)
    }

    fn of_with(api: Api, change: impl FnOnce(&mut KitOptions)) -> Self {
        let gatekeeper = Arc::new(FakeGatekeeper::default());
        let mut options = KitOptions::new([1; 32], tokio::runtime::Handle::current());
        options.base_domain = Some("example.org".to_owned());
        options.body_limit_bytes = 1000;
        options.body_deadline = Duration::from_millis(100);
        options.request_deadline = Duration::from_millis(200);
        change(&mut options);
        Self { kit: Kit::new(Arc::new(api), gatekeeper.clone(), options), gatekeeper }
    }

    pub(crate) fn into_kit(self) -> Kit {
        self.kit
    }

    pub(crate) fn disclosures(&self) -> Vec<Disclosure> {
        std::mem::take(&mut *self.gatekeeper.disclosures.lock().unwrap())
    }

    pub(crate) fn break_audit(&self) {
        self.gatekeeper.audit_is_down.store(true, std::sync::atomic::Ordering::Relaxed);
    }

    pub(crate) fn denials(&self) -> Vec<&'static str> {
        self.gatekeeper.denials.lock().unwrap().clone()
    }

    pub(crate) async fn send(&self, request: TestRequest) -> Answer {
        let app = actix_web::test::init_service(App::new().configure(self.kit.configure())).await;
        let response: Result<ServiceResponse<BoxBody>, Error> = app.call(request.to_request()).await;
        let response = response.unwrap().map_into_boxed_body();
        let (status, headers) = (response.status(), response.headers().clone());
        let bytes = actix_web::test::read_body(response).await;
        Answer { status, headers, text: String::from_utf8_lossy(&bytes).into_owned() }
    }
}

pub(crate) fn with(token: &str, request: TestRequest) -> TestRequest {
    request.insert_header((header::AUTHORIZATION, format!("Bearer {token}")))
}

pub(crate) fn get_as(token: &str, path: &str) -> TestRequest {
    with(token, TestRequest::get().uri(path))
}

pub(crate) fn post_as(token: &str, path: &str, body: &str) -> TestRequest {
    with(token, TestRequest::post().uri(path))
        .insert_header((header::CONTENT_TYPE, "application/json"))
        .set_payload(body.to_owned())
}
