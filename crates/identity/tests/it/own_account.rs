//! Changing the password, seeing and ending one's own log-ins.

use clinicx_identity::{Identity, IdentityError, Password, Principal, Tokens};
use clinicx_types::{
    id::{SessionId, TenantId},
    page::PageRequest,
    permission::Role,
};
use uuid::Uuid;

use crate::support::{Fixture, PASSWORD, WRONG, code, origin, within_five_seconds};

const NEW: &str = "a new horse battery";

async fn clinic() -> (Fixture, TenantId, Tokens) {
    let fixture = Fixture::new().await;
    let tenant = fixture.tenant("one").await;
    fixture.member("ada@example.org", tenant, Role::Nurse).await;
    let tokens = fixture.login("ada@example.org", PASSWORD, None).await.unwrap();
    (fixture, tenant, tokens)
}

async fn change(
    fixture: &Fixture,
    principal: &Principal,
    current: &str,
    new: &str,
) -> Result<(), IdentityError> {
    let (current, new) = (Password::new(current), Password::new(new));
    fixture.identity.change_password(principal, (&current, &new), &origin()).await
}

async fn accepts(identity: &Identity, tokens: &Tokens) -> bool {
    identity.authenticate(&tokens.access_token, &origin()).await.is_ok()
}

#[tokio::test]
async fn a_changed_password_ends_every_other_session_and_keeps_this_one() {
    let (fixture, _, mine) = clinic().await;
    let other = fixture.login("ada@example.org", PASSWORD, None).await.unwrap();
    let process = fixture.another_process().await;
    assert!(accepts(&process, &other).await);
    let principal = fixture.principal(&mine).await;
    change(&fixture, &principal, PASSWORD, NEW).await.unwrap();
    assert!(accepts(&fixture.identity, &mine).await && !accepts(&fixture.identity, &other).await);
    within_five_seconds(async || !accepts(&process, &other).await).await;
    assert_eq!(
        code(&fixture.identity.refresh(&other.refresh_token, None, &origin()).await),
        "invalid_refresh_token"
    );
    assert_eq!(code(&fixture.identity.refresh(&mine.refresh_token, None, &origin()).await), "ok");
    assert_eq!(code(&fixture.login("ada@example.org", PASSWORD, None).await), "invalid_credentials");
    assert_eq!(code(&fixture.login("ada@example.org", NEW, None).await), "ok");
    assert_eq!(fixture.audited("user.password_set").await, 1);
    let mails = fixture.mails().await;
    assert_eq!((mails.len(), mails[0].to.as_str()), (1, "ada@example.org"));
    assert!(!mails[0].text.contains(NEW) && !mails[0].text.contains(PASSWORD));
}

#[tokio::test]
async fn a_new_password_must_be_a_good_one_and_another_one() {
    let (fixture, _, mine) = clinic().await;
    let principal = fixture.principal(&mine).await;
    for (new, wanted) in [("short", "too_short"), ("password123", "too_common"), (PASSWORD, "unchanged")] {
        let refused = change(&fixture, &principal, PASSWORD, new).await.unwrap_err();
        let IdentityError::Invalid(fields) = refused else { panic!("{refused:?}") };
        assert_eq!((fields[0].pointer.as_str(), fields[0].code.as_str()), ("/new_password", wanted));
    }
    assert_eq!(code(&fixture.login("ada@example.org", PASSWORD, None).await), "ok");
}

#[tokio::test]
async fn guessing_the_present_password_is_counted_as_at_a_log_in() {
    let (fixture, _, mine) = clinic().await;
    let principal = fixture.principal(&mine).await;
    for _ in 0..10 {
        let refused = change(&fixture, &principal, WRONG, NEW).await;
        assert!(matches!(refused, Err(IdentityError::WrongPassword)));
    }
    let refused = change(&fixture, &principal, PASSWORD, NEW).await;
    assert_eq!(code(&refused), "too_many_attempts");
    // Whoever has stolen a token can't lock its owner out elsewhere for longer than a wrong guess could.
    assert_eq!(fixture.audited("user.login_refused").await, 10);
    assert_eq!(fixture.audited("user.password_set").await, 0);
}

#[tokio::test]
async fn of_two_changes_at_once_one_succeeds() {
    let (fixture, _, mine) = clinic().await;
    let principal = fixture.principal(&mine).await;
    let (one, two) = tokio::join!(
        change(&fixture, &principal, PASSWORD, "the first new one"),
        change(&fixture, &principal, PASSWORD, "the second new one"),
    );
    assert_eq!([one.is_ok(), two.is_ok()].iter().filter(|done| **done).count(), 1);
    let now = if one.is_ok() { "the first new one" } else { "the second new one" };
    assert_eq!(code(&fixture.login("ada@example.org", now, None).await), "ok");
}

#[tokio::test]
async fn log_ins_are_listed_with_their_tenants_and_end_as_a_whole() {
    let (fixture, _, first) = clinic().await;
    let two = fixture.tenant("two").await;
    let principal = fixture.principal(&first).await;
    fixture.grant(principal.user_id, two, &[Role::Owner]).await;
    let switched = fixture.identity.switch(&principal, &"two".parse().unwrap(), &origin()).await.unwrap();
    let second = fixture.login_from("ada@example.org", PASSWORD, Some("one"), "203.0.113.9").await.unwrap();
    let mut page = PageRequest::first(50).unwrap();
    page.count = true;
    let list = fixture.identity.own_sessions(&principal, &page).await.unwrap();
    assert_eq!(list.total, Some(2));
    let [here, there] = list.items.as_slice() else { panic!("{} log-ins", list.items.len()) };
    assert_eq!((here.current, here.tenants.join(" ").as_str()), (true, "one two"));
    assert_eq!((there.current, there.tenants.join(" ").as_str()), (false, "one"));
    assert_eq!(there.source_address.as_deref(), Some("203.0.113.9"));
    let first_page =
        fixture.identity.own_sessions(&principal, &PageRequest::first(1).unwrap()).await.unwrap();
    let mut rest = PageRequest::first(1).unwrap();
    rest.after = first_page.next;
    assert_eq!(fixture.identity.own_sessions(&principal, &rest).await.unwrap().items[0].id, there.id);
    // From the second log-in the first one is ended, with the session that came from it.
    let elsewhere = fixture.principal(&second).await;
    let end = async |id: SessionId| fixture.identity.end_own_session(&elsewhere, id, &origin()).await;
    end(fixture.principal(&switched).await.session_id).await.unwrap();
    assert!(
        !accepts(&fixture.identity, &first).await
            && !accepts(&fixture.identity, &switched).await
            && accepts(&fixture.identity, &second).await
    );
    assert_eq!(code(&end(here.id).await), "not_found");
    assert_eq!(fixture.audited("user.session_ended").await, 1);
}

#[tokio::test]
async fn another_users_session_answers_as_one_that_does_not_exist() {
    let (fixture, tenant, mine) = clinic().await;
    fixture.member("eve@example.org", tenant, Role::Owner).await;
    let eve = fixture.login("eve@example.org", PASSWORD, None).await.unwrap();
    let (mine_id, eve) = (fixture.principal(&mine).await.session_id, fixture.principal(&eve).await);
    for id in [mine_id, SessionId::new(Uuid::now_v7())] {
        let refused = fixture.identity.end_own_session(&eve, id, &origin()).await;
        assert_eq!(code(&refused), "not_found");
    }
    assert!(accepts(&fixture.identity, &mine).await);
}

#[tokio::test]
async fn a_log_out_everywhere_ends_every_session_in_every_process() {
    let (fixture, _, first) = clinic().await;
    let two = fixture.tenant("two").await;
    let principal = fixture.principal(&first).await;
    fixture.grant(principal.user_id, two, &[Role::Owner]).await;
    let second = fixture.login("ada@example.org", PASSWORD, Some("two")).await.unwrap();
    let process = fixture.another_process().await;
    assert!(accepts(&process, &second).await);
    fixture.identity.logout_all(&principal, &origin()).await.unwrap();
    assert!(!accepts(&fixture.identity, &first).await && !accepts(&fixture.identity, &second).await);
    within_five_seconds(async || !accepts(&process, &second).await && !accepts(&process, &first).await).await;
    for tokens in [&first, &second] {
        let refused = fixture.identity.refresh(&tokens.refresh_token, None, &origin()).await;
        assert_eq!(code(&refused), "invalid_refresh_token");
    }
    assert_eq!(fixture.audited("user.logged_out_everywhere").await, 1);
}

/// A thief with a stolen token switches between two tenants as fast as possible while the owner logs out.
#[tokio::test(flavor = "multi_thread")]
async fn no_session_that_is_made_by_switching_outlives_a_log_out() {
    for round in 0..20 {
        let (fixture, _, first) = clinic().await;
        let two = fixture.tenant("two").await;
        let principal = fixture.principal(&first).await;
        fixture.grant(principal.user_id, two, &[Role::Owner]).await;
        let thieves: Vec<_> = (0..4)
            .map(|_| {
                let (identity, mut principal) = (fixture.identity.clone(), (*principal).clone());
                tokio::spawn(async move {
                    for slug in ["two", "one", "two", "one", "two", "one"] {
                        let tokens = identity.switch(&principal, &slug.parse().unwrap(), &origin()).await;
                        let Ok(tokens) = tokens else { break };
                        let Ok(next) = identity.authenticate(&tokens.access_token, &origin()).await else {
                            break;
                        };
                        principal = (*next).clone();
                    }
                })
            })
            .collect();
        tokio::task::yield_now().await;
        fixture.identity.logout(&principal, &origin()).await.unwrap();
        for thief in thieves {
            thief.await.unwrap();
        }
        let left = fixture.count("SELECT count(*) FROM public.sessions WHERE revoked_at IS NULL").await;
        assert_eq!(left, 0, "round {round}");
    }
}
