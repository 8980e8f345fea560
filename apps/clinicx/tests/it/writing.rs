//! What every write has: keys that make it happen once, versions, entity tags; and one's own session.

use clinicx::{config::Config, wiring::Platform};
use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use crate::support::{Answer, Api, Clinic, OPERATOR, PASSWORD, configuration, start};

async fn keyed(api: &Api, path: &str, key: &str, body: &Value) -> Answer {
    api.send(api.request(Method::POST, path).header("Idempotency-Key", key).json(body)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_key_gets_the_first_answer_again() {
    let (clinic, other) = (Clinic::create().await, Clinic::create().await);
    let key = Uuid::new_v4().to_string();
    let body = json!({"family_name": "Once", "given_name": "Only", "phones": [], "emails": []});
    let first = keyed(&clinic.admin, "/patients", &key, &body).await;
    let again = keyed(&clinic.admin, "/patients", &key, &body).await;
    first.expect(201);
    assert_eq!((first.status, &first.text), (again.status, &again.text));
    assert_eq!(first.header("location"), again.header("location"));
    assert_eq!(first.header("etag"), again.header("etag"));
    assert_eq!(again.header("idempotency-replayed"), "true");
    assert_eq!(clinic.admin.get("/patients?count=true").await.expect(200)["total"], 1);

    let different = json!({"family_name": "Twice", "given_name": "Only", "phones": [], "emails": []});
    keyed(&clinic.admin, "/patients", &key, &different).await.expect_problem(422, "idempotency_key_reused");
    let staff = json!({"family_name": "Once", "given_name": "Only", "roles": ["nurse"]});
    keyed(&clinic.admin, "/staff", &key, &staff).await.expect_problem(422, "idempotency_key_reused");
    // A key is good in its tenant, for its user.
    let theirs = keyed(&other.admin, "/patients", &key, &body).await.expect(201);
    assert_ne!(theirs["id"], first.json()["id"]);
    keyed(&clinic.admin, "/patients", &"k".repeat(256), &body).await.expect(400);
}

#[tokio::test(flavor = "multi_thread")]
async fn parallel_requests_with_one_key_make_one_thing() {
    let clinic = Clinic::create().await;
    let key = Uuid::new_v4().to_string();
    let attempts = (0..20).map(|_| {
        let (api, key) = (clinic.admin.clone(), key.clone());
        let body = json!({"family_name": "Race", "given_name": "R", "phones": [], "emails": []});
        tokio::spawn(async move { keyed(&api, "/patients", &key, &body).await })
    });
    let mut ids = std::collections::BTreeSet::new();
    for attempt in attempts.collect::<Vec<_>>() {
        let answer = attempt.await.unwrap();
        match answer.status.as_u16() {
            201 => drop(ids.insert(answer.json()["id"].to_string())),
            _ => drop(answer.expect_problem(409, "idempotency_in_progress")),
        }
    }
    assert_eq!(ids.len(), 1);
    assert_eq!(clinic.admin.get("/patients?count=true").await.expect(200)["total"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_remembered_too() {
    let clinic = Clinic::create().await;
    let (patient, staff) = (clinic.patient("Refused").await, clinic.staff().await);
    let body = json!({"patient_id": patient["id"], "staff_id": staff["id"], "start": "2031-02-03T10:00:00Z",
        "duration_minutes": 30});
    let booked = clinic.admin.post("/appointments", body.clone()).await.expect(201);
    let key = Uuid::new_v4().to_string();
    keyed(&clinic.admin, "/appointments", &key, &body).await.expect_problem(409, "slot_taken");
    let path = format!("/appointments/{}/cancel", booked["id"].as_str().unwrap());
    clinic.admin.change(Method::POST, &path, &booked["version"], json!({})).await.expect(200);
    keyed(&clinic.admin, "/appointments", &key, &body).await.expect_problem(409, "slot_taken");
    keyed(&clinic.admin, "/appointments", &Uuid::new_v4().to_string(), &body).await.expect(201);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_platform_operation_with_a_key_happens_once() {
    let operator = Api::operator().await;
    let slug = format!("k{}", &Uuid::new_v4().simple().to_string()[..10]);
    let body = json!({"slug": slug, "name": "N", "modules": [], "time_zone": "UTC", "currency": "EUR", "locale": "en",
        "admin": {"email": format!("a@{slug}.example"), "full_name": "A", "password": PASSWORD}});
    let first = keyed(&operator, "/platform/tenants", &slug, &body).await;
    let again = keyed(&operator, "/platform/tenants", &slug, &body).await;
    first.expect(201);
    assert_eq!((first.status, first.text), (again.status, again.text));
}

/// A service of its own behind a proxy that is this machine, with one clinic; and a superuser in its database.
async fn own_service() -> (Config, Api, Api, PgConnection) {
    let file = std::env::temp_dir().join(format!("clinicx-{}.toml", Uuid::new_v4().simple()));
    std::fs::write(&file, "[http]\ntrusted_proxies = [\"::ffff:127.0.0.1\", \"10.0.0.5\"]\n").unwrap();
    let read = clinicx::config::load(Some(&file));
    std::fs::remove_file(&file).unwrap();
    let mut config = configuration("kept").await;
    config.http.trusted_proxies = read.unwrap().http.trusted_proxies;
    let database = PgConnection::connect(config.database.url.as_ref().unwrap().expose()).await.unwrap();
    let anonymous = Api { base: start(config.clone()).await, token: None, client: Client::new() };
    let operator = anonymous.login(json!({"email": OPERATOR.0, "password": OPERATOR.1})).await;
    keyed(&operator, "/platform/tenants", "create", &own_clinic()).await.expect(201);
    let admin = anonymous.login(json!({"email": "a@kept.example", "password": PASSWORD})).await;
    (config, operator, admin, database)
}

fn own_clinic() -> Value {
    json!({"slug": "kept", "name": "Hidden", "modules": [], "time_zone": "UTC", "currency": "EUR", "locale": "en",
        "admin": {"email": "a@kept.example", "full_name": "Ada", "password": PASSWORD}})
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_are_kept_sealed_and_sources_are_read_behind_a_proxy() {
    let (config, operator, admin, mut database) = own_service().await;
    let body = json!({"family_name": "Hidden", "given_name": "H", "phones": [], "emails": [],
        "notes": "allergic to Hidden", "identifiers": [{"system": "urn:x", "value": "Hidden-77"}]});
    let first = keyed(&admin, "/patients", "k", &body).await;
    first.expect(201);
    assert!(first.text.contains("Hidden-77"));

    for table in ["tenant_kept.idempotency_keys", "public.idempotency_keys"] {
        let rows = format!("SELECT t::text, body, length(request_hash) FROM {table} t");
        let rows: Vec<(String, Vec<u8>, i32)> =
            sqlx::query_as(sqlx::AssertSqlSafe(rows)).fetch_all(&mut database).await.unwrap();
        assert_eq!(rows.len(), 1, "{table}");
        for (text, body, hash) in rows {
            assert!(!text.contains("Hidden"), "{table}: {text}");
            assert!(!String::from_utf8_lossy(&body).contains("Hidden"), "{table}");
            assert_eq!(hash, 32);
        }
    }
    // The first bytes of a value under the first version of the tenant's data key.
    let under: Vec<u8> = sqlx::query_scalar("SELECT substr(body, 1, 3) FROM tenant_kept.idempotency_keys")
        .fetch_one(&mut database)
        .await
        .unwrap();
    assert_eq!(under, clinicx_keys::cipher::head(1));
    let again = keyed(&admin, "/patients", "k", &body).await;
    assert_eq!((again.status, &again.text), (first.status, &first.text));
    assert_eq!(again.header("idempotency-replayed"), "true");

    // An answer that can't be read is never a reason to do it once more.
    for table in ["tenant_kept.idempotency_keys", "public.idempotency_keys"] {
        let spoil = format!("UPDATE {table} SET body = convert_to('{{}}', 'UTF8')");
        sqlx::query(sqlx::AssertSqlSafe(spoil)).execute(&mut database).await.unwrap();
    }
    keyed(&admin, "/patients", "k", &body).await.expect_problem(409, "idempotency_answer_lost");
    let again = keyed(&operator, "/platform/tenants", "create", &own_clinic()).await;
    again.expect_problem(409, "idempotency_answer_lost");
    assert_eq!(admin.get("/patients?count=true").await.expect(200)["total"], 1);

    let expire = "UPDATE public.idempotency_keys SET expires_at = now() - interval '1 hour'";
    sqlx::query(expire).execute(&mut database).await.unwrap();
    let platform = Platform::open(&config).await.unwrap();
    let kit = clinicx::modules::kit(&platform).unwrap();
    assert_eq!((kit.sweep().await.unwrap(), kit.sweep().await.unwrap()), (1, 0));
    platform.report_pool();
    let figures = platform.metrics.render();
    for labels in ["{pool=\"tenant\",mode=\"session\"}", "{pool=\"system\"}", "{pool=\"control\"}"] {
        assert!(figures.contains(&format!("clinicx_pool_in_use{labels}")), "{labels} in {figures}");
    }
    platform.close().await;

    let login = json!({"email": "a@kept.example", "password": "not the password"});
    let forwarded = admin.request(Method::POST, "/auth/login").json(&login);
    let forwarded = forwarded.header("X-Forwarded-For", "192.0.2.1, 203.0.113.9:4711, 10.0.0.5");
    admin.send(forwarded).await.expect_problem(401, "invalid_credentials");
    let source = "SELECT host(source_address) FROM public.audit_logs WHERE action = 'user.login_refused'";
    let source: String = sqlx::query_scalar(source).fetch_one(&mut database).await.unwrap();
    assert_eq!(source, "203.0.113.9");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_has_rights_only_in_modules_of_the_clinic() {
    let (plain, dental) = (Clinic::create().await, Clinic::with(json!({"modules": ["dental"]})).await);
    let rights = async |api: &Api| {
        let me = api.get("/auth/me").await.expect(200);
        me["permissions"].as_array().unwrap().iter().map(|right| right.to_string()).collect::<Vec<_>>()
    };
    let is_dental = |right: &String| right.contains("dental_chart.");
    let (without, with) = (rights(&plain.admin).await, rights(&dental.admin).await);
    assert!(with.iter().any(is_dental), "{with:?}");
    assert!(!without.iter().any(is_dental) && !without.is_empty(), "{without:?}");
    let operator = rights(&Api::operator().await).await;
    assert!(operator.is_empty(), "{operator:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn entity_tags_save_what_has_not_changed() {
    let clinic = Clinic::create().await;
    let patient = clinic.patient("Tagged").await;
    let path = format!("/patients/{}", patient["id"].as_str().unwrap());
    let tag = clinic.admin.get(&path).await.header("etag").to_owned();
    let ask = async |tag: &str| {
        clinic.admin.send(clinic.admin.request(Method::GET, &path).header("If-None-Match", tag)).await
    };
    assert_eq!(ask(&tag).await.status, StatusCode::NOT_MODIFIED);
    let changed =
        clinic.admin.patch(&path, &patient["version"], json!({"given_name": "Other"})).await.expect(200);
    assert_eq!(changed["version"], 2);
    assert_eq!(ask(&tag).await.status, StatusCode::OK);
    clinic
        .admin
        .patch(&path, &patient["version"], json!({"given_name": "X"}))
        .await
        .expect_problem(412, "version_mismatch");
    let bare = clinic.admin.send(clinic.admin.request(Method::PATCH, &path).json(&json!({}))).await;
    bare.expect_problem(428, "precondition_required");
}

#[tokio::test(flavor = "multi_thread")]
async fn people_are_found_as_they_are_typed() {
    let clinic = Clinic::create().await;
    let body = json!({"family_name": "Müller-Strauß", "given_name": "Zoë", "birth_date": "1980-05-06",
        "gender": "female", "phones": ["030 1234567"], "emails": ["Zoe@Mail.Example"],
        "original_script_name": "أحمد الخطيب", "identifiers": [{"system": "urn:x", "value": "AB-77"}]});
    let made = clinic.admin.post("/patients", body).await.expect(201);
    clinic.patient("Somebody").await;
    assert_eq!(made["phones"], json!(["+49301234567"]));
    let mrn = made["mrn"].as_str().unwrap();
    let queries = [
        "q=muller",
        "q=STRAUSS",
        "q=zoe%20mul",
        "q=احمد",
        "q=mueler",
        "phone=4567",
        "birth_date=1980-05-06",
        "identifier=AB-77",
        "identifier=urn:x%7CAB-77",
        &format!("q={mrn}"),
    ];
    for query in queries {
        let found = clinic.admin.get(&format!("/patients?{query}")).await.expect(200);
        let ids: Vec<_> = found["items"].as_array().unwrap().iter().map(|item| item["id"].clone()).collect();
        assert_eq!(ids, [made["id"].clone()], "{query}");
    }
    let twice = json!({"family_name": "Other", "given_name": "O", "phones": [], "emails": [],
        "identifiers": [{"system": "urn:x", "value": "AB-77"}]});
    clinic.admin.post("/patients", twice).await.expect_problem(409, "identifier_taken");
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_refreshed_once_and_end_with_the_session() {
    let clinic = Clinic::create().await;
    let api = Api::anonymous().await;
    let login = json!({"email": format!("admin@{}.example", clinic.slug), "password": PASSWORD});
    let tokens = api.post("/auth/login", login.clone()).await.expect(200);
    assert_eq!(tokens["token_type"], "Bearer");
    let refresh = async |tokens: &Value| {
        api.post("/auth/refresh", json!({"refresh_token": tokens["refresh_token"]})).await
    };
    let renewed = refresh(&tokens).await.expect(200);
    let user = api.with_token(renewed["access_token"].as_str().unwrap());
    user.get("/auth/me").await.expect(200);
    refresh(&tokens).await.expect_problem(401, "invalid_refresh_token");
    refresh(&renewed).await.expect_problem(401, "invalid_refresh_token");

    let tokens = api.post("/auth/login", login).await.expect(200);
    let user = api.with_token(tokens["access_token"].as_str().unwrap());
    user.post("/auth/logout", json!({})).await.expect(204);
    user.get("/auth/me").await.expect_problem(401, "invalid_token");
    refresh(&tokens).await.expect(401);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_of_two_clinics_chooses_and_switches() {
    let one = Clinic::create().await;
    let email = format!("admin@{}.example", one.slug);
    let operator = Api::operator().await;
    let slug = format!("{}-b", one.slug);
    let body = json!({"slug": slug, "name": "Two", "modules": [], "time_zone": "UTC", "currency": "EUR", "locale": "en",
        "admin": {"email": email, "full_name": "Ada"}});
    operator.post("/platform/tenants", body).await.expect(201);
    let api = Api::anonymous().await;
    let problem = api.post("/auth/login", json!({"email": email, "password": PASSWORD})).await;
    let problem = problem.expect_problem(409, "tenant_required");
    assert_eq!(problem["tenants"], json!([one.slug, slug]));
    let user = api.login(json!({"tenant": one.slug, "email": email, "password": PASSWORD})).await;
    user.post("/patients", json!({"family_name": "A", "given_name": "B", "phones": [], "emails": []}))
        .await
        .expect(201);
    let tokens = user.post("/auth/switch", json!({"tenant": slug})).await.expect(200);
    let there = user.with_token(tokens["access_token"].as_str().unwrap());
    assert_eq!(there.get("/patients?count=true").await.expect(200)["total"], 0);
    user.post("/auth/switch", json!({"tenant": Clinic::create().await.slug})).await.expect(404);
}
