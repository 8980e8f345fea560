//! Invoices in every state, payments and what became of them, for the demo clinics.

use std::sync::Arc;

use anyhow::Context;
use chrono::{DateTime, Days, TimeDelta, Utc};
use clinicx_billing::{
    credit_note, installment_plan,
    invoice::{self, Invoice},
    payment::{self, Payment},
    settings,
};
use clinicx_core::{PatientId, ServiceId};
use clinicx_keys::FieldCipher;
use clinicx_persistence::{TenantScope, TenantTransaction};
use clinicx_types::clock::FixedClock;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// How many invoices each demo clinic has.
const INVOICES: usize = 48;

/// What becomes of an invoice.
#[derive(Clone, Copy)]
enum Fate {
    Draft,
    Discarded,
    Open,
    Overdue,
    PartlyPaid,
    Paid,
    PaidInParts,
    Credited,
    Refunded,
    Voided,
    Cancelled,
}

const FATES: [Fate; 12] = [
    Fate::Paid,
    Fate::Open,
    Fate::Paid,
    Fate::PartlyPaid,
    Fate::Draft,
    Fate::Overdue,
    Fate::Paid,
    Fate::Credited,
    Fate::PaidInParts,
    Fate::Refunded,
    Fate::Voided,
    Fate::Cancelled,
];

/// Bills patients for services; returns how many invoices there are then.
pub(super) async fn add(
    tx: &TenantTransaction,
    (scope, cipher): (&TenantScope, &FieldCipher),
    issuer: &Value,
    (services, patients): (&[ServiceId], &[PatientId]),
) -> anyhow::Result<usize> {
    settings::update(tx, scope, None, input(json!({"issuer": issuer}))?).await?;
    for number in 0..INVOICES {
        let (Some(patient), Some(first), Some(second)) = (
            patients.get(number * 17 % patients.len().max(1)),
            services.get(number % services.len().max(1)),
            services.get((number + 1) % services.len().max(1)),
        ) else {
            continue;
        };
        let fate = match number {
            40 => Fate::Discarded,
            _ => FATES.get(number % FATES.len()).copied().unwrap_or(Fate::Paid),
        };
        // One a day, so that numbers and days go the same way.
        let then = scope.now() - TimeDelta::days(i64::try_from(INVOICES - number)?);
        let due_on = match fate {
            Fate::Open | Fate::PartlyPaid | Fate::Voided => Some(scope.now().date_naive() + Days::new(30)),
            _ => None,
        };
        let mut lines = vec![json!({"service_id": first})];
        if number % 3 != 0 {
            lines.push(
                json!({"service_id": second, "discount_percent": if number % 5 == 0 { "10" } else { "0" }}),
            );
        }
        let body = json!({"patient_id": patient, "lines": lines, "due_on": due_on});
        let day = Day { tx, scope: &acting_at(scope, then), cipher };
        let draft = invoice::create(tx, day.scope, cipher, input(body)?).await?;
        day.conclude(draft, fate).await?;
    }
    Ok(INVOICES)
}

/// A day on which somebody bills.
struct Day<'a> {
    tx: &'a TenantTransaction,
    scope: &'a TenantScope,
    cipher: &'a FieldCipher,
}

impl Day<'_> {
    async fn conclude(&self, draft: Invoice, fate: Fate) -> anyhow::Result<()> {
        let (tx, scope, cipher) = (self.tx, self.scope, self.cipher);
        let revision = (draft.id, Some(draft.version));
        if matches!(fate, Fate::Draft) {
            return Ok(());
        }
        if matches!(fate, Fate::Discarded) {
            invoice::discard(tx, scope, cipher, revision).await?;
            return Ok(());
        }
        let issued = invoice::issue(tx, scope, cipher, revision).await?;
        match fate {
            Fate::Draft | Fate::Discarded | Fate::Open | Fate::Overdue => {}
            Fate::Paid => {
                self.pay(&issued, "card", &issued.gross).await?;
            }
            Fate::PartlyPaid => {
                self.pay(&issued, "cash", "20.00").await?;
            }
            Fate::PaidInParts => {
                let first = scope.now().date_naive() + Days::new(30);
                let body = json!({"count": 3, "first_due_on": first});
                installment_plan::create(tx, scope, issued.id, input(body)?).await?;
            }
            Fate::Credited => {
                self.pay(&issued, "transfer", &issued.gross).await?;
                let line = issued.lines.first().context("an invoice has lines")?;
                let body =
                    json!({"lines": [{"invoice_line_id": line.id}], "reason": "Was not done after all"});
                credit_note::issue(tx, scope, cipher, issued.id, input(body)?).await?;
            }
            Fate::Refunded => {
                let paid = self.pay(&issued, "card", &issued.gross).await?;
                let body = json!({"reason": "Was not done after all"});
                credit_note::issue(tx, scope, cipher, issued.id, input(body)?).await?;
                let body = json!({"amount": paid.amount, "reason": "Was not done after all"});
                payment::refund(tx, scope, cipher, paid.id, input(body)?).await?;
            }
            Fate::Voided => {
                let paid = self.pay(&issued, "cheque", &issued.gross).await?;
                let revision = (paid.id, Some(paid.version));
                let body = json!({"reason": "The cheque was not honoured"});
                payment::void(tx, scope, cipher, revision, input(body)?).await?;
            }
            Fate::Cancelled => {
                let revision = (issued.id, Some(issued.version));
                let body = json!({"reason": "Billed to the wrong person"});
                invoice::cancel(tx, scope, cipher, revision, input(body)?).await?;
            }
        }
        Ok(())
    }

    async fn pay(&self, invoice: &Invoice, method: &str, amount: &str) -> anyhow::Result<Payment> {
        let body = json!({"patient_id": invoice.patient_id, "amount": amount, "method": method,
            "allocations": [{"invoice_id": invoice.id, "amount": amount}]});
        Ok(payment::receive(self.tx, self.scope, self.cipher, input(body)?).await?)
    }
}

/// Reads an input as a client would send it.
fn input<T: DeserializeOwned>(body: Value) -> anyhow::Result<T> {
    serde_json::from_value(body).context("the demo data does not fit")
}

/// The same actor at another time.
fn acting_at(scope: &TenantScope, at: DateTime<Utc>) -> TenantScope {
    TenantScope { clock: Arc::new(FixedClock(at)), ..scope.clone() }
}
