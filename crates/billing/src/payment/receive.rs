//! Receiving a payment.

use clinicx_core::validation;
use clinicx_keys::FieldCipher;
use clinicx_persistence::{TenantScope, TenantTransaction};
use clinicx_types::money::Currency;
use rust_decimal::Decimal;
use sea_orm::{ActiveModelTrait, ColumnTrait, EntityTrait, IntoActiveModel, QueryFilter, QuerySelect};

use super::{
    allocate::{self, Wishes},
    dto::{CreatePayment, Payment},
    entity::{Entity, Model},
    query,
    status::PaymentStatus,
    trace,
};
use crate::{
    AccountId, PaymentId, account,
    error::{BillingError, Result},
    event, input, invoice, ledger, sealed,
};

/// Records a payment and puts it on the account of who pays for the patient, or of the patient's invoices to which it
/// goes at once. One that is still under way counts for nothing yet.
///
/// # Errors
/// [`CoreError::Invalid`](clinicx_core::CoreError::Invalid), also for an invoice that is not there, of another account
/// or in another currency; [`CoreError::NotFound`](clinicx_core::CoreError::NotFound) and
/// [`CoreError::PatientGone`](clinicx_core::CoreError::PatientGone) for the patient;
/// [`CoreError::RefusedTransition`](clinicx_core::CoreError::RefusedTransition) when an invoice is not issued;
/// [`BillingError::OverAllocation`]; [`BillingError::Core`] when the database fails.
#[tracing::instrument(name = "billing.payment.receive", skip_all, fields(tenant.id = %scope.tenant_id), err(level = "debug"))]
pub async fn receive(
    tx: &TenantTransaction,
    scope: &TenantScope,
    cipher: &FieldCipher,
    input: CreatePayment,
) -> Result<Payment> {
    validation::check(&input)?;
    let currency = match &input.currency {
        Some(code) => input::new_currency(code, "/currency")?,
        None => scope.currency,
    };
    let amount = input::positive_amount(&input.amount, currency, "/amount")?;
    let status = status(&input)?;
    let now = scope.now();
    let received_at = input.received_at.unwrap_or(now);
    if received_at > now {
        return Err(BillingError::invalid("/received_at", "in_future", "must not be in the future"));
    }
    let at = |index: usize, field: &str| format!("/allocations/{index}/{field}");
    let wishes = allocate::wishes(currency, &input.allocations, at)?;
    let allocated: Decimal = wishes.iter().map(|(_, amount)| amount).sum();
    if allocated > amount.amount() {
        return Err(BillingError::OverAllocation { thing: "payment" });
    }
    let account_id = account(tx, scope, (&input, currency), &wishes).await?;
    let invoices = allocate::invoices(tx, (account_id, currency), &wishes, at).await?;
    let id = PaymentId::new(scope.next_id());
    let words = |field, words: &Option<String>| {
        sealed::close_some(scope, cipher, (field, id.uuid()), words.as_deref())
    };
    let row = Model {
        id,
        version: 1,
        created_at: now,
        updated_at: now,
        patient_id: input.patient_id,
        account_id,
        amount: amount.amount(),
        currency: currency.code().to_owned(),
        method: input.method,
        status,
        allocated,
        refunded: Decimal::ZERO,
        received_at,
        reference: words(sealed::REFERENCE, &input.reference)?,
        note: words(sealed::PAYMENT_NOTE, &input.note)?,
        voided_at: None,
        void_reason: None,
    };
    Entity::insert(row.clone().into_active_model().reset_all()).exec_without_returning(tx).await?;
    allocate::put(tx, scope, id, (&wishes, &invoices)).await?;
    if status == PaymentStatus::Completed {
        let posting = ledger::Posting {
            account_id,
            patient_id: row.patient_id,
            kind: ledger::EntryKind::Payment,
            source_id: id.uuid(),
            amount,
            reference: None,
        };
        ledger::post(tx, scope, posting).await?;
    }
    let made = query::whole(tx, scope, cipher, row).await?;
    trace::write(tx, scope, event::PAYMENT_RECEIVED, (None, &made)).await?;
    Ok(made)
}

fn status(input: &CreatePayment) -> Result<PaymentStatus> {
    match input.status.unwrap_or(PaymentStatus::Completed) {
        PaymentStatus::Pending if !input.allocations.is_empty() => {
            let detail = "must not be given for a payment that is still under way";
            Err(BillingError::invalid("/allocations", "not_allowed", detail))
        }
        status @ (PaymentStatus::Pending | PaymentStatus::Completed) => Ok(status),
        PaymentStatus::Failed | PaymentStatus::Voided => {
            Err(BillingError::invalid("/status", "not_allowed", "must be \"completed\" or \"pending\""))
        }
    }
}

/// Returns the account to which a payment goes. An invoice of the patient keeps its account when somebody else has come
/// to pay for them since.
async fn account(
    tx: &TenantTransaction,
    scope: &TenantScope,
    (input, currency): (&CreatePayment, Currency),
    wishes: &Wishes,
) -> Result<AccountId> {
    let usual = account::of_patient(tx, scope, input.patient_id, currency).await?;
    let Some((first, _)) = wishes.first() else { return Ok(usual) };
    let own: Option<AccountId> = invoice::entity::Entity::find_by_id(*first)
        .filter(invoice::entity::Column::PatientId.eq(input.patient_id))
        .filter(invoice::entity::Column::Currency.eq(currency.code()))
        .select_only()
        .column(invoice::entity::Column::AccountId)
        .into_tuple()
        .one(tx)
        .await?;
    Ok(own.unwrap_or(usual))
}
