//! Refresh, switch, log-out, and how soon others obey.

use std::time::Duration;

use clinicx_identity::{Identity, Password, RefreshToken, Tokens, membership, user};
use clinicx_types::{id::TenantId, permission::Role};

use crate::support::{Fixture, PASSWORD, WRONG, code, keys, origin, scope, settings, within_five_seconds};

const DAY: Duration = Duration::from_secs(86_400);

async fn clinic() -> (Fixture, TenantId, Tokens) {
    let fixture = Fixture::new().await;
    let tenant = fixture.tenant("one").await;
    fixture.member("ada@example.org", tenant, Role::Nurse).await;
    let tokens = fixture.login("ada@example.org", PASSWORD, None).await.unwrap();
    (fixture, tenant, tokens)
}

async fn accepts(identity: &Identity, tokens: &Tokens) -> bool {
    match identity.authenticate(&tokens.access_token, &origin()).await {
        Ok(_) => true,
        result => {
            assert_eq!(code(&result), "invalid_token");
            false
        }
    }
}

#[tokio::test]
async fn a_refresh_for_another_tenant_is_refused_and_leaves_the_token() {
    let fixture = Fixture::new().await;
    let tenant = fixture.tenant("one").await;
    fixture.tenant("two").await;
    fixture.member("ada@example.org", tenant, Role::Owner).await;
    fixture.operator("operator@example.org").await;
    let (one, two) = ("one".parse().unwrap(), "two".parse().unwrap());
    let tokens = fixture.login("ada@example.org", PASSWORD, None).await.unwrap();
    let platform = fixture.login("operator@example.org", PASSWORD, None).await.unwrap();
    for (tokens, claimed) in [(&tokens, &two), (&platform, &one)] {
        let refused = fixture.identity.refresh(&tokens.refresh_token, Some(claimed), &origin()).await;
        assert_eq!(code(&refused), "tenant_mismatch");
    }
    let rows = "SELECT count(*) FROM public.audit_logs WHERE action = 'session.refresh_refused'";
    assert_eq!(fixture.count(rows).await, 2);
    let renewed = fixture.identity.refresh(&tokens.refresh_token, Some(&one), &origin()).await.unwrap();
    // A used token is a used token, whatever tenant is named with it.
    let reused = fixture.identity.refresh(&tokens.refresh_token, Some(&two), &origin()).await;
    assert_eq!(code(&reused), "invalid_refresh_token");
    assert_eq!(
        code(&fixture.identity.refresh(&renewed.refresh_token, Some(&one), &origin()).await),
        "invalid_refresh_token"
    );
}

#[tokio::test]
async fn a_refresh_gives_new_tokens_of_the_same_session() {
    let (fixture, tenant, first) = clinic().await;
    fixture.clock.advance(Duration::from_secs(3600));
    assert!(!accepts(&fixture.identity, &first).await);
    let second = fixture.identity.refresh(&first.refresh_token, None, &origin()).await.unwrap();
    assert_ne!(first.refresh_token, second.refresh_token);
    let principal = fixture.principal(&second).await;
    assert_eq!((principal.tenant, principal.roles.as_slice()), (Some(tenant), &[Role::Nurse][..]));
    assert_eq!(fixture.count("SELECT count(*) FROM public.sessions").await, 1);
    assert_eq!((second.token_type, second.expires_in), ("Bearer", 600));
}

#[tokio::test]
async fn a_used_refresh_token_ends_the_session() {
    let (fixture, _, first) = clinic().await;
    let second = fixture.identity.refresh(&first.refresh_token, None, &origin()).await.unwrap();
    assert!(accepts(&fixture.identity, &second).await);
    let replayed = fixture.identity.refresh(&first.refresh_token, None, &origin()).await;
    assert_eq!(code(&replayed), "invalid_refresh_token");
    // In this process at once, and for the tokens of whoever was first too.
    assert!(!accepts(&fixture.identity, &second).await);
    assert_eq!(
        code(&fixture.identity.refresh(&second.refresh_token, None, &origin()).await),
        "invalid_refresh_token"
    );
    let actions: Vec<String> = fixture.audit().await.into_iter().map(|(action, ..)| action).collect();
    assert_eq!(actions.iter().filter(|action| *action == "session.reuse_detected").count(), 1);
}

#[tokio::test]
async fn of_refreshes_at_once_exactly_one_succeeds() {
    let (fixture, _, first) = clinic().await;
    let other = fixture.another_process().await;
    let attempts: Vec<_> = (0..16)
        .map(|at| {
            let identity = if at % 2 == 0 { fixture.identity.clone() } else { other.clone() };
            let token = first.refresh_token.clone();
            tokio::spawn(async move { identity.refresh(&token, None, &origin()).await })
        })
        .collect();
    let mut won = Vec::new();
    for attempt in attempts {
        match attempt.await.unwrap() {
            Ok(tokens) => won.push(tokens),
            refused => assert_eq!(code(&refused), "invalid_refresh_token"),
        }
    }
    let [winner] = won.as_slice() else { panic!("{} succeeded", won.len()) };
    assert_eq!(
        code(&fixture.identity.refresh(&winner.refresh_token, None, &origin()).await),
        "invalid_refresh_token"
    );
    within_five_seconds(async || !accepts(&fixture.identity, winner).await && !accepts(&other, winner).await)
        .await;
}

#[tokio::test]
async fn what_is_no_refresh_token_of_ours_is_refused() {
    let (fixture, _, tokens) = clinic().await;
    for bad in ["", "cxr_", "' OR true --", &tokens.access_token, &format!("cxr_{}", "A".repeat(43))] {
        let refused = fixture.identity.refresh(&RefreshToken::new(bad), None, &origin()).await;
        assert_eq!(code(&refused), "invalid_refresh_token", "{bad}");
    }
    // A refresh token is no access token.
    assert_eq!(
        code(&fixture.identity.authenticate(tokens.refresh_token.expose(), &origin()).await),
        "invalid_token"
    );
}

#[tokio::test]
async fn a_session_ends_by_idleness_and_by_age() {
    let (fixture, _, idle) = clinic().await;
    fixture.clock.advance(14 * DAY);
    assert_eq!(
        code(&fixture.identity.refresh(&idle.refresh_token, None, &origin()).await),
        "invalid_refresh_token"
    );
    let mut busy = fixture.login("ada@example.org", PASSWORD, None).await.unwrap();
    for _ in 0..2 {
        fixture.clock.advance(13 * DAY);
        busy = fixture.identity.refresh(&busy.refresh_token, None, &origin()).await.unwrap();
    }
    // The thirtieth day: the last access token does not outlive the session either.
    fixture.clock.advance(4 * DAY - Duration::from_secs(60));
    busy = fixture.identity.refresh(&busy.refresh_token, None, &origin()).await.unwrap();
    assert!(accepts(&fixture.identity, &busy).await);
    fixture.clock.advance(Duration::from_secs(60));
    assert!(!accepts(&fixture.identity, &busy).await);
    assert_eq!(
        code(&fixture.identity.refresh(&busy.refresh_token, None, &origin()).await),
        "invalid_refresh_token"
    );
}

#[tokio::test]
async fn a_log_out_counts_here_at_once_and_elsewhere_within_five_seconds() {
    let (fixture, tenant, tokens) = clinic().await;
    let other = fixture.another_process().await;
    assert!(accepts(&fixture.identity, &tokens).await && accepts(&other, &tokens).await);
    let principal = fixture.principal(&tokens).await;
    for _ in 0..2 {
        fixture.identity.logout(&principal, &origin()).await.unwrap();
    }
    assert!(!accepts(&fixture.identity, &tokens).await);
    within_five_seconds(async || !accepts(&other, &tokens).await).await;
    assert_eq!(code(&other.refresh(&tokens.refresh_token, None, &origin()).await), "invalid_refresh_token");
    let user = principal.user_id.uuid();
    let last = fixture.audit().await.pop().unwrap();
    assert_eq!(last, ("user.logged_out".to_owned(), Some(user), Some(tenant.uuid())));
}

#[tokio::test]
async fn a_refresh_token_logs_out_too() {
    let (fixture, _, tokens) = clinic().await;
    fixture.identity.logout_with(&RefreshToken::new("cxr_nonsense"), &origin()).await.unwrap();
    assert!(accepts(&fixture.identity, &tokens).await);
    fixture.identity.logout_with(&tokens.refresh_token, &origin()).await.unwrap();
    assert!(!accepts(&fixture.identity, &tokens).await);
}

#[tokio::test]
async fn a_change_of_roles_counts_within_five_seconds() {
    let (fixture, tenant, tokens) = clinic().await;
    let other = fixture.another_process().await;
    let user = fixture.principal(&tokens).await.user_id;
    assert!(accepts(&other, &tokens).await);
    fixture.grant(user, tenant, &[Role::Owner, Role::Dentist]).await;
    within_five_seconds(async || {
        let roles = |principal: &clinicx_identity::Principal| principal.roles == [Role::Owner, Role::Dentist];
        let here = fixture.principal(&tokens).await;
        let there = other.authenticate(&tokens.access_token, &origin()).await.unwrap();
        roles(&here) && roles(&there)
    })
    .await;
    membership::revoke(&fixture.app, &scope(), tenant, user).await.unwrap();
    within_five_seconds(async || {
        !accepts(&fixture.identity, &tokens).await && !accepts(&other, &tokens).await
    })
    .await;
    assert_eq!(
        code(&fixture.identity.refresh(&tokens.refresh_token, None, &origin()).await),
        "invalid_refresh_token"
    );
}

#[tokio::test]
async fn disabling_an_account_counts_within_five_seconds_and_for_good() {
    let (fixture, _, tokens) = clinic().await;
    let user = fixture.principal(&tokens).await.user_id;
    user::disable(&fixture.app, &scope(), user, None).await.unwrap();
    within_five_seconds(async || !accepts(&fixture.identity, &tokens).await).await;
    user::enable(&fixture.app, &scope(), user, None).await.unwrap();
    assert_eq!(
        code(&fixture.identity.refresh(&tokens.refresh_token, None, &origin()).await),
        "invalid_refresh_token"
    );
    assert_eq!(code(&fixture.login("ada@example.org", PASSWORD, None).await), "ok");
}

#[tokio::test]
async fn a_new_password_ends_the_sessions_of_the_old_one() {
    let (fixture, _, tokens) = clinic().await;
    let user = fixture.principal(&tokens).await.user_id;
    fixture.identity.set_password(&scope(), user, &Password::new(WRONG), None).await.unwrap();
    within_five_seconds(async || !accepts(&fixture.identity, &tokens).await).await;
    assert_eq!(
        code(&fixture.identity.refresh(&tokens.refresh_token, None, &origin()).await),
        "invalid_refresh_token"
    );
    assert_eq!(code(&fixture.login("ada@example.org", PASSWORD, None).await), "invalid_credentials");
    assert_eq!(code(&fixture.login("ada@example.org", WRONG, None).await), "ok");
}

#[tokio::test]
async fn somebody_whose_operator_right_is_gone_has_no_platform_token() {
    let fixture = Fixture::new().await;
    fixture.operator("operator@example.org").await;
    let tokens = fixture.login("operator@example.org", PASSWORD, None).await.unwrap();
    assert!(accepts(&fixture.identity, &tokens).await);
    sqlx::query("UPDATE public.users SET is_operator = false").execute(&fixture.admin).await.unwrap();
    within_five_seconds(async || !accepts(&fixture.identity, &tokens).await).await;
    assert_eq!(
        code(&fixture.identity.refresh(&tokens.refresh_token, None, &origin()).await),
        "invalid_refresh_token"
    );
}

#[tokio::test]
async fn a_suspended_tenant_refuses_a_refresh_and_leaves_the_token_good() {
    let (fixture, tenant, tokens) = clinic().await;
    fixture.set_status(tenant, "suspended").await;
    assert_eq!(
        code(&fixture.identity.refresh(&tokens.refresh_token, None, &origin()).await),
        "tenant_suspended"
    );
    fixture.set_status(tenant, "archived").await;
    assert_eq!(code(&fixture.identity.refresh(&tokens.refresh_token, None, &origin()).await), "tenant_gone");
    fixture.set_status(tenant, "active").await;
    assert_eq!(code(&fixture.identity.refresh(&tokens.refresh_token, None, &origin()).await), "ok");
}

#[tokio::test]
async fn a_user_switches_to_the_tenants_they_belong_to_and_to_no_other() {
    let (fixture, one, first) = clinic().await;
    let principal = fixture.principal(&first).await;
    let (two, three) = (fixture.tenant("two").await, fixture.tenant("three").await);
    fixture.grant(principal.user_id, two, &[Role::Owner]).await;
    let switch =
        async |slug: &str| fixture.identity.switch(&principal, &slug.parse().unwrap(), &origin()).await;
    assert_eq!(code(&switch("three").await), "not_found");
    assert_eq!(code(&switch("unheard-of").await), "not_found");
    let second = switch("two").await.unwrap();
    let there = fixture.principal(&second).await;
    assert_eq!((there.tenant, there.roles.as_slice()), (Some(two), &[Role::Owner][..]));
    assert_eq!(fixture.principal(&first).await.tenant, Some(one));
    fixture.grant(principal.user_id, three, &[Role::Owner]).await;
    fixture.set_status(three, "suspended").await;
    assert_eq!(code(&switch("three").await), "tenant_suspended");
    let me = fixture.identity.me(&there).await.unwrap();
    let slugs: Vec<&str> = me.tenants.iter().map(|tenant| tenant.slug.as_str()).collect();
    assert_eq!((me.tenant.unwrap().as_str(), slugs), ("two", vec!["one", "three", "two"]));
    // The log-in is one, and so is its end.
    fixture.identity.logout(&principal, &origin()).await.unwrap();
    assert!(!accepts(&fixture.identity, &first).await && !accepts(&fixture.identity, &second).await);
    assert_eq!(code(&switch("two").await), "invalid_token");
}

#[tokio::test]
async fn a_switch_does_not_make_a_session_live_longer() {
    let (fixture, _, first) = clinic().await;
    let user = fixture.principal(&first).await.user_id;
    let two = fixture.tenant("two").await;
    fixture.grant(user, two, &[Role::Owner]).await;
    fixture.clock.advance(13 * DAY);
    let first = fixture.identity.refresh(&first.refresh_token, None, &origin()).await.unwrap();
    let principal = fixture.principal(&first).await;
    let second = fixture.identity.switch(&principal, &"two".parse().unwrap(), &origin()).await.unwrap();
    fixture.clock.advance(13 * DAY);
    let second = fixture.identity.refresh(&second.refresh_token, None, &origin()).await.unwrap();
    fixture.clock.advance(4 * DAY);
    assert_eq!(
        code(&fixture.identity.refresh(&second.refresh_token, None, &origin()).await),
        "invalid_refresh_token"
    );
}

#[tokio::test]
async fn a_token_of_another_key_is_refused_and_a_refresh_mends_it() {
    let (fixture, _, tokens) = clinic().await;
    let clock = std::sync::Arc::clone(&fixture.clock);
    let ids = std::sync::Arc::new(clinicx_types::clock::RandomIds);
    let rotated = Identity::new(fixture.app.clone(), &keys(), settings(), clock, ids).unwrap();
    assert!(!accepts(&rotated, &tokens).await);
    let tokens = rotated.refresh(&tokens.refresh_token, None, &origin()).await.unwrap();
    assert!(accepts(&rotated, &tokens).await);
}
