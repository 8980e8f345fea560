//! Notices a master key that is not the one with which the database's fields were sealed.

use clinicx_core::cipher::{CipherError, Field, FieldCipher};
use clinicx_persistence::{Failure, SystemExecutor};
use clinicx_types::id::TenantId;
use sea_orm::{FromQueryResult, JsonValue, raw_sql};
use uuid::Uuid;

/// The row of `system_configurations` that remembers the key, by a digest from which it can't be found.
const NAME: &str = "keys.master_key_check";
/// Stands for no column: the digest is of a key, not of a value.
const FIELD: Field = Field { table: "system_configurations", column: "master_key_check" };

/// What the database says of a master key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyStanding {
    /// It is the one.
    Right,
    /// It is another one.
    Wrong,
    /// The database has not seen one yet.
    Unknown,
}

/// Why a key could not be compared.
#[derive(Debug, thiserror::Error)]
pub enum KeyCheckError {
    /// The digest can't be made.
    #[error("the master key can't be used")]
    Cipher(#[from] CipherError),
    /// The database failed.
    #[error("the master key can't be compared with the database's")]
    Database(#[source] Failure),
}

impl From<sea_orm::DbErr> for KeyCheckError {
    fn from(error: sea_orm::DbErr) -> Self {
        Self::Database(Failure::of(&error))
    }
}

#[derive(FromQueryResult)]
struct Known {
    value: JsonValue,
}

/// Compares a key with the one that the database remembers.
///
/// # Errors
/// [`KeyCheckError`].
pub async fn compare(db: &impl SystemExecutor, cipher: &FieldCipher) -> Result<KeyStanding, KeyCheckError> {
    let known: Option<Known> = db
        .query_one(raw_sql!(Postgres, r#"SELECT value FROM public.system_configurations WHERE key = {NAME}"#))
        .await?;
    let digest = digest(cipher)?;
    Ok(match known {
        None => KeyStanding::Unknown,
        Some(known) if known.value.as_str() == Some(digest.as_str()) => KeyStanding::Right,
        Some(_) => KeyStanding::Wrong,
    })
}

/// Remembers a key, unless another process was first; compare afterwards.
///
/// # Errors
/// [`KeyCheckError`].
pub async fn remember(db: &impl SystemExecutor, cipher: &FieldCipher) -> Result<(), KeyCheckError> {
    let value = JsonValue::from(digest(cipher)?);
    db.execute(raw_sql!(
        Postgres,
        r#"INSERT INTO public.system_configurations (key, value, description)
           VALUES ({NAME}, {value}, 'A digest of the master key, which must not change')
           ON CONFLICT (key) DO NOTHING"#
    ))
    .await?;
    Ok(())
}

fn digest(cipher: &FieldCipher) -> Result<String, CipherError> {
    let bytes = cipher.blind_index(TenantId::new(Uuid::nil()), FIELD, NAME)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
