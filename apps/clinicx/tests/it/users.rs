//! The users of a tenant, invitations to it, and accounts as operators see them.

use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    account::{files, mail_to, token_in},
    support::{Answer, Api, Clinic, PASSWORD, mail_folder},
};

/// An address that no test has used.
fn fresh() -> String {
    format!("{}@people.example", Uuid::new_v4().simple())
}

async fn take_in(api: &Api, email: &str, roles: Value) -> Answer {
    api.post("/users", json!({"email": email, "full_name": "Grace Guest", "roles": roles})).await
}

async fn accept(token: &str, body: Value) -> Answer {
    let mut body = body;
    body["token"] = json!(token);
    Api::anonymous().await.post("/auth/invitations/accept", body).await
}

/// Takes somebody in who accepts, and returns the person's id and client.
async fn member(clinic: &Clinic, roles: Value) -> (Value, Api) {
    let (email, folder) = (fresh(), mail_folder().await);
    let before = files(&folder).await;
    take_in(&clinic.admin, &email, roles).await.expect(201);
    let token = token_in(&mail_to(&folder, &email, &before).await, "cxi_");
    accept(&token, json!({"password": PASSWORD})).await.expect(204);
    let api = Api::anonymous().await.login(json!({"email": email, "password": PASSWORD})).await;
    (api.get("/auth/me").await.expect(200)["id"].clone(), api)
}

fn path(id: &Value) -> String {
    format!("/users/{}", id.as_str().unwrap())
}

async fn remove(api: &Api, path: &str) -> Answer {
    api.send(api.request(Method::DELETE, path)).await
}

/// Sets roles in whatever version the user has.
async fn set_roles(api: &Api, id: &Value, roles: Value) -> Answer {
    let request = api.request(Method::PATCH, &path(id)).header("If-Match", "*");
    api.send(request.json(&json!({"roles": roles}))).await
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_new_is_invited_and_belongs_to_the_clinic_on_acceptance() {
    let (clinic, email, folder) = (Clinic::create().await, fresh(), mail_folder().await);
    let before = files(&folder).await;
    let made = take_in(&clinic.admin, &email, json!(["nurse", "receptionist"])).await;
    let invitation = made.expect(201);
    assert_eq!(invitation["roles"], json!(["nurse", "receptionist"]));
    assert_eq!(
        made.header("location"),
        format!("/api/v1/invitations/{}", invitation["id"].as_str().unwrap())
    );
    take_in(&clinic.admin, &email, json!(["nurse"])).await.expect_problem(409, "already_invited");
    let waiting = clinic.admin.get("/invitations?count=true").await.expect(200);
    assert_eq!((&waiting["total"], &waiting["items"][0]["email"]), (&json!(1), &json!(email)));
    assert!(!waiting.to_string().contains("cxi_"));
    let token = token_in(&mail_to(&folder, &email, &before).await, "cxi_");
    accept(&token, json!({"password": "short"})).await.expect_problem(422, "invalid");
    accept(&token, json!({"password": PASSWORD, "full_name": "Grace Hopper"})).await.expect(204);
    accept(&token, json!({"password": PASSWORD})).await.expect_problem(401, "invalid_link");
    let guest = Api::anonymous().await.login(json!({"email": email, "password": PASSWORD})).await;
    let me = guest.get("/auth/me").await.expect(200);
    assert_eq!((&me["full_name"], &me["roles"]), (&json!("Grace Hopper"), &json!(["nurse", "receptionist"])));
    let list = clinic.admin.get("/users?count=true").await.expect(200);
    assert_eq!(list["total"], 2);
    assert_eq!(clinic.admin.get("/users?role=nurse").await.expect(200)["items"][0]["id"], me["id"]);
    assert_eq!(clinic.admin.get("/invitations").await.expect(200)["items"], json!([]));
    guest.get("/users").await.expect_problem(403, "permission_denied");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_is_there_is_invited_as_anybody_and_joins_with_its_password() {
    let (one, two, folder) = (Clinic::create().await, Clinic::create().await, mail_folder().await);
    let (email, new) = (format!("admin@{}.example", two.slug), fresh());
    let before = files(&folder).await;
    let made = take_in(&one.admin, &email, json!(["dentist"])).await;
    let of_nobody = take_in(&one.admin, &new, json!(["dentist"])).await;
    // The answers differ in what was typed, in ids and in times, and in nothing else.
    let shape = |answer: &Answer| {
        let mut body = answer.expect(201);
        for name in ["id", "email", "sent_at", "expires_at", "created_at", "updated_at"] {
            assert_ne!(body[name].take(), Value::Null, "{name}");
        }
        let headers: Vec<_> = answer.headers.keys().map(|name| name.as_str().to_owned()).collect();
        (body, headers, answer.header("etag").to_owned())
    };
    assert_eq!(shape(&made), shape(&of_nobody));
    take_in(&one.admin, &email, json!(["dentist"])).await.expect_problem(409, "already_invited");
    take_in(&one.admin, &new, json!(["dentist"])).await.expect_problem(409, "already_invited");
    assert_eq!(one.admin.get("/users?count=true").await.expect(200)["total"], 1);
    two.admin.post("/auth/switch", json!({"tenant": one.slug})).await.expect_problem(404, "not_found");

    let token = token_in(&mail_to(&folder, &email, &before).await, "cxi_");
    let other = json!({"password": "not the password of it"});
    accept(&token, other).await.expect_problem(401, "invalid_credentials");
    accept(&token, json!({"password": PASSWORD})).await.expect(204);
    take_in(&one.admin, &email, json!(["dentist"])).await.expect_problem(409, "already_member");
    // Nothing of the person's other clinic is shown.
    let listed = one.admin.get("/users?role=dentist").await.expect(200)["items"][0].clone();
    let shown = one.admin.get(&path(&listed["id"])).await.expect(200);
    assert!(!shown.to_string().contains(&two.tenant["id"].as_str().unwrap().to_owned()));
    assert_eq!(
        shown.as_object().unwrap().keys().collect::<Vec<_>>(),
        ["created_at", "email", "full_name", "id", "roles", "updated_at", "version"]
    );
    two.admin.post("/auth/switch", json!({"tenant": one.slug})).await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invitation_is_sent_again_and_taken_back() {
    let (clinic, email, folder) = (Clinic::create().await, fresh(), mail_folder().await);
    let before = files(&folder).await;
    let made = take_in(&clinic.admin, &email, json!(["nurse"])).await.expect(201);
    let first = token_in(&mail_to(&folder, &email, &before).await, "cxi_");
    let before = files(&folder).await;
    let at = format!("/invitations/{}", made["id"].as_str().unwrap());
    let sent = clinic.admin.post(&format!("{at}/resend"), json!({})).await.expect(200);
    assert_eq!(sent["version"], 2);
    let second = token_in(&mail_to(&folder, &email, &before).await, "cxi_");
    assert_ne!(first, second);
    accept(&first, json!({"password": PASSWORD})).await.expect_problem(401, "invalid_link");
    let stale = clinic.admin.request(Method::DELETE, &at).header("If-Match", "\"1\"");
    clinic.admin.send(stale).await.expect_problem(412, "version_mismatch");
    remove(&clinic.admin, &at).await.expect(204);
    remove(&clinic.admin, &at).await.expect_problem(404, "not_found");
    accept(&second, json!({"password": PASSWORD})).await.expect_problem(401, "invalid_link");
    take_in(&clinic.admin, &email, json!(["nurse"])).await.expect(201);
}

#[tokio::test(flavor = "multi_thread")]
async fn roles_change_within_five_seconds_and_by_the_rules() {
    let clinic = Clinic::create().await;
    let owner_id = clinic.admin.get("/auth/me").await.expect(200)["id"].clone();
    let (admin_id, admin) = member(&clinic, json!(["admin"])).await;
    let (nurse_id, nurse) = member(&clinic, json!(["nurse"])).await;
    // An administrator makes no owner and unmakes none.
    set_roles(&admin, &nurse_id, json!(["owner"])).await.expect_problem(403, "owner_required");
    set_roles(&admin, &owner_id, json!(["nurse"])).await.expect_problem(403, "owner_required");
    set_roles(&admin, &admin_id, json!(["owner"])).await.expect_problem(403, "owner_required");
    take_in(&admin, &fresh(), json!(["owner"])).await.expect_problem(403, "owner_required");
    remove(&admin, &path(&owner_id)).await.expect_problem(403, "owner_required");
    // The last owner stays one.
    set_roles(&clinic.admin, &owner_id, json!(["admin"])).await.expect_problem(409, "last_owner");
    remove(&clinic.admin, &path(&owner_id)).await.expect_problem(409, "last_owner");
    // A change needs the version that it is for.
    let request = admin.request(Method::PATCH, &path(&nurse_id)).json(&json!({"roles": ["doctor"]}));
    admin.send(request).await.expect_problem(428, "precondition_required");
    admin
        .patch(&path(&nurse_id), &json!(7), json!({"roles": ["doctor"]}))
        .await
        .expect_problem(412, "version_mismatch");
    set_roles(&admin, &nurse_id, json!([])).await.expect_problem(422, "invalid");
    set_roles(&admin, &nurse_id, json!(["astronaut"])).await.expect_problem(422, "invalid");
    let changed =
        admin.patch(&path(&nurse_id), &json!(1), json!({"roles": ["accountant"]})).await.expect(200);
    assert_eq!((&changed["roles"], &changed["version"]), (&json!(["accountant"]), &json!(2)));
    let begin = std::time::Instant::now();
    while nurse.post("/patients", json!({"family_name": "A", "given_name": "B"})).await.status != 403 {
        assert!(begin.elapsed() < std::time::Duration::from_secs(5));
    }
    // Whoever is taken out is out at once.
    remove(&admin, &path(&nurse_id)).await.expect(204);
    nurse.get("/auth/me").await.expect_problem(401, "invalid_token");
    remove(&admin, &path(&nurse_id)).await.expect_problem(404, "not_found");
    // With a second owner the first can go.
    set_roles(&clinic.admin, &admin_id, json!(["owner"])).await.expect(200);
    remove(&clinic.admin, &path(&owner_id)).await.expect(204);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_owners_who_unmake_each_other_one_stays() {
    let clinic = Clinic::create().await;
    let one_id = clinic.admin.get("/auth/me").await.expect(200)["id"].clone();
    let (two_id, two) = member(&clinic, json!(["owner"])).await;
    let (first, second) = tokio::join!(
        set_roles(&clinic.admin, &two_id, json!(["nurse"])),
        set_roles(&two, &one_id, json!(["nurse"])),
    );
    let statuses = [first.status.as_u16(), second.status.as_u16()];
    assert!(statuses.contains(&200) && statuses.contains(&403), "{statuses:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_clinics_user_answers_as_a_random_id() {
    let (mine, theirs) = (Clinic::create().await, Clinic::create().await);
    let their_id = theirs.admin.get("/auth/me").await.expect(200)["id"].clone();
    let invited = take_in(&theirs.admin, &fresh(), json!(["nurse"])).await.expect(201)["id"].clone();
    for id in [&their_id, &json!(Uuid::now_v7()), &json!("nonsense")] {
        mine.admin.get(&path(id)).await.expect_problem(404, "not_found");
        set_roles(&mine.admin, id, json!(["nurse"])).await.expect_problem(404, "not_found");
        remove(&mine.admin, &path(id)).await.expect_problem(404, "not_found");
    }
    for id in [&invited, &json!(Uuid::now_v7())] {
        let at = format!("/invitations/{}", id.as_str().unwrap());
        remove(&mine.admin, &at).await.expect_problem(404, "not_found");
        mine.admin.post(&format!("{at}/resend"), json!({})).await.expect_problem(404, "not_found");
    }
    assert_eq!(mine.admin.get("/users").await.expect(200)["items"].as_array().unwrap().len(), 1);
    assert_eq!(mine.admin.get("/invitations").await.expect(200)["items"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_new_user_is_named_all_at_once() {
    let clinic = Clinic::create().await;
    let body = json!({"email": "nonsense", "full_name": " ", "roles": []});
    let problem = clinic.admin.post("/users", body).await.expect_problem(422, "invalid");
    let mut pointers: Vec<_> =
        problem["errors"].as_array().unwrap().iter().map(|error| &error["pointer"]).collect();
    pointers.sort_by_key(|pointer| pointer.to_string());
    assert_eq!(pointers, ["/email", "/full_name", "/roles"]);
    let body = json!({"email": "a@b.example", "full_name": "A", "roles": ["nurse"], "password": "x"});
    clinic.admin.post("/users", body).await.expect_problem(422, "invalid");
    // A repeated request with its key has the first answer and no second mail.
    let (email, key) = (fresh(), Uuid::new_v4().to_string());
    let body = json!({"email": email, "full_name": "A", "roles": ["nurse"]});
    let ask = async || {
        let request = clinic.admin.request(Method::POST, "/users").header("Idempotency-Key", &key);
        clinic.admin.send(request.json(&body)).await.expect(201)
    };
    assert_eq!(ask().await, ask().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn operators_list_create_disable_and_promote_accounts() {
    let (operator, email) = (Api::operator().await, fresh());
    let body = json!({"email": email, "full_name": "Olga Second", "password": PASSWORD, "is_operator": true});
    let made = operator.post("/platform/users", body.clone()).await.expect(201);
    operator.post("/platform/users", body).await.expect_problem(409, "email_taken");
    let bad = json!({"email": "nonsense", "full_name": "", "password": "x"});
    operator.post("/platform/users", bad).await.expect_problem(422, "invalid");
    let at = format!("/platform/users/{}", made["id"].as_str().unwrap());
    assert_eq!(operator.get(&at).await.expect(200)["tenants"], json!([]));
    operator.get(&format!("/platform/users/{}", Uuid::now_v7())).await.expect_problem(404, "not_found");
    let name = email.split('@').next().unwrap().to_uppercase();
    let found = operator.get(&format!("/platform/users?q={name}&operator=true")).await.expect(200);
    assert_eq!(found["items"].as_array().unwrap().len(), 1);
    assert_eq!(operator.get("/platform/users?q=%25%5F%25").await.expect(200)["items"], json!([]));
    let second = Api::anonymous().await.login(json!({"email": email, "password": PASSWORD})).await;
    let step = async |api: &Api, step: &str| api.post(&format!("{at}/{step}"), json!({})).await;
    // Nobody shuts the own door from inside.
    step(&second, "disable").await.expect_problem(409, "own_account");
    step(&second, "revoke-operator").await.expect_problem(409, "own_account");
    assert_eq!(step(&operator, "revoke-operator").await.expect(200)["is_operator"], false);
    second.get("/platform/users").await.expect_problem(401, "invalid_token");
    assert_eq!(step(&operator, "grant-operator").await.expect(200)["is_operator"], true);
    let third = Api::anonymous().await.login(json!({"email": email, "password": PASSWORD})).await;
    let stale = operator.request(Method::POST, &format!("{at}/disable")).header("If-Match", "\"1\"");
    operator.send(stale).await.expect_problem(412, "version_mismatch");
    assert!(step(&operator, "disable").await.expect(200)["disabled_at"].is_string());
    third.get("/platform/users").await.expect_problem(401, "invalid_token");
    let refused =
        Api::anonymous().await.post("/auth/login", json!({"email": email, "password": PASSWORD})).await;
    refused.expect_problem(401, "invalid_credentials");
    let disabled = operator.get("/platform/users?disabled=true&limit=200").await.expect(200);
    assert!(disabled["items"].as_array().unwrap().iter().any(|user| user["email"] == json!(email)));
    assert!(step(&operator, "enable").await.expect(200)["disabled_at"].is_null());
    let clinic = Clinic::create().await;
    clinic.admin.get("/platform/users").await.expect_problem(403, "permission_denied");
}
