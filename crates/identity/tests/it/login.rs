//! Logging in: who gets where, and what the others learn.

use std::time::{Duration, Instant};

use clinicx_identity::{IdentityError, Password, PasswordHash, user};
use clinicx_types::permission::Role;

use crate::support::{Fixture, PASSWORD, WRONG, code, origin, request, scope};

#[tokio::test]
async fn each_log_in_leads_where_it_should() {
    let fixture = Fixture::new().await;
    let (one, two) = (fixture.tenant("one").await, fixture.tenant("two").await);
    let (asleep, ended) = (fixture.tenant("asleep").await, fixture.tenant("ended").await);
    let fresh = fixture.tenant("fresh").await;
    for (tenant, status) in [(asleep, "suspended"), (ended, "archived"), (fresh, "provisioning")] {
        fixture.set_status(tenant, status).await;
    }
    fixture.member("single@example.org", one, Role::Nurse).await;
    let several = fixture.member("several@example.org", one, Role::Nurse).await;
    fixture.grant(several, two, &[Role::Owner]).await;
    fixture.grant(several, asleep, &[Role::Owner]).await;
    fixture.member("asleep@example.org", asleep, Role::Owner).await;
    fixture.member("ended@example.org", ended, Role::Owner).await;
    fixture.member("fresh@example.org", fresh, Role::Owner).await;
    fixture.user("nowhere@example.org").await;
    fixture.operator("operator@example.org").await;
    let both = fixture.operator("both@example.org").await;
    fixture.grant(both, two, &[Role::Admin]).await;
    let disabled = fixture.member("disabled@example.org", one, Role::Nurse).await;
    user::disable(&fixture.app, &scope(), disabled, None).await.unwrap();

    let check = async |email: &str, password: &str, tenant: Option<&str>, expected: &str| {
        let result = fixture.login(email, password, tenant).await;
        assert_eq!(code(&result), expected, "{email} {tenant:?}");
        result.ok()
    };
    let single = check("single@example.org", PASSWORD, None, "ok").await.unwrap();
    let principal = fixture.principal(&single).await;
    assert_eq!((principal.tenant, principal.is_operator), (Some(one), false));
    assert_eq!(principal.roles, [Role::Nurse]);
    check("  SINGLE@Example.Org ", PASSWORD, Some("one"), "ok").await;
    check("single@example.org", PASSWORD, Some("two"), "invalid_credentials").await;
    check("single@example.org", PASSWORD, Some("unheard-of"), "invalid_credentials").await;
    check("single@example.org", WRONG, None, "invalid_credentials").await;
    check("single@example.org", "", None, "invalid_credentials").await;
    check("single@example.org", &"x".repeat(5000), None, "invalid_credentials").await;
    check("nobody@example.org", PASSWORD, None, "invalid_credentials").await;
    check("no address", PASSWORD, None, "invalid_credentials").await;
    check("", PASSWORD, None, "invalid_credentials").await;
    check("single@example.org\0", PASSWORD, None, "invalid_credentials").await;
    check("single@example.org", "\0", None, "invalid_credentials").await;
    check(&"x".repeat(5000), PASSWORD, None, "invalid_credentials").await;
    check("disabled@example.org", PASSWORD, None, "invalid_credentials").await;
    check("disabled@example.org", WRONG, None, "invalid_credentials").await;
    check("several@example.org", PASSWORD, None, "tenant_required").await;
    check("several@example.org", WRONG, None, "invalid_credentials").await;
    check("several@example.org", PASSWORD, Some("two"), "ok").await;
    check("several@example.org", PASSWORD, Some("asleep"), "tenant_suspended").await;
    check("asleep@example.org", PASSWORD, None, "tenant_suspended").await;
    check("asleep@example.org", WRONG, Some("asleep"), "invalid_credentials").await;
    check("ended@example.org", PASSWORD, Some("ended"), "tenant_gone").await;
    check("fresh@example.org", PASSWORD, Some("fresh"), "invalid_credentials").await;
    check("fresh@example.org", PASSWORD, None, "no_membership").await;
    check("nowhere@example.org", PASSWORD, None, "no_membership").await;
    check("operator@example.org", PASSWORD, Some("one"), "invalid_credentials").await;
    let platform = check("operator@example.org", PASSWORD, None, "ok").await.unwrap();
    let principal = fixture.principal(&platform).await;
    assert_eq!((principal.tenant, principal.is_operator, principal.roles.len()), (None, true, 0));
    check("both@example.org", PASSWORD, None, "ok").await;
    let inside = check("both@example.org", PASSWORD, Some("two"), "ok").await.unwrap();
    let principal = fixture.principal(&inside).await;
    assert_eq!((principal.tenant, principal.is_operator), (Some(two), false));
}

#[tokio::test]
async fn a_user_of_several_tenants_is_told_which() {
    let fixture = Fixture::new().await;
    let user = fixture.user("several@example.org").await;
    for slug in ["zeta", "alpha"] {
        let tenant = fixture.tenant(slug).await;
        fixture.grant(user, tenant, &[Role::Nurse]).await;
    }
    let error = fixture.login("several@example.org", PASSWORD, None).await.unwrap_err();
    let slugs: Vec<&str> = error.tenants().iter().map(|slug| slug.as_str()).collect();
    assert_eq!(slugs, ["alpha", "zeta"]);
}

#[tokio::test]
async fn header_or_host_name_the_tenant_that_is_meant() {
    let fixture = Fixture::new().await;
    let (one, two) = (fixture.tenant("one").await, fixture.tenant("two").await);
    let both = fixture.member("both@example.org", one, Role::Nurse).await;
    fixture.grant(both, two, &[Role::Owner]).await;
    let operator = fixture.operator("operator@example.org").await;
    let check = async |email: &str, body: Option<&str>, claimed: &str, expected: &str| {
        let claimed = claimed.parse().unwrap();
        let result = fixture.identity.login(request(email, PASSWORD, body), Some(&claimed), &origin()).await;
        let outcome = match &result {
            Ok(tokens) if fixture.principal(tokens).await.tenant == Some(one) => "one",
            Ok(tokens) if fixture.principal(tokens).await.tenant == Some(two) => "two",
            Ok(_) => "platform",
            Err(_) => code(&result),
        };
        assert_eq!(outcome, expected, "{email} {body:?} {claimed}");
    };
    check("both@example.org", None, "one", "one").await;
    check("both@example.org", None, "two", "two").await;
    check("both@example.org", Some("two"), "two", "two").await;
    check("both@example.org", Some("one"), "two", "tenant_mismatch").await;
    check("both@example.org", None, "nowhere", "invalid_credentials").await;
    check("operator@example.org", None, "one", "invalid_credentials").await;
    fixture.grant(operator, one, &[Role::Admin]).await;
    check("operator@example.org", None, "one", "one").await;
    let refused = "SELECT count(*) FROM public.audit_logs
                   WHERE action = 'user.login_refused' AND after ->> 'reason' = 'tenant_mismatch'";
    assert_eq!(fixture.count(refused).await, 1);
}

#[tokio::test]
async fn a_mismatch_counts_as_a_failure() {
    let fixture = Fixture::new().await;
    let tenant = fixture.tenant("one").await;
    fixture.member("ada@example.org", tenant, Role::Owner).await;
    let claimed = "two".parse().unwrap();
    let attempt = async || {
        let request = request("ada@example.org", WRONG, Some("one"));
        code(&fixture.identity.login(request, Some(&claimed), &origin()).await)
    };
    let mut codes = Vec::new();
    while codes.last() != Some(&"too_many_attempts") && codes.len() < 100 {
        codes.push(attempt().await);
    }
    assert_eq!(codes.first(), Some(&"tenant_mismatch"));
    assert_eq!(codes.last(), Some(&"too_many_attempts"));
    let right = request("ada@example.org", PASSWORD, None);
    assert_eq!(code(&fixture.identity.refuse_locked_out(&right, &origin()).await), "too_many_attempts");
}

#[tokio::test]
async fn the_audit_knows_who_failed_and_holds_no_address() {
    let fixture = Fixture::new().await;
    let tenant = fixture.tenant("one").await;
    let user = fixture.member("ada@example.org", tenant, Role::Owner).await;
    let before = fixture.audit().await.len();
    let _ = fixture.login("ada@example.org", WRONG, None).await;
    let _ = fixture.login("mallory@example.org", WRONG, None).await;
    fixture.login("ada@example.org", PASSWORD, None).await.unwrap();
    let audit = fixture.audit().await.split_off(before);
    let expected = [
        ("user.login_refused".to_owned(), Some(user.uuid()), None),
        ("user.login_refused".to_owned(), None, None),
        ("user.logged_in".to_owned(), Some(user.uuid()), Some(tenant.uuid())),
    ];
    assert_eq!(audit, expected);
    let leaks = "SELECT count(*) FROM public.audit_logs AS a
                 WHERE a::text ~ 'example.org|horse|argon2|cxr_' OR a.source_address IS NULL AND a.actor_job IS NULL";
    assert_eq!(fixture.count(leaks).await, 0);
}

#[tokio::test]
async fn an_account_without_a_password_lets_nobody_in() {
    let fixture = Fixture::new().await;
    let tenant = fixture.tenant("one").await;
    let user = fixture.member("ada@example.org", tenant, Role::Owner).await;
    sqlx::query("UPDATE public.users SET password_hash = NULL").execute(&fixture.admin).await.unwrap();
    for password in ["", PASSWORD] {
        assert_eq!(code(&fixture.login("ada@example.org", password, None).await), "invalid_credentials");
    }
    fixture.identity.set_password(&scope(), user, &Password::new(WRONG), None).await.unwrap();
    assert_eq!(code(&fixture.login("ada@example.org", WRONG, None).await), "ok");
}

#[tokio::test]
async fn an_unknown_account_takes_as_long_as_a_known_one() {
    let fixture = Fixture::new().await;
    let tenant = fixture.tenant("one").await;
    fixture.member("ada@example.org", tenant, Role::Owner).await;
    // The shortest of several is what the work takes; whatever else runs on the machine only makes it longer.
    let mut shortest = [Duration::MAX; 2];
    for _ in 0..5 {
        for (place, email) in shortest.iter_mut().zip(["ada@example.org", "nobody@example.org"]) {
            let begin = Instant::now();
            assert_eq!(code(&fixture.login(email, WRONG, None).await), "invalid_credentials");
            *place = begin.elapsed().min(*place);
        }
    }
    let [known, unknown] = shortest;
    assert!(unknown * 2 > known && known * 2 > unknown, "{known:?} and {unknown:?}");
}

#[tokio::test]
async fn a_hash_with_old_parameters_is_renewed_at_the_next_log_in() {
    let fixture = Fixture::new().await;
    let tenant = fixture.tenant("one").await;
    fixture.member("ada@example.org", tenant, Role::Owner).await;
    // argon2id of PASSWORD with m=1024, t=1, p=1.
    sqlx::query("UPDATE public.users SET password_hash = $1")
        .bind(weak_hash())
        .execute(&fixture.admin)
        .await
        .unwrap();
    assert_eq!(code(&fixture.login("ada@example.org", WRONG, None).await), "invalid_credentials");
    let renewed =
        "SELECT count(*) FROM public.users WHERE password_hash LIKE '$argon2id$v=19$m=19456,t=2,p=1$%'";
    assert_eq!(fixture.count(renewed).await, 0);
    for _ in 0..2 {
        assert_eq!(code(&fixture.login("ada@example.org", PASSWORD, None).await), "ok");
        assert_eq!(fixture.count(renewed).await, 1);
    }
}

fn weak_hash() -> String {
    use argon2::{Algorithm, Argon2, Params, Version, password_hash::PasswordHasher};
    let weak = Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::new(1024, 1, 1, None).unwrap());
    weak.hash_password(PASSWORD.as_bytes()).unwrap().to_string()
}

#[tokio::test]
async fn forty_log_ins_at_once_all_succeed() {
    let fixture = Fixture::new().await;
    let tenant = fixture.tenant("one").await;
    fixture.member("ada@example.org", tenant, Role::Owner).await;
    let log_ins: Vec<_> = (0..40)
        .map(|_| {
            let identity = fixture.identity.clone();
            tokio::spawn(async move {
                identity.login(request("ada@example.org", PASSWORD, None), None, &origin()).await
            })
        })
        .collect();
    for log_in in log_ins {
        assert_eq!(code(&log_in.await.unwrap()), "ok");
    }
    assert_eq!(fixture.count("SELECT count(*) FROM public.login_attempts").await, 0);
}

#[tokio::test]
async fn nothing_that_is_printed_holds_a_secret() {
    let fixture = Fixture::new().await;
    let tenant = fixture.tenant("one").await;
    fixture.member("ada@example.org", tenant, Role::Owner).await;
    let tokens = fixture.login("ada@example.org", PASSWORD, None).await.unwrap();
    let principal = fixture.principal(&tokens).await;
    let me = fixture.identity.me(&principal).await.unwrap();
    let error: IdentityError = fixture.login("ada@example.org", WRONG, None).await.unwrap_err();
    let hash: Option<PasswordHash> = None;
    let text = format!(
        "{tokens:?} {principal:?} {me:?} {error:?} {error} {hash:?} {:?} {:?}",
        fixture.identity,
        request("ada@example.org", PASSWORD, None),
    );
    for secret in ["ada@", "example.org", "horse", "Somebody", "eyJ", "cxr_", "$argon2"] {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
}
