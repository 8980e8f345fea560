//! Operations on rooms.

use clinicx_persistence::{
    FailureKind, TenantScope, TenantScoped, TenantTransaction,
    record::{Change, record},
};
use clinicx_types::{
    error::FieldError,
    module::EventType,
    page::{Page, PageRequest},
};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, DbErr, EntityTrait, IntoActiveModel, JsonValue, PaginatorTrait,
    QueryFilter, QueryOrder, QuerySelect, Set, sea_query::LockType,
};
use serde_json::json;

use super::{
    dto::{CreateRoom, Room, RoomFilter, UpdateRoom},
    entity::{ActiveModel, Column, Entity, Model, RoomKind},
};
use crate::{RoomId, change, error::CoreError, event, local_time, paging, validation};

const THING: &str = "room";

/// Adds a site, a room or a chair.
///
/// # Errors
/// [`CoreError::Invalid`], also when the parent is none or of the wrong kind; [`CoreError::Database`].
#[tracing::instrument(name = "core.room.create", skip_all, fields(tenant.id = %scope.tenant_id), err(level = "debug"))]
pub async fn create(
    tx: &TenantTransaction,
    scope: &TenantScope,
    input: CreateRoom,
) -> Result<Room, CoreError> {
    validation::check(&input)?;
    let now = scope.now();
    let row = Model {
        id: RoomId::new(scope.next_id()),
        version: 1,
        created_at: now,
        updated_at: now,
        name: input.name.trim().to_owned(),
        kind: input.kind,
        parent_id: input.parent_id,
        time_zone: input.time_zone,
        active: input.active,
    };
    check_place(tx, &row).await?;
    Entity::insert(row.clone().into_active_model().reset_all()).exec_without_returning(tx).await?;
    let room = Room::from(row);
    trace(tx, scope, event::ROOM_CREATED, room.id, None, Some(change::json(&room))).await?;
    Ok(room)
}

/// Looks for a room.
///
/// # Errors
/// [`CoreError::Database`].
pub async fn find(
    db: &impl TenantScoped,
    _scope: &TenantScope,
    id: RoomId,
) -> Result<Option<Room>, CoreError> {
    Ok(Entity::find_by_id(id).one(db).await?.map(Room::from))
}

/// Returns a room.
///
/// # Errors
/// [`CoreError::NotFound`]; [`CoreError::Database`].
pub async fn get(db: &impl TenantScoped, scope: &TenantScope, id: RoomId) -> Result<Room, CoreError> {
    find(db, scope, id).await?.ok_or(CoreError::NotFound { thing: THING })
}

/// Lists rooms by name and id.
///
/// # Errors
/// [`CoreError::Invalid`] when the cursor is none of this list's; [`CoreError::Database`].
pub async fn list(
    db: &impl TenantScoped,
    _scope: &TenantScope,
    filter: &RoomFilter,
    page: &PageRequest,
) -> Result<Page<Room>, CoreError> {
    let mut query = Entity::find();
    if let Some(active) = filter.active {
        query = query.filter(Column::Active.eq(active));
    }
    if let Some(kind) = filter.kind {
        query = query.filter(Column::Kind.eq(kind));
    }
    if let Some(parent_id) = filter.parent_id {
        query = query.filter(Column::ParentId.eq(parent_id));
    }
    let total = if page.count { Some(query.clone().count(db).await?) } else { None };
    if let Some(key) = &page.after {
        let [name, id] = paging::parts(key)?;
        let id: RoomId = paging::part(id)?;
        query = query.filter(paging::after([Column::Name, Column::Id], [name.into(), id.into()]));
    }
    let rows = query
        .order_by_asc(Column::Name)
        .order_by_asc(Column::Id)
        .limit(u64::from(page.limit()) + 1)
        .all(db)
        .await?;
    Ok(Page::from_rows(rows, page, total, |row| vec![row.name.clone(), row.id.to_string()]).map(Room::from))
}

/// Changes a room; a change that changes nothing leaves no trace. What it is can't be changed.
///
/// # Errors
/// [`CoreError::Invalid`], also when the parent is none or of the wrong kind; [`CoreError::NotFound`];
/// [`CoreError::Stale`] unless `expected` is `None` or the present version; [`CoreError::Database`].
#[tracing::instrument(name = "core.room.update", skip_all, fields(tenant.id = %scope.tenant_id), err(level = "debug"))]
pub async fn update(
    tx: &TenantTransaction,
    scope: &TenantScope,
    id: RoomId,
    expected: Option<i64>,
    patch: UpdateRoom,
) -> Result<Room, CoreError> {
    validation::check(&patch)?;
    let before = locked(tx, id, expected).await?;
    let mut after = before.clone();
    after.name = patch.name.map_or(after.name, |name| name.trim().to_owned());
    after.parent_id = patch.parent_id.unwrap_or(after.parent_id);
    after.time_zone = patch.time_zone.unwrap_or(after.time_zone);
    after.active = patch.active.unwrap_or(after.active);
    if after == before {
        return Ok(after.into());
    }
    check_place(tx, &after).await?;
    let changed = ActiveModel {
        id: sea_orm::Unchanged(id),
        version: Set(after.version + 1),
        updated_at: Set(scope.now()),
        name: Set(after.name),
        parent_id: Set(after.parent_id),
        time_zone: Set(after.time_zone),
        active: Set(after.active),
        ..Default::default()
    };
    let before = Room::from(before);
    let after = Room::from(changed.update(tx).await?);
    let (old, new) = change::difference(&before, &after);
    trace(tx, scope, event::ROOM_UPDATED, id, Some(old), Some(new)).await?;
    Ok(after)
}

/// Removes a room to which nothing refers: no appointment, and no room in it.
///
/// # Errors
/// [`CoreError::NotFound`]; [`CoreError::Stale`]; [`CoreError::InUse`] when something refers to it, so that it
/// can only be made inactive; [`CoreError::Database`].
#[tracing::instrument(name = "core.room.delete", skip_all, fields(tenant.id = %scope.tenant_id), err(level = "debug"))]
pub async fn delete(
    tx: &TenantTransaction,
    scope: &TenantScope,
    id: RoomId,
    expected: Option<i64>,
) -> Result<(), CoreError> {
    let before = Room::from(locked(tx, id, expected).await?);
    Entity::delete_by_id(id).exec(tx).await.map_err(in_use)?;
    trace(tx, scope, event::ROOM_DELETED, id, Some(change::json(&before)), None).await
}

async fn locked(tx: &TenantTransaction, id: RoomId, expected: Option<i64>) -> Result<Model, CoreError> {
    let found = Entity::find_by_id(id).lock(LockType::NoKeyUpdate).one(tx).await?;
    let row = found.ok_or(CoreError::NotFound { thing: THING })?;
    change::expect_version(THING, expected, row.version)?;
    Ok(row)
}

/// Checks the zone and the parent: chairs are in rooms or sites, rooms in sites, sites in nothing.
///
/// What a room is never changes, so that there can be no circle.
async fn check_place(tx: &TenantTransaction, row: &Model) -> Result<(), CoreError> {
    let mut wrong: Vec<FieldError> = wrong_zone(row).into_iter().collect();
    if let Some(parent_id) = row.parent_id {
        let parent = Entity::find_by_id(parent_id).one(tx).await?.map(|parent| parent.kind);
        let pointer = "/parent_id";
        match (row.kind, parent) {
            (_, None) => {
                wrong.push(FieldError::new(pointer, "not_found", "must be the id of a site or room"))
            }
            (kind, Some(parent)) if kind.fits_into(parent) => {}
            (..) => wrong.push(FieldError::new(
                pointer,
                "wrong_kind",
                "must be a site for a room, a room or site for a chair, and nothing for a site",
            )),
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(CoreError::Invalid(wrong)) }
}

/// Tells what is wrong with a time zone, which only a site has.
pub(super) fn wrong_zone(row: &Model) -> Option<FieldError> {
    let zone = row.time_zone.as_deref()?;
    match row.kind {
        RoomKind::Site => local_time::parse_zone(zone, "/time_zone").err(),
        RoomKind::Room | RoomKind::Chair => {
            Some(FieldError::new("/time_zone", "only_on_sites", "is only for a site; its rooms follow it"))
        }
    }
}

fn in_use(error: DbErr) -> CoreError {
    change::refused(&error, |failure| {
        (failure.kind == FailureKind::ForeignKey).then_some(CoreError::InUse { thing: THING })
    })
}

async fn trace(
    tx: &TenantTransaction,
    scope: &TenantScope,
    event: EventType,
    id: RoomId,
    before: Option<JsonValue>,
    after: Option<JsonValue>,
) -> Result<(), CoreError> {
    let change = Change {
        event,
        aggregate: "room",
        aggregate_id: id.uuid(),
        patient_id: None,
        before,
        after,
        payload: json!({ "room_id": id }),
    };
    Ok(record(tx, scope, change).await?)
}
