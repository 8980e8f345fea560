//! Issuing a credit note.

use clinicx_core::{
    change::{self, MASK},
    local_time, validation,
};
use clinicx_keys::FieldCipher;
use clinicx_persistence::{TenantScope, TenantTransaction};
use clinicx_types::{
    error::FieldError,
    money::{Currency, Money, MoneyError},
};
use rust_decimal::Decimal;
use sea_orm::{ActiveModelTrait, EntityTrait, IntoActiveModel, Set};
use serde_json::json;

use super::{
    dto::{CreateCreditNote, CreditNote, CreditedLine},
    entity, line, query, tax,
};
use crate::{
    ChargeItemId, CreditNoteId, InvoiceId,
    change::Trace,
    charge_item,
    crediting::{self, Credit, CreditableLine, CreditableTax, CreditingError},
    error::{BillingError, Result},
    event, input,
    invoice::{self, Settlement},
    ledger,
    number::{self, Kind},
    payment, sealed, settings,
};

/// The rows of the invoice that is credited.
struct Credited {
    row: invoice::entity::Model,
    lines: Vec<invoice::line::Model>,
    taxes: Vec<invoice::tax::Model>,
    currency: Currency,
}

/// Credits some of an issued invoice, or all that is left of it. What is paid beyond the rest becomes unapplied credit
/// of its payments again, the latest first. What stands on a line that is credited in full can be billed anew.
///
/// # Errors
/// [`CoreError::NotFound`](clinicx_core::CoreError::NotFound); [`CoreError::Invalid`](clinicx_core::CoreError::Invalid);
/// [`CoreError::RefusedTransition`](clinicx_core::CoreError::RefusedTransition) unless it was issued;
/// [`BillingError::OverCredit`]; [`BillingError::Core`] when the database fails.
#[tracing::instrument(name = "billing.credit_note.issue", skip_all, fields(tenant.id = %scope.tenant_id), err(level = "debug"))]
pub async fn issue(
    tx: &TenantTransaction,
    scope: &TenantScope,
    cipher: &FieldCipher,
    of: InvoiceId,
    input: CreateCreditNote,
) -> Result<CreditNote> {
    validation::check(&input)?;
    // Payments come before invoices: what may be released is locked first.
    let payments = payment::lock_those_on(tx, of).await?;
    let row = invoice::locked(tx, of, None).await?;
    if !row.status.is_open_to_money() {
        return Err(row.status.refused_to("credit").into());
    }
    let invoice = Credited {
        lines: invoice::lines_of(tx, &[of]).await?,
        taxes: invoice::taxes_of(tx, &[of]).await?,
        currency: input::currency(&row.currency, "/currency")?,
        row,
    };
    let wishes = wishes(&invoice, input.lines.as_deref())?;
    let credit = reckon(&invoice, &wishes)?;
    let excess = invoice.row.allocated + invoice.row.credited + credit.gross.amount() - invoice.row.gross;
    if excess > Decimal::ZERO {
        payment::release_excess(tx, scope, cipher, (of, excess), payments).await?;
    }
    let by = Settlement { allocated: -excess.max(Decimal::ZERO), credited: credit.gross.amount() };
    invoice::settle(tx, scope, &invoice.row, by).await?;
    note_credited(tx, scope, &invoice, (&wishes, &credit)).await?;
    charge_item::free_credited(tx, scope, of, &done_with(&invoice, &wishes)).await?;
    let note = write(tx, scope, cipher, (&invoice, &wishes, &credit), &input.reason).await?;
    let posting = ledger::Posting {
        account_id: note.account_id,
        patient_id: note.patient_id,
        kind: ledger::EntryKind::CreditNote,
        source_id: note.id.uuid(),
        amount: credit.gross,
        reference: Some(note.number.clone()),
    };
    ledger::post(tx, scope, posting).await?;
    let mut after = change::json(&note);
    if let Some(reason) = after.get_mut("reason") {
        *reason = MASK.into();
    }
    let trace = Trace {
        event: event::CREDIT_NOTE_ISSUED,
        aggregate: ("credit_note", note.id.uuid()),
        patient_id: Some(note.patient_id.uuid()),
        before: None,
        after: Some(after),
        payload: json!({ "number": note.number, "invoice_id": of, "account_id": note.account_id }),
    };
    trace.write(tx, scope).await?;
    Ok(note)
}

/// Reads how many of which lines are wanted; a line is named by its index.
fn wishes(invoice: &Credited, named: Option<&[CreditedLine]>) -> Result<Vec<(usize, Decimal)>> {
    let left = |line: &invoice::line::Model| line.quantity - line.credited_quantity;
    let Some(named) = named else {
        let open = invoice.lines.iter().enumerate().filter(|(_, line)| left(line) > Decimal::ZERO);
        let all: Vec<_> = open.map(|(index, line)| (index, left(line))).collect();
        return if all.is_empty() { Err(BillingError::NothingDue) } else { Ok(all) };
    };
    let (mut wishes, mut wrong, mut over) = (Vec::with_capacity(named.len()), Vec::new(), Vec::new());
    for (position, wish) in named.iter().enumerate() {
        let index = invoice.lines.iter().position(|line| line.id == wish.invoice_line_id);
        let line = index.and_then(|index| invoice.lines.get(index).map(|line| (index, line)));
        let Some((index, line)) = line else {
            let pointer = format!("/lines/{position}/invoice_line_id");
            wrong.push(FieldError::new(pointer, "not_found", "must be a line of this invoice"));
            continue;
        };
        match &wish.quantity {
            Some(text) => match input::quantity(text, &format!("/lines/{position}/quantity")) {
                Ok(quantity) => wishes.push((index, quantity)),
                Err(error) => wrong.push(error),
            },
            None if left(line).is_zero() => {
                let pointer = format!("/lines/{position}/invoice_line_id");
                over.push(FieldError::new(pointer, "out_of_range", "nothing is left of the line"));
            }
            None => wishes.push((index, left(line))),
        }
    }
    match (wrong.is_empty(), over.is_empty()) {
        (false, _) => Err(wrong.into()),
        (true, false) => Err(BillingError::OverCredit { fields: over }),
        (true, true) => Ok(wishes),
    }
}

fn reckon(invoice: &Credited, wishes: &[(usize, Decimal)]) -> Result<Credit> {
    let currency = invoice.currency;
    let money = |amount| Money::from_decimal(amount, currency);
    let lines: std::result::Result<Vec<CreditableLine>, MoneyError> = invoice
        .lines
        .iter()
        .map(|line| {
            Ok(CreditableLine {
                quantity: line.quantity,
                credited_quantity: line.credited_quantity,
                net: money(line.net)?,
                credited_net: money(line.credited_net)?,
                tax_rate: line.tax_rate,
            })
        })
        .collect();
    let taxes: std::result::Result<Vec<CreditableTax>, MoneyError> = invoice
        .taxes
        .iter()
        .map(|tax| {
            Ok(CreditableTax { rate: tax.rate, tax: money(tax.tax)?, credited_tax: money(tax.credited_tax)? })
        })
        .collect();
    let amounts = |error: MoneyError| BillingError::from(input::wrong_amount(error, "/lines"));
    let (lines, taxes) = (lines.map_err(amounts)?, taxes.map_err(amounts)?);
    crediting::credit(currency, &lines, &taxes, wishes).map_err(|error| match error {
        CreditingError::TooMuch(position) => {
            let pointer = format!("/lines/{position}/quantity");
            let field = FieldError::new(pointer, "out_of_range", "is more than is left of the line");
            BillingError::OverCredit { fields: vec![field] }
        }
        CreditingError::Line(position) => {
            let pointer = format!("/lines/{position}/invoice_line_id");
            BillingError::invalid(&pointer, "duplicate", "must not be given twice")
        }
        CreditingError::Money(error) => amounts(error),
    })
}

/// What was done and stands on a line of which nothing is left.
fn done_with(invoice: &Credited, wishes: &[(usize, Decimal)]) -> Vec<ChargeItemId> {
    let item = |(index, quantity): &(usize, Decimal)| {
        let line = invoice.lines.get(*index)?;
        let is_whole = line.credited_quantity + quantity == line.quantity;
        line.charge_item_id.filter(|_| is_whole)
    };
    wishes.iter().filter_map(item).collect()
}

/// Notes on the invoice's lines and taxes what was credited of them.
async fn note_credited(
    tx: &TenantTransaction,
    scope: &TenantScope,
    invoice: &Credited,
    (wishes, credit): (&[(usize, Decimal)], &Credit),
) -> Result<()> {
    for ((index, quantity), net) in wishes.iter().zip(&credit.nets) {
        let Some(line) = invoice.lines.get(*index) else { continue };
        let changed = invoice::line::ActiveModel {
            id: sea_orm::Unchanged(line.id),
            version: Set(line.version + 1),
            updated_at: Set(scope.now()),
            credited_quantity: Set(line.credited_quantity + quantity),
            credited_net: Set(line.credited_net + net.amount()),
            ..Default::default()
        };
        changed.update(tx).await?;
    }
    for one in &credit.taxes {
        let Some(tax) = invoice.taxes.iter().find(|tax| tax.rate == one.rate) else { continue };
        let changed = invoice::tax::ActiveModel {
            id: sea_orm::Unchanged(tax.id),
            version: Set(tax.version + 1),
            updated_at: Set(scope.now()),
            credited_tax: Set(tax.credited_tax + one.tax.amount()),
            ..Default::default()
        };
        changed.update(tx).await?;
    }
    Ok(())
}

async fn write(
    tx: &TenantTransaction,
    scope: &TenantScope,
    cipher: &FieldCipher,
    (invoice, wishes, credit): (&Credited, &[(usize, Decimal)], &Credit),
    reason: &str,
) -> Result<CreditNote> {
    let settings = settings::get(tx, scope).await?;
    let now = scope.now();
    let today = local_time::local_date(now, scope.time_zone);
    let id = CreditNoteId::new(scope.next_id());
    let number = number::next(tx, scope, Kind::CreditNote, &settings, today).await?;
    let row = entity::Model {
        id,
        created_at: now,
        invoice_id: invoice.row.id,
        account_id: invoice.row.account_id,
        patient_id: invoice.row.patient_id,
        number,
        currency: invoice.row.currency.clone(),
        net: credit.net.amount(),
        tax: credit.tax.amount(),
        gross: credit.gross.amount(),
        issued_at: now,
        issued_on: today,
        reason: sealed::close(scope, cipher, (sealed::CREDIT_REASON, id.uuid()), reason.trim())?,
    };
    let line = |((index, quantity), net): (&(usize, Decimal), &Money)| {
        invoice.lines.get(*index).map(|line| line::Model {
            id: scope.next_id(),
            created_at: now,
            credit_note_id: id,
            invoice_line_id: line.id,
            quantity: *quantity,
            net: net.amount(),
            tax_rate: line.tax_rate,
        })
    };
    let lines: Vec<line::Model> = wishes.iter().zip(&credit.nets).filter_map(line).collect();
    let tax = |one: &crate::pricing::TaxPrice| tax::Model {
        id: scope.next_id(),
        created_at: now,
        credit_note_id: id,
        rate: one.rate,
        net: one.net.amount(),
        tax: one.tax.amount(),
    };
    let taxes: Vec<tax::Model> = credit.taxes.iter().map(tax).collect();
    entity::Entity::insert(row.clone().into_active_model().reset_all()).exec_without_returning(tx).await?;
    let all = lines.iter().cloned().map(|row| row.into_active_model().reset_all());
    line::Entity::insert_many(all).exec_without_returning(tx).await?;
    let all = taxes.iter().cloned().map(|row| row.into_active_model().reset_all());
    tax::Entity::insert_many(all).exec_without_returning(tx).await?;
    query::assemble(scope, cipher, row, (lines, taxes))
}
