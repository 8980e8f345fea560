//! Lock-out by account and by address.

use std::time::Duration;

use clinicx_identity::{IdentityError, IdentitySettings, Swept};
use clinicx_types::permission::Role;

use crate::support::{Fixture, PASSWORD, WRONG, code, origin, request, settings};

async fn fail(fixture: &Fixture, times: usize, email: &str) {
    for _ in 0..times {
        assert_eq!(code(&fixture.login(email, WRONG, None).await), "invalid_credentials");
    }
}

#[tokio::test]
async fn ten_failures_lock_an_account_and_no_other() {
    let fixture = Fixture::new().await;
    let tenant = fixture.tenant("one").await;
    fixture.member("ada@example.org", tenant, Role::Owner).await;
    fixture.member("grace@example.org", tenant, Role::Owner).await;
    fail(&fixture, 10, "ada@example.org").await;
    // The right password does not help, nor does another spelling or another address.
    let locked = fixture.login("ada@example.org", PASSWORD, None).await.unwrap_err();
    let IdentityError::TooManyAttempts { retry_after } = locked else { panic!("{locked:?}") };
    assert!(retry_after > Duration::from_secs(14 * 60) && retry_after <= Duration::from_secs(15 * 60 + 1));
    assert_eq!(code(&fixture.login("ADA@example.org", PASSWORD, None).await), "too_many_attempts");
    let elsewhere = fixture.login_from("ada@example.org", PASSWORD, None, "203.0.113.9").await;
    assert_eq!(code(&elsewhere), "too_many_attempts");
    assert_eq!(code(&fixture.login("grace@example.org", PASSWORD, None).await), "ok");
    // Whoever comes back after the time that was said is let in.
    fixture.clock.advance(retry_after);
    assert_eq!(code(&fixture.login("ada@example.org", PASSWORD, None).await), "ok");
}

#[tokio::test]
async fn an_account_that_does_not_exist_is_locked_like_one_that_does() {
    let fixture = Fixture::new().await;
    fail(&fixture, 10, "nobody@example.org").await;
    assert_eq!(code(&fixture.login("nobody@example.org", WRONG, None).await), "too_many_attempts");
}

#[tokio::test]
async fn the_right_password_for_the_wrong_tenant_counts_as_a_failure() {
    let fixture = Fixture::new().await;
    let tenant = fixture.tenant("one").await;
    fixture.member("ada@example.org", tenant, Role::Owner).await;
    for _ in 0..10 {
        let refused = fixture.login("ada@example.org", PASSWORD, Some("other")).await;
        assert_eq!(code(&refused), "invalid_credentials");
    }
    assert_eq!(code(&fixture.login("ada@example.org", PASSWORD, None).await), "too_many_attempts");
}

#[tokio::test]
async fn a_success_forgets_the_failures_before_it() {
    let fixture = Fixture::new().await;
    let tenant = fixture.tenant("one").await;
    fixture.member("ada@example.org", tenant, Role::Owner).await;
    for _ in 0..3 {
        fail(&fixture, 9, "ada@example.org").await;
        assert_eq!(code(&fixture.login("ada@example.org", PASSWORD, None).await), "ok");
    }
}

#[tokio::test]
async fn failures_from_one_network_lock_it_out_whatever_the_account() {
    let settings = IdentitySettings { max_address_failures: 6, ..settings() };
    let fixture = Fixture::with(settings).await;
    let tenant = fixture.tenant("one").await;
    fixture.member("ada@example.org", tenant, Role::Owner).await;
    for guess in 0..6 {
        let (email, address) = (format!("guess{guess}@example.org"), format!("2001:db8::{guess}"));
        let refused = fixture.login_from(&email, WRONG, None, &address).await;
        assert_eq!(code(&refused), "invalid_credentials");
        // Logging in to an account of one's own between the guesses does not set the count back.
        let own = fixture.login_from("ada@example.org", PASSWORD, None, "2001:db8::ada").await;
        assert_eq!(code(&own), "ok");
    }
    let refused = fixture.login_from("guess6@example.org", WRONG, None, "2001:db8::6").await;
    assert_eq!(code(&refused), "too_many_attempts");
    let neighbour = fixture.login_from("ada@example.org", PASSWORD, None, "2001:db8:0:1::1").await;
    assert_eq!(code(&neighbour), "ok");
}

#[tokio::test]
async fn guesses_that_come_at_once_are_counted_too() {
    let fixture = Fixture::new().await;
    let tenant = fixture.tenant("one").await;
    fixture.member("ada@example.org", tenant, Role::Owner).await;
    let guesses: Vec<_> = (0..60)
        .map(|_| {
            let identity = fixture.identity.clone();
            tokio::spawn(async move {
                identity.login(request("ada@example.org", WRONG, None), None, &origin()).await
            })
        })
        .collect();
    let mut checked = 0;
    for guess in guesses {
        match code(&guess.await.unwrap()) {
            "invalid_credentials" => checked += 1,
            other => assert_eq!(other, "too_many_attempts"),
        }
    }
    // As many more as there are cores can be under way when the tenth is counted.
    let cores = std::thread::available_parallelism().unwrap().get();
    assert!((10..10 + cores).contains(&checked), "{checked} guesses");
}

#[tokio::test]
async fn what_no_longer_counts_is_swept_away() {
    let fixture = Fixture::new().await;
    let tenant = fixture.tenant("one").await;
    fixture.member("ada@example.org", tenant, Role::Owner).await;
    fail(&fixture, 2, "nobody@example.org").await;
    fixture.login("ada@example.org", PASSWORD, None).await.unwrap();
    assert_eq!(fixture.identity.sweep().await.unwrap(), Swept::default());
    fixture.clock.advance(Duration::from_secs(15 * 86_400));
    let swept = fixture.identity.sweep().await.unwrap();
    assert_eq!(swept, Swept { attempts: 2, refresh_tokens: 1, ..Swept::default() });
    fixture.clock.advance(Duration::from_secs(16 * 86_400));
    assert_eq!(fixture.identity.sweep().await.unwrap(), Swept { sessions: 1, ..Swept::default() });
}

#[tokio::test]
async fn others_cannot_keep_an_owner_out_of_a_network_that_the_account_knows() {
    let fixture = Fixture::new().await;
    let tenant = fixture.tenant("one").await;
    fixture.member("ada@example.org", tenant, Role::Owner).await;
    let from = async |password: &str, address: &str| {
        fixture.login_from("ada@example.org", password, None, address).await
    };
    assert_eq!(code(&from(PASSWORD, "192.0.2.1").await), "ok");
    for _ in 0..10 {
        assert_eq!(code(&from(WRONG, "203.0.113.9").await), "invalid_credentials");
    }
    assert_eq!(code(&from(PASSWORD, "203.0.113.9").await), "too_many_attempts");
    assert_eq!(code(&from(PASSWORD, "198.51.100.7").await), "too_many_attempts");
    // A wrong password is answered there as everywhere, so that nobody learns which network an account knows.
    assert_eq!(code(&from(WRONG, "192.0.2.1").await), "too_many_attempts");
    assert_eq!(code(&from(PASSWORD, "192.0.2.1").await), "ok");
    // The owner's success gives the others no further guess.
    assert_eq!(code(&from(WRONG, "203.0.113.9").await), "too_many_attempts");
    // And there are no more guesses from the known network than from any other.
    for _ in 0..10 {
        assert_eq!(code(&from(WRONG, "192.0.2.1").await), "too_many_attempts");
    }
    assert_eq!(code(&from(PASSWORD, "192.0.2.1").await), "too_many_attempts");
}

#[tokio::test]
async fn a_network_that_is_locked_out_still_lets_in_whom_it_knows() {
    let settings = IdentitySettings { max_address_failures: 6, ..settings() };
    let fixture = Fixture::with(settings).await;
    let tenant = fixture.tenant("one").await;
    fixture.member("ada@example.org", tenant, Role::Owner).await;
    fixture.member("grace@example.org", tenant, Role::Owner).await;
    assert_eq!(code(&fixture.login("ada@example.org", PASSWORD, None).await), "ok");
    for guess in 0..6 {
        fail(&fixture, 1, &format!("guess{guess}@example.org")).await;
    }
    assert_eq!(code(&fixture.login("ada@example.org", PASSWORD, None).await), "ok");
    assert_eq!(code(&fixture.login("grace@example.org", PASSWORD, None).await), "too_many_attempts");
    assert_eq!(code(&fixture.login("ada@example.org", WRONG, None).await), "too_many_attempts");
}
