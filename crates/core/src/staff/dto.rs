//! What callers say and hear about staff.

use chrono::{DateTime, Utc};
use clinicx_types::{id::UserId, permission::Role};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use validator::{Validate, ValidationError};

use super::entity::Model;
use crate::{
    StaffId,
    patch_field::{nullable, present},
    validation::{one_line, refusal},
};

/// A member of staff.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct StaffMember {
    /// Who.
    pub id: StaffId,
    /// Raised by every change; the ETag.
    pub version: i64,
    /// When it was added.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
    /// The family name.
    pub family_name: String,
    /// The given name.
    pub given_name: String,
    /// What the person does, without repetitions.
    pub roles: Vec<Role>,
    /// What the person is specialised in.
    pub specialty: Option<String>,
    /// The number of the licence to practise.
    pub licence_number: Option<String>,
    /// The colour in calendars, as `#rrggbb`.
    pub colour: Option<String>,
    /// Whether the person can be booked.
    pub active: bool,
    /// The account with which the person logs in.
    pub user_id: Option<UserId>,
}

impl From<Model> for StaffMember {
    fn from(row: Model) -> Self {
        Self {
            id: row.id,
            version: row.version,
            created_at: row.created_at,
            updated_at: row.updated_at,
            family_name: row.family_name,
            given_name: row.given_name,
            // The table's check admits no other word.
            roles: row.roles.iter().filter_map(|role| role.parse().ok()).collect(),
            specialty: row.specialty,
            licence_number: row.licence_number,
            colour: row.colour,
            active: row.active,
            user_id: row.user_id.map(UserId::new),
        }
    }
}

/// Which state of a member of staff is to be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Revision {
    /// Who.
    pub id: StaffId,
    /// The version that the caller has read; `None` means whatever is there.
    pub expected: Option<i64>,
}

/// A new member of staff.
#[derive(Clone, Debug, Deserialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields)]
pub struct CreateStaff {
    /// The family name.
    #[validate(length(max = 200), custom(function = one_line))]
    pub family_name: String,
    /// The given name.
    #[validate(length(max = 200), custom(function = one_line))]
    pub given_name: String,
    /// What the person does; at least one.
    #[validate(length(min = 1, max = 20))]
    pub roles: Vec<Role>,
    /// What the person is specialised in.
    #[validate(length(max = 200), custom(function = one_line))]
    pub specialty: Option<String>,
    /// The number of the licence to practise.
    #[validate(length(max = 100), custom(function = one_line))]
    pub licence_number: Option<String>,
    /// The colour in calendars, as `#rrggbb`.
    #[validate(custom(function = is_colour))]
    pub colour: Option<String>,
    /// Whether the person can be booked; yes unless said otherwise.
    #[serde(default = "yes")]
    pub active: bool,
    /// The account with which the person logs in; at most one person has it.
    pub user_id: Option<UserId>,
}

/// A change of a member of staff: an absent field stays as it is, `null` clears it.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields)]
pub struct UpdateStaff {
    /// The family name.
    #[serde(default, deserialize_with = "present")]
    #[schemars(with = "String")]
    #[validate(length(max = 200), custom(function = one_line))]
    pub family_name: Option<String>,
    /// The given name.
    #[serde(default, deserialize_with = "present")]
    #[schemars(with = "String")]
    #[validate(length(max = 200), custom(function = one_line))]
    pub given_name: Option<String>,
    /// What the person does; at least one.
    #[serde(default, deserialize_with = "present")]
    #[schemars(with = "Vec<Role>")]
    #[validate(length(min = 1, max = 20))]
    pub roles: Option<Vec<Role>>,
    /// What the person is specialised in.
    #[serde(default, deserialize_with = "nullable")]
    #[validate(length(max = 200), custom(function = one_line))]
    pub specialty: Option<Option<String>>,
    /// The number of the licence to practise.
    #[serde(default, deserialize_with = "nullable")]
    #[validate(length(max = 100), custom(function = one_line))]
    pub licence_number: Option<Option<String>>,
    /// The colour in calendars, as `#rrggbb`.
    #[serde(default, deserialize_with = "nullable")]
    #[validate(custom(function = is_colour))]
    pub colour: Option<Option<String>>,
    /// Whether the person can be booked.
    #[serde(default, deserialize_with = "present")]
    #[schemars(with = "bool")]
    pub active: Option<bool>,
    /// The account with which the person logs in.
    #[serde(default, deserialize_with = "nullable")]
    pub user_id: Option<Option<UserId>>,
}

/// Which staff a list holds; an absent field asks for all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StaffFilter {
    /// Those who can be booked, or those who can't.
    pub active: Option<bool>,
    /// Those with this role.
    pub role: Option<Role>,
}

fn yes() -> bool {
    true
}

fn is_colour(text: &str) -> Result<(), ValidationError> {
    match text.strip_prefix('#') {
        Some(digits) if digits.len() == 6 && digits.bytes().all(|digit| digit.is_ascii_hexdigit()) => Ok(()),
        _ => Err(refusal("malformed_colour", "must be a colour such as \"#1f77b4\"")),
    }
}
