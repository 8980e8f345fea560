//! Who may do what: every operation of the API document, asked by everybody there is.
//!
//! `access.tsv` beside this file is the table of the answers. `UPDATE_ACCESS_TABLE=1` writes it anew from what the
//! service does; the rules of the permissions are held against the answers as well, so that a table which was
//! written without a thought does not pass.

use std::{collections::BTreeMap, fs, path::PathBuf, time::Duration};

use chrono::Utc;
use clinicx::{
    config::Config,
    keys, modules,
    wiring::{Platform, Slot},
};
use clinicx_identity::{IdentityScope, NewAccount, Password, TokenKey, TokenSigner, membership};
use clinicx_types::{
    id::TenantId,
    permission::{PermissionRule, Role},
};
use clinicx_web::Access;
use reqwest::{Client, Method};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{Answer, Api, OPERATOR, PASSWORD, configuration, start};

const UPDATE: &str = "UPDATE_ACCESS_TABLE=1 cargo test -p clinicx --test it access";
/// Everybody who is no user with one role in the tenant.
const STRANGERS: [&str; 6] = ["none", "expired", "bad", "mismatch", "foreign", "operator"];
const HEADING: &str = "# One row for each operation of the API document, one column for each caller: no token, an \
    expired one, a forged one, an owner's with another tenant's slug in X-Tenant-ID, another tenant's owner on \
    this tenant's ids, an operator's platform token, each role.\n\
    # 401 and 403 with its code are refusals; 404 is another tenant's id; `allowed` is everything else that a \
    request can be answered with.\n";

/// What each caller is answered, by operation.
type Table = BTreeMap<String, Row>;

#[derive(Clone, Debug, PartialEq, Eq)]
struct Row {
    needs: String,
    answers: Vec<String>,
}

fn callers() -> Vec<&'static str> {
    STRANGERS.into_iter().chain(Role::ALL.map(Role::as_str)).collect()
}

fn write(table: &Table) -> String {
    let mut text = format!("{HEADING}operation\tneeds\t{}\n", callers().join("\t"));
    for (operation, row) in table {
        text.push_str(&format!("{operation}\t{}\t{}\n", row.needs, row.answers.join("\t")));
    }
    text
}

fn read(text: &str) -> Table {
    let mut lines = text.lines().filter(|line| !line.starts_with('#'));
    let columns: Vec<&str> = lines.next().unwrap_or_default().split('\t').skip(2).collect();
    assert_eq!(columns, callers(), "the table has other columns; write it anew: {UPDATE}");
    let row = |line: &str| {
        let mut cells = line.split('\t').map(str::to_owned);
        let (operation, needs) = (cells.next().unwrap(), cells.next().unwrap());
        (operation, Row { needs, answers: cells.collect() })
    };
    lines.map(row).collect()
}

/// An operation as the document describes it.
struct Operation {
    id: String,
    name: String,
    method: Method,
    path: String,
    needs: String,
    headers: Vec<String>,
    has_body: bool,
}

/// Reads the operations of a document; those that end their caller's sessions come last.
fn operations(document: &Value) -> Vec<Operation> {
    let mut found = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let parameters = operation["parameters"].as_array().into_iter().flatten();
            let headers =
                parameters.filter(|one| one["in"] == "header").map(|one| one["name"].as_str().unwrap());
            let method = method.to_uppercase();
            found.push(Operation {
                id: operation["operationId"].as_str().unwrap().to_owned(),
                name: format!("{method} {path}"),
                method: method.parse().unwrap(),
                path: path.clone(),
                needs: operation["x-permission"].as_str().unwrap().to_owned(),
                headers: headers.map(str::to_owned).collect(),
                has_body: operation.get("requestBody").is_some(),
            });
        }
    }
    found.sort_by_key(|operation| ["logout", "logout_all"].iter().position(|id| operation.id == *id));
    found
}

/// A service with two clinics, and everybody who may come.
struct World {
    anonymous: Api,
    tokens: BTreeMap<&'static str, String>,
    /// Tokens of other log-ins of the same callers, of which one is ended.
    leaving: BTreeMap<&'static str, String>,
    slug: String,
    other_slug: String,
    /// The id of one thing of each kind, by the collection that it is in.
    things: BTreeMap<&'static str, String>,
}

impl World {
    async fn create() -> Self {
        let config = configuration("access").await;
        let anonymous = Api { base: start(config.clone()).await, token: None, client: Client::new() };
        let operator = anonymous.login(json!({"email": OPERATOR.0, "password": OPERATOR.1})).await;
        let (slug, other_slug) = ("access-here".to_owned(), "access-elsewhere".to_owned());
        let tenant = clinic(&operator, &slug).await;
        clinic(&operator, &other_slug).await;
        let log_in =
            async |email: String| anonymous.login(json!({"email": email, "password": PASSWORD})).await;
        let (owner, foreign) = (log_in(owner_of(&slug)).await, log_in(owner_of(&other_slug)).await);
        let mut tokens = BTreeMap::from([
            ("expired", expired(&config, &owner).await),
            ("bad", forged(&owner)),
            ("mismatch", token(&owner)),
            ("foreign", token(&foreign)),
            ("operator", token(&operator)),
        ]);
        add_members(&config, &tenant).await;
        for role in Role::ALL {
            tokens.insert(role.as_str(), token(&log_in(member(role)).await));
        }
        let mut leaving = tokens.clone();
        for role in Role::ALL {
            leaving.insert(role.as_str(), token(&log_in(member(role)).await));
        }
        leaving.insert("foreign", token(&log_in(owner_of(&other_slug)).await));
        let again = anonymous.login(json!({"email": OPERATOR.0, "password": OPERATOR.1})).await;
        leaving.insert("operator", token(&again));
        let things = add_things(&owner, &operator, &slug).await;
        Self { anonymous, tokens, leaving, slug, other_slug, things }
    }

    /// Sends the least that the document lets one send, and says how it was met.
    async fn ask(&self, operation: &Operation, caller: &str) -> String {
        let path = match caller {
            "foreign" => self.real_path(&operation.path),
            _ => self.imagined_path(&operation.path),
        };
        let mut request =
            self.anonymous.client.request(operation.method.clone(), format!("{}{path}", self.anonymous.base));
        let tokens = if operation.id == "logout" { &self.leaving } else { &self.tokens };
        if let Some(token) = tokens.get(caller) {
            request = request.bearer_auth(token);
        }
        if caller == "mismatch" {
            request = request.header("X-Tenant-ID", &self.other_slug);
        }
        for name in &operation.headers {
            request = match name.as_str() {
                "If-Match" => request.header(name, "\"1\""),
                "Idempotency-Key" => request.header(name, Uuid::new_v4().to_string()),
                _ => request,
            };
        }
        if operation.has_body {
            request = request.json(&body(&operation.id));
        }
        let answer = self.anonymous.send(request).await;
        class(operation, caller, &answer)
    }

    /// Puts things into a path that are nobody's.
    fn imagined_path(&self, path: &str) -> String {
        fill(
            path,
            |_, name| if name == "slug" { "nobody-has-this".to_owned() } else { Uuid::now_v7().to_string() },
        )
    }

    /// Puts the tenant's own things into a path.
    fn real_path(&self, path: &str) -> String {
        fill(path, |collection, name| match name {
            "slug" => self.slug.clone(),
            "module" => "dental".to_owned(),
            "provider" => "nobody".to_owned(),
            "key" if collection == "configurations" => "platform.maintenance_message".to_owned(),
            "key" => "patient.similar_search".to_owned(),
            // A backup that nobody has made: operators alone are told so.
            "id" if collection == "backups" => Uuid::now_v7().to_string(),
            _ => self.things.get(collection).unwrap_or_else(|| panic!("add a thing of {collection}")).clone(),
        })
    }
}

/// Replaces each `{parameter}` of a path; `value` is told the segment before it and its name.
fn fill(path: &str, value: impl Fn(&str, &str) -> String) -> String {
    let mut before = "";
    let mut filled = Vec::new();
    for segment in path.split('/') {
        match segment.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
            Some(name) => filled.push(value(before, name)),
            None => filled.push(segment.to_owned()),
        }
        before = segment;
    }
    filled.join("/")
}

/// Names the answer; an answer that says that the question was malformed tells nothing about who may ask.
fn class(operation: &Operation, caller: &str, answer: &Answer) -> String {
    let names_a_thing = operation.path.contains("id}");
    match answer.status.as_u16() {
        401 => "401".to_owned(),
        403 => format!("403 {}", answer.code()),
        404 if caller == "foreign" && names_a_thing => "404".to_owned(),
        status @ (400 | 405 | 413 | 415 | 428 | 429 | 500..) => {
            panic!("{} as {caller} was answered {status}: {}", operation.name, answer.text)
        }
        status if caller == "foreign" && names_a_thing => {
            panic!("{} told another tenant's user {status}, not 404: {}", operation.name, answer.text)
        }
        _ => "allowed".to_owned(),
    }
}

/// The least body with which an operation looks for the thing in its path.
fn body(operation: &str) -> Value {
    match operation {
        "create_working_hours" => json!({"weekday": 1, "starts": "09:00", "ends": "17:00"}),
        "create_time_off" => json!({"start": "2031-01-06T10:00:00Z", "end": "2031-01-06T12:00:00Z"}),
        "update_user" => json!({"roles": ["nurse"]}),
        "reschedule_appointment" => json!({"start": "2031-01-07T10:00:00Z"}),
        "update_dental_chart" => json!({"notation": "palmer"}),
        "record_tooth_presence" => json!({"tooth": "36", "state": "present"}),
        "record_tooth_finding" => json!({"tooth": "36", "code": "caries"}),
        "record_perio_exam" => {
            json!({"teeth": [{"tooth": "36", "sites": {"buccal": {"probing_mm": 2}}}]})
        }
        "create_treatment" => json!({"procedure_code": "EX01", "staff_id": Uuid::nil()}),
        "create_lab_case" => json!({"laboratory": "A laboratory"}),
        "create_credit_note" => json!({"reason": "Mistake"}),
        "create_installment_plan" => json!({"count": 2, "first_due_on": "2031-01-01"}),
        "release_payment" => json!({"invoice_id": Uuid::nil()}),
        "refund_payment" => json!({"amount": "1.00", "reason": "Mistake"}),
        _ => json!({}),
    }
}

async fn clinic(operator: &Api, slug: &str) -> TenantId {
    let body = json!({
        "slug": slug, "name": slug, "modules": ["billing", "dental"], "time_zone": "Europe/Berlin", "currency": "EUR",
        "locale": "de-DE", "admin": {"email": owner_of(slug), "full_name": "O", "password": PASSWORD},
    });
    let made = operator.post("/platform/tenants", body).await.expect(201);
    made["id"].as_str().unwrap().parse().unwrap()
}

fn owner_of(slug: &str) -> String {
    format!("owner@{slug}.example")
}

fn member(role: Role) -> String {
    format!("{role}@here.example.org")
}

fn token(api: &Api) -> String {
    api.token.clone().unwrap()
}

/// Changes the last sign of a token's claims, which its signature does not cover then.
fn forged(api: &Api) -> String {
    let token = token(api);
    let (message, signature) = token.rsplit_once('.').unwrap();
    let last = if message.ends_with('A') { 'B' } else { 'A' };
    format!("{}{last}.{signature}", &message[..message.len() - 1])
}

/// Signs a token of a session that goes on, as it would have been signed an hour ago.
async fn expired(config: &Config, api: &Api) -> String {
    let key = TokenKey::new(keys::token_key(config).unwrap()).unwrap();
    let signer = TokenSigner::new(&key, Duration::from_secs(60));
    let claims = signer.verify(&token(api), Utc::now()).unwrap();
    let issue = |at| signer.issue(claims.user_id, claims.session_id, claims.tenant, at).unwrap();
    api.with_token(&issue(Utc::now())).get("/auth/me").await.expect(200);
    issue(Utc::now() - chrono::TimeDelta::hours(1))
}

/// Makes a user for each role.
async fn add_members(config: &Config, tenant: &TenantId) {
    let platform = Platform::open(config).await.unwrap();
    let (scope, password) = (IdentityScope::system("test"), Password::new(PASSWORD));
    for role in Role::ALL {
        let email = member(role);
        let account = NewAccount {
            email: &email,
            full_name: role.as_str(),
            password: Some(&password),
            is_operator: false,
        };
        let user = platform.identity.create_user(&scope, account).await.unwrap();
        membership::grant(&platform.app, &scope, *tenant, user.id, &[role]).await.unwrap();
    }
    platform.close().await;
}

/// Makes one thing of each kind.
async fn add_things(owner: &Api, operator: &Api, slug: &str) -> BTreeMap<&'static str, String> {
    let mut things = BTreeMap::new();
    let make = async |path: String, body: Value| {
        let made = owner.post(&path, body).await.expect(201);
        made["id"].as_str().unwrap().to_owned()
    };
    let person = json!({"family_name": "F", "given_name": "G"});
    things.insert("patients", make("/patients".to_owned(), person).await);
    let staff =
        make("/staff".to_owned(), json!({"family_name": "F", "given_name": "G", "roles": ["dentist"]})).await;
    for (collection, operation) in
        [("working-hours", "create_working_hours"), ("time-off", "create_time_off")]
    {
        things.insert(collection, make(format!("/staff/{staff}/{collection}"), body(operation)).await);
    }
    things.insert("rooms", make("/rooms".to_owned(), json!({"name": "1", "kind": "chair"})).await);
    let service = json!({"code": "x", "name": "X", "duration_minutes": 20});
    things.insert("services", make("/services".to_owned(), service).await);
    let appointment = json!({"patient_id": things["patients"], "staff_id": staff, "start": "2031-01-13T10:00:00Z",
        "duration_minutes": 20});
    things.insert("appointments", make("/appointments".to_owned(), appointment).await);
    let patient = things["patients"].clone();
    for (collection, operation) in [
        ("tooth-presence", "record_tooth_presence"),
        ("tooth-findings", "record_tooth_finding"),
        ("perio-exams", "record_perio_exam"),
        ("treatment-plans", "create_treatment_plan"),
        ("lab-cases", "create_lab_case"),
    ] {
        things.insert(collection, make(format!("/patients/{patient}/{collection}"), body(operation)).await);
    }
    let treatment = json!({"procedure_code": "EX01", "staff_id": staff});
    things.insert("treatments", make(format!("/patients/{patient}/treatments"), treatment).await);
    let code = json!({"code": "X1", "name": "X"});
    things.insert("procedure-codes", make("/procedure-codes".to_owned(), code).await);
    things.extend(add_money(owner, &things["patients"]).await);
    things.insert("staff", staff);
    let me = owner.get("/auth/me").await.expect(200);
    things.insert("users", me["id"].as_str().unwrap().to_owned());
    let guest = json!({"email": "guest@here.example.org", "full_name": "G", "roles": ["nurse"]});
    things.insert("invitations", make("/users".to_owned(), guest).await);
    let grant = json!({"reason": "a table of who may do what", "minutes": 60});
    let grant = operator.post(&format!("/platform/tenants/{slug}/break-glass"), grant).await.expect(201);
    for collection in ["break-glass-grants", "break-glass"] {
        things.insert(collection, grant["id"].as_str().unwrap().to_owned());
    }
    // Jobs are no tenant's to see: which one is asked for makes no difference.
    things.insert("jobs", Uuid::now_v7().to_string());
    let sessions = owner.get("/auth/sessions").await.expect(200);
    things.insert("sessions", sessions["items"][0]["id"].as_str().unwrap().to_owned());
    things
}

/// Makes one thing of each kind that the module `billing` keeps.
async fn add_money(owner: &Api, patient: &str) -> BTreeMap<&'static str, String> {
    let id = |made: &Value| made["id"].as_str().unwrap().to_owned();
    let make = async |path: &str, body: Value| {
        let key = Uuid::new_v4().to_string();
        owner
            .send(owner.request(Method::POST, path).header("Idempotency-Key", key).json(&body))
            .await
            .expect(201)
    };
    let line = json!({"description": "Work", "quantity": "1", "unit_price": "100.00"});
    let draft = make("/invoices", json!({"patient_id": patient, "lines": [line]})).await;
    let invoice = id(&draft);
    let issue = format!("/invoices/{invoice}/issue");
    owner.change(Method::POST, &issue, &draft["version"], json!({})).await.expect(200);
    let plan = json!({"count": 2, "first_due_on": "2031-01-01"});
    let plan = make(&format!("/invoices/{invoice}/installment-plans"), plan).await;
    let wish = json!([{"invoice_line_id": draft["lines"][0]["id"], "quantity": "0.1"}]);
    let note = json!({"lines": wish, "reason": "Mistake"});
    let note = make(&format!("/invoices/{invoice}/credit-notes"), note).await;
    let payment = make("/payments", json!({"patient_id": patient, "amount": "10", "method": "cash"})).await;
    let refund = json!({"amount": "1.00", "reason": "Mistake"});
    let refund = make(&format!("/payments/{}/refunds", id(&payment)), refund).await;
    BTreeMap::from([
        ("accounts", draft["account_id"].as_str().unwrap().to_owned()),
        ("invoices", invoice),
        ("installment-plans", id(&plan)),
        ("credit-notes", id(&note)),
        ("payments", id(&payment)),
        ("refunds", id(&refund)),
        // Nothing of the module itself makes one over HTTP; what is nobody's is not found either.
        ("charge-items", Uuid::now_v7().to_string()),
    ])
}

/// Says what the compiled permission rules make of a caller.
fn ruled(access: Access, path: &str, caller: &str, rules: &[&PermissionRule]) -> String {
    let role: Option<Role> = caller.parse().ok();
    let denied = "403 permission_denied";
    let answer = match (access, caller) {
        (Access::Public, _) => "allowed",
        (_, "none" | "expired" | "bad") => "401",
        (_, "mismatch") => "403 tenant_mismatch",
        (Access::Authenticated, "foreign") if path.contains("id}") => "404",
        (Access::Authenticated, _) | (Access::Operator, "operator") => "allowed",
        (Access::Operator, _) | (_, "operator") => denied,
        (_, "foreign") if path.contains("id}") => "404",
        (_, "foreign") | (Access::AnyTenantMember, _) => "allowed",
        (Access::Tenant(permission), _) => {
            let rule = rules.iter().find(|rule| rule.permission == permission);
            if rule.is_some_and(|rule| role.is_some_and(|role| rule.allows(role))) {
                "allowed"
            } else {
                denied
            }
        }
    };
    answer.to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_operation_meets_every_caller_as_the_table_says() {
    let world = World::create().await;
    let document = world.anonymous.get("//openapi.json").await.expect(200);
    let mut seen = Table::new();
    for operation in operations(&document) {
        let mut answers = Vec::new();
        for caller in callers() {
            answers.push(world.ask(&operation, caller).await);
        }
        seen.insert(operation.name, Row { needs: operation.needs, answers });
    }

    // What is compiled in says the same, operation by operation.
    let registry = modules::registry(&Default::default()).unwrap();
    let rules: Vec<&PermissionRule> = registry.permissions().collect();
    let mut compiled = Table::new();
    for facts in modules::api(&Slot::default(), &Default::default()).unwrap().operations() {
        let answers =
            callers().into_iter().map(|caller| ruled(facts.access, &facts.path, caller, &rules)).collect();
        let row = Row { needs: facts.access.as_str().to_owned(), answers };
        compiled.insert(format!("{} {}", facts.method, facts.path), row);
    }
    assert_same("what the rules say", &seen, &compiled);

    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/it/access.tsv");
    if std::env::var_os("UPDATE_ACCESS_TABLE").is_some() {
        fs::write(&file, write(&seen)).unwrap();
    }
    let table = read(&fs::read_to_string(&file).unwrap_or_default());
    assert_same(&format!("the table (when the change is meant: {UPDATE})"), &seen, &table);
    let answers: Vec<&str> = seen.values().flat_map(|row| &row.answers).map(String::as_str).collect();
    let count = |class: fn(&str) -> bool| answers.iter().filter(|answer| class(answer)).count();
    println!(
        "{} operations, {} callers, {} answers as the table says: {} allowed, {} not authenticated, {} forbidden, {} \
         not found in another tenant",
        seen.len(),
        callers().len(),
        answers.len(),
        count(|answer| answer == "allowed"),
        count(|answer| answer == "401"),
        count(|answer| answer.starts_with("403")),
        count(|answer| answer == "404"),
    );
}

#[track_caller]
fn assert_same(what: &str, seen: &Table, expected: &Table) {
    let mut wrong = Vec::new();
    for name in seen.keys().chain(expected.keys().filter(|name| !seen.contains_key(*name))) {
        match (seen.get(name), expected.get(name)) {
            (Some(_), None) => wrong.push(format!("{name} is served and not covered")),
            (None, Some(_)) => wrong.push(format!("{name} is covered and not served")),
            (Some(seen), Some(expected)) if seen.needs != expected.needs => {
                wrong.push(format!("{name} needs {} and not {}", seen.needs, expected.needs));
            }
            (Some(seen), Some(expected)) => {
                let cells = callers().into_iter().zip(seen.answers.iter().zip(&expected.answers));
                let other = cells.filter(|(_, (seen, expected))| seen != expected);
                wrong.extend(other.map(|(caller, (seen, expected))| {
                    format!("{name} as {caller}: {seen} and not {expected}")
                }));
            }
            (None, None) => {}
        }
    }
    assert!(wrong.is_empty(), "the service does not do {what}:\n{}", wrong.join("\n"));
}
