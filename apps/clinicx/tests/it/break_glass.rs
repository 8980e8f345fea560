//! An operator's way into a tenant over HTTP: what it opens, what it leaves, how it ends.

use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{Answer, Api, Clinic};

const REASON: &str = "the invoice run hangs since noon";

async fn open(operator: &Api, slug: &str, body: Value) -> Answer {
    operator.post(&format!("/platform/tenants/{slug}/break-glass"), body).await
}

async fn let_in(operator: &Api, slug: &str) -> (Value, Api) {
    let grant = open(operator, slug, json!({"reason": REASON, "minutes": 30})).await.expect(201);
    let api = operator.with_token(grant["access_token"].as_str().unwrap());
    (grant, api)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grant_opens_the_tenant_and_the_tenant_sees_it() {
    let (operator, clinic) = (Api::operator().await, Clinic::create().await);
    operator.get("/patients").await.expect_problem(403, "permission_denied");
    let (grant, guest) = let_in(&operator, &clinic.slug).await;
    assert_eq!((&grant["roles"], &grant["reason"]), (&json!(["admin"]), &json!(REASON)));
    let made = guest.post("/patients", json!({"family_name": "F", "given_name": "G"})).await.expect(201);
    let me = guest.get("/auth/me").await.expect(200);
    assert_eq!((&me["tenant"], &me["roles"]), (&json!(clinic.slug), &json!(["admin"])));
    assert!(!me["permissions"].as_array().unwrap().contains(&json!("user.write")));
    // Which operator, why and for how long: the tenant reads it.
    let seen = clinic.admin.get("/break-glass-grants?active=true").await.expect(200);
    assert_eq!((&seen["items"][0]["id"], &seen["items"][0]["reason"]), (&grant["id"], &json!(REASON)));
    assert!(!seen.to_string().contains("token"));
    let audit = clinic.admin.get("/audit-logs?limit=200").await.expect(200);
    let rows = audit["items"].as_array().unwrap();
    let row = |action: &str| rows.iter().find(|row| row["action"] == action).unwrap();
    assert_eq!(row("break_glass.granted")["entity_id"], grant["id"]);
    let change = rows.iter().find(|row| row["entity_id"] == made["id"] && row["action"] == "patient.created");
    let change = change.unwrap();
    assert_eq!(
        (&change["break_glass_id"], &change["actor_kind"]),
        (&grant["id"], &json!("operator")),
        "{change}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_looked_at_under_a_grant_leaves_a_row() {
    let (operator, clinic) = (Api::operator().await, Clinic::create().await);
    let (grant, guest) = let_in(&operator, &clinic.slug).await;
    let looks = [
        ("/users", "list_users", "operation.listed"),
        ("/staff", "list_staff", "operation.listed"),
        ("/invitations", "list_invitations", "operation.listed"),
        ("/break-glass-grants", "list_break_glass_grants", "operation.listed"),
        ("/rooms", "list_rooms", "operation.listed"),
        ("/services", "list_services", "operation.listed"),
        ("/feature-flags", "", ""),
        ("/auth/sessions", "", ""),
        ("/auth/me", "", ""),
    ];
    for (path, operation, action) in looks {
        let request = Uuid::new_v4();
        let asked = guest.request(Method::GET, path).header("X-Request-ID", request.to_string());
        guest.send(asked).await.expect(200);
        let audit = clinic.admin.get("/audit-logs?limit=200").await.expect(200);
        let rows = audit["items"].as_array().unwrap().iter();
        let of_it: Vec<_> = rows.filter(|row| row["request_id"] == json!(request)).collect();
        let [row] = of_it.as_slice() else { panic!("{path}: {of_it:?}") };
        assert_eq!((&row["break_glass_id"], &row["entity"]), (&grant["id"], &json!("operation")), "{path}");
        if !operation.is_empty() {
            let said = (&row["action"], &row["after"]["operation"]);
            assert_eq!(said, (&json!(action), &json!(operation)), "{path}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_done_under_a_grant_is_found_by_the_grant() {
    let (operator, clinic, other) = (Api::operator().await, Clinic::create().await, Clinic::create().await);
    let (grant, guest) = let_in(&operator, &clinic.slug).await;
    let (second, second_guest) = let_in(&operator, &clinic.slug).await;
    guest.post("/patients", json!({"family_name": "F", "given_name": "G"})).await.expect(201);
    for path in ["/rooms", "/patients"] {
        guest.get(path).await.expect(200);
    }
    second_guest.get("/rooms").await.expect(200);
    clinic.admin.get("/patients").await.expect(200);
    let of = |grant: &Value| format!("break_glass_id={}", grant["id"].as_str().unwrap());
    let trail = format!("/audit-logs?{}&count=true", of(&grant));
    let found = clinic.admin.get(&format!("{trail}&limit=2")).await.expect(200);
    let mut rows = found["items"].as_array().unwrap().clone();
    assert_eq!((&found["total"], rows.len()), (&json!(3), 2));
    let next = format!("{trail}&limit=2&cursor={}", found["next_cursor"].as_str().unwrap());
    rows.extend(clinic.admin.get(&next).await.expect(200)["items"].as_array().unwrap().clone());
    let actions: Vec<_> = rows.iter().map(|row| row["action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["patient.listed", "operation.listed", "patient.created"]);
    assert!(rows.iter().all(|row| row["break_glass_id"] == grant["id"]));
    let total = async |api: &Api, path: String| api.get(&path).await.expect(200)["total"].clone();
    assert_eq!(total(&clinic.admin, format!("/audit-logs?{}&count=true", of(&second))).await, 1);
    assert_eq!(total(&other.admin, trail.clone()).await, 0, "another tenant's grant is an unknown one");
    let unknown = format!("/audit-logs?break_glass_id={}&count=true", Uuid::now_v7());
    assert_eq!(total(&clinic.admin, unknown).await, 0);
    assert_eq!(total(&operator, format!("/platform{trail}")).await, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_would_outlive_a_grant_is_closed_to_it() {
    let (operator, clinic, other) = (Api::operator().await, Clinic::create().await, Clinic::create().await);
    let (_, guest) = let_in(&operator, &clinic.slug).await;
    let owner = clinic.admin.get("/auth/me").await.expect(200)["id"].clone();
    let owner = format!("/users/{}", owner.as_str().unwrap());
    let closed = |answer: Answer| answer.expect_problem(403, "break_glass_restricted");
    closed(guest.post("/users", json!({"email": "a@b.example", "full_name": "A", "roles": ["admin"]})).await);
    closed(guest.patch(&owner, &json!(1), json!({"roles": ["nurse"]})).await);
    closed(guest.send(guest.request(Method::DELETE, &owner)).await);
    closed(guest.post(&format!("/invitations/{}/resend", Uuid::now_v7()), json!({})).await);
    closed(guest.post("/auth/switch", json!({"tenant": other.slug})).await);
    closed(guest.post("/auth/totp", json!({"current_password": "x"})).await);
    let body = json!({"current_password": "x", "new_password": "y"});
    closed(guest.post("/auth/password", body).await);
    // Neither is it a platform token, nor one for another tenant.
    guest.get("/platform/tenants").await.expect_problem(403, "permission_denied");
    open(&guest, &other.slug, json!({"reason": REASON, "minutes": 5}))
        .await
        .expect_problem(403, "permission_denied");
    let elsewhere = guest.request(Method::GET, "/patients").header("X-Tenant-ID", &other.slug);
    guest.send(elsewhere).await.expect_problem(403, "tenant_mismatch");
    guest.get("/users").await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grant_is_ended_by_either_side_and_by_nobody_else() {
    let (operator, clinic, other) = (Api::operator().await, Clinic::create().await, Clinic::create().await);
    let (first, guest) = let_in(&operator, &clinic.slug).await;
    let end = format!("/break-glass-grants/{}/end", first["id"].as_str().unwrap());
    other.admin.post(&end, json!({})).await.expect_problem(404, "not_found");
    let random = format!("/break-glass-grants/{}/end", Uuid::now_v7());
    other.admin.post(&random, json!({})).await.expect_problem(404, "not_found");
    guest.get("/patients").await.expect(200);
    let ended = clinic.admin.post(&end, json!({})).await.expect(200);
    assert!(ended["ended_at"].is_string());
    guest.get("/patients").await.expect_problem(401, "invalid_token");
    let refresh = json!({"refresh_token": first["refresh_token"]});
    operator.post("/auth/refresh", refresh).await.expect_problem(401, "invalid_refresh_token");
    let (second, guest) = let_in(&operator, &clinic.slug).await;
    let path = format!("/platform/break-glass/{}", second["id"].as_str().unwrap());
    operator.send(operator.request(Method::DELETE, &path)).await.expect(204);
    guest.get("/patients").await.expect_problem(401, "invalid_token");
    let list =
        operator.get(&format!("/platform/break-glass?tenant={}&count=true", clinic.slug)).await.expect(200);
    assert_eq!(list["total"], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wish_without_a_reason_or_a_tenant_in_service_is_refused() {
    let (operator, clinic) = (Api::operator().await, Clinic::create().await);
    let refused =
        async |body: Value| open(&operator, &clinic.slug, body).await.expect_problem(422, "invalid");
    refused(json!({})).await;
    refused(json!({"reason": "too short", "minutes": 5})).await;
    refused(json!({"reason": "x".repeat(501), "minutes": 5})).await;
    for minutes in [json!(0), json!(61), json!(-1), json!("5"), json!(1.5)] {
        refused(json!({"reason": REASON, "minutes": minutes})).await;
    }
    refused(json!({"reason": REASON, "minutes": 5, "roles": ["owner"]})).await;
    refused(json!({"reason": REASON, "minutes": 5, "roles": []})).await;
    refused(json!({"reason": REASON, "minutes": 5, "tenant": "x"})).await;
    let wish = json!({"reason": REASON, "minutes": 5});
    open(&operator, "nobody-knows", wish.clone()).await.expect_problem(404, "not_found");
    open(&clinic.admin, &clinic.slug, wish.clone()).await.expect_problem(403, "permission_denied");
    let step = async |step: &str| {
        operator.post(&format!("/platform/tenants/{}/{step}", clinic.slug), json!({})).await.expect(200)
    };
    let (_, guest) = let_in(&operator, &clinic.slug).await;
    step("suspend").await;
    open(&operator, &clinic.slug, wish.clone()).await.expect_problem(403, "tenant_suspended");
    guest.get("/patients").await.expect_problem(403, "tenant_suspended");
    step("archive").await;
    open(&operator, &clinic.slug, wish).await.expect_problem(410, "tenant_gone");
}
