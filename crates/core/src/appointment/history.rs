//! What happened to an appointment: one row for each of its moves, never changed.

use chrono::{DateTime, Utc};
use clinicx_keys::FieldCipher;
use clinicx_persistence::{TenantScope, TenantScoped};
use clinicx_types::{
    id::UserId,
    page::{Page, PageRequest},
};
use schemars::JsonSchema;
use sea_orm::{ColumnTrait, EntityTrait, PaginatorTrait, QueryFilter, QueryOrder, QuerySelect};
use serde::Serialize;
use uuid::Uuid;

use self::entity::{Column, Entity, Model};
use super::{
    query,
    status::Status,
    words::{self, STEP},
};
use crate::{AppointmentId, error::CoreError, paging};

pub mod entity {
    //! The table `appointment_events`.

    use sea_orm::entity::prelude::*;

    use crate::{AppointmentId, appointment::Status};

    /// One move of an appointment.
    #[sea_orm::model]
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "appointment_events")]
    pub struct Model {
        /// Which one.
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: Uuid,
        /// The appointment.
        pub appointment_id: AppointmentId,
        /// The state before; `None` when it was made.
        pub from_status: Option<Status>,
        /// The state after.
        pub to_status: Status,
        /// When.
        pub at: DateTimeUtc,
        /// What kind of actor did it.
        pub actor_kind: String,
        /// The user who did it.
        pub actor_id: Option<Uuid>,
        /// The job that did it.
        pub actor_job: Option<String>,
        /// Why; in the table only when it is older than the sealed column.
        pub reason: Option<String>,
        /// Why, sealed.
        pub reason_sealed: Option<Vec<u8>>,
        /// Its start before, when it was moved.
        pub old_starts_at: Option<DateTimeUtc>,
        /// Its end before, when it was moved.
        pub old_ends_at: Option<DateTimeUtc>,
        /// Its start after, when it was made or moved.
        pub new_starts_at: Option<DateTimeUtc>,
        /// Its end after, when it was made or moved.
        pub new_ends_at: Option<DateTimeUtc>,
    }

    impl ActiveModelBehavior for ActiveModel {}
}

/// One thing that happened to an appointment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct AppointmentEvent {
    /// Which one.
    pub id: Uuid,
    /// The state before; `null` when it was made.
    pub from_status: Option<Status>,
    /// The state after.
    pub to_status: Status,
    /// When.
    pub at: DateTime<Utc>,
    /// What kind of actor did it: `user`, `operator` or `system`.
    pub actor_kind: String,
    /// The user who did it.
    pub actor_id: Option<UserId>,
    /// Why.
    pub reason: Option<String>,
    /// Its start before, when it was moved.
    pub old_start: Option<DateTime<Utc>>,
    /// Its end before, when it was moved.
    pub old_end: Option<DateTime<Utc>>,
    /// Its start after, when it was made or moved.
    pub new_start: Option<DateTime<Utc>>,
    /// Its end after, when it was made or moved.
    pub new_end: Option<DateTime<Utc>>,
}

impl From<Model> for AppointmentEvent {
    fn from(row: Model) -> Self {
        Self {
            id: row.id,
            from_status: row.from_status,
            to_status: row.to_status,
            at: row.at,
            actor_kind: row.actor_kind,
            actor_id: row.actor_id.map(UserId::new),
            reason: row.reason,
            old_start: row.old_starts_at,
            old_end: row.old_ends_at,
            new_start: row.new_starts_at,
            new_end: row.new_ends_at,
        }
    }
}

/// Lists what happened to an appointment, oldest first.
///
/// # Errors
/// [`CoreError::NotFound`] when there is no such appointment; [`CoreError::Invalid`] when the cursor is none of
/// this list's; [`CoreError::Database`].
pub async fn history(
    db: &impl TenantScoped,
    scope: &TenantScope,
    cipher: &FieldCipher,
    id: AppointmentId,
    page: &PageRequest,
) -> Result<Page<AppointmentEvent>, CoreError> {
    query::get(db, scope, cipher, id).await?;
    let mut query = Entity::find().filter(Column::AppointmentId.eq(id));
    let total = if page.count { Some(query.clone().count(db).await?) } else { None };
    if let Some(key) = &page.after {
        let [at, id] = paging::parts(key)?;
        let (at, id): (DateTime<Utc>, Uuid) = (paging::part(at)?, paging::part(id)?);
        query = query.filter(paging::after([Column::At, Column::Id], [at.into(), id.into()]));
    }
    let rows = query
        .order_by_asc(Column::At)
        .order_by_asc(Column::Id)
        .limit(u64::from(page.limit()) + 1)
        .all(db)
        .await?;
    let key = |row: &Model| vec![row.at.to_rfc3339(), row.id.to_string()];
    let open = |row: Model| {
        let reason = words::opened(scope, cipher, (STEP, row.id), row.reason_sealed.as_deref(), row.reason)?;
        Ok(Model { reason, ..row })
    };
    let rows = rows.into_iter().map(open).collect::<Result<_, CoreError>>()?;
    Ok(Page::from_rows(rows, page, total, key).map(AppointmentEvent::from))
}
