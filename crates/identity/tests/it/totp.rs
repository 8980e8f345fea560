//! The second factor: enrolment, log-in, recovery codes, and what an operator may do without one.

use std::{sync::Arc, time::Duration};

use clinicx_identity::{
    IdentityError, IdentityKeys, IdentitySettings, LinkToken, LoginRequest, NewMember, Password, Principal,
    RecoveryCodes, SealingKeys, Tokens,
};
use clinicx_types::{clock::Clock, permission::Role};
use totp_rs::{Builder, Secret};

use crate::support::{Fixture, PASSWORD, WRONG, code, origin, request, scope, settings, within_five_seconds};

const EMAIL: &str = "ada@example.org";

/// An account with a second factor.
struct Enrolled {
    fixture: Fixture,
    principal: Arc<Principal>,
    secret: String,
    codes: RecoveryCodes,
}

fn code_of(fixture: &Fixture, secret: &str) -> String {
    let totp = Builder::new().with_secret(Secret::try_from_base32(secret).unwrap()).build_noncompliant();
    totp.generate(u64::try_from(fixture.clock.now().timestamp()).unwrap()).to_string()
}

async fn log_in(fixture: &Fixture, totp: Option<&str>) -> Result<Tokens, IdentityError> {
    let request = LoginRequest { totp: totp.map(str::to_owned), ..request(EMAIL, PASSWORD, None) };
    fixture.identity.login(request, None, &origin()).await
}

async fn clinic() -> (Fixture, Arc<Principal>) {
    let fixture = Fixture::new().await;
    let tenant = fixture.tenant("one").await;
    fixture.member(EMAIL, tenant, Role::Nurse).await;
    let tokens = log_in(&fixture, None).await.unwrap();
    let principal = fixture.principal(&tokens).await;
    (fixture, principal)
}

async fn enrolled() -> Enrolled {
    let (fixture, principal) = clinic().await;
    let password = Password::new(PASSWORD);
    let begun = fixture.identity.enrol_totp(&principal, &password, &origin()).await.unwrap();
    let confirmed =
        fixture.identity.confirm_totp(&principal, &code_of(&fixture, &begun.secret), &origin()).await;
    // The next codes are of later steps than the one that has confirmed.
    fixture.clock.advance(Duration::from_secs(60));
    Enrolled { codes: confirmed.unwrap(), secret: begun.secret, fixture, principal }
}

#[tokio::test]
async fn a_secret_counts_when_it_is_confirmed_and_ends_log_ins_that_came_without() {
    let (fixture, principal) = clinic().await;
    let other = log_in(&fixture, None).await.unwrap();
    let wrong = fixture.identity.enrol_totp(&principal, &Password::new(WRONG), &origin()).await;
    assert!(matches!(wrong, Err(IdentityError::WrongPassword)));
    let nothing = fixture.identity.confirm_totp(&principal, "123456", &origin()).await;
    assert_eq!(code(&nothing), "not_found");
    let password = Password::new(PASSWORD);
    let first = fixture.identity.enrol_totp(&principal, &password, &origin()).await.unwrap();
    let second = fixture.identity.enrol_totp(&principal, &password, &origin()).await.unwrap();
    assert_ne!(first.secret, second.secret);
    // Not confirmed yet: a log-in needs none.
    assert_eq!(code(&log_in(&fixture, None).await), "ok");
    let stale = fixture.identity.confirm_totp(&principal, &code_of(&fixture, &first.secret), &origin()).await;
    assert_eq!(code(&stale), "invalid");
    let codes =
        fixture.identity.confirm_totp(&principal, &code_of(&fixture, &second.secret), &origin()).await;
    assert_eq!(codes.unwrap().recovery_codes.len(), 10);
    assert_eq!(code(&fixture.identity.authenticate(&other.access_token, &origin()).await), "invalid_token");
    assert_eq!(code(&log_in(&fixture, None).await), "totp_required");
    let again = fixture.identity.enrol_totp(&principal, &password, &origin()).await;
    assert_eq!(code(&again), "totp_enrolled");
    assert_eq!(
        (fixture.audited("user.totp_begun").await, fixture.audited("user.totp_enabled").await),
        (2, 1)
    );
}

#[tokio::test]
async fn a_code_is_good_in_its_step_and_the_next_ones_and_once() {
    let Enrolled { fixture, secret, .. } = enrolled().await;
    let now = code_of(&fixture, &secret);
    assert_eq!(code(&log_in(&fixture, Some(&now)).await), "ok");
    assert_eq!(code(&log_in(&fixture, Some(&now)).await), "invalid_totp");
    fixture.clock.advance(Duration::from_secs(30));
    assert_eq!(code(&log_in(&fixture, Some(&now)).await), "invalid_totp");
    let late = code_of(&fixture, &secret);
    fixture.clock.advance(Duration::from_secs(30));
    assert_eq!(code(&log_in(&fixture, Some(&format!(" {} {} ", &late[..3], &late[3..]))).await), "ok");
    let too_late = code_of(&fixture, &secret);
    fixture.clock.advance(Duration::from_secs(60));
    assert_eq!(code(&log_in(&fixture, Some(&too_late)).await), "invalid_totp");
}

#[tokio::test]
async fn of_two_log_ins_with_one_code_at_once_one_succeeds() {
    let Enrolled { fixture, secret, codes, .. } = enrolled().await;
    for shown in [code_of(&fixture, &secret), codes.recovery_codes[0].clone()] {
        let other = fixture.another_process().await;
        let there = LoginRequest { totp: Some(shown.clone()), ..request(EMAIL, PASSWORD, None) };
        let from = origin();
        let (one, two) = tokio::join!(log_in(&fixture, Some(&shown)), other.login(there, None, &from));
        let mut answers = [code(&one), code(&two)];
        answers.sort_unstable();
        assert_eq!(answers, ["invalid_totp", "ok"]);
    }
}

#[tokio::test]
async fn a_recovery_code_stands_in_once() {
    let Enrolled { fixture, codes, .. } = enrolled().await;
    let first = &codes.recovery_codes[0];
    assert_eq!(code(&log_in(&fixture, Some(&first.to_lowercase())).await), "ok");
    assert_eq!(code(&log_in(&fixture, Some(first)).await), "invalid_totp");
    assert_eq!(code(&log_in(&fixture, Some(&codes.recovery_codes[1])).await), "ok");
    assert_eq!(fixture.count("SELECT count(*) FROM public.recovery_codes").await, 8);
}

#[tokio::test]
async fn wrong_codes_lock_the_account_and_a_missing_one_does_not() {
    let Enrolled { fixture, secret, .. } = enrolled().await;
    for _ in 0..12 {
        assert_eq!(code(&log_in(&fixture, None).await), "totp_required");
    }
    // From a network that the account does not know, so that the door closes to everybody there.
    let guess = async |totp: &str| {
        let request = LoginRequest { totp: Some(totp.to_owned()), ..request(EMAIL, PASSWORD, None) };
        let from = clinicx_identity::Origin { source: Some("203.0.113.9".parse().unwrap()), ..origin() };
        fixture.identity.login(request, None, &from).await
    };
    for wrong in
        ["000000", "", "abc", "0000000", "+12345", "ABCD-EFGH-JKMN-PQRS", "000001", "000002", "0", "1"]
    {
        assert_eq!(code(&guess(wrong).await), "invalid_totp", "{wrong}");
    }
    assert_eq!(code(&guess(&code_of(&fixture, &secret)).await), "too_many_attempts");
}

#[tokio::test]
async fn a_wrong_password_is_answered_before_the_second_factor_is_looked_at() {
    let Enrolled { fixture, .. } = enrolled().await;
    let wrong = fixture.login(EMAIL, WRONG, None).await;
    assert_eq!(code(&wrong), "invalid_credentials");
    // Where several tenants are to choose from is told to nobody without the second factor.
    let two = fixture.tenant("two").await;
    let user = clinicx_identity::user::find_by_email(&fixture.app, EMAIL).await.unwrap().unwrap().id;
    fixture.grant(user, two, &[Role::Owner]).await;
    assert_eq!(code(&log_in(&fixture, None).await), "totp_required");
}

#[tokio::test]
async fn a_refused_choice_of_tenant_does_not_use_the_code_up() {
    let Enrolled { fixture, secret, .. } = enrolled().await;
    let two = fixture.tenant("two").await;
    let user = clinicx_identity::user::find_by_email(&fixture.app, EMAIL).await.unwrap().unwrap().id;
    fixture.grant(user, two, &[Role::Owner]).await;
    let shown = code_of(&fixture, &secret);
    assert_eq!(code(&log_in(&fixture, Some(&shown)).await), "tenant_required");
    let request = LoginRequest { totp: Some(shown), ..request(EMAIL, PASSWORD, Some("two")) };
    assert_eq!(code(&fixture.identity.login(request, None, &origin()).await), "ok");
}

#[tokio::test]
async fn a_second_factor_is_given_up_with_password_and_code() {
    let Enrolled { fixture, principal, secret, codes } = enrolled().await;
    let disable = async |password: &str, code: &str| {
        let password = Password::new(password);
        fixture.identity.disable_totp(&principal, (&password, code), &origin()).await
    };
    assert!(matches!(disable(WRONG, &code_of(&fixture, &secret)).await, Err(IdentityError::WrongPassword)));
    assert_eq!(code(&disable(PASSWORD, "000000").await), "invalid_totp");
    assert_eq!(fixture.count("SELECT count(*) FROM public.recovery_codes").await, 10);
    disable(PASSWORD, &codes.recovery_codes[9]).await.unwrap();
    assert_eq!(code(&disable(PASSWORD, &codes.recovery_codes[8]).await), "not_found");
    assert_eq!(code(&log_in(&fixture, None).await), "ok");
    assert_eq!(fixture.count("SELECT count(*) FROM public.recovery_codes").await, 0);
}

/// Wrong codes of somebody who has the password and a session, until the door is closed.
async fn guess_ten_codes(fixture: &Fixture, principal: &Principal) {
    let password = Password::new(PASSWORD);
    for _ in 0..10 {
        let refused = fixture.identity.disable_totp(principal, (&password, "000000"), &origin()).await;
        assert_eq!(code(&refused), "invalid_totp");
    }
}

#[tokio::test]
async fn wrong_codes_close_the_door_to_who_has_a_session_and_the_password() {
    let Enrolled { fixture, principal, secret, .. } = enrolled().await;
    guess_ten_codes(&fixture, &principal).await;
    let password = Password::new(PASSWORD);
    for right in ["000000", &code_of(&fixture, &secret)] {
        let refused = fixture.identity.disable_totp(&principal, (&password, right), &origin()).await;
        assert_eq!(code(&refused), "too_many_attempts");
    }
    assert_eq!(code(&log_in(&fixture, Some(&code_of(&fixture, &secret))).await), "too_many_attempts");
}

#[tokio::test]
async fn codes_that_are_guessed_at_once_are_counted_too() {
    let Enrolled { fixture, principal, .. } = enrolled().await;
    let guesses: Vec<_> = (0..40)
        .map(|_| {
            let (identity, principal) = (fixture.identity.clone(), Arc::clone(&principal));
            tokio::spawn(async move {
                identity.disable_totp(&principal, (&Password::new(PASSWORD), "000000"), &origin()).await
            })
        })
        .collect();
    let mut checked = 0;
    for guess in guesses {
        match code(&guess.await.unwrap()) {
            "invalid_totp" => checked += 1,
            other => assert_eq!(other, "too_many_attempts"),
        }
    }
    // As many more as there are cores can be under way when the tenth is counted.
    let cores = std::thread::available_parallelism().unwrap().get();
    assert!((10..10 + cores).contains(&checked), "{checked} guesses");
}

#[tokio::test]
async fn what_the_password_alone_opens_gives_no_further_guess_at_a_code() {
    let Enrolled { fixture, principal, secret, .. } = enrolled().await;
    let (password, other) = (Password::new(PASSWORD), Password::new("another horse battery"));
    for _ in 0..8 {
        assert_eq!(code(&log_in(&fixture, Some("000000")).await), "invalid_totp");
    }
    let change = async |from: &Password, to: &Password| {
        code(&fixture.identity.change_password(&principal, (from, to), &origin()).await)
    };
    assert_eq!(change(&password, &password).await, "invalid");
    assert_eq!((change(&password, &other).await, change(&other, &password).await), ("ok", "ok"));
    let enrol = fixture.identity.enrol_totp(&principal, &password, &origin()).await;
    assert_eq!(code(&enrol), "totp_enrolled");
    for _ in 0..2 {
        assert_eq!(code(&log_in(&fixture, Some("000000")).await), "invalid_totp");
    }
    assert_eq!(code(&log_in(&fixture, Some(&code_of(&fixture, &secret))).await), "too_many_attempts");
}

#[tokio::test]
async fn a_password_reset_gives_no_further_guess_at_a_code() {
    let Enrolled { fixture, secret, .. } = enrolled().await;
    for _ in 0..9 {
        assert_eq!(code(&log_in(&fixture, Some("000000")).await), "invalid_totp");
    }
    let token = fixture.identity.issue_password_reset(&scope(), EMAIL).await.unwrap();
    fixture.identity.reset_password(&token, &Password::new(PASSWORD), &origin()).await.unwrap();
    assert_eq!(code(&log_in(&fixture, Some("000000")).await), "invalid_totp");
    assert_eq!(code(&log_in(&fixture, Some(&code_of(&fixture, &secret))).await), "too_many_attempts");
}

#[tokio::test]
async fn guesses_at_a_secret_that_was_begun_are_counted_also_at_once() {
    let (fixture, principal) = clinic().await;
    let begun = fixture.identity.enrol_totp(&principal, &Password::new(PASSWORD), &origin()).await.unwrap();
    let guesses: Vec<_> = (0..20)
        .map(|_| {
            let (identity, principal) = (fixture.identity.clone(), Arc::clone(&principal));
            tokio::spawn(async move { identity.confirm_totp(&principal, "000000", &origin()).await })
        })
        .collect();
    let mut checked = 0;
    for guess in guesses {
        match code(&guess.await.unwrap()) {
            "invalid" => checked += 1,
            other => assert_eq!(other, "too_many_attempts"),
        }
    }
    assert_eq!((checked, fixture.audited("user.login_refused").await), (10, 10));
    let right = fixture.identity.confirm_totp(&principal, &code_of(&fixture, &begun.secret), &origin()).await;
    assert_eq!(code(&right), "too_many_attempts");
    // What was begun and left is no door for whoever comes later.
    fixture.clock.advance(Duration::from_secs(15 * 60));
    let late = fixture.identity.confirm_totp(&principal, &code_of(&fixture, &begun.secret), &origin()).await;
    assert_eq!(code(&late), "not_found");
    let again = fixture.identity.enrol_totp(&principal, &Password::new(PASSWORD), &origin()).await.unwrap();
    let done = fixture.identity.confirm_totp(&principal, &code_of(&fixture, &again.secret), &origin()).await;
    assert_eq!(code(&done), "ok");
}

#[tokio::test]
async fn an_accepted_invitation_gives_no_further_guess_at_a_code() {
    let Enrolled { fixture, secret, .. } = enrolled().await;
    let two = fixture.tenant("two").await;
    let new = NewMember { email: EMAIL, full_name: "Ada", roles: &[Role::Nurse] };
    fixture.identity.invite(&scope(), two, new).await.unwrap();
    let token = LinkToken::new(&fixture.mailed_token().await);
    for _ in 0..9 {
        assert_eq!(code(&log_in(&fixture, Some("000000")).await), "invalid_totp");
    }
    let accepted =
        fixture.identity.accept_invitation(&token, (&Password::new(PASSWORD), None), &origin()).await;
    assert_eq!(code(&accepted), "ok");
    assert_eq!(code(&log_in(&fixture, Some("000000")).await), "invalid_totp");
    assert_eq!(code(&log_in(&fixture, Some(&code_of(&fixture, &secret))).await), "too_many_attempts");
}

#[tokio::test]
async fn an_administrator_takes_a_lost_factor_away() {
    let Enrolled { fixture, principal, .. } = enrolled().await;
    fixture.identity.reset_totp(&scope(), principal.user_id).await.unwrap();
    assert_eq!(code(&log_in(&fixture, None).await), "ok");
    assert_eq!(fixture.audited("user.totp_reset").await, 1);
}

#[tokio::test]
async fn a_password_reset_leaves_the_second_factor_in_place() {
    let Enrolled { fixture, .. } = enrolled().await;
    let token = fixture.identity.issue_password_reset(&scope(), EMAIL).await.unwrap();
    fixture.identity.reset_password(&token, &Password::new(PASSWORD), &origin()).await.unwrap();
    assert_eq!(code(&log_in(&fixture, None).await), "totp_required");
}

#[tokio::test]
async fn the_secret_stands_nowhere_in_clear_and_a_retired_key_still_opens_it() {
    let Enrolled { fixture, secret, codes, .. } = enrolled().await;
    let bytes = Secret::try_from_base32(&secret).unwrap().as_bytes().to_vec();
    let stored: Vec<u8> =
        sqlx::query_scalar("SELECT secret FROM public.totp_secrets").fetch_one(&fixture.admin).await.unwrap();
    assert!(!stored.windows(bytes.len()).any(|window| window == bytes.as_slice()));
    let with = |sealing: SealingKeys| {
        let keys = IdentityKeys { token: fixture.keys.token.clone(), sealing };
        let clock = Arc::clone(&fixture.clock);
        let ids = Arc::new(clinicx_types::clock::RandomIds);
        clinicx_identity::Identity::new(fixture.app.clone(), &keys, settings(), clock, ids).unwrap()
    };
    let shown = |totp: String| LoginRequest { totp: Some(totp), ..request(EMAIL, PASSWORD, None) };
    let rotated = with(SealingKeys::new([8; 32]).with_retired([9; 32]));
    assert_eq!(code(&rotated.login(shown(code_of(&fixture, &secret)), None, &origin()).await), "ok");
    // Without the key no code fits, and a recovery code still does.
    fixture.clock.advance(Duration::from_secs(60));
    let lost = with(SealingKeys::new([8; 32]));
    assert_eq!(code(&lost.login(shown(code_of(&fixture, &secret)), None, &origin()).await), "invalid_totp");
    let recovery = codes.recovery_codes[0].clone();
    assert_eq!(code(&lost.login(shown(recovery), None, &origin()).await), "ok");
}

#[tokio::test]
async fn an_operator_without_a_second_factor_can_only_enrol_where_one_is_demanded() {
    let demanding = IdentitySettings { require_operator_totp: true, ..settings() };
    let fixture = Fixture::with(demanding).await;
    fixture.operator("operator@example.org").await;
    let tokens = fixture.login("operator@example.org", PASSWORD, None).await.unwrap();
    let principal = fixture.principal(&tokens).await;
    assert!(principal.must_enrol && principal.is_operator);
    let begun = fixture.identity.enrol_totp(&principal, &Password::new(PASSWORD), &origin()).await.unwrap();
    let shown = code_of(&fixture, &begun.secret);
    fixture.identity.confirm_totp(&principal, &shown, &origin()).await.unwrap();
    assert!(!fixture.principal(&tokens).await.must_enrol);
    // Where none is demanded, and for a user of a tenant, nothing changes.
    let tenant = fixture.tenant("one").await;
    fixture.member(EMAIL, tenant, Role::Nurse).await;
    let tokens = fixture.login(EMAIL, PASSWORD, None).await.unwrap();
    assert!(!fixture.principal(&tokens).await.must_enrol);
    let lenient = fixture.another_process().await;
    fixture.identity.reset_totp(&scope(), principal.user_id).await.unwrap();
    let tokens = fixture.login("operator@example.org", PASSWORD, None).await.unwrap();
    within_five_seconds(async || {
        !lenient.authenticate(&tokens.access_token, &origin()).await.unwrap().must_enrol
    })
    .await;
}
