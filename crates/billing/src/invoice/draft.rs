//! Drafts: made, changed, and declared entered in error.

use clinicx_core::{change, validation};
use clinicx_keys::FieldCipher;
use clinicx_persistence::{TenantScope, TenantTransaction};
use clinicx_types::{
    error::FieldError,
    money::{Currency, Money},
};
use rust_decimal::Decimal;
use sea_orm::{ActiveModelTrait, EntityTrait, IntoActiveModel, Set};

use super::{
    dto::{CreateInvoice, Invoice, UpdateInvoice},
    entity::{ActiveModel, Entity, Model},
    lines::{self, Ordered},
    query::{self, THING},
    status::InvoiceStatus,
    trace,
};
use crate::{
    ChargeItemId, InvoiceId, account, charge_item,
    error::{BillingError, Result},
    event, input,
    pricing::{Discount, Price},
    sealed,
};

/// Drafts an invoice. Treatments on it are billed from now on.
///
/// # Errors
/// [`CoreError::Invalid`](clinicx_core::CoreError::Invalid), also for an unknown treatment;
/// [`CoreError::NotFound`](clinicx_core::CoreError::NotFound) and
/// [`CoreError::PatientGone`](clinicx_core::CoreError::PatientGone) for the patient;
/// [`BillingError::AlreadyBilled`]; [`BillingError::Core`] when the database fails.
#[tracing::instrument(name = "billing.invoice.create", skip_all, fields(tenant.id = %scope.tenant_id), err(level = "debug"))]
pub async fn create(
    tx: &TenantTransaction,
    scope: &TenantScope,
    cipher: &FieldCipher,
    input: CreateInvoice,
) -> Result<Invoice> {
    validation::check(&input)?;
    let currency = match &input.currency {
        Some(code) => input::new_currency(code, "/currency")?,
        None => scope.currency,
    };
    let pair = (input.discount.as_deref(), input.discount_percent.as_deref());
    let header = lines::discount(currency, pair, |field| format!("/{field}"))?;
    let account_id = account::of_patient(tx, scope, input.patient_id, currency).await?;
    let now = scope.now();
    let id = InvoiceId::new(scope.next_id());
    let note = sealed::close_some(scope, cipher, (sealed::INVOICE_NOTE, id.uuid()), input.note.as_deref())?;
    let mut row = Model {
        id,
        version: 1,
        created_at: now,
        updated_at: now,
        patient_id: input.patient_id,
        account_id,
        number: None,
        status: InvoiceStatus::Draft,
        currency: currency.code().to_owned(),
        discount: Decimal::ZERO,
        discount_percent: None,
        net: Decimal::ZERO,
        tax: Decimal::ZERO,
        gross: Decimal::ZERO,
        allocated: Decimal::ZERO,
        credited: Decimal::ZERO,
        issued_at: None,
        issued_on: None,
        due_on: input.due_on,
        cancelled_at: None,
        issuer: None,
        recipient: None,
        note,
        cancellation_reason: None,
    };
    // The row comes first: what is billed refers to it.
    Entity::insert(row.clone().into_active_model().reset_all()).exec_without_returning(tx).await?;
    let ordered = lines::read(tx, scope, (id, input.patient_id, currency), &input.lines).await?;
    let price = lines::priced(currency, &ordered, header)?;
    let drafted = put(tx, scope, cipher, &mut row, (&ordered, &price, header)).await?;
    trace::write(tx, scope, event::INVOICE_CREATED, (None, &drafted)).await?;
    Ok(drafted)
}

/// Changes a draft; a change that changes nothing leaves no trace. Treatments that are no longer on it can be billed
/// again.
///
/// # Errors
/// As [`create`]; [`CoreError::Stale`](clinicx_core::CoreError::Stale) unless `expected` is `None` or the present
/// version; [`CoreError::RefusedTransition`](clinicx_core::CoreError::RefusedTransition) unless it is a draft.
#[tracing::instrument(name = "billing.invoice.update", skip_all, fields(tenant.id = %scope.tenant_id), err(level = "debug"))]
pub async fn update(
    tx: &TenantTransaction,
    scope: &TenantScope,
    cipher: &FieldCipher,
    (id, expected): (InvoiceId, Option<i64>),
    patch: UpdateInvoice,
) -> Result<Invoice> {
    validation::check(&patch)?;
    let mut row = draft(tx, (id, expected), "change").await?;
    let currency = input::currency(&row.currency, "/currency")?;
    let old_lines = query::lines_of(tx, &[id]).await?;
    let old_taxes = query::taxes_of(tx, &[id]).await?;
    let before = query::assemble(scope, cipher, row.clone(), (&old_lines, &old_taxes))?;
    let header = header(currency, &row, &patch)?;
    let ordered = match &patch.lines {
        Some(inputs) => lines::read(tx, scope, (id, row.patient_id, currency), inputs).await?,
        None => lines::again(scope, cipher, currency, old_lines)?,
    };
    row.due_on = patch.due_on.unwrap_or(row.due_on);
    let note = patch.note.unwrap_or_else(|| before.note.clone());
    let price = lines::priced(currency, &ordered, header)?;
    let is_same = patch.lines.is_none()
        && (price.discount.amount(), lines::percent(header)) == (row.discount, row.discount_percent)
        && (row.due_on, &note) == (before.due_on, &before.note);
    if is_same {
        return Ok(before);
    }
    row.note = sealed::close_some(scope, cipher, (sealed::INVOICE_NOTE, id.uuid()), note.as_deref())?;
    row.version += 1;
    row.updated_at = scope.now();
    let after = put(tx, scope, cipher, &mut row, (&ordered, &price, header)).await?;
    let kept: Vec<ChargeItemId> = ordered.iter().filter_map(|line| line.charge_item_id).collect();
    charge_item::free(tx, scope, id, &kept).await?;
    trace::write(tx, scope, event::INVOICE_UPDATED, (Some(&before), &after)).await?;
    Ok(after)
}

/// Declares a draft entered in error. Treatments on it can be billed again.
///
/// # Errors
/// [`CoreError::NotFound`](clinicx_core::CoreError::NotFound); [`CoreError::Stale`](clinicx_core::CoreError::Stale);
/// [`CoreError::RefusedTransition`](clinicx_core::CoreError::RefusedTransition) unless it is a draft;
/// [`BillingError::Core`] when the database fails.
#[tracing::instrument(name = "billing.invoice.discard", skip_all, fields(tenant.id = %scope.tenant_id), err(level = "debug"))]
pub async fn discard(
    tx: &TenantTransaction,
    scope: &TenantScope,
    cipher: &FieldCipher,
    revision: (InvoiceId, Option<i64>),
) -> Result<Invoice> {
    let row = draft(tx, revision, "discard").await?;
    let before = whole(tx, scope, cipher, row.clone()).await?;
    charge_item::free(tx, scope, row.id, &[]).await?;
    let changed = ActiveModel {
        id: sea_orm::Unchanged(row.id),
        version: Set(row.version + 1),
        updated_at: Set(scope.now()),
        status: Set(InvoiceStatus::EnteredInError),
        ..Default::default()
    };
    let after = whole(tx, scope, cipher, changed.update(tx).await?).await?;
    trace::write(tx, scope, event::INVOICE_DISCARDED, (Some(&before), &after)).await?;
    Ok(after)
}

/// Locks a draft.
pub(super) async fn draft(
    tx: &TenantTransaction,
    (id, expected): (InvoiceId, Option<i64>),
    action: &'static str,
) -> Result<Model> {
    let row = query::locked(tx, id, None).await?;
    change::expect_version(THING, expected, row.version)?;
    if row.status == InvoiceStatus::Draft { Ok(row) } else { Err(row.status.refused_to(action).into()) }
}

/// Puts the invoice of a row together.
pub(super) async fn whole(
    tx: &TenantTransaction,
    scope: &TenantScope,
    cipher: &FieldCipher,
    row: Model,
) -> Result<Invoice> {
    let found = query::assembled(tx, scope, cipher, vec![row]).await?.pop();
    found.ok_or_else(|| BillingError::not_found(THING))
}

/// Writes a draft's lines, its taxes and what it comes to.
async fn put(
    tx: &TenantTransaction,
    scope: &TenantScope,
    cipher: &FieldCipher,
    row: &mut Model,
    (ordered, price, header): (&[Ordered], &Price, Discount),
) -> Result<Invoice> {
    row.discount = price.discount.amount();
    row.discount_percent = lines::percent(header);
    row.net = price.net.amount();
    row.tax = price.tax.amount();
    row.gross = price.gross.amount();
    let (lines, taxes) = lines::write(tx, scope, cipher, row.id, (ordered, price)).await?;
    let changed = ActiveModel {
        id: sea_orm::Unchanged(row.id),
        version: Set(row.version),
        updated_at: Set(row.updated_at),
        discount: Set(row.discount),
        discount_percent: Set(row.discount_percent),
        net: Set(row.net),
        tax: Set(row.tax),
        gross: Set(row.gross),
        due_on: Set(row.due_on),
        note: Set(row.note.clone()),
        ..Default::default()
    };
    changed.update(tx).await?;
    query::assemble(scope, cipher, row.clone(), (&lines, &taxes))
}

/// Returns the discount on the whole after a change.
fn header(
    currency: Currency,
    row: &Model,
    patch: &UpdateInvoice,
) -> std::result::Result<Discount, FieldError> {
    let amount = patch.discount.as_ref().and_then(Option::as_deref);
    let percent = patch.discount_percent.as_ref().and_then(Option::as_deref);
    if amount.is_some() || percent.is_some() {
        return lines::discount(currency, (amount, percent), |field| format!("/{field}"));
    }
    // `null` clears only what was given that way.
    match row.discount_percent {
        Some(_) if patch.discount_percent.is_some() => Ok(Discount::None),
        Some(percent) => Ok(Discount::Percent(percent)),
        None if patch.discount.is_some() => Ok(Discount::None),
        None => Money::from_decimal(row.discount, currency)
            .map(Discount::Amount)
            .map_err(|error| input::wrong_amount(error, "/discount")),
    }
}
