//! Shows and changes configurations.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use clinicx_persistence::{SystemExecutor, SystemTransaction};
use clinicx_types::setting::Declared;
use sea_orm::{FromQueryResult, raw_sql};
use serde_json::{Value, json};

use super::Setting;
use crate::{
    audit::{self, Action},
    error::TenancyError,
    module::ModuleRegistry,
    scope::PlatformScope,
    service::{Tenancy, settle},
};

/// A new value.
#[derive(Clone, Debug)]
pub struct NewValue {
    /// The value.
    pub value: Value,
    /// A note about it, instead of the declared description; at most 500 characters.
    pub description: Option<String>,
}

/// The most characters of a note.
pub(crate) const MAX_DESCRIPTION: usize = 500;

/// Lists every configuration that is declared, by its name.
///
/// # Errors
/// [`TenancyError::Database`].
pub async fn list(db: &impl SystemExecutor, modules: &ModuleRegistry) -> Result<Vec<Setting>, TenancyError> {
    let statement = raw_sql!(
        Postgres,
        r#"SELECT key, value, description, version, created_at, updated_at FROM public.system_configurations"#
    );
    let rows: Vec<Row> = db.query_all(statement).await?;
    let mut by_key: BTreeMap<String, Row> = rows.into_iter().map(|row| (row.key.clone(), row)).collect();
    let mut all: Vec<_> =
        modules.configurations().map(|declared| setting(declared, by_key.remove(declared.key()))).collect();
    all.sort_by_key(|setting| setting.key);
    Ok(all)
}

/// Returns a configuration.
///
/// # Errors
/// [`TenancyError::UnknownSetting`], [`TenancyError::Database`].
pub async fn get(
    db: &impl SystemExecutor,
    modules: &ModuleRegistry,
    key: &str,
) -> Result<Setting, TenancyError> {
    let declared = declared(modules, key)?;
    let statement = raw_sql!(
        Postgres,
        r#"SELECT key, value, description, version, created_at, updated_at
           FROM public.system_configurations WHERE key = {key}"#
    );
    Ok(setting(declared, db.query_one(statement).await?))
}

impl Tenancy {
    /// Sets a configuration, with its audit row in the same transaction.
    ///
    /// # Errors
    /// [`TenancyError::UnknownSetting`], [`TenancyError::Invalid`], [`TenancyError::VersionMismatch`],
    /// [`TenancyError::Database`].
    #[tracing::instrument(name = "tenancy.configuration.set", skip_all, fields(configuration = key), err(level = "debug"))]
    pub async fn set_configuration(
        &self,
        key: &str,
        new: NewValue,
        expected: Option<i64>,
        by: &PlatformScope,
    ) -> Result<Setting, TenancyError> {
        let declared = declared(self.modules(), key)?;
        declared
            .check(&new.value)
            .map_err(|error| TenancyError::field("/value", error.code, &error.detail))?;
        check_description(new.description.as_deref())?;
        let tx = self.control().begin().await?;
        let result = set_in(&tx, declared, new, expected, by).await;
        let set = settle(tx, result).await?;
        tracing::info!("configuration set");
        Ok(set)
    }

    /// Takes a configuration back to its default, with its audit row in the same transaction; one that has it
    /// already stays as it is.
    ///
    /// # Errors
    /// As [`Tenancy::set_configuration`].
    #[tracing::instrument(name = "tenancy.configuration.unset", skip_all, fields(configuration = key), err(level = "debug"))]
    pub async fn unset_configuration(
        &self,
        key: &str,
        expected: Option<i64>,
        by: &PlatformScope,
    ) -> Result<(), TenancyError> {
        let declared = declared(self.modules(), key)?;
        let tx = self.control().begin().await?;
        let result = unset_in(&tx, declared, expected, by).await;
        settle(tx, result).await?;
        tracing::info!("configuration unset");
        Ok(())
    }
}

/// Refuses a note that is too long or has control characters.
pub(crate) fn check_description(text: Option<&str>) -> Result<(), TenancyError> {
    let Some(text) = text else { return Ok(()) };
    if text.chars().count() > MAX_DESCRIPTION {
        return Err(TenancyError::field("/description", "too_long", "must have at most 500 characters"));
    }
    if text.chars().any(|c| c.is_control() && c != '\n') {
        let detail = "must have no control characters but line breaks";
        return Err(TenancyError::field("/description", "control_character", detail));
    }
    Ok(())
}

/// Refuses what has changed since the caller read it.
pub(crate) fn require_version(current: i64, expected: Option<i64>) -> Result<(), TenancyError> {
    match expected {
        Some(expected) if expected != current => Err(TenancyError::VersionMismatch { current }),
        _ => Ok(()),
    }
}

fn declared<'a>(modules: &'a ModuleRegistry, key: &str) -> Result<&'a dyn Declared, TenancyError> {
    modules.configurations().find(|declared| declared.key() == key).ok_or(TenancyError::UnknownSetting)
}

async fn set_in(
    tx: &SystemTransaction,
    declared: &dyn Declared,
    new: NewValue,
    expected: Option<i64>,
    by: &PlatformScope,
) -> Result<Setting, TenancyError> {
    let NewValue { value, description } = new;
    let described = description.clone();
    let key = declared.key();
    let before = match lock(tx, key).await? {
        Some(row) => Some(row),
        None => {
            require_version(0, expected)?;
            let insert = raw_sql!(
                Postgres,
                r#"INSERT INTO public.system_configurations (key, value, description)
                   VALUES ({key}, {value}, {description})
                   ON CONFLICT (key) DO NOTHING"#
            );
            // Whoever was first in between is waited for here, and then found.
            if tx.execute(insert).await? == 1 { None } else { lock(tx, key).await? }
        }
    };
    if let Some(row) = &before {
        require_version(row.version, expected)?;
        let update = raw_sql!(
            Postgres,
            r#"UPDATE public.system_configurations
               SET value = {value}, description = {description}, version = version + 1, updated_at = now()
               WHERE key = {key}"#
        );
        tx.execute(update).await?;
    }
    let was_described = before.as_ref().and_then(|row| row.description.clone());
    let was = before.and_then(Row::said).unwrap_or_else(|| declared.fallback());
    let action = Action {
        name: "configuration.set",
        entity: "configuration",
        entity_id: None,
        tenant_id: None,
        before: Some(json!({ "key": key, "value": was, "description": was_described })),
        after: Some(json!({ "key": key, "value": value, "description": described })),
    };
    tx.execute(audit::statement(by, action)).await?;
    let row = lock(tx, key).await?;
    Ok(setting(declared, row))
}

async fn unset_in(
    tx: &SystemTransaction,
    declared: &dyn Declared,
    expected: Option<i64>,
    by: &PlatformScope,
) -> Result<(), TenancyError> {
    let key = declared.key();
    let row = lock(tx, key).await?;
    require_version(row.as_ref().map_or(0, |row| row.version), expected)?;
    let described = row.as_ref().and_then(|row| row.description.clone());
    let Some(was) = row.and_then(Row::said) else { return Ok(()) };
    // The row stays, so that a version that somebody has read never comes again.
    let update = raw_sql!(
        Postgres,
        r#"UPDATE public.system_configurations
           SET value = 'null', description = NULL, version = version + 1, updated_at = now()
           WHERE key = {key}"#
    );
    tx.execute(update).await?;
    let action = Action {
        name: "configuration.unset",
        entity: "configuration",
        entity_id: None,
        tenant_id: None,
        before: Some(json!({ "key": key, "value": was, "description": described })),
        after: Some(json!({ "key": key, "value": declared.fallback(), "description": null })),
    };
    tx.execute(audit::statement(by, action)).await?;
    Ok(())
}

async fn lock(tx: &SystemTransaction, key: &str) -> Result<Option<Row>, TenancyError> {
    let statement = raw_sql!(
        Postgres,
        r#"SELECT key, value, description, version, created_at, updated_at
           FROM public.system_configurations WHERE key = {key} FOR UPDATE"#
    );
    Ok(tx.query_one(statement).await?)
}

#[derive(FromQueryResult)]
struct Row {
    key: String,
    /// JSON's null once it was taken back to its default; no configuration has that as its value.
    value: Value,
    description: Option<String>,
    version: i64,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

impl Row {
    /// Returns what somebody has said that it is.
    fn said(self) -> Option<Value> {
        Some(self.value).filter(|value| !value.is_null())
    }
}

fn setting(declared: &dyn Declared, row: Option<Row>) -> Setting {
    let (min, max) = declared.bounds();
    let default = declared.fallback();
    let (version, created_at, updated_at) = match &row {
        Some(row) => (row.version, Some(row.created_at), Some(row.updated_at)),
        None => (0, None, None),
    };
    let note = row.as_ref().and_then(|row| row.description.clone());
    Setting {
        key: declared.key(),
        description: note.unwrap_or_else(|| declared.description().to_owned()),
        type_name: declared.type_name(),
        value: row.and_then(Row::said).unwrap_or_else(|| default.clone()),
        default,
        min,
        max,
        version,
        created_at,
        updated_at,
    }
}
