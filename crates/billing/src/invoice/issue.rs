//! Issuing: a draft becomes an invoice with a number that never changes again.

use chrono::{Days, NaiveDate};
use clinicx_core::local_time;
use clinicx_keys::FieldCipher;
use clinicx_persistence::{TenantScope, TenantTransaction};
use sea_orm::{ActiveModelTrait, EntityTrait, Set};

use super::{
    draft,
    dto::Invoice,
    entity::{ActiveModel, Model},
    recipient::Recipient,
    status::InvoiceStatus,
    trace,
};
use crate::{
    InvoiceId, account,
    error::{BillingError, Result},
    event, input, ledger,
    number::{self, Kind},
    sealed,
    settings::{self, Settings},
};

/// Issues a draft: gives it the next number of its series and fiscal year, both by the clinic's local date, keeps who
/// the clinic and the payer are now, and puts the gross on the account.
///
/// # Errors
/// [`CoreError::NotFound`](clinicx_core::CoreError::NotFound); [`CoreError::Stale`](clinicx_core::CoreError::Stale);
/// [`CoreError::RefusedTransition`](clinicx_core::CoreError::RefusedTransition) unless it is a draft;
/// [`CoreError::Invalid`](clinicx_core::CoreError::Invalid) when it would be overdue at once;
/// [`BillingError::NothingToIssue`]; [`BillingError::Core`] when the database fails.
#[tracing::instrument(name = "billing.invoice.issue", skip_all, fields(tenant.id = %scope.tenant_id), err(level = "debug"))]
pub async fn issue(
    tx: &TenantTransaction,
    scope: &TenantScope,
    cipher: &FieldCipher,
    revision: (InvoiceId, Option<i64>),
) -> Result<Invoice> {
    let row = draft::draft(tx, revision, "issue").await?;
    let before = draft::whole(tx, scope, cipher, row.clone()).await?;
    if before.lines.is_empty() {
        return Err(BillingError::NothingToIssue);
    }
    let settings = settings::get(tx, scope).await?;
    let today = local_time::local_date(scope.now(), scope.time_zone);
    let due_on = due_on(&row, &settings, today)?;
    let payer = account::entity::Entity::find_by_id(row.account_id).one(tx).await?;
    let payer = payer.ok_or_else(|| BillingError::not_found("account"))?.patient_id;
    let recipient =
        clinicx_core::change::json(&Recipient::of(tx, (payer, row.patient_id)).await?).to_string();
    let gross = input::stored(row.gross, &row.currency)?;
    let mut issuer = settings.issuer.clone();
    issuer.name.get_or_insert_with(|| scope.name.to_string());
    // The series is locked from here on, so that it comes last.
    let number = number::next(tx, scope, Kind::Invoice, &settings, today).await?;
    let changed = ActiveModel {
        id: sea_orm::Unchanged(row.id),
        version: Set(row.version + 1),
        updated_at: Set(scope.now()),
        number: Set(Some(number.clone())),
        status: Set(InvoiceStatus::of_due(row.gross)),
        issued_at: Set(Some(scope.now())),
        issued_on: Set(Some(today)),
        due_on: Set(Some(due_on)),
        issuer: Set(Some(clinicx_core::change::json(&issuer))),
        recipient: Set(Some(sealed::close(scope, cipher, (sealed::RECIPIENT, row.id.uuid()), &recipient)?)),
        ..Default::default()
    };
    let posting = ledger::Posting {
        account_id: row.account_id,
        patient_id: row.patient_id,
        kind: ledger::EntryKind::Invoice,
        source_id: row.id.uuid(),
        amount: gross,
        reference: Some(number),
    };
    let after = draft::whole(tx, scope, cipher, changed.update(tx).await?).await?;
    ledger::post(tx, scope, posting).await?;
    trace::write(tx, scope, event::INVOICE_ISSUED, (Some(&before), &after)).await?;
    Ok(after)
}

fn due_on(row: &Model, settings: &Settings, today: NaiveDate) -> Result<NaiveDate> {
    match row.due_on {
        Some(day) if day < today => {
            Err(BillingError::invalid("/due_on", "too_early", "must not be before the day of issue"))
        }
        Some(day) => Ok(day),
        None => {
            let terms = u64::try_from(settings.payment_terms_days).unwrap_or_default();
            Ok(today.checked_add_days(Days::new(terms)).unwrap_or(today))
        }
    }
}
