//! What callers say and hear about services.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use clinicx_types::money::{Currency, Money};
use rust_decimal::Decimal;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use validator::{Validate, ValidationError};

use super::entity::Model;
use crate::{
    ServiceId,
    patch_field::{nullable, present},
    validation::{language_tag, one_line, refusal},
};

/// A service that can be booked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Service {
    /// Which one.
    pub id: ServiceId,
    /// Raised by every change; the ETag.
    pub version: i64,
    /// When it was added.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
    /// The clinic's own short code; unique.
    pub code: String,
    /// The name in the clinic's language.
    pub name: String,
    /// The names by language (BCP 47).
    pub names: BTreeMap<String, String>,
    /// How long it takes.
    pub duration_minutes: i32,
    /// How long the staff member and the room are busy before it.
    pub buffer_before_minutes: i32,
    /// How long the staff member and the room are busy after it.
    pub buffer_after_minutes: i32,
    /// Whether it can only happen in a chair.
    pub needs_chair: bool,
    /// Whether patients may book it themselves.
    pub bookable_online: bool,
    /// The usual price, a decimal string, if there is one.
    pub price: Option<String>,
    /// The currency of the price (ISO 4217).
    pub currency: String,
    /// The rate of tax on it in percent, a decimal string.
    pub tax_rate: String,
    /// Whether it can be booked.
    pub active: bool,
}

impl From<Model> for Service {
    fn from(row: Model) -> Self {
        let price = row.price.map(|price| shown(price, &row.currency));
        Self {
            id: row.id,
            version: row.version,
            created_at: row.created_at,
            updated_at: row.updated_at,
            code: row.code,
            name: row.name,
            names: serde_json::from_value(row.names).unwrap_or_default(),
            duration_minutes: row.duration_minutes,
            buffer_before_minutes: row.buffer_before_minutes,
            buffer_after_minutes: row.buffer_after_minutes,
            needs_chair: row.needs_chair,
            bookable_online: row.bookable_online,
            price,
            currency: row.currency,
            tax_rate: row.tax_rate.normalize().to_string(),
            active: row.active,
        }
    }
}

/// Writes an amount with the decimals of its currency, or exactly where it has more.
fn shown(amount: Decimal, currency: &str) -> String {
    let money = currency.parse::<Currency>().and_then(|currency| Money::from_decimal(amount, currency));
    money.map_or_else(|_| amount.normalize().to_string(), |money| money.to_string())
}

/// A new service.
#[derive(Clone, Debug, Deserialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields)]
pub struct CreateService {
    /// The clinic's own short code; unique.
    #[validate(length(max = 50), custom(function = one_line))]
    pub code: String,
    /// The name in the clinic's language.
    #[validate(length(max = 200), custom(function = one_line))]
    pub name: String,
    /// The names by language (BCP 47).
    #[serde(default)]
    #[validate(length(max = 50), custom(function = names_by_language))]
    pub names: BTreeMap<String, String>,
    /// How long it takes: 1 to 1440.
    #[validate(range(min = 1, max = 1440))]
    pub duration_minutes: i32,
    /// How long the staff member and the room are busy before it: 0 to 240.
    #[serde(default)]
    #[validate(range(min = 0, max = 240))]
    pub buffer_before_minutes: i32,
    /// How long the staff member and the room are busy after it: 0 to 240.
    #[serde(default)]
    #[validate(range(min = 0, max = 240))]
    pub buffer_after_minutes: i32,
    /// Whether it can only happen in a chair.
    #[serde(default)]
    pub needs_chair: bool,
    /// Whether patients may book it themselves.
    #[serde(default)]
    pub bookable_online: bool,
    /// The usual price, a decimal string such as `"12.50"`.
    pub price: Option<String>,
    /// The currency of the price (ISO 4217); the clinic's unless said otherwise.
    pub currency: Option<String>,
    /// The rate of tax on it in percent, a decimal string such as `"20"`; none unless said otherwise.
    pub tax_rate: Option<String>,
    /// Whether it can be booked; yes unless said otherwise.
    #[serde(default = "yes")]
    pub active: bool,
}

/// A change of a service: an absent field stays as it is, `null` clears it.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields)]
pub struct UpdateService {
    /// The clinic's own short code; unique.
    #[serde(default, deserialize_with = "present")]
    #[schemars(with = "String")]
    #[validate(length(max = 50), custom(function = one_line))]
    pub code: Option<String>,
    /// The name in the clinic's language.
    #[serde(default, deserialize_with = "present")]
    #[schemars(with = "String")]
    #[validate(length(max = 200), custom(function = one_line))]
    pub name: Option<String>,
    /// All the names by language (BCP 47).
    #[serde(default, deserialize_with = "present")]
    #[schemars(with = "BTreeMap<String, String>")]
    #[validate(length(max = 50), custom(function = names_by_language))]
    pub names: Option<BTreeMap<String, String>>,
    /// How long it takes: 1 to 1440.
    #[serde(default, deserialize_with = "present")]
    #[schemars(with = "i32")]
    #[validate(range(min = 1, max = 1440))]
    pub duration_minutes: Option<i32>,
    /// How long the staff member and the room are busy before it: 0 to 240.
    #[serde(default, deserialize_with = "present")]
    #[schemars(with = "i32")]
    #[validate(range(min = 0, max = 240))]
    pub buffer_before_minutes: Option<i32>,
    /// How long the staff member and the room are busy after it: 0 to 240.
    #[serde(default, deserialize_with = "present")]
    #[schemars(with = "i32")]
    #[validate(range(min = 0, max = 240))]
    pub buffer_after_minutes: Option<i32>,
    /// Whether it can only happen in a chair.
    #[serde(default, deserialize_with = "present")]
    #[schemars(with = "bool")]
    pub needs_chair: Option<bool>,
    /// Whether patients may book it themselves.
    #[serde(default, deserialize_with = "present")]
    #[schemars(with = "bool")]
    pub bookable_online: Option<bool>,
    /// The usual price, a decimal string such as `"12.50"`.
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
    /// Whether it can be booked.
    #[serde(default, deserialize_with = "present")]
    #[schemars(with = "bool")]
    pub active: Option<bool>,
}

/// Which services a list holds; an absent field asks for all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ServiceFilter {
    /// Those that can be booked, or those that can't.
    pub active: Option<bool>,
    /// Those that patients may book themselves, or those that they may not.
    pub bookable_online: Option<bool>,
    /// Those that need a chair, or those that don't.
    pub needs_chair: Option<bool>,
}

fn yes() -> bool {
    true
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
