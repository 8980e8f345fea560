//! What happened to a treatment: one row for each of its moves and for each change of what is noted, never changed.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use clinicx_core::paging;
use clinicx_keys::FieldCipher;
use clinicx_persistence::{TenantScope, TenantScoped, TenantTransaction};
use clinicx_types::{
    id::UserId,
    page::{Page, PageRequest},
};
use schemars::JsonSchema;
use sea_orm::{
    ActiveModelTrait, ColumnTrait, EntityTrait, IntoActiveModel, PaginatorTrait, QueryFilter, QueryOrder,
    QuerySelect,
};
use serde::Serialize;
use uuid::Uuid;

use self::entity::{Column, Entity, Model};
use super::{entity::Model as Treatment, query, status::Status};
use crate::{
    TreatmentId,
    error::DentalError,
    sealed::{TREATMENT_EVENT_NOTE, TREATMENT_EVENT_REASON},
    words,
};

pub mod entity {
    //! The table `treatment_events`.

    use sea_orm::entity::prelude::*;

    use crate::{TreatmentId, treatment::Status};

    /// One thing that happened to a treatment.
    #[sea_orm::model]
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "treatment_events")]
    pub struct Model {
        /// Which one.
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: Uuid,
        /// When it was recorded.
        pub created_at: DateTimeUtc,
        /// The treatment.
        pub treatment_id: TreatmentId,
        /// The state before; `None` when it was planned.
        pub from_status: Option<Status>,
        /// The state after; that before when the note was changed.
        pub to_status: Status,
        /// Since when it is so.
        pub at: DateTimeUtc,
        /// What kind of actor did it.
        pub actor_kind: String,
        /// The user who did it.
        pub actor_id: Option<Uuid>,
        /// The job that did it.
        pub actor_job: Option<String>,
        /// Why, sealed.
        pub reason_sealed: Option<Vec<u8>>,
        /// What was noted before the note was changed, sealed.
        pub note_sealed: Option<Vec<u8>>,
    }

    impl ActiveModelBehavior for ActiveModel {}
}

/// One thing that happened to a treatment: a move, or a change of what is noted, which leaves the state as it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct TreatmentEvent {
    /// Which one.
    pub id: Uuid,
    /// When it was recorded.
    pub created_at: DateTime<Utc>,
    /// The state before; `null` when it was planned.
    pub from_status: Option<Status>,
    /// The state after.
    pub to_status: Status,
    /// Since when it is so; before `created_at` when it was written down afterwards.
    pub at: DateTime<Utc>,
    /// What kind of actor did it: `user`, `operator` or `system`.
    pub actor_kind: String,
    /// The user who did it.
    pub actor_id: Option<UserId>,
    /// Why.
    pub reason: Option<String>,
    /// What was noted until the note was changed.
    pub note: Option<String>,
}

/// Lists what happened to a treatment, in the order in which it was recorded.
///
/// # Errors
/// [`CoreError::NotFound`](clinicx_core::CoreError::NotFound) when there is no such treatment;
/// [`CoreError::Invalid`](clinicx_core::CoreError::Invalid) when the cursor is none of this list's;
/// [`CoreError::Cipher`](clinicx_core::CoreError::Cipher); [`CoreError::Database`](clinicx_core::CoreError::Database).
pub async fn history(
    db: &impl TenantScoped,
    scope: &TenantScope,
    cipher: &FieldCipher,
    id: TreatmentId,
    page: &PageRequest,
) -> Result<Page<TreatmentEvent>, DentalError> {
    query::find(db, id).await?;
    let mut query = Entity::find().filter(Column::TreatmentId.eq(id));
    let total = if page.count { Some(query.clone().count(db).await?) } else { None };
    if let Some(key) = &page.after {
        let [id] = paging::parts(key)?;
        query = query.filter(Column::Id.gt(paging::part::<Uuid>(id)?));
    }
    let rows = query.order_by_asc(Column::Id).limit(u64::from(page.limit()) + 1).all(db).await?;
    let Page { items, next, total } = Page::from_rows(rows, page, total, |row| vec![row.id.to_string()]);
    let items = items.into_iter().map(|row| opened(scope, cipher, row)).collect::<Result<_, _>>()?;
    Ok(Page { items, next, total })
}

/// The moves of treatments, by what was recorded first.
pub(crate) async fn moves(
    db: &impl TenantScoped,
    treatments: impl Iterator<Item = TreatmentId>,
) -> Result<BTreeMap<TreatmentId, Vec<Model>>, DentalError> {
    let wanted: Vec<_> = treatments.collect();
    let mut found = BTreeMap::<_, Vec<_>>::new();
    if wanted.is_empty() {
        return Ok(found);
    }
    let query = Entity::find().filter(Column::TreatmentId.is_in(wanted)).order_by_asc(Column::Id);
    for row in query.all(db).await?.into_iter().filter(|row| row.from_status != Some(row.to_status)) {
        found.entry(row.treatment_id).or_default().push(row);
    }
    Ok(found)
}

/// Keeps that a treatment was planned.
pub(super) async fn planned(
    tx: &TenantTransaction,
    scope: &TenantScope,
    row: &Treatment,
) -> Result<(), DentalError> {
    append(tx, Model { from_status: None, ..event(scope, row) }).await
}

/// Keeps a move, since when it is so, and why.
pub(super) async fn moved(
    tx: &TenantTransaction,
    (scope, cipher): (&TenantScope, &FieldCipher),
    (from, after): (Status, &Treatment),
    (at, reason): (DateTime<Utc>, Option<&str>),
) -> Result<(), DentalError> {
    let event = event(scope, after);
    let reason_sealed = words::seal(scope, cipher, (TREATMENT_EVENT_REASON, event.id), reason)?;
    append(tx, Model { from_status: Some(from), at, reason_sealed, ..event }).await
}

/// Keeps what was noted before the note was changed.
pub(super) async fn noted(
    tx: &TenantTransaction,
    (scope, cipher): (&TenantScope, &FieldCipher),
    row: &Treatment,
    before: Option<&str>,
) -> Result<(), DentalError> {
    let event = event(scope, row);
    let note_sealed = words::seal(scope, cipher, (TREATMENT_EVENT_NOTE, event.id), before)?;
    append(tx, Model { note_sealed, ..event }).await
}

fn event(scope: &TenantScope, row: &Treatment) -> Model {
    let now = scope.now();
    Model {
        id: scope.next_id(),
        created_at: now,
        treatment_id: row.id,
        from_status: Some(row.status),
        to_status: row.status,
        at: now,
        actor_kind: scope.actor.kind().to_owned(),
        actor_id: scope.actor.user_id().map(|user| user.uuid()),
        actor_job: scope.actor.job().map(str::to_owned),
        reason_sealed: None,
        note_sealed: None,
    }
}

async fn append(tx: &TenantTransaction, row: Model) -> Result<(), DentalError> {
    Entity::insert(row.into_active_model().reset_all()).exec_without_returning(tx).await?;
    Ok(())
}

fn opened(scope: &TenantScope, cipher: &FieldCipher, row: Model) -> Result<TreatmentEvent, DentalError> {
    let open =
        |field, sealed: &Option<Vec<u8>>| words::open(scope, cipher, (field, row.id), sealed.as_deref());
    Ok(TreatmentEvent {
        id: row.id,
        created_at: row.created_at,
        from_status: row.from_status,
        to_status: row.to_status,
        at: row.at,
        reason: open(TREATMENT_EVENT_REASON, &row.reason_sealed)?,
        note: open(TREATMENT_EVENT_NOTE, &row.note_sealed)?,
        actor_id: row.actor_id.map(UserId::new),
        actor_kind: row.actor_kind,
    })
}
