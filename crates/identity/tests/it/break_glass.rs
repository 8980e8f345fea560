//! Grants that let an operator into a tenant, and how they end.

use std::{sync::Arc, time::Duration};

use clinicx_identity::{
    BreakGlassGrant, Identity, IdentityError, NewGrant, Principal, Tokens,
    break_glass::{self, GrantFilter},
};
use clinicx_persistence::Actor;
use clinicx_types::{
    clock::Clock,
    id::{BreakGlassGrantId, TenantId},
    page::PageRequest,
    permission::Role,
};
use uuid::Uuid;

use crate::support::{Fixture, PASSWORD, code, origin, scope, within_five_seconds};

const REASON: &str = "the invoice run hangs";

async fn platform() -> (Fixture, TenantId, Arc<Principal>) {
    let fixture = Fixture::new().await;
    let tenant = fixture.tenant("one").await;
    fixture.operator("operator@example.org").await;
    let tokens = fixture.login("operator@example.org", PASSWORD, None).await.unwrap();
    let principal = fixture.principal(&tokens).await;
    (fixture, tenant, principal)
}

async fn open(
    fixture: &Fixture,
    principal: &Principal,
    slug: &str,
    minutes: u32,
) -> Result<(BreakGlassGrant, Tokens), IdentityError> {
    let tenant = slug.parse().unwrap();
    let new = NewGrant { tenant: &tenant, reason: REASON, minutes, roles: None };
    fixture.identity.break_glass(principal, new, &origin()).await
}

async fn accepts(identity: &Identity, tokens: &Tokens) -> bool {
    identity.authenticate(&tokens.access_token, &origin()).await.is_ok()
}

async fn refresh(fixture: &Fixture, tokens: &Tokens) -> Result<Tokens, IdentityError> {
    fixture.identity.refresh(&tokens.refresh_token, None, &origin()).await
}

#[tokio::test]
async fn a_grant_lets_the_operator_in_as_an_operator_and_ends_by_itself() {
    let (fixture, tenant, operator) = platform().await;
    let (grant, tokens) = open(&fixture, &operator, "one", 12).await.unwrap();
    assert_eq!((grant.reason.as_str(), grant.tenant.as_str()), (REASON, "one"));
    let guest = fixture.principal(&tokens).await;
    assert_eq!((guest.tenant, guest.grant, guest.is_operator), (Some(tenant), Some(grant.id), false));
    assert_eq!(
        (guest.roles.as_slice(), guest.actor()),
        (&[Role::Admin][..], Actor::Operator(operator.user_id))
    );
    let me = fixture.identity.me(&guest).await.unwrap();
    assert_eq!(me.tenant.unwrap().as_str(), "one");
    fixture.clock.advance(Duration::from_secs(11 * 60));
    let renewed = refresh(&fixture, &tokens).await.unwrap();
    // The token says when it ends: with the grant, and not after its usual ten minutes.
    assert_eq!(renewed.expires_in, 60);
    assert!(accepts(&fixture.identity, &renewed).await);
    fixture.clock.advance(Duration::from_secs(60));
    assert!(!accepts(&fixture.identity, &renewed).await);
    assert_eq!(code(&refresh(&fixture, &renewed).await), "invalid_refresh_token");
    let audit = fixture.audit().await;
    let row = audit.iter().find(|(action, ..)| action == "break_glass.granted").unwrap();
    assert_eq!((row.1, row.2), (Some(grant.id.uuid()), Some(tenant.uuid())));
}

#[tokio::test]
async fn a_grant_is_ended_by_an_operator_and_by_the_tenant_and_by_no_other_tenant() {
    let (fixture, tenant, operator) = platform().await;
    let other = fixture.tenant("two").await;
    let process = fixture.another_process().await;
    for by in [None, Some(tenant)] {
        let (grant, tokens) = open(&fixture, &operator, "one", 60).await.unwrap();
        assert!(accepts(&process, &tokens).await);
        let end = async |by: Option<TenantId>, id: BreakGlassGrantId| {
            let scope = fixture.identity.scope(Actor::Operator(operator.user_id), origin());
            fixture.identity.end_break_glass(&scope, by, id).await
        };
        assert_eq!(code(&end(Some(other), grant.id).await), "not_found");
        assert_eq!(code(&end(None, BreakGlassGrantId::new(Uuid::now_v7())).await), "not_found");
        assert!(accepts(&fixture.identity, &tokens).await);
        let ended = end(by, grant.id).await.unwrap();
        assert_eq!((ended.ended_by, ended.version), (Some(operator.user_id), 2));
        assert!(!accepts(&fixture.identity, &tokens).await);
        within_five_seconds(async || !accepts(&process, &tokens).await).await;
        assert_eq!(code(&refresh(&fixture, &tokens).await), "invalid_refresh_token");
        // A second time changes nothing.
        assert_eq!(end(by, grant.id).await.unwrap(), ended);
    }
    assert_eq!(fixture.audited("break_glass.ended").await, 2);
}

#[tokio::test]
async fn a_grant_ends_with_the_operators_right() {
    let (fixture, _, operator) = platform().await;
    fixture.operator("second@example.org").await;
    let (_, tokens) = open(&fixture, &operator, "one", 60).await.unwrap();
    let process = fixture.another_process().await;
    assert!(accepts(&process, &tokens).await);
    fixture.identity.revoke_operator(&scope(), operator.user_id, None).await.unwrap();
    assert!(!accepts(&fixture.identity, &tokens).await);
    within_five_seconds(async || !accepts(&process, &tokens).await).await;
    fixture.identity.grant_operator(&scope(), operator.user_id, None).await.unwrap();
    assert!(!accepts(&fixture.identity, &tokens).await);
    // The old platform session is no way to a new grant.
    assert_eq!(code(&open(&fixture, &operator, "one", 5).await), "invalid_token");
}

#[tokio::test]
async fn a_grant_ends_with_the_log_out_from_its_session() {
    let (fixture, tenant, operator) = platform().await;
    let (grant, tokens) = open(&fixture, &operator, "one", 60).await.unwrap();
    let (other, kept) = open(&fixture, &operator, "one", 60).await.unwrap();
    let renewed = refresh(&fixture, &tokens).await.unwrap();
    let audit = fixture.audit().await;
    let row = audit.iter().find(|(action, ..)| action == "session.refreshed").unwrap();
    assert_eq!((row.1, row.2), (Some(operator.user_id.uuid()), Some(tenant.uuid())));
    let guest = fixture.principal(&renewed).await;
    fixture.identity.logout(&guest, &origin()).await.unwrap();
    let ended = break_glass::get(&fixture.app, None, grant.id).await.unwrap();
    assert_eq!((ended.ended_at.is_some(), ended.ended_by), (true, Some(operator.user_id)));
    assert!(accepts(&fixture.identity, &kept).await);
    let goes_on = break_glass::get(&fixture.app, None, other.id).await.unwrap();
    assert_eq!(goes_on.ended_at, None);
    fixture.identity.logout_all(&operator, &origin()).await.unwrap();
    let ended = break_glass::get(&fixture.app, None, other.id).await.unwrap();
    assert!(ended.ended_at.is_some());
    assert_eq!(fixture.audited("break_glass.ended").await, 2);
}

#[tokio::test]
async fn who_is_no_operator_and_what_is_no_active_tenant_is_refused() {
    let (fixture, tenant, operator) = platform().await;
    assert_eq!(code(&open(&fixture, &operator, "unheard-of", 5).await), "not_found");
    for (status, wanted) in [("suspended", "tenant_suspended"), ("archived", "tenant_gone")] {
        fixture.set_status(tenant, status).await;
        assert_eq!(code(&open(&fixture, &operator, "one", 5).await), wanted);
    }
    fixture.set_status(tenant, "active").await;
    fixture.member("ada@example.org", tenant, Role::Owner).await;
    let ada = fixture.login("ada@example.org", PASSWORD, None).await.unwrap();
    let ada = fixture.principal(&ada).await;
    assert_eq!(code(&open(&fixture, &ada, "one", 5).await), "invalid_token");
    assert_eq!(fixture.count("SELECT count(*) FROM public.break_glass_grants").await, 0);
}

#[tokio::test]
async fn a_session_under_a_grant_leads_to_no_other_tenant_and_to_no_further_grant() {
    let (fixture, _, operator) = platform().await;
    let two = fixture.tenant("two").await;
    fixture.grant(operator.user_id, two, &[Role::Owner]).await;
    let (_, tokens) = open(&fixture, &operator, "one", 60).await.unwrap();
    let guest = fixture.principal(&tokens).await;
    let switched = fixture.identity.switch(&guest, &"two".parse().unwrap(), &origin()).await;
    assert_eq!(code(&switched), "not_found");
    assert_eq!(code(&open(&fixture, &guest, "two", 60).await), "invalid_token");
}

#[tokio::test]
async fn grants_are_listed_newest_first_and_each_tenant_sees_its_own() {
    let (fixture, one, operator) = platform().await;
    let two = fixture.tenant("two").await;
    let mut ids = Vec::new();
    for slug in ["one", "two", "one"] {
        ids.push(open(&fixture, &operator, slug, 30).await.unwrap().0.id);
    }
    let list = async |tenant: Option<TenantId>, is_active: Option<bool>| {
        let filter = GrantFilter { tenant, is_active };
        let mut page = PageRequest::first(1).unwrap();
        page.count = true;
        let mut found = Vec::new();
        loop {
            let now = fixture.clock.now();
            let part = break_glass::list(&fixture.app, filter, now, &page).await.unwrap();
            found.extend(part.items.iter().map(|grant| grant.id));
            page.after = part.next;
            if page.after.is_none() {
                assert_eq!(part.total, Some(u64::try_from(found.len()).unwrap()));
                break found;
            }
        }
    };
    assert_eq!(list(None, None).await, [ids[2], ids[1], ids[0]]);
    assert_eq!(list(Some(one), None).await, [ids[2], ids[0]]);
    assert_eq!(list(Some(two), Some(true)).await, [ids[1]]);
    fixture.clock.advance(Duration::from_secs(30 * 60));
    assert_eq!(list(Some(one), Some(false)).await, [ids[2], ids[0]]);
    assert_eq!(list(None, Some(true)).await.len(), 0);
}

#[tokio::test]
async fn the_applications_login_can_neither_remove_a_grant_nor_make_it_longer() {
    use clinicx_persistence::SystemExecutor;
    use sea_orm::{DbBackend, Statement};
    let (fixture, _, operator) = platform().await;
    open(&fixture, &operator, "one", 5).await.unwrap();
    for sql in [
        "DELETE FROM public.break_glass_grants",
        "UPDATE public.break_glass_grants SET expires_at = expires_at + interval '1 minute'",
        "UPDATE public.break_glass_grants SET reason = 'another reason'",
    ] {
        let done = fixture.app.execute(Statement::from_string(DbBackend::Postgres, sql)).await;
        assert!(done.is_err(), "{sql}");
    }
}
