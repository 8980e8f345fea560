//! A clinic with patients who owe and pay, for the tests of this crate.

use std::sync::Arc;

use clinicx_billing::{
    BillingError, CreditNoteId, FACTS, InvoiceId,
    account::{self, PatientBalance},
    credit_note::{self, CreditNote},
    invoice::{self, Invoice},
    payment::{self, Payment, Refund},
};
use clinicx_core::{PatientId, StaffId, patient, staff};
use clinicx_persistence::{FailureKind, TenantScope, TenantTransaction};
use clinicx_testing::{TestTenant, TestTenantBuilder};
use clinicx_types::{clock::FixedClock, error::DomainError};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use sqlx::Connection;
use uuid::Uuid;

/// Now, unless a test says otherwise: a Monday morning, 09:00 in Berlin.
pub(crate) const NOW: &str = "2026-06-01T07:00:00Z";

/// A tenant with everything that billing permits.
#[derive(Clone)]
pub(crate) struct Practice {
    pub(crate) tenant: TestTenant,
    pub(crate) scope: TenantScope,
}

pub(crate) fn read<T: DeserializeOwned>(body: Value) -> T {
    serde_json::from_value(body).unwrap()
}

impl Practice {
    pub(crate) async fn open() -> Self {
        Self::made(TestTenant::builder()).await
    }

    pub(crate) async fn made(builder: TestTenantBuilder) -> Self {
        Self::of(builder.facts("billing", FACTS).modules(&["billing"]).create().await)
    }

    pub(crate) fn of(tenant: TestTenant) -> Self {
        let scope = TenantScope { clock: Arc::new(FixedClock(NOW.parse().unwrap())), ..tenant.scope.clone() };
        Self { tenant, scope }
    }

    /// Returns the same clinic at another time.
    pub(crate) fn at(&self, now: &str) -> Self {
        let clock = Arc::new(FixedClock(now.parse().unwrap()));
        Self { scope: TenantScope { clock, ..self.scope.clone() }, ..self.clone() }
    }

    /// Runs one operation in a transaction of its own: committed when it is done, rolled back when refused, and tried
    /// again when the database asks for it.
    pub(crate) async fn write<T>(
        &self,
        work: impl AsyncFn(&TenantTransaction) -> Result<T, BillingError>,
    ) -> Result<T, BillingError> {
        for _ in 0..5 {
            let tx = self.tenant.connection.begin().await?;
            match work(&tx).await {
                Ok(done) => {
                    tx.commit().await?;
                    return Ok(done);
                }
                Err(refused) => {
                    tx.rollback().await.unwrap();
                    if !wants_another_try(&refused) {
                        return Err(refused);
                    }
                }
            }
        }
        panic!("five tries were not enough");
    }

    pub(crate) async fn patient(&self) -> PatientId {
        self.patient_with(json!({ "family_name": "Doe", "given_name": "Jo" })).await
    }

    pub(crate) async fn patient_with(&self, body: Value) -> PatientId {
        let tx = self.tenant.connection.begin().await.unwrap();
        let made = patient::create(&tx, &self.scope, &self.tenant.cipher, read(body)).await.unwrap();
        tx.commit().await.unwrap();
        made.id
    }

    pub(crate) async fn staff(&self) -> StaffId {
        let body = json!({ "family_name": "Sy", "given_name": "An", "roles": ["dentist"] });
        let tx = self.tenant.connection.begin().await.unwrap();
        let made = staff::create(&tx, &self.scope, &staff::NoAccounts, read(body)).await.unwrap();
        tx.commit().await.unwrap();
        made.id
    }

    pub(crate) async fn draft(&self, body: Value) -> Result<Invoice, BillingError> {
        self.write(async |tx| invoice::create(tx, &self.scope, &self.tenant.cipher, read(body.clone())).await)
            .await
    }

    pub(crate) async fn change(&self, of: &Invoice, body: Value) -> Result<Invoice, BillingError> {
        self.write(async |tx| {
            let revision = (of.id, Some(of.version));
            invoice::update(tx, &self.scope, &self.tenant.cipher, revision, read(body.clone())).await
        })
        .await
    }

    pub(crate) async fn issue(&self, id: InvoiceId, version: Option<i64>) -> Result<Invoice, BillingError> {
        self.write(async |tx| invoice::issue(tx, &self.scope, &self.tenant.cipher, (id, version)).await).await
    }

    pub(crate) async fn cancel(&self, id: InvoiceId) -> Result<Invoice, BillingError> {
        self.write(async |tx| {
            let input = read(json!({ "reason": "Mistake" }));
            invoice::cancel(tx, &self.scope, &self.tenant.cipher, (id, None), input).await
        })
        .await
    }

    pub(crate) async fn invoice(&self, id: InvoiceId) -> Invoice {
        invoice::get(&self.tenant.connection, &self.scope, &self.tenant.cipher, id).await.unwrap()
    }

    /// An issued invoice over net amounts at a rate of tax.
    pub(crate) async fn issued(&self, patient: PatientId, nets: &[&str], rate: &str) -> Invoice {
        let lines: Vec<Value> = nets.iter().map(|net| line(net, rate)).collect();
        let draft = self.draft(json!({ "patient_id": patient, "lines": lines })).await.unwrap();
        self.issue(draft.id, Some(1)).await.unwrap()
    }

    pub(crate) async fn credit(&self, of: InvoiceId, body: Value) -> Result<CreditNote, BillingError> {
        self.write(async |tx| {
            credit_note::issue(tx, &self.scope, &self.tenant.cipher, of, read(body.clone())).await
        })
        .await
    }

    pub(crate) async fn note(&self, id: CreditNoteId) -> CreditNote {
        credit_note::get(&self.tenant.connection, &self.scope, &self.tenant.cipher, id).await.unwrap()
    }

    pub(crate) async fn pay(&self, body: Value) -> Result<Payment, BillingError> {
        self.write(async |tx| {
            payment::receive(tx, &self.scope, &self.tenant.cipher, read(body.clone())).await
        })
        .await
    }

    pub(crate) async fn payment(&self, of: &Payment) -> Payment {
        payment::get(&self.tenant.connection, &self.scope, &self.tenant.cipher, of.id).await.unwrap()
    }

    pub(crate) async fn allocate(&self, of: &Payment, body: Value) -> Result<Payment, BillingError> {
        self.write(async |tx| {
            payment::allocate(tx, &self.scope, &self.tenant.cipher, of.id, read(body.clone())).await
        })
        .await
    }

    pub(crate) async fn release(&self, of: &Payment, body: Value) -> Result<Payment, BillingError> {
        self.write(async |tx| {
            payment::release(tx, &self.scope, &self.tenant.cipher, of.id, read(body.clone())).await
        })
        .await
    }

    pub(crate) async fn refund(&self, of: &Payment, amount: &str) -> Result<Refund, BillingError> {
        self.write(async |tx| {
            let input = read(json!({ "amount": amount, "reason": "Overpaid" }));
            payment::refund(tx, &self.scope, &self.tenant.cipher, of.id, input).await
        })
        .await
    }

    pub(crate) async fn void(&self, of: &Payment) -> Result<Payment, BillingError> {
        self.write(async |tx| {
            let input = read(json!({ "reason": "Bounced" }));
            payment::void(tx, &self.scope, &self.tenant.cipher, (of.id, None), input).await
        })
        .await
    }

    pub(crate) async fn balance(&self, of: PatientId) -> PatientBalance {
        account::of(&self.tenant.connection, &self.scope, of).await.unwrap()
    }

    /// The words of the audit rows of a thing, and of its events, oldest first.
    pub(crate) async fn trail(&self, id: Uuid) -> (Vec<String>, Vec<String>) {
        let mut connection = self.superuser().await;
        let audit =
            "SELECT action FROM audit_logs WHERE tenant_id = $1 AND entity_id = $2 ORDER BY recorded_at";
        let audit = sqlx::query_scalar(audit)
            .bind(self.tenant.tenant.id.uuid())
            .bind(id)
            .fetch_all(&mut connection)
            .await
            .unwrap();
        let events = "SELECT event_type FROM outbox WHERE aggregate_id = $1 ORDER BY id";
        let events = sqlx::query_scalar(events).bind(id).fetch_all(&mut connection).await.unwrap();
        connection.close().await.unwrap();
        (audit, events)
    }

    /// A superuser's connection with the tenant's schema on its path.
    pub(crate) async fn superuser(&self) -> sqlx::PgConnection {
        let mut connection = self.tenant.database.superuser().await;
        let path = format!("SET search_path = {}, public", self.tenant.tenant.database_schema.quoted());
        sqlx::query(sqlx::AssertSqlSafe(path)).execute(&mut connection).await.unwrap();
        connection
    }
}

pub(crate) fn line(price: &str, rate: &str) -> Value {
    json!({ "description": "Work", "quantity": "1", "unit_price": price, "tax_rate": rate })
}

fn wants_another_try(error: &BillingError) -> bool {
    match error {
        BillingError::Core(clinicx_core::CoreError::Database(failure)) => failure.kind == FailureKind::Retry,
        _ => false,
    }
}

/// The pointer and code of the only wrong field of a refusal.
pub(crate) fn wrong_field<T: std::fmt::Debug>(result: Result<T, BillingError>) -> (String, String) {
    let error = result.unwrap_err();
    let mut fields = error.fields();
    assert_eq!(fields.len(), 1, "{error:?}");
    let field = fields.remove(0);
    (field.pointer, field.code)
}

/// The code of a refusal.
pub(crate) fn code<T: std::fmt::Debug>(result: Result<T, BillingError>) -> &'static str {
    result.unwrap_err().code()
}
