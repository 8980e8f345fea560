//! Wrapping, unwrapping, wrapping anew: the same for every engine.

use clinicx_keys::{KeyProvider, ProviderError, Wrapped};
use clinicx_vault::{TokenSource, VaultOptions};

use crate::{engine::TransitEngine, options, provider};

/// Checks an engine that has the keys `clinicx` and `other`; `rotate` adds a version to `clinicx`.
pub(crate) async fn check(options: VaultOptions, rotate: impl AsyncFnOnce()) {
    let ours = provider(options.clone());
    let key = [0xA5_u8; 82];
    assert_eq!(ours.key_id().await.unwrap(), "clinicx/1");
    let wrapped = ours.wrap(&key).await.unwrap();
    assert_eq!(wrapped.key_id, "clinicx/1");
    assert!(wrapped.bytes.starts_with(b"vault:v1:"));
    assert_eq!(ours.unwrap(&wrapped).await.unwrap().as_slice(), key);

    rotate().await;
    assert_eq!(ours.key_id().await.unwrap(), "clinicx/2");
    assert_eq!(ours.unwrap(&wrapped).await.unwrap().as_slice(), key);
    let again = ours.rewrap(&wrapped).await.unwrap();
    assert_eq!(again.key_id, "clinicx/2");
    assert_ne!(again.bytes, wrapped.bytes);
    assert_eq!(ours.unwrap(&again).await.unwrap().as_slice(), key);

    // Another transit key wraps now; what the first wrapped is found by the name in its id.
    let other = provider(VaultOptions { key: "other".to_owned(), ..options.clone() });
    assert_eq!(other.unwrap(&wrapped).await.unwrap().as_slice(), key);
    let moved = other.rewrap(&wrapped).await.unwrap();
    assert_eq!(moved.key_id, "other/1");
    assert_eq!(ours.unwrap(&moved).await.unwrap().as_slice(), key);

    let mislabelled = Wrapped { key_id: "other/1".to_owned(), ..wrapped.clone() };
    assert_eq!(ours.unwrap(&mislabelled).await.unwrap_err(), ProviderError::Refused);
    let mut changed = wrapped.clone();
    let last = changed.bytes.len() - 5;
    changed.bytes[last] = if changed.bytes[last] == b'A' { b'B' } else { b'A' };
    assert_eq!(ours.unwrap(&changed).await.unwrap_err(), ProviderError::Refused);
    assert_eq!(ours.rewrap(&changed).await.unwrap_err(), ProviderError::Refused);
    for id in ["clinicx", "../sys/1", "a/../b/1", "a b/1", "/1"] {
        let strange = Wrapped { key_id: id.to_owned(), ..wrapped.clone() };
        let expected = ProviderError::UnknownKey(id.to_owned());
        assert_eq!(ours.unwrap(&strange).await.unwrap_err(), expected, "{id}");
    }

    let nameless = provider(VaultOptions { key: "nobody-made-it".to_owned(), ..options.clone() });
    assert!(matches!(nameless.key_id().await.unwrap_err(), ProviderError::Unusable(_)));
    let elsewhere = provider(VaultOptions { mount: "elsewhere".to_owned(), ..options.clone() });
    assert!(matches!(
        elsewhere.key_id().await.unwrap_err(),
        ProviderError::Unusable(_) | ProviderError::Denied(_)
    ));
    let stranger = TokenSource::Given("hvs.a-stranger".to_owned().into());
    let stranger = provider(VaultOptions { token: stranger, ..options });
    let error = stranger.wrap(&key).await.unwrap_err();
    assert!(matches!(&error, ProviderError::Denied(_)), "{error:?}");
    assert!(!error.to_string().contains("a-stranger"), "{error}");
}

#[tokio::test]
async fn a_key_is_wrapped_unwrapped_and_wrapped_anew() {
    let engine = TransitEngine::start().await;
    engine.rotate("other");
    check(options(&engine.address), async || engine.rotate("clinicx")).await;
}
