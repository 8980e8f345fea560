//! The table `staff`.

use sea_orm::entity::prelude::*;

use crate::StaffId;

/// One member of staff.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "staff")]
pub struct Model {
    /// Who.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: StaffId,
    /// Raised by every change.
    pub version: i64,
    /// When the row was made.
    pub created_at: DateTimeUtc,
    /// When the row was last changed.
    pub updated_at: DateTimeUtc,
    /// The family name.
    pub family_name: String,
    /// The given name.
    pub given_name: String,
    /// The words of [`Role`](clinicx_types::permission::Role); at least one.
    pub roles: Vec<String>,
    /// What the person is specialised in.
    pub specialty: Option<String>,
    /// The number of the licence to practise.
    pub licence_number: Option<String>,
    /// The colour in calendars, as `#rrggbb`.
    pub colour: Option<String>,
    /// Whether the person can be booked.
    pub active: bool,
    /// The account with which the person logs in; at most one person has it.
    pub user_id: Option<Uuid>,
}

impl ActiveModelBehavior for ActiveModel {}
