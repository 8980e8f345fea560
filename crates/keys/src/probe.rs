//! A known value, wrapped and kept in the database: by it a process finds out whether its master key is the one.

use clinicx_persistence::SystemExecutor;
use sea_orm::{FromQueryResult, JsonValue, raw_sql};
use serde_json::json;

use base64::{Engine, prelude::BASE64_STANDARD};

use crate::{
    error::KeyError,
    provider::{KeyProviders, ProviderError, Wrapped},
};

/// The row of `system_configurations` that holds it.
const NAME: &str = "keys.probe";
const PLAIN: &[u8] = b"clinicx: a value that everybody may know";

/// What the database says of a process's master key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is the one, and the one that wraps now.
    Right,
    /// It is here, and a newer one or another provider wraps now: wrapped keys can be wrapped anew.
    Older,
    /// It is another one; the id is that of the master key that is missing.
    Wrong(String),
    /// The database has not seen one yet.
    Unknown,
}

#[derive(FromQueryResult)]
struct Known {
    value: JsonValue,
}

/// Asks the provider to unwrap what the database remembers.
///
/// # Errors
/// [`KeyError::Provider`] when the provider does not answer; [`KeyError::Malformed`]; [`KeyError::Database`].
pub async fn compare(db: &impl SystemExecutor, providers: &KeyProviders) -> Result<Standing, KeyError> {
    let known: Option<Known> = db
        .query_one(raw_sql!(Postgres, r#"SELECT value FROM public.system_configurations WHERE key = {NAME}"#))
        .await?;
    // Also when nothing is known yet: a provider that does not answer is to be noticed at the start.
    let present = providers.primary().key_id().await?;
    let Some(known) = known else { return Ok(Standing::Unknown) };
    let (provider, wrapped) = read(&known.value).ok_or(KeyError::Malformed)?;
    match providers.unwrap(&provider, &wrapped).await {
        Ok(plain) if plain.as_slice() == PLAIN => {
            let same = provider == providers.primary().name() && wrapped.key_id == present;
            Ok(if same { Standing::Right } else { Standing::Older })
        }
        Ok(_) | Err(ProviderError::Refused) => Ok(Standing::Wrong(wrapped.key_id)),
        Err(ProviderError::UnknownKey(key_id)) => Ok(Standing::Wrong(key_id)),
        Err(ProviderError::NotConfigured(name)) => {
            Ok(Standing::Wrong(format!("{} of {name}", wrapped.key_id)))
        }
        Err(error) => Err(error.into()),
    }
}

/// Remembers the present master key where none is remembered yet; compare afterwards, another process may have
/// been first.
///
/// # Errors
/// [`KeyError`].
pub async fn remember(db: &impl SystemExecutor, providers: &KeyProviders) -> Result<(), KeyError> {
    let value = wrap(providers).await?;
    db.execute(raw_sql!(
        Postgres,
        r#"INSERT INTO public.system_configurations (key, value, description)
           VALUES ({NAME}, {value}, 'A known value, wrapped: it shows whether a process has the right master key')
           ON CONFLICT (key) DO NOTHING"#
    ))
    .await?;
    Ok(())
}

/// Remembers the present master key instead of an older one.
///
/// # Errors
/// [`KeyError`].
pub async fn renew(db: &impl SystemExecutor, providers: &KeyProviders) -> Result<(), KeyError> {
    let value = wrap(providers).await?;
    db.execute(raw_sql!(
        Postgres,
        r#"UPDATE public.system_configurations SET value = {value}, version = version + 1, updated_at = now()
           WHERE key = {NAME}"#
    ))
    .await?;
    Ok(())
}

async fn wrap(providers: &KeyProviders) -> Result<JsonValue, KeyError> {
    let primary = providers.primary();
    let Wrapped { key_id, bytes } = primary.wrap(PLAIN).await?;
    Ok(json!({ "provider": primary.name(), "key_id": key_id, "wrapped": BASE64_STANDARD.encode(bytes) }))
}

fn read(value: &JsonValue) -> Option<(String, Wrapped)> {
    let text = |name: &str| value.get(name).and_then(JsonValue::as_str);
    let bytes = BASE64_STANDARD.decode(text("wrapped")?).ok()?;
    Some((text("provider")?.to_owned(), Wrapped { key_id: text("key_id")?.to_owned(), bytes }))
}
