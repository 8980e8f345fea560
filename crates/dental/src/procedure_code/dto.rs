//! What callers say and hear about the catalogue.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use clinicx_core::{
    patch_field::{nullable, present},
    validation::{language_tag, one_line, refusal},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use validator::{Validate, ValidationError};

use super::{
    entity::Model,
    kind::{Category, Effect, Origin},
};
use crate::{ProcedureCodeId, area::Area, reference::shown};

/// A procedure of the catalogue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ProcedureCode {
    /// Which one.
    pub id: ProcedureCodeId,
    /// Raised by every change; the ETag.
    pub version: i64,
    /// When it was added.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
    /// Its code; unique.
    pub code: String,
    /// Its name in the clinic's language.
    pub name: String,
    /// Its names by language (BCP 47).
    pub names: BTreeMap<String, String>,
    /// What kind of work it is.
    pub category: Category,
    /// Where it is usually done.
    pub area: Area,
    /// What it makes of its teeth.
    pub effect: Option<Effect>,
    /// The usual net price, a decimal string, if there is one.
    pub price: Option<String>,
    /// The currency of the price (ISO 4217).
    pub currency: Option<String>,
    /// The rate of tax on it in percent, a decimal string.
    pub tax_rate: String,
    /// Whether it is billed once it is done.
    pub billable: bool,
    /// Whether it can be planned.
    pub active: bool,
    /// Where it comes from.
    pub origin: Origin,
}

impl From<Model> for ProcedureCode {
    fn from(row: Model) -> Self {
        let price = row.price.zip(row.currency.as_deref()).map(|(price, currency)| shown(price, currency));
        Self {
            id: row.id,
            version: row.version,
            created_at: row.created_at,
            updated_at: row.updated_at,
            code: row.code,
            name: row.name,
            names: serde_json::from_value(row.names).unwrap_or_default(),
            category: row.category,
            area: row.area,
            effect: row.effect,
            price,
            currency: row.currency,
            tax_rate: row.tax_rate.normalize().to_string(),
            billable: row.billable,
            active: row.active,
            origin: row.origin,
        }
    }
}

/// A new procedure.
#[derive(Clone, Debug, Deserialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields)]
pub struct CreateProcedureCode {
    /// Its code: up to 32 capital letters, digits, dots, hyphens and underscores; small letters become capitals.
    #[validate(custom(function = code))]
    pub code: String,
    /// Its name in the clinic's language.
    #[validate(length(max = 200), custom(function = one_line))]
    pub name: String,
    /// Its names by language (BCP 47).
    #[serde(default)]
    #[validate(length(max = 50), custom(function = names_by_language))]
    pub names: BTreeMap<String, String>,
    /// What kind of work it is.
    #[serde(default)]
    pub category: Category,
    /// Where it is usually done; the whole mouth unless it is said.
    #[serde(default)]
    pub area: Area,
    /// What it makes of its teeth; nothing unless it is said.
    pub effect: Option<Effect>,
    /// The usual net price, a decimal string such as `"12.50"`.
    pub price: Option<String>,
    /// The currency of the price (ISO 4217); the clinic's unless it is said.
    pub currency: Option<String>,
    /// The rate of tax on it in percent, a decimal string such as `"20"`; none unless it is said.
    pub tax_rate: Option<String>,
    /// Whether it is billed once it is done; yes unless it is said.
    #[serde(default = "yes")]
    pub billable: bool,
    /// Whether it can be planned; yes unless it is said.
    #[serde(default = "yes")]
    pub active: bool,
}

/// A change of a procedure: an absent field stays as it is, `null` clears it.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields)]
pub struct UpdateProcedureCode {
    /// Its name in the clinic's language.
    #[serde(default, deserialize_with = "present")]
    #[schemars(with = "String")]
    #[validate(length(max = 200), custom(function = one_line))]
    pub name: Option<String>,
    /// All its names by language (BCP 47).
    #[serde(default, deserialize_with = "present")]
    #[schemars(with = "BTreeMap<String, String>")]
    #[validate(length(max = 50), custom(function = names_by_language))]
    pub names: Option<BTreeMap<String, String>>,
    /// What kind of work it is.
    #[serde(default, deserialize_with = "present")]
    #[schemars(with = "Category")]
    pub category: Option<Category>,
    /// Where it is usually done.
    #[serde(default, deserialize_with = "present")]
    #[schemars(with = "Area")]
    pub area: Option<Area>,
    /// What it makes of its teeth.
    #[serde(default, deserialize_with = "nullable")]
    pub effect: Option<Option<Effect>>,
    /// The usual net price, a decimal string such as `"12.50"`.
    #[serde(default, deserialize_with = "nullable")]
    pub price: Option<Option<String>>,
    /// The currency of the price (ISO 4217).
    #[serde(default, deserialize_with = "present")]
    #[schemars(with = "String")]
    pub currency: Option<String>,
    /// The rate of tax on it in percent, a decimal string such as `"20"`.
    #[serde(default, deserialize_with = "present")]
    #[schemars(with = "String")]
    pub tax_rate: Option<String>,
    /// Whether it is billed once it is done.
    #[serde(default, deserialize_with = "present")]
    #[schemars(with = "bool")]
    pub billable: Option<bool>,
    /// Whether it can be planned.
    #[serde(default, deserialize_with = "present")]
    #[schemars(with = "bool")]
    pub active: Option<bool>,
}

/// A clinic's own catalogue, as a file of comma-separated values.
#[derive(Clone, Debug, Deserialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields)]
pub struct ImportProcedureCodes {
    /// The file (RFC 4180, UTF-8). The first line names the columns: `code` and `name`, and any of `category`, `area`,
    /// `effect`, `price`, `currency`, `tax_rate`, `billable`, `active`. A code that is there already is changed in the
    /// columns that the file has.
    #[validate(length(max = 1_000_000))]
    pub csv: String,
}

/// What a file has brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ImportedProcedureCodes {
    /// How many codes are new.
    pub created: u64,
    /// How many codes were there and are changed.
    pub updated: u64,
    /// How many codes were there just so.
    pub unchanged: u64,
}

/// Which procedures a list holds; an absent field asks for all.
#[derive(Clone, Debug, Default)]
pub struct ProcedureCodeFilter {
    /// Those whose code or name contains this.
    pub q: Option<String>,
    /// Those of this kind.
    pub category: Option<Category>,
    /// Those that can be planned, or those that can't.
    pub active: Option<bool>,
}

fn yes() -> bool {
    true
}

/// Accepts a code of the catalogue.
pub(super) fn code(text: &str) -> Result<(), ValidationError> {
    let fine = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    let begins = text.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
    if begins && text.len() <= 32 && text.bytes().all(fine) {
        return Ok(());
    }
    Err(refusal(
        "malformed_code",
        "must be 1 to 32 letters and digits, with dots, hyphens and underscores between",
    ))
}

fn names_by_language(names: &BTreeMap<String, String>) -> Result<(), ValidationError> {
    for (language, name) in names {
        language_tag(language)?;
        one_line(name)?;
        if name.chars().count() > 200 {
            return Err(refusal("too_long", "must have names of at most 200 characters"));
        }
    }
    Ok(())
}
