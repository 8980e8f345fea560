use std::time::Duration;

use proptest::prelude::*;

use super::*;

const FIELD: Field = Field { table: "patient_identifiers", column: "value" };

fn tenant(number: u128) -> TenantId {
    TenantId::new(Uuid::from_u128(number))
}

fn key(byte: u8) -> DataKey {
    DataKey::from_bytes([byte; 32], [byte ^ 0xFF; 32])
}

fn cipher() -> FieldCipher {
    FieldCipher::new(tenant(1), 1, key(7))
}

/// The cipher after a change of keys.
fn rotated() -> FieldCipher {
    FieldCipher::of(tenant(1), 2, BTreeMap::from([(1, Arc::new(key(7))), (2, Arc::new(key(9)))]))
}

#[test]
fn a_value_opens_only_where_it_was_sealed() {
    let (cipher, row) = (cipher(), Uuid::from_u128(1));
    let sealed = cipher.seal_text(tenant(1), FIELD, row, "A123 محمد").unwrap();
    assert_eq!(cipher.open_text(tenant(1), FIELD, row, &sealed).unwrap(), "A123 محمد");

    let other_column = Field { column: "note", ..FIELD };
    let other_table = Field { table: "patients", ..FIELD };
    for (field, row) in [(other_column, row), (other_table, row), (FIELD, Uuid::from_u128(2))] {
        assert_eq!(cipher.open(tenant(1), field, row, &sealed), Err(CipherError::Refused), "{field:?}");
    }
    // The same key in another tenant's hands opens nothing either.
    let neighbour = FieldCipher::new(tenant(2), 1, key(7));
    assert_eq!(neighbour.open(tenant(2), FIELD, row, &sealed), Err(CipherError::Refused));
    let stranger = FieldCipher::new(tenant(1), 1, key(8));
    assert_eq!(stranger.open(tenant(1), FIELD, row, &sealed), Err(CipherError::Refused));
}

#[test]
fn a_cipher_serves_no_other_tenant() {
    let (cipher, row) = (cipher(), Uuid::from_u128(1));
    let sealed = cipher.seal(tenant(1), FIELD, row, b"x").unwrap();
    assert_eq!(cipher.seal(tenant(2), FIELD, row, b"x"), Err(CipherError::OtherTenant));
    assert_eq!(cipher.open(tenant(2), FIELD, row, &sealed), Err(CipherError::OtherTenant));
    assert_eq!(cipher.blind_index(tenant(2), FIELD, "x"), Err(CipherError::OtherTenant));
    assert_eq!(cipher.blind_indexes(tenant(2), FIELD, "x"), Err(CipherError::OtherTenant));
}

#[test]
fn a_changed_value_is_refused_at_every_byte() {
    let (cipher, row) = (cipher(), Uuid::from_u128(1));
    let sealed = cipher.seal(tenant(1), FIELD, row, b"secret").unwrap();
    for at in 0..sealed.len() {
        let mut changed = sealed.clone();
        changed[at] ^= 1;
        assert!(cipher.open(tenant(1), FIELD, row, &changed).is_err(), "byte {at}");
        assert!(cipher.open(tenant(1), FIELD, row, &sealed[..at]).is_err(), "cut at {at}");
    }
    // A value can't be passed off as one of another version, even when both keys are known.
    let mut relabelled = sealed;
    relabelled[..3].copy_from_slice(&head(2));
    assert_eq!(rotated().open(tenant(1), FIELD, row, &relabelled), Err(CipherError::Refused));
}

#[test]
fn equal_values_are_sealed_differently() {
    let (cipher, row) = (cipher(), Uuid::from_u128(1));
    let seal = || cipher.seal(tenant(1), FIELD, row, b"same").unwrap();
    assert_ne!(seal(), seal());
}

#[test]
fn blind_index_is_stable_within_a_column_of_a_tenant_and_nowhere_else() {
    let cipher = cipher();
    let index = |field, text| cipher.blind_index(tenant(1), field, text).unwrap();
    let one = index(FIELD, "A123");
    assert_eq!(one, index(FIELD, "A123"));
    assert_eq!(one.len(), 32);
    let other_tenant = FieldCipher::new(tenant(2), 1, key(8));
    assert_ne!(one, other_tenant.blind_index(tenant(2), FIELD, "A123").unwrap());
    assert_ne!(one, index(Field { column: "other", ..FIELD }, "A123"));
    assert_ne!(one, index(Field { table: "other", ..FIELD }, "A123"));
    assert_ne!(one, index(FIELD, "A124"));
}

#[test]
fn an_older_key_still_opens_and_finds() {
    let (old, new, row) = (cipher(), rotated(), Uuid::from_u128(1));
    let sealed = old.seal(tenant(1), FIELD, row, b"before").unwrap();
    assert_eq!(sealed[..3], head(1));
    assert_eq!(new.open(tenant(1), FIELD, row, &sealed).unwrap(), b"before");
    let again = new.seal(tenant(1), FIELD, row, b"after").unwrap();
    assert_eq!(again[..3], head(2));
    let unknown = old.open(tenant(1), FIELD, row, &again).unwrap_err();
    assert_eq!(unknown, CipherError::UnknownKey(2));
    assert!(unknown.wants_new_cipher() && !CipherError::Refused.wants_new_cipher());
    let indexes = new.blind_indexes(tenant(1), FIELD, "x").unwrap();
    assert_eq!(indexes.len(), 2);
    assert_eq!(indexes[0], new.blind_index(tenant(1), FIELD, "x").unwrap());
    assert_eq!(indexes[1], old.blind_index(tenant(1), FIELD, "x").unwrap());
}

#[test]
fn a_cipher_knows_when_it_is_out_of_date() {
    let now = Instant::now();
    assert_eq!(cipher().require_fresh(), Ok(()));
    assert_eq!(cipher().fresh_until(now + Duration::from_secs(60)).require_fresh(), Ok(()));
    let old = cipher().fresh_until(now - Duration::from_millis(1));
    assert_eq!(old.require_fresh(), Err(CipherError::OutOfDate));
    assert_eq!(old.lasting().require_fresh(), Ok(()));
}

#[test]
fn debug_prints_no_key() {
    assert_eq!(format!("{:?}", cipher()), "FieldCipher { version: 1, .. }");
}

proptest! {
    #[test]
    fn what_is_sealed_opens_to_the_same(
        plain in proptest::collection::vec(any::<u8>(), 0..2_000), row in any::<u128>(), owner in any::<u128>(),
        sealing in any::<[u8; 32]>(), indexing in any::<[u8; 32]>(), version in 1_u16..,
    ) {
        let (owner, row) = (tenant(owner), Uuid::from_u128(row));
        let cipher = FieldCipher::new(owner, version, DataKey::from_bytes(sealing, indexing));
        let sealed = cipher.seal(owner, FIELD, row, &plain).unwrap();
        prop_assert_eq!(&sealed[..3], &head(version)[..]);
        prop_assert_eq!(sealed.len(), 3 + NONCE_BYTES + plain.len() + 16);
        prop_assert_eq!(cipher.open(owner, FIELD, row, &sealed).unwrap(), plain);
    }

    #[test]
    fn bytes_from_anywhere_never_open(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(cipher().open(tenant(1), FIELD, Uuid::from_u128(1), &bytes).is_err());
    }
}
