//! Setting a forgotten password anew, and the mail that carries the link.

use std::time::Duration;

use clinicx_identity::{
    Identity, IdentityError, IdentitySettings, LinkToken, MailError, Password, mail::Relayed, user,
};
use clinicx_types::{lang::Language, permission::Role};

use crate::support::{Fixture, PASSWORD, Post, code, origin, scope, settings, token_in};

const NEW: &str = "a new horse battery";

async fn clinic() -> Fixture {
    let fixture = Fixture::new().await;
    let tenant = fixture.tenant("one").await;
    fixture.member("ada@example.org", tenant, Role::Nurse).await;
    fixture
}

async fn ask(fixture: &Fixture, email: &str) -> Result<(), IdentityError> {
    fixture.identity.request_password_reset(email, Language::German, &origin()).await
}

async fn confirm(identity: &Identity, token: &str, password: &str) -> Result<(), IdentityError> {
    identity.reset_password(&LinkToken::new(token), &Password::new(password), &origin()).await
}

#[tokio::test]
async fn a_link_sets_a_password_once_and_ends_every_session() {
    let fixture = clinic().await;
    let tokens = fixture.login("ada@example.org", PASSWORD, None).await.unwrap();
    ask(&fixture, "ADA@example.org").await.unwrap();
    let mails = fixture.mails().await;
    let [mail] = mails.as_slice() else { panic!("{} mails", mails.len()) };
    assert_eq!((mail.to.as_str(), mail.language.as_str()), ("ada@example.org", "de"));
    let token = token_in(mail);
    confirm(&fixture.identity, &token, NEW).await.unwrap();
    assert_eq!(code(&fixture.identity.authenticate(&tokens.access_token, &origin()).await), "invalid_token");
    assert_eq!(
        code(&fixture.identity.refresh(&tokens.refresh_token, None, &origin()).await),
        "invalid_refresh_token"
    );
    assert_eq!(code(&fixture.login("ada@example.org", NEW, None).await), "ok");
    assert_eq!(code(&fixture.login("ada@example.org", PASSWORD, None).await), "invalid_credentials");
    assert_eq!(code(&confirm(&fixture.identity, &token, "yet another one").await), "invalid_link");
    for action in ["user.password_reset_requested", "user.password_reset", "user.password_set"] {
        assert_eq!(fixture.audited(action).await, 1, "{action}");
    }
}

#[tokio::test]
async fn what_an_address_is_asked_with_shows_neither_in_the_answer_nor_in_the_rows() {
    let fixture = clinic().await;
    fixture.identity.login(crate::support::request("x@y.org", "z", None), None, &origin()).await.unwrap_err();
    for email in ["ada@example.org", "nobody@example.org", "", "no address", &"x".repeat(10_000)] {
        ask(&fixture, email).await.unwrap();
    }
    // One row for each, whoever was asked for, and nothing else before the mail is relayed.
    assert_eq!(fixture.count("SELECT count(*) FROM public.mail_outbox").await, 5);
    assert_eq!(fixture.count("SELECT count(*) FROM public.password_resets").await, 0);
    assert_eq!(fixture.mails().await.len(), 1);
    assert_eq!(fixture.count("SELECT count(*) FROM public.mail_outbox").await, 0);
}

#[tokio::test]
async fn the_database_holds_no_token_and_no_address_in_clear() {
    let fixture = clinic().await;
    ask(&fixture, "ada@example.org").await.unwrap();
    let sealed: Vec<Vec<u8>> =
        sqlx::query_scalar("SELECT sealed FROM public.mail_outbox").fetch_all(&fixture.admin).await.unwrap();
    assert!(!sealed[0].windows(11).any(|bytes| bytes == b"example.org"));
    let post = Post::default();
    *post.trouble.lock().unwrap() = Some(MailError::Unavailable);
    fixture.identity.relay_mail(&post).await.unwrap();
    let sealed: Vec<Vec<u8>> =
        sqlx::query_scalar("SELECT sealed FROM public.mail_outbox").fetch_all(&fixture.admin).await.unwrap();
    assert!(!sealed[0].windows(4).any(|bytes| bytes == b"cxp_"));
    fixture.clock.advance(Duration::from_secs(60));
    let token = fixture.mailed_token().await;
    let stored: Vec<Vec<u8>> = sqlx::query_scalar("SELECT token_hash FROM public.password_resets")
        .fetch_all(&fixture.admin)
        .await
        .unwrap();
    assert!(stored.iter().all(|hash| hash.len() == 32 && hash.as_slice() != token.as_bytes()));
    confirm(&fixture.identity, &token, NEW).await.unwrap();
}

#[tokio::test]
async fn a_link_ends_after_thirty_minutes_with_a_new_password_and_with_the_account() {
    let fixture = clinic().await;
    let token = async || {
        fixture.clock.advance(Duration::from_secs(15 * 60));
        ask(&fixture, "ada@example.org").await.unwrap();
        fixture.mailed_token().await
    };
    let old = token().await;
    fixture.clock.advance(Duration::from_secs(30 * 60));
    assert_eq!(code(&confirm(&fixture.identity, &old, NEW).await), "invalid_link");
    let (one, two) = (token().await, token().await);
    confirm(&fixture.identity, &one, NEW).await.unwrap();
    assert_eq!(code(&confirm(&fixture.identity, &two, NEW).await), "invalid_link");
    fixture.mails().await;
    let three = token().await;
    let user = user::find_by_email(&fixture.app, "ada@example.org").await.unwrap().unwrap().id;
    user::disable(&fixture.app, &scope(), user, None).await.unwrap();
    user::enable(&fixture.app, &scope(), user, None).await.unwrap();
    assert_eq!(code(&confirm(&fixture.identity, &three, NEW).await), "invalid_link");
    user::disable(&fixture.app, &scope(), user, None).await.unwrap();
    ask(&fixture, "ada@example.org").await.unwrap();
    assert_eq!(fixture.mails().await, []);
}

#[tokio::test]
async fn a_password_that_is_not_acceptable_leaves_the_link_good() {
    let fixture = clinic().await;
    ask(&fixture, "ada@example.org").await.unwrap();
    let token = fixture.mailed_token().await;
    let refused = confirm(&fixture.identity, &token, "short").await.unwrap_err();
    let IdentityError::Invalid(fields) = refused else { panic!("{refused:?}") };
    assert_eq!((fields[0].pointer.as_str(), fields[0].code.as_str()), ("/new_password", "too_short"));
    confirm(&fixture.identity, &token, NEW).await.unwrap();
}

#[tokio::test]
async fn what_is_no_link_of_ours_is_refused() {
    let fixture = clinic().await;
    let tokens = fixture.login("ada@example.org", PASSWORD, None).await.unwrap();
    let good = format!("cxp_{}", "A".repeat(43));
    for bad in ["", "cxp_", &good, &good.replace("cxp", "cxi"), tokens.refresh_token.expose(), "' OR true --"]
    {
        assert_eq!(code(&confirm(&fixture.identity, bad, NEW).await), "invalid_link", "{bad}");
    }
}

#[tokio::test]
async fn of_two_uses_of_a_link_at_once_one_succeeds() {
    let fixture = clinic().await;
    ask(&fixture, "ada@example.org").await.unwrap();
    let token = fixture.mailed_token().await;
    let other = fixture.another_process().await;
    let (one, two) = tokio::join!(
        confirm(&fixture.identity, &token, "the first new one"),
        confirm(&other, &token, "the second new one")
    );
    assert_eq!([&one, &two].iter().filter(|done| done.is_ok()).count(), 1);
    assert_eq!(fixture.audited("user.password_reset").await, 1);
}

#[tokio::test]
async fn nobody_is_flooded_with_mail() {
    let fixture = clinic().await;
    for _ in 0..10 {
        ask(&fixture, "ada@example.org").await.unwrap();
    }
    assert_eq!(fixture.mails().await.len(), 3);
    for at in 0..10 {
        ask(&fixture, &format!("user{at}@example.org")).await.unwrap();
    }
    assert_eq!(code(&ask(&fixture, "one-more@example.org").await), "too_many_attempts");
    // Asking locks no log-in.
    assert_eq!(code(&fixture.login("ada@example.org", PASSWORD, None).await), "ok");
}

#[tokio::test]
async fn a_new_password_opens_a_door_that_was_locked() {
    let fixture = clinic().await;
    for _ in 0..10 {
        fixture.login("ada@example.org", NEW, None).await.unwrap_err();
    }
    ask(&fixture, "ada@example.org").await.unwrap();
    let token = fixture.mailed_token().await;
    confirm(&fixture.identity, &token, NEW).await.unwrap();
    assert_eq!(code(&fixture.login("ada@example.org", NEW, None).await), "ok");
}

#[tokio::test]
async fn mail_waits_while_its_server_is_away_and_is_dropped_when_it_is_refused() {
    let fixture = clinic().await;
    ask(&fixture, "ada@example.org").await.unwrap();
    let post = Post::default();
    *post.trouble.lock().unwrap() = Some(MailError::Unavailable);
    let relay = async || fixture.identity.relay_mail(&post).await.unwrap();
    assert_eq!(relay().await, Relayed { put_off: 1, ..Relayed::default() });
    assert_eq!(relay().await, Relayed::default());
    fixture.clock.advance(Duration::from_secs(10));
    assert_eq!(relay().await, Relayed { put_off: 1, ..Relayed::default() });
    fixture.clock.advance(Duration::from_secs(20));
    *post.trouble.lock().unwrap() = Some(MailError::Refused);
    assert_eq!(relay().await, Relayed { dropped: 1, ..Relayed::default() });
    assert_eq!(fixture.count("SELECT count(*) FROM public.mail_outbox").await, 0);
    // A link that nobody sends is removed with its time.
    *post.trouble.lock().unwrap() = Some(MailError::Unavailable);
    ask(&fixture, "ada@example.org").await.unwrap();
    relay().await;
    fixture.clock.advance(Duration::from_secs(31 * 60));
    let swept = fixture.identity.sweep().await.unwrap();
    assert_eq!((swept.mails, swept.password_resets), (1, 2));
}

#[tokio::test]
async fn a_mail_whose_sender_died_is_sent_by_another_process() {
    struct Dying;
    #[async_trait::async_trait]
    impl clinicx_identity::Mailer for Dying {
        async fn send(&self, _: &clinicx_identity::Mail) -> Result<(), MailError> {
            std::future::pending().await
        }
    }
    let fixture = clinic().await;
    ask(&fixture, "ada@example.org").await.unwrap();
    let identity = fixture.identity.clone();
    let dying = tokio::spawn(async move { identity.relay_mail(&Dying).await });
    while fixture.count("SELECT count(*) FROM public.mail_outbox WHERE attempts = 1 AND id IN (SELECT id FROM public.mail_outbox ORDER BY created_at DESC LIMIT 1)").await == 0
        || fixture.count("SELECT count(*) FROM public.password_resets").await == 0
    {
        tokio::task::yield_now().await;
    }
    dying.abort();
    let other = fixture.another_process().await;
    let post = Post::default();
    fixture.clock.advance(Duration::from_secs(61));
    other.relay_mail(&post).await.unwrap();
    assert_eq!(post.sent().len(), 1);
}

#[tokio::test]
async fn without_a_sender_a_reset_is_refused_before_anything_is_written() {
    let fixture = Fixture::with(IdentitySettings { mail: None, ..settings() }).await;
    fixture.user("ada@example.org").await;
    assert_eq!(code(&ask(&fixture, "ada@example.org").await), "mail_not_configured");
    assert_eq!(fixture.count("SELECT count(*) FROM public.mail_outbox").await, 0);
    // An administrator's link needs no mail.
    let token = fixture.identity.issue_password_reset(&scope(), "ada@example.org").await.unwrap();
    confirm(&fixture.identity, token.expose(), NEW).await.unwrap();
    assert_eq!(code(&fixture.identity.issue_password_reset(&scope(), "x@example.org").await), "not_found");
}
