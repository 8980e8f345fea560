//! Operations on services.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use clinicx_persistence::{
    FailureKind, TenantScope, TenantScoped, TenantTransaction,
    record::{Change, record},
};
use clinicx_types::{
    module::EventType,
    money::{Currency, Money, MoneyError},
    page::{Page, PageRequest},
};
use rust_decimal::Decimal;
use sea_orm::{
    ActiveModelTrait, ColumnTrait, DbErr, EntityTrait, IntoActiveModel, JsonValue, PaginatorTrait,
    QueryFilter, QueryOrder, QuerySelect, Set, sea_query::LockType,
};
use serde_json::json;

use super::{
    dto::{CreateService, Service, ServiceFilter, UpdateService},
    entity::{ActiveModel, Column, Entity, Model},
};
use crate::{ServiceId, change, error::CoreError, event, paging, validation};

const THING: &str = "service";

/// Adds a service.
///
/// # Errors
/// [`CoreError::Invalid`]; [`CoreError::Taken`] when another service has the code; [`CoreError::Database`].
#[tracing::instrument(name = "core.service.create", skip_all, fields(tenant.id = %scope.tenant_id), err(level = "debug"))]
pub async fn create(
    tx: &TenantTransaction,
    scope: &TenantScope,
    input: CreateService,
) -> Result<Service, CoreError> {
    validation::check(&input)?;
    if let Some(code) = &input.currency {
        new_currency(code)?;
    }
    let now = scope.now();
    let row = row(scope, (ServiceId::new(scope.next_id()), now, now), input)?;
    Entity::insert(row.clone().into_active_model().reset_all())
        .exec_without_returning(tx)
        .await
        .map_err(refused)?;
    let service = Service::from(row);
    trace(tx, scope, event::SERVICE_CREATED, service.id, None, Some(change::json(&service))).await?;
    Ok(service)
}

/// Looks for a service.
///
/// # Errors
/// [`CoreError::Database`].
pub async fn find(
    db: &impl TenantScoped,
    _scope: &TenantScope,
    id: ServiceId,
) -> Result<Option<Service>, CoreError> {
    Ok(Entity::find_by_id(id).one(db).await?.map(Service::from))
}

/// Returns a service.
///
/// # Errors
/// [`CoreError::NotFound`]; [`CoreError::Database`].
pub async fn get(db: &impl TenantScoped, scope: &TenantScope, id: ServiceId) -> Result<Service, CoreError> {
    find(db, scope, id).await?.ok_or(CoreError::NotFound { thing: THING })
}

/// Lists services by code.
///
/// # Errors
/// [`CoreError::Invalid`] when the cursor is none of this list's; [`CoreError::Database`].
pub async fn list(
    db: &impl TenantScoped,
    _scope: &TenantScope,
    filter: &ServiceFilter,
    page: &PageRequest,
) -> Result<Page<Service>, CoreError> {
    let mut query = Entity::find();
    let wanted = [
        (Column::Active, filter.active),
        (Column::BookableOnline, filter.bookable_online),
        (Column::NeedsChair, filter.needs_chair),
    ];
    for (column, value) in wanted {
        if let Some(value) = value {
            query = query.filter(column.eq(value));
        }
    }
    let total = if page.count { Some(query.clone().count(db).await?) } else { None };
    if let Some(key) = &page.after {
        let [code] = paging::parts(key)?;
        query = query.filter(Column::Code.gt(code.as_str()));
    }
    let rows = query.order_by_asc(Column::Code).limit(u64::from(page.limit()) + 1).all(db).await?;
    Ok(Page::from_rows(rows, page, total, |row| vec![row.code.clone()]).map(Service::from))
}

/// Changes a service; a change that changes nothing leaves no trace. Appointments that were booked before keep
/// their times and buffers.
///
/// # Errors
/// [`CoreError::Invalid`]; [`CoreError::NotFound`]; [`CoreError::Stale`] unless `expected` is `None` or the
/// present version; [`CoreError::Taken`] when another service has the code; [`CoreError::Database`].
#[tracing::instrument(name = "core.service.update", skip_all, fields(tenant.id = %scope.tenant_id), err(level = "debug"))]
pub async fn update(
    tx: &TenantTransaction,
    scope: &TenantScope,
    id: ServiceId,
    expected: Option<i64>,
    patch: UpdateService,
) -> Result<Service, CoreError> {
    validation::check(&patch)?;
    let before = locked(tx, id, expected).await?;
    let mut after = before.clone();
    apply(&mut after, patch)?;
    if after == before {
        return Ok(after.into());
    }
    let changed = ActiveModel {
        id: sea_orm::Unchanged(id),
        version: Set(after.version + 1),
        updated_at: Set(scope.now()),
        code: Set(after.code),
        name: Set(after.name),
        names: Set(after.names),
        duration_minutes: Set(after.duration_minutes),
        buffer_before_minutes: Set(after.buffer_before_minutes),
        buffer_after_minutes: Set(after.buffer_after_minutes),
        needs_chair: Set(after.needs_chair),
        bookable_online: Set(after.bookable_online),
        price: Set(after.price),
        currency: Set(after.currency),
        tax_rate: Set(after.tax_rate),
        active: Set(after.active),
        ..Default::default()
    };
    let before = Service::from(before);
    let after = Service::from(changed.update(tx).await.map_err(refused)?);
    let (old, new) = change::difference(&before, &after);
    trace(tx, scope, event::SERVICE_UPDATED, id, Some(old), Some(new)).await?;
    Ok(after)
}

/// Removes a service to which nothing refers.
///
/// # Errors
/// [`CoreError::NotFound`]; [`CoreError::Stale`]; [`CoreError::InUse`] when something refers to it, so that it
/// can only be made inactive; [`CoreError::Database`].
#[tracing::instrument(name = "core.service.delete", skip_all, fields(tenant.id = %scope.tenant_id), err(level = "debug"))]
pub async fn delete(
    tx: &TenantTransaction,
    scope: &TenantScope,
    id: ServiceId,
    expected: Option<i64>,
) -> Result<(), CoreError> {
    let before = Service::from(locked(tx, id, expected).await?);
    Entity::delete_by_id(id).exec(tx).await.map_err(refused)?;
    trace(tx, scope, event::SERVICE_DELETED, id, Some(change::json(&before)), None).await
}

async fn locked(tx: &TenantTransaction, id: ServiceId, expected: Option<i64>) -> Result<Model, CoreError> {
    let found = Entity::find_by_id(id).lock(LockType::NoKeyUpdate).one(tx).await?;
    let row = found.ok_or(CoreError::NotFound { thing: THING })?;
    change::expect_version(THING, expected, row.version)?;
    Ok(row)
}

fn apply(row: &mut Model, patch: UpdateService) -> Result<(), CoreError> {
    if let Some(code) = patch.code {
        row.code = code.trim().to_owned();
    }
    if let Some(name) = patch.name {
        row.name = name.trim().to_owned();
    }
    if let Some(by_language) = patch.names {
        row.names = names(&by_language);
    }
    row.duration_minutes = patch.duration_minutes.unwrap_or(row.duration_minutes);
    row.buffer_before_minutes = patch.buffer_before_minutes.unwrap_or(row.buffer_before_minutes);
    row.buffer_after_minutes = patch.buffer_after_minutes.unwrap_or(row.buffer_after_minutes);
    row.needs_chair = patch.needs_chair.unwrap_or(row.needs_chair);
    row.bookable_online = patch.bookable_online.unwrap_or(row.bookable_online);
    row.active = patch.active.unwrap_or(row.active);
    if let Some(rate) = patch.tax_rate {
        row.tax_rate = tax_rate(&rate)?;
    }
    let currency = match &patch.currency {
        Some(code) if *code != row.currency => new_currency(code)?,
        _ => row.currency.parse().map_err(wrong_currency)?,
    };
    row.currency = currency.code().to_owned();
    row.price = match patch.price {
        Some(text) => text.as_deref().map(|text| price(text, currency)).transpose()?,
        // A price that stays must still be one in a currency that does not.
        None => match row.price {
            Some(kept) => Some(Money::from_decimal(kept, currency).map_err(wrong_price)?.amount()),
            None => None,
        },
    };
    Ok(())
}

/// Makes a row of an input that was checked, with its id and when it was made and changed.
pub(super) fn row(
    scope: &TenantScope,
    (id, created_at, updated_at): (ServiceId, DateTime<Utc>, DateTime<Utc>),
    input: CreateService,
) -> Result<Model, CoreError> {
    let currency = match &input.currency {
        Some(code) => currency(code)?,
        None => scope.currency,
    };
    Ok(Model {
        id,
        version: 1,
        created_at,
        updated_at,
        code: input.code.trim().to_owned(),
        name: input.name.trim().to_owned(),
        names: names(&input.names),
        duration_minutes: input.duration_minutes,
        buffer_before_minutes: input.buffer_before_minutes,
        buffer_after_minutes: input.buffer_after_minutes,
        needs_chair: input.needs_chair,
        bookable_online: input.bookable_online,
        price: input.price.as_deref().map(|text| price(text, currency)).transpose()?,
        currency: currency.code().to_owned(),
        tax_rate: input.tax_rate.as_deref().map_or(Ok(Decimal::ZERO), tax_rate)?,
        active: input.active,
    })
}

fn currency(code: &str) -> Result<Currency, CoreError> {
    code.parse().map_err(wrong_currency)
}

fn new_currency(code: &str) -> Result<Currency, CoreError> {
    Currency::in_use(code).map_err(wrong_currency)
}

fn wrong_currency(error: MoneyError) -> CoreError {
    CoreError::invalid("/currency", error.code(), &error.to_string())
}

fn price(text: &str, currency: Currency) -> Result<Decimal, CoreError> {
    let money = Money::parse(text, currency).map_err(wrong_price)?;
    if money.amount().is_sign_negative() && !money.amount().is_zero() {
        return Err(CoreError::invalid("/price", "out_of_range", "must not be negative"));
    }
    Ok(money.amount())
}

fn wrong_price(error: MoneyError) -> CoreError {
    CoreError::invalid("/price", error.code(), &error.to_string())
}

/// Reads a percentage: 0 to 100 with at most four decimals.
fn tax_rate(text: &str) -> Result<Decimal, CoreError> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let plain =
        |part: &str| !part.is_empty() && part.len() <= 4 && part.bytes().all(|digit| digit.is_ascii_digit());
    let rate = if plain(whole) && plain(fraction) { text.parse::<Decimal>().ok() } else { None };
    rate.filter(|rate| *rate <= Decimal::ONE_HUNDRED).ok_or_else(|| {
        let detail = "must be a percentage from \"0\" to \"100\" with at most 4 decimals";
        CoreError::invalid("/tax_rate", "malformed_percentage", detail)
    })
}

fn names(by_language: &BTreeMap<String, String>) -> JsonValue {
    change::json(by_language)
}

fn refused(error: DbErr) -> CoreError {
    change::refused(&error, |failure| match failure.kind {
        FailureKind::Unique => Some(CoreError::Taken { what: "service code", code: "code_taken" }),
        FailureKind::ForeignKey => Some(CoreError::InUse { thing: THING }),
        _ => None,
    })
}

async fn trace(
    tx: &TenantTransaction,
    scope: &TenantScope,
    event: EventType,
    id: ServiceId,
    before: Option<JsonValue>,
    after: Option<JsonValue>,
) -> Result<(), CoreError> {
    let change = Change {
        event,
        aggregate: "service",
        aggregate_id: id.uuid(),
        patient_id: None,
        before,
        after,
        payload: json!({ "service_id": id }),
    };
    Ok(record(tx, scope, change).await?)
}

#[cfg(test)]
mod tests {
    use super::tax_rate;

    #[test]
    fn tax_rates_are_plain_percentages() {
        for good in ["0", "20", "7.5", "100", "19.0000"] {
            assert!(tax_rate(good).is_ok(), "{good}");
        }
        for bad in ["", "-1", "100.1", "1e1", "7.", ".5", "1.00001", "NaN", " 5"] {
            assert!(tax_rate(bad).is_err(), "{bad:?}");
        }
    }
}
