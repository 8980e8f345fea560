//! What an issuer takes away, what it can't, and what refusals of its tokens leave.

use clinicx_identity::{IdentityScope, membership};
use clinicx_types::{id::UserId, permission::Role};
use reqwest::Method;
use serde_json::json;
use uuid::Uuid;

use super::{
    people::{with, within_five_seconds},
    world::{Clinic, World, world},
};
use crate::support::{Answer, OPERATOR};

/// A clinic of one test's own, made by an operator.
async fn clinic(world: &World) -> Clinic {
    let operator = world.anonymous.login(json!({"email": OPERATOR.0, "password": OPERATOR.1})).await;
    Clinic::create(&operator, &format!("oidc-{}", &Uuid::new_v4().simple().to_string()[..8])).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_issuer_leaves_a_tenant_its_last_owner() {
    let world = world().await;
    let (clinic, process, scope) =
        (clinic(world).await, world.process().await, IdentityScope::system("test"));
    let here: UserId =
        clinic.owner.get("/auth/me").await.expect(200)["id"].as_str().unwrap().parse().unwrap();
    let claims = with(world.claims(&world.platform), json!({"tenant": clinic.slug, "roles": ["owners"]}));
    let next = |roles: serde_json::Value| {
        let claims = with(claims.clone(), json!({"jti": Uuid::new_v4().to_string(), "roles": roles}));
        world.with_token(&world.platform.key.token(&claims))
    };
    let me = next(json!(["owners"])).get("/auth/me").await.expect(200);
    assert_eq!(me["roles"], json!(["owner"]));
    membership::revoke(&process.app, &scope, clinic.id, here).await.unwrap();
    // Neither without roles nor with lesser ones is the tenant left without an owner.
    for roles in [json!([]), json!(["desk"])] {
        let me = next(roles.clone()).get("/auth/me").await.expect(200);
        assert_eq!(me["roles"], json!(["owner"]), "{roles}");
    }
    let kept: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM public.audit_logs
         WHERE action = 'membership.kept' AND tenant_id = $1 AND after ->> 'reason' = 'last_owner'",
    )
    .bind(clinic.id.uuid())
    .fetch_one(&mut world.database().await)
    .await
    .unwrap();
    assert_eq!(kept, 2);
    // With another owner in place the issuer's word counts again.
    membership::grant(&process.app, &scope, clinic.id, here, &[Role::Owner]).await.unwrap();
    let me = next(json!(["desk"])).get("/auth/me").await.expect(200);
    assert_eq!(me["roles"], json!(["receptionist"]));
    next(json!([])).get("/auth/me").await.expect_problem(403, "no_membership");
    process.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_rested_on_an_operators_right_does_not_come_back_with_it() {
    let world = world().await;
    let mut claims = with(world.claims(&world.platform), json!({"groups": ["platform-operators"]}));
    claims.as_object_mut().unwrap().remove("tenant");
    let next = |changes: serde_json::Value| {
        let claims = with(with(claims.clone(), json!({"jti": Uuid::new_v4().to_string()})), changes);
        world.with_token(&world.platform.key.token(&claims))
    };
    let operator = next(json!({}));
    operator.get("/platform/tenants").await.expect(200);
    let path = format!("/platform/tenants/{}/break-glass", world.clinic_b.slug);
    let reason = json!({"reason": "the invoice run hangs since noon", "minutes": 30});
    let grant = operator.post(&path, reason).await.expect(201);
    let guest = world.with_token(grant["access_token"].as_str().unwrap());
    guest.get("/patients").await.expect(200);
    // The issuer takes the right away and gives it again.
    next(json!({"tenant": world.clinic_a.slug, "groups": []})).get("/patients").await.expect(200);
    next(json!({})).get("/platform/tenants").await.expect(200);
    within_five_seconds(401, async || operator.get("/platform/tenants").await).await;
    within_five_seconds(401, async || guest.get("/patients").await).await;
    let refresh = json!({"refresh_token": grant["refresh_token"]});
    world.anonymous.post("/auth/refresh", refresh).await.expect_problem(401, "invalid_refresh_token");
    let active = world.clinic_b.owner.get("/break-glass-grants?active=true").await.expect(200);
    assert!(!active.to_string().contains(grant["id"].as_str().unwrap()), "{active}");
}

/// Asks for the patients under a request id of one's own.
async fn ask(world: &World, token: &str, request: Uuid) -> Answer {
    let api = world.with_token(token);
    api.send(api.request(Method::GET, "/patients").header("X-Request-ID", request.to_string())).await
}

/// Counts the audit rows of these requests that name where they came from.
async fn rows(world: &World, action: &str, requests: &[Uuid]) -> i64 {
    sqlx::query_scalar(
        "SELECT count(*) FROM public.audit_logs
         WHERE action = $1 AND request_id = ANY ($2) AND source_address IS NOT NULL",
    )
    .bind(action)
    .bind(requests)
    .fetch_one(&mut world.database().await)
    .await
    .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_about_an_issuers_token_name_the_request_and_where_it_came_from() {
    let world = world().await;
    let request = Uuid::new_v4();
    let token = world.platform.key.token(&world.claims(&world.platform));
    ask(world, &token, request).await.expect(200);
    assert_eq!(rows(world, "user.logged_in", &[request]).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_opens_nothing_leaves_one_row_however_often_it_is_shown() {
    let world = world().await;
    let unlinked = with(world.claims(&world.platform), json!({"roles": []}));
    let stranger = world.claims(&world.roaming);
    for (code, token) in [
        ("account_not_linked", world.platform.key.token(&unlinked)),
        ("no_membership", world.roaming.key.token(&stranger)),
    ] {
        let requests: [Uuid; 5] = std::array::from_fn(|_| Uuid::new_v4());
        for request in requests {
            ask(world, &token, request).await.expect_problem(403, code);
        }
        assert_eq!(rows(world, "user.login_refused", &requests).await, 1, "{code}");
        assert_eq!(rows(world, "user.login_refused", &requests[..1]).await, 1, "{code}");
    }
}
