//! An engine that is away, slow, closed or none at all.

use std::{fs, time::Duration};

use clinicx_keys::{KeyProvider, ProviderError};
use clinicx_vault::{TokenSource, VaultOptions, VaultOptionsError, VaultProvider};

use crate::{
    TOKEN,
    engine::{Fault, TransitEngine},
    options, provider,
};

#[tokio::test]
async fn what_does_not_answer_for_a_moment_is_asked_again() {
    let engine = TransitEngine::start().await;
    let provider = provider(options(&engine.address));
    for faults in [
        [Fault::Status(503), Fault::Status(503)],
        [Fault::Close, Fault::Status(500)],
        [Fault::Status(429), Fault::Status(412)],
    ] {
        engine.fail_with(faults);
        provider.wrap(b"key").await.unwrap_or_else(|error| panic!("{faults:?}: {error}"));
        assert_eq!(engine.seen().len(), 3, "{faults:?}");
    }
}

#[tokio::test]
async fn what_stays_away_is_given_up_after_the_last_try() {
    let engine = TransitEngine::start().await;
    let provider = provider(options(&engine.address));
    engine.fail_with([Fault::Status(503); 3]);
    let error = provider.wrap(b"key").await.unwrap_err();
    assert!(matches!(&error, ProviderError::Unavailable(said) if said.contains("503")), "{error:?}");
    assert_eq!(engine.seen().len(), 3);
    // Nobody listens there.
    let gone = crate::provider(options("http://127.0.0.1:1"));
    assert!(matches!(gone.wrap(b"key").await.unwrap_err(), ProviderError::Unavailable(_)));
}

#[tokio::test]
async fn a_server_that_hangs_is_left_in_time() {
    let engine = TransitEngine::start().await;
    let timeout = Duration::from_millis(200);
    let provider = provider(VaultOptions { timeout, attempts: 1, ..options(&engine.address) });
    engine.fail_with([Fault::Hang]);
    let started = std::time::Instant::now();
    let error = provider.wrap(b"key").await.unwrap_err();
    assert!(matches!(&error, ProviderError::Unavailable(said) if said.contains("in time")), "{error:?}");
    assert!(started.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn a_refusal_is_not_repeated_and_no_redirect_is_followed() {
    let engine = TransitEngine::start().await;
    let provider = provider(options(&engine.address));
    engine.fail_with([Fault::Status(403)]);
    assert!(matches!(provider.wrap(b"key").await.unwrap_err(), ProviderError::Denied(_)));
    for fault in [Fault::Status(404), Fault::Status(400), Fault::Redirect, Fault::Nonsense] {
        engine.fail_with([fault]);
        let error = provider.wrap(b"key").await.unwrap_err();
        assert!(matches!(&error, ProviderError::Unusable(_)), "{fault:?} {error:?}");
    }
    assert_eq!(engine.seen().len(), 5);
}

#[tokio::test]
async fn the_token_file_is_read_anew_and_the_namespace_is_named() {
    let engine = TransitEngine::start().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    let provider = provider(VaultOptions {
        token: TokenSource::File(file.clone()),
        namespace: Some("clinics/eu".to_owned()),
        ..options(&engine.address)
    });
    assert!(matches!(provider.wrap(b"key").await.unwrap_err(), ProviderError::Denied(_)));
    fs::write(&file, "hvs.old\n").unwrap();
    assert!(matches!(provider.wrap(b"key").await.unwrap_err(), ProviderError::Denied(_)));
    fs::write(&file, format!("{TOKEN}\n")).unwrap();
    provider.wrap(b"key").await.unwrap();
    let seen = engine.seen();
    assert!(seen.iter().all(|one| one.namespace.as_deref() == Some("clinics/eu")), "{seen:?}");
    assert!(seen.iter().all(|one| one.path == "/v1/transit/encrypt/clinicx"), "{seen:?}");
}

#[test]
fn options_that_would_give_the_token_away_are_refused() {
    let check = |options: VaultOptions| VaultProvider::new(options).map(drop);
    assert!(matches!(check(options("http://vault.internal:8200")), Err(VaultOptionsError::Address)));
    let named = |mount: &str, key: &str| VaultOptions {
        mount: mount.to_owned(),
        key: key.to_owned(),
        ..options("https://vault.internal:8200")
    };
    assert!(check(named("team/transit", "clinicx")).is_ok());
    for (mount, key) in [("../sys", "clinicx"), ("transit", "a/b"), ("transit", "a?b")] {
        assert!(matches!(check(named(mount, key)), Err(VaultOptionsError::Name(_))), "{mount} {key}");
    }
    let ca_pem = Some(b"no certificate".to_vec());
    let refused = check(VaultOptions { ca_pem, ..named("transit", "clinicx") });
    assert!(matches!(refused, Err(VaultOptionsError::Certificates)));
    let shown = format!("{:?}", options("https://vault.internal:8200"));
    assert!(!shown.contains(TOKEN), "{shown}");
}
