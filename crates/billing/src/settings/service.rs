//! Reading and changing how a clinic bills.

use clinicx_core::{change, validation};
use clinicx_persistence::{TenantScope, TenantScoped, TenantTransaction};
use clinicx_types::error::FieldError;
use sea_orm::{ActiveModelTrait, EntityTrait, QuerySelect, Set, Unchanged, sea_query::LockType};
use serde_json::json;

use super::{
    dto::{Settings, UpdateSettings},
    entity::{ActiveModel, Entity, Model},
};
use crate::{
    change::Trace,
    error::{BillingError, Result},
    event,
    number::{self, Kind},
};

const THING: &str = "billing settings";

/// Returns how the clinic bills.
///
/// # Errors
/// [`CoreError::NotFound`](clinicx_core::CoreError::NotFound) when somebody has removed the row, which no operation does;
/// [`BillingError::Core`] when the database fails.
pub async fn get(db: &impl TenantScoped, _scope: &TenantScope) -> Result<Settings> {
    let row = Entity::find().one(db).await?;
    row.map(Settings::from).ok_or_else(|| BillingError::not_found(THING))
}

/// Changes how the clinic bills; invoices that are issued stay as they are. A change that changes nothing leaves no
/// trace.
///
/// # Errors
/// [`CoreError::Invalid`](clinicx_core::CoreError::Invalid), also for a prefix that numbers of the other kind have;
/// [`CoreError::Stale`](clinicx_core::CoreError::Stale) unless `expected` is `None` or the present version;
/// [`BillingError::Core`] when the database fails.
#[tracing::instrument(name = "billing.settings.update", skip_all, fields(tenant.id = %scope.tenant_id), err(level = "debug"))]
pub async fn update(
    tx: &TenantTransaction,
    scope: &TenantScope,
    expected: Option<i64>,
    patch: UpdateSettings,
) -> Result<Settings> {
    validation::check(&patch)?;
    let row = Entity::find().lock(LockType::NoKeyUpdate).one(tx).await?;
    let before = row.map(Settings::from).ok_or_else(|| BillingError::not_found(THING))?;
    change::expect_version(THING, expected, before.version)?;
    let mut after = before.clone();
    after.issuer = patch.issuer.unwrap_or(after.issuer);
    after.invoice_prefix = patch.invoice_prefix.unwrap_or(after.invoice_prefix);
    after.credit_note_prefix = patch.credit_note_prefix.unwrap_or(after.credit_note_prefix);
    after.fiscal_year_start_month = patch.fiscal_year_start_month.unwrap_or(after.fiscal_year_start_month);
    after.payment_terms_days = patch.payment_terms_days.unwrap_or(after.payment_terms_days);
    if after.invoice_prefix == after.credit_note_prefix {
        let detail = "must be another one than that of invoices";
        return Err(BillingError::invalid("/credit_note_prefix", "unchanged", detail));
    }
    if after == before {
        return Ok(after);
    }
    refuse_used_prefixes(tx, &before, &after).await?;
    after.version += 1;
    after.updated_at = scope.now();
    let changed = ActiveModel {
        id: Unchanged(after.id),
        version: Set(after.version),
        updated_at: Set(after.updated_at),
        issuer: Set(change::json(&after.issuer)),
        invoice_prefix: Set(after.invoice_prefix.clone()),
        credit_note_prefix: Set(after.credit_note_prefix.clone()),
        fiscal_year_start_month: Set(after.fiscal_year_start_month),
        payment_terms_days: Set(after.payment_terms_days),
        ..Default::default()
    };
    changed.update(tx).await?;
    let (old, new) = change::difference(&before, &after);
    let trace = Trace {
        event: event::BILLING_SETTINGS_UPDATED,
        aggregate: ("billing_settings", after.id),
        patient_id: None,
        // Many a practice goes by its owner's name.
        before: change::masked(Some(old), &["issuer"]),
        after: change::masked(Some(new), &["issuer"]),
        payload: json!({}),
    };
    trace.write(tx, scope).await?;
    Ok(after)
}

/// A number that was given to an invoice is given to no credit note, and the other way round.
async fn refuse_used_prefixes(tx: &TenantTransaction, before: &Settings, after: &Settings) -> Result<()> {
    let mut wrong = Vec::new();
    for (pointer, old, new, other) in [
        ("/invoice_prefix", &before.invoice_prefix, &after.invoice_prefix, Kind::CreditNote),
        ("/credit_note_prefix", &before.credit_note_prefix, &after.credit_note_prefix, Kind::Invoice),
    ] {
        if old != new && number::has_begun(tx, other, new).await? {
            wrong.push(FieldError::new(pointer, "prefix_of_other_kind", "begins numbers of the other kind"));
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong.into()) }
}

impl From<Model> for Settings {
    fn from(row: Model) -> Self {
        Self {
            id: row.id,
            version: row.version,
            created_at: row.created_at,
            updated_at: row.updated_at,
            issuer: serde_json::from_value(row.issuer).unwrap_or_default(),
            invoice_prefix: row.invoice_prefix,
            credit_note_prefix: row.credit_note_prefix,
            fiscal_year_start_month: row.fiscal_year_start_month,
            payment_terms_days: row.payment_terms_days,
        }
    }
}
