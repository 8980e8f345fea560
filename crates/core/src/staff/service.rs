//! Operations on staff.

use chrono::{DateTime, Utc};
use clinicx_persistence::{
    FailureKind, TenantScope, TenantScoped, TenantTransaction,
    record::{Change, record},
};
use clinicx_types::{
    id::UserId,
    module::EventType,
    page::{Page, PageRequest},
    permission::Role,
};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, DbErr, EntityTrait, IntoActiveModel, JsonValue, PaginatorTrait,
    QueryFilter, QueryOrder, QuerySelect, Set,
    sea_query::{Expr, LockType},
};
use serde_json::json;

use super::{
    accounts::{self, Accounts},
    dto::{CreateStaff, Revision, StaffFilter, StaffMember, UpdateStaff},
    entity::{ActiveModel, Column, Entity, Model},
};
use crate::{StaffId, change, error::CoreError, event, paging, validation};

const THING: &str = "staff member";
/// Fields that tell who somebody is.
const WORDS: &[&str] = &["family_name", "given_name", "licence_number"];

/// Adds a member of staff. An account that goes with it must be a member's of this tenant.
///
/// # Errors
/// [`CoreError::Invalid`]; [`CoreError::Taken`] when the account belongs to somebody else;
/// [`CoreError::Database`].
#[tracing::instrument(name = "core.staff.create", skip_all, fields(tenant.id = %scope.tenant_id), err(level = "debug"))]
pub async fn create(
    tx: &TenantTransaction,
    scope: &TenantScope,
    accounts: &dyn Accounts,
    input: CreateStaff,
) -> Result<StaffMember, CoreError> {
    validation::check(&input)?;
    accounts::check(accounts, scope.tenant_id, input.user_id, None).await?;
    let now = scope.now();
    let id = StaffId::new(scope.next_id());
    let row = row((id, now, now), input);
    Entity::insert(row.clone().into_active_model().reset_all())
        .exec_without_returning(tx)
        .await
        .map_err(refused)?;
    let staff = StaffMember::from(row);
    trace(tx, scope, event::STAFF_CREATED, staff.id, None, Some(change::json(&staff))).await?;
    Ok(staff)
}

/// Looks for a member of staff.
///
/// # Errors
/// [`CoreError::Database`].
pub async fn find(
    db: &impl TenantScoped,
    _scope: &TenantScope,
    id: StaffId,
) -> Result<Option<StaffMember>, CoreError> {
    Ok(Entity::find_by_id(id).one(db).await?.map(StaffMember::from))
}

/// Returns a member of staff.
///
/// # Errors
/// [`CoreError::NotFound`]; [`CoreError::Database`].
pub async fn get(db: &impl TenantScoped, scope: &TenantScope, id: StaffId) -> Result<StaffMember, CoreError> {
    find(db, scope, id).await?.ok_or(CoreError::NotFound { thing: THING })
}

/// Lists staff by family name, given name and id.
///
/// # Errors
/// [`CoreError::Invalid`] when the cursor is none of this list's; [`CoreError::Database`].
pub async fn list(
    db: &impl TenantScoped,
    _scope: &TenantScope,
    filter: &StaffFilter,
    page: &PageRequest,
) -> Result<Page<StaffMember>, CoreError> {
    let mut query = Entity::find();
    if let Some(active) = filter.active {
        query = query.filter(Column::Active.eq(active));
    }
    if let Some(role) = filter.role {
        query = query.filter(Expr::cust_with_values("$1 = ANY(roles)", [role.as_str()]));
    }
    let total = if page.count { Some(query.clone().count(db).await?) } else { None };
    if let Some(key) = &page.after {
        let [family_name, given_name, id] = paging::parts(key)?;
        let id: StaffId = paging::part(id)?;
        query = query.filter(paging::after(
            [Column::FamilyName, Column::GivenName, Column::Id],
            [family_name.into(), given_name.into(), id.into()],
        ));
    }
    let rows = query
        .order_by_asc(Column::FamilyName)
        .order_by_asc(Column::GivenName)
        .order_by_asc(Column::Id)
        .limit(u64::from(page.limit()) + 1)
        .all(db)
        .await?;
    let key = |row: &Model| vec![row.family_name.clone(), row.given_name.clone(), row.id.to_string()];
    Ok(Page::from_rows(rows, page, total, key).map(StaffMember::from))
}

/// Changes a member of staff; a change that changes nothing leaves no trace.
///
/// # Errors
/// [`CoreError::Invalid`]; [`CoreError::NotFound`]; [`CoreError::Stale`] unless `expected` is `None` or the
/// present version; [`CoreError::Taken`] when the account belongs to somebody else; [`CoreError::Database`].
#[tracing::instrument(name = "core.staff.update", skip_all, fields(tenant.id = %scope.tenant_id), err(level = "debug"))]
pub async fn update(
    tx: &TenantTransaction,
    scope: &TenantScope,
    accounts: &dyn Accounts,
    revision: Revision,
    patch: UpdateStaff,
) -> Result<StaffMember, CoreError> {
    validation::check(&patch)?;
    let Revision { id, expected } = revision;
    let before = locked(tx, id, expected).await?;
    accounts::check(accounts, scope.tenant_id, patch.user_id.flatten(), Some(&before)).await?;
    let mut after = before.clone();
    apply(&mut after, patch);
    if after == before {
        return Ok(after.into());
    }
    after.version += 1;
    after.updated_at = scope.now();
    let changed = ActiveModel {
        id: sea_orm::Unchanged(id),
        version: Set(after.version),
        updated_at: Set(after.updated_at),
        family_name: Set(after.family_name),
        given_name: Set(after.given_name),
        roles: Set(after.roles),
        specialty: Set(after.specialty),
        licence_number: Set(after.licence_number),
        colour: Set(after.colour),
        active: Set(after.active),
        user_id: Set(after.user_id),
        ..Default::default()
    };
    let before = StaffMember::from(before);
    let after = StaffMember::from(changed.update(tx).await.map_err(refused)?);
    let (old, new) = change::difference(&before, &after);
    trace(tx, scope, event::STAFF_UPDATED, id, Some(old), Some(new)).await?;
    Ok(after)
}

/// Removes a member of staff to whom nothing refers: no appointment, working hours or absence.
///
/// # Errors
/// [`CoreError::NotFound`]; [`CoreError::Stale`]; [`CoreError::InUse`] when something refers to the person,
/// who can then only be made inactive; [`CoreError::Database`].
#[tracing::instrument(name = "core.staff.delete", skip_all, fields(tenant.id = %scope.tenant_id), err(level = "debug"))]
pub async fn delete(
    tx: &TenantTransaction,
    scope: &TenantScope,
    id: StaffId,
    expected: Option<i64>,
) -> Result<(), CoreError> {
    let before = StaffMember::from(locked(tx, id, expected).await?);
    Entity::delete_by_id(id).exec(tx).await.map_err(refused)?;
    trace(tx, scope, event::STAFF_DELETED, id, Some(change::json(&before)), None).await
}

/// Locks a member of staff against changes until the transaction ends; bookings may still refer to it.
pub(crate) async fn locked(
    tx: &TenantTransaction,
    id: StaffId,
    expected: Option<i64>,
) -> Result<Model, CoreError> {
    let found = Entity::find_by_id(id).lock(LockType::NoKeyUpdate).one(tx).await?;
    let row = found.ok_or(CoreError::NotFound { thing: THING })?;
    change::expect_version(THING, expected, row.version)?;
    Ok(row)
}

fn apply(row: &mut Model, patch: UpdateStaff) {
    if let Some(family_name) = patch.family_name {
        row.family_name = family_name.trim().to_owned();
    }
    if let Some(given_name) = patch.given_name {
        row.given_name = given_name.trim().to_owned();
    }
    if let Some(roles) = patch.roles {
        row.roles = words(&roles);
    }
    if let Some(specialty) = patch.specialty {
        row.specialty = trimmed(specialty);
    }
    if let Some(licence_number) = patch.licence_number {
        row.licence_number = trimmed(licence_number);
    }
    if let Some(colour) = patch.colour {
        row.colour = colour.map(|colour| colour.to_ascii_lowercase());
    }
    if let Some(active) = patch.active {
        row.active = active;
    }
    if let Some(user_id) = patch.user_id {
        row.user_id = user_id.map(UserId::uuid);
    }
}

/// Makes a row of an input that was checked, with its id and when it was made and changed.
pub(super) fn row(
    (id, created_at, updated_at): (StaffId, DateTime<Utc>, DateTime<Utc>),
    input: CreateStaff,
) -> Model {
    Model {
        id,
        version: 1,
        created_at,
        updated_at,
        family_name: input.family_name.trim().to_owned(),
        given_name: input.given_name.trim().to_owned(),
        roles: words(&input.roles),
        specialty: trimmed(input.specialty),
        licence_number: trimmed(input.licence_number),
        colour: input.colour.map(|colour| colour.to_ascii_lowercase()),
        active: input.active,
        user_id: input.user_id.map(UserId::uuid),
    }
}

fn words(roles: &[Role]) -> Vec<String> {
    let mut sorted = roles.to_vec();
    sorted.sort_unstable();
    sorted.dedup();
    sorted.into_iter().map(|role| role.as_str().to_owned()).collect()
}

fn trimmed(text: Option<String>) -> Option<String> {
    text.map(|text| text.trim().to_owned())
}

fn refused(error: DbErr) -> CoreError {
    change::refused(&error, |failure| match failure.kind {
        FailureKind::Unique => Some(CoreError::Taken { what: "user account", code: "user_taken" }),
        FailureKind::ForeignKey => Some(CoreError::InUse { thing: THING }),
        _ => None,
    })
}

async fn trace(
    tx: &TenantTransaction,
    scope: &TenantScope,
    event: EventType,
    id: StaffId,
    before: Option<JsonValue>,
    after: Option<JsonValue>,
) -> Result<(), CoreError> {
    let change = Change {
        event,
        aggregate: "staff",
        aggregate_id: id.uuid(),
        patient_id: None,
        before: change::masked(before, WORDS),
        after: change::masked(after, WORDS),
        payload: json!({ "staff_id": id }),
    };
    Ok(record(tx, scope, change).await?)
}
