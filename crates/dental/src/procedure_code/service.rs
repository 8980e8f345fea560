//! Operations on the catalogue.

use clinicx_core::{CoreError, change, paging, validation};
use clinicx_persistence::{FailureKind, TenantScope, TenantScoped, TenantTransaction};
use clinicx_types::{
    error::FieldError,
    module::EventType,
    page::{Page, PageRequest},
};
use rust_decimal::Decimal;
use sea_orm::{
    ActiveModelTrait, ColumnTrait, Condition, DbErr, EntityTrait, IntoActiveModel, PaginatorTrait,
    QueryFilter, QueryOrder, QuerySelect, Set, Unchanged,
    sea_query::{Expr, ExprTrait, Func, LikeExpr, LockType},
};

use super::{
    dto::{CreateProcedureCode, ProcedureCode, ProcedureCodeFilter, UpdateProcedureCode},
    entity::{ActiveModel, Column, Entity, Model},
    kind::Origin,
};
use crate::{ProcedureCodeId, error::DentalError, event, reference, trace};

pub(super) const THING: &str = "procedure code";
const AGGREGATE: &str = "procedure_code";

/// Adds a procedure.
///
/// Needs `procedure_code.write`. Leaves an audit row and an event.
///
/// # Errors
/// [`CoreError::Invalid`]; [`CoreError::Taken`] when another procedure has the code; [`CoreError::Database`].
#[tracing::instrument(name = "dental.procedure_code.create", skip_all, fields(tenant.id = %scope.tenant_id), err(level = "debug"))]
pub async fn create(
    tx: &TenantTransaction,
    scope: &TenantScope,
    input: CreateProcedureCode,
) -> Result<ProcedureCode, DentalError> {
    validation::check(&input)?;
    let row = new_row(scope, input, Origin::Own).map_err(DentalError::fields_of)?;
    insert(tx, scope, &row).await?;
    Ok(row.into())
}

/// Returns a procedure.
///
/// # Errors
/// [`CoreError::NotFound`]; [`CoreError::Database`].
pub async fn get(
    db: &impl TenantScoped,
    _scope: &TenantScope,
    id: ProcedureCodeId,
) -> Result<ProcedureCode, DentalError> {
    let found = Entity::find_by_id(id).one(db).await?;
    Ok(found.ok_or(DentalError::not_found(THING))?.into())
}

/// Lists procedures by code.
///
/// # Errors
/// [`CoreError::Invalid`] when the cursor is none of this list's; [`CoreError::Database`].
pub async fn list(
    db: &impl TenantScoped,
    _scope: &TenantScope,
    filter: &ProcedureCodeFilter,
    page: &PageRequest,
) -> Result<Page<ProcedureCode>, DentalError> {
    let mut query = Entity::find();
    if let Some(text) = &filter.q {
        let escaped = text.to_lowercase().replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_");
        let pattern = || LikeExpr::new(format!("%{escaped}%")).escape('\\');
        let like = |column: Column| Expr::expr(Func::lower(Expr::col(column))).like(pattern());
        query = query.filter(Condition::any().add(like(Column::Code)).add(like(Column::Name)));
    }
    if let Some(category) = filter.category {
        query = query.filter(Column::Category.eq(category));
    }
    if let Some(active) = filter.active {
        query = query.filter(Column::Active.eq(active));
    }
    let total = if page.count { Some(query.clone().count(db).await?) } else { None };
    if let Some(key) = &page.after {
        let [code] = paging::parts(key)?;
        query = query.filter(Column::Code.gt(code.as_str()));
    }
    let rows = query.order_by_asc(Column::Code).limit(u64::from(page.limit()) + 1).all(db).await?;
    Ok(Page::from_rows(rows, page, total, |row| vec![row.code.clone()]).map(ProcedureCode::from))
}

/// Changes a procedure; a change that changes nothing leaves no trace. What was planned before keeps its price.
///
/// Needs `procedure_code.write`. Leaves an audit row and an event.
///
/// # Errors
/// [`CoreError::Invalid`]; [`CoreError::NotFound`]; [`CoreError::Stale`] unless `expected` is `None` or the present
/// version; [`CoreError::Database`].
#[tracing::instrument(name = "dental.procedure_code.update", skip_all, fields(tenant.id = %scope.tenant_id), err(level = "debug"))]
pub async fn update(
    tx: &TenantTransaction,
    scope: &TenantScope,
    id: ProcedureCodeId,
    expected: Option<i64>,
    patch: UpdateProcedureCode,
) -> Result<ProcedureCode, DentalError> {
    validation::check(&patch)?;
    let found = Entity::find_by_id(id).lock(LockType::NoKeyUpdate).one(tx).await?;
    let before = found.ok_or(DentalError::not_found(THING))?;
    change::expect_version(THING, expected, before.version)?;
    let mut after = before.clone();
    apply(scope, &mut after, patch).map_err(DentalError::fields_of)?;
    Ok(write(tx, scope, before, after).await?.into())
}

/// Finds an active procedure by its code.
pub(crate) async fn by_code(db: &impl TenantScoped, code: &str, pointer: &str) -> Result<Model, DentalError> {
    let code = code.trim().to_ascii_uppercase();
    let found = Entity::find().filter(Column::Code.eq(code)).one(db).await?;
    match found {
        Some(row) if row.active => Ok(row),
        Some(_) => Err(DentalError::invalid(pointer, "inactive", "must be active")),
        None => Err(DentalError::invalid(pointer, "not_found", "must be a code of the clinic's catalogue")),
    }
}

/// What somebody says about what a procedure costs.
struct Cost<'a> {
    price: Option<&'a str>,
    currency: Option<&'a str>,
    tax_rate: Option<&'a str>,
}

/// What a procedure costs.
struct CostRead {
    price: Option<Decimal>,
    currency: Option<String>,
    tax_rate: Option<Decimal>,
}

impl Cost<'_> {
    /// Reads the price, its currency and the rate of tax on it, or tells every wrong field.
    fn read(self, scope: &TenantScope) -> Result<CostRead, Vec<FieldError>> {
        let mut wrong = Vec::new();
        let currency = reference::currency(scope, self.currency);
        let known = currency.is_ok();
        let currency = currency.unwrap_or_else(|error| {
            wrong.push(error);
            scope.currency
        });
        let price = self.price.map(|text| reference::amount(text, currency, "/price"));
        let price = price.transpose().unwrap_or_else(|error| {
            // How many decimals it can have is not known without its currency.
            if known || error.code != "too_precise" {
                wrong.push(error);
            }
            None
        });
        let tax_rate = self.tax_rate.map(|text| reference::percentage(text, "/tax_rate"));
        let tax_rate = tax_rate.transpose().unwrap_or_else(|error| {
            wrong.push(error);
            None
        });
        let currency = price.map(|_| currency.code().to_owned());
        if wrong.is_empty() { Ok(CostRead { price, currency, tax_rate }) } else { Err(wrong) }
    }
}

/// Makes a row of an input, or tells every wrong field.
pub(super) fn new_row(
    scope: &TenantScope,
    input: CreateProcedureCode,
    origin: Origin,
) -> Result<Model, Vec<FieldError>> {
    let now = scope.now();
    let cost = Cost {
        price: input.price.as_deref(),
        currency: input.currency.as_deref(),
        tax_rate: input.tax_rate.as_deref(),
    };
    let CostRead { price, currency, tax_rate } = cost.read(scope)?;
    Ok(Model {
        id: ProcedureCodeId::new(scope.next_id()),
        version: 1,
        created_at: now,
        updated_at: now,
        code: input.code.to_ascii_uppercase(),
        name: input.name.trim().to_owned(),
        names: change::json(&input.names),
        category: input.category,
        area: input.area,
        effect: input.effect,
        price,
        currency,
        tax_rate: tax_rate.unwrap_or(Decimal::ZERO),
        billable: input.billable,
        active: input.active,
        origin,
    })
}

/// Applies a patch to a row, or tells every wrong field.
pub(super) fn apply(
    scope: &TenantScope,
    row: &mut Model,
    patch: UpdateProcedureCode,
) -> Result<(), Vec<FieldError>> {
    if let Some(name) = patch.name {
        row.name = name.trim().to_owned();
    }
    if let Some(names) = patch.names {
        row.names = change::json(&names);
    }
    row.category = patch.category.unwrap_or(row.category);
    row.area = patch.area.unwrap_or(row.area);
    row.effect = patch.effect.unwrap_or(row.effect);
    row.billable = patch.billable.unwrap_or(row.billable);
    row.active = patch.active.unwrap_or(row.active);
    let price = match patch.price {
        Some(text) => text,
        // A price that stays must still be one in a currency that does not.
        None => row.price.map(|price| price.normalize().to_string()),
    };
    let cost = Cost {
        price: price.as_deref(),
        currency: patch.currency.as_deref().or(row.currency.as_deref()),
        tax_rate: patch.tax_rate.as_deref(),
    };
    let CostRead { price, currency, tax_rate } = cost.read(scope)?;
    row.price = price;
    row.currency = currency;
    row.tax_rate = tax_rate.unwrap_or(row.tax_rate);
    Ok(())
}

/// Writes a new row and its trace.
pub(super) async fn insert(
    tx: &TenantTransaction,
    scope: &TenantScope,
    row: &Model,
) -> Result<(), DentalError> {
    Entity::insert(row.clone().into_active_model().reset_all())
        .exec_without_returning(tx)
        .await
        .map_err(refused)?;
    let subject = subject(row, event::PROCEDURE_CODE_CREATED);
    trace::made(tx, scope, subject, &ProcedureCode::from(row.clone())).await
}

/// Writes what has changed of a row, and its trace.
pub(super) async fn write(
    tx: &TenantTransaction,
    scope: &TenantScope,
    before: Model,
    after: Model,
) -> Result<Model, DentalError> {
    if after == before {
        return Ok(after);
    }
    let changed = ActiveModel {
        id: Unchanged(after.id),
        version: Set(before.version + 1),
        updated_at: Set(scope.now()),
        name: Set(after.name),
        names: Set(after.names),
        category: Set(after.category),
        area: Set(after.area),
        effect: Set(after.effect),
        price: Set(after.price),
        currency: Set(after.currency),
        tax_rate: Set(after.tax_rate),
        billable: Set(after.billable),
        active: Set(after.active),
        ..Default::default()
    };
    let after = changed.update(tx).await.map_err(refused)?;
    let (old, new) = (ProcedureCode::from(before), ProcedureCode::from(after.clone()));
    trace::changed(tx, scope, subject(&after, event::PROCEDURE_CODE_UPDATED), &old, &new).await?;
    Ok(after)
}

pub(super) fn refused(error: DbErr) -> CoreError {
    change::refused(&error, |failure| match failure.kind {
        FailureKind::Unique => Some(CoreError::Taken { what: "procedure code", code: "code_taken" }),
        _ => None,
    })
}

fn subject(row: &Model, event: EventType) -> trace::Subject {
    trace::Subject { event, aggregate: AGGREGATE, id: row.id.uuid(), patient_id: None }
}
