//! A dental practice with a patient and a dentist for each test.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use chrono::NaiveDate;
use clinicx_core::{
    CoreError, PatientId, StaffId,
    charge::{Charge, ChargeSource, Charges, Withdrawal},
    patient, staff,
};
use clinicx_dental::{
    DentalError, FACTS,
    chart::{self, Chart, ChartTooth, ChartView},
    finding::{self, ToothFinding},
    presence::{self, ToothPresence},
    treatment::{self, Action, Treatment},
    treatment_plan::{self, TreatmentPlan},
};
use clinicx_persistence::{TenantScope, TenantTransaction};
use clinicx_testing::TestTenant;
use clinicx_types::{clock::FixedClock, error::DomainError};
use serde_json::{Value, json};
use uuid::Uuid;

/// Now, unless a test says otherwise: a Monday morning, 09:00 in Berlin.
pub(crate) const NOW: &str = "2026-06-01T07:00:00Z";

/// Keeps charges as billing does, in memory.
#[derive(Default)]
pub(crate) struct Till {
    pub(crate) charges: Mutex<Vec<Charge>>,
    pub(crate) billed: Mutex<Vec<Uuid>>,
}

#[async_trait]
impl Charges for Till {
    async fn charge(&self, _: &TenantTransaction, _: &TenantScope, charge: Charge) -> Result<(), CoreError> {
        let mut charges = self.charges.lock().unwrap();
        if !charges.iter().any(|one| one.source == charge.source) {
            charges.push(charge);
        }
        Ok(())
    }

    async fn withdraw(
        &self,
        _: &TenantTransaction,
        _: &TenantScope,
        source: ChargeSource,
    ) -> Result<Withdrawal, CoreError> {
        if self.billed.lock().unwrap().contains(&source.id) {
            return Ok(Withdrawal::Billed);
        }
        self.charges.lock().unwrap().retain(|one| one.source != source);
        Ok(Withdrawal::Withdrawn)
    }
}

pub(crate) struct Practice {
    pub(crate) tenant: TestTenant,
    pub(crate) scope: TenantScope,
    pub(crate) till: Till,
    pub(crate) patient: PatientId,
    pub(crate) dentist: StaffId,
}

impl Practice {
    pub(crate) async fn open() -> Self {
        let tenant = TestTenant::builder().modules(&["dental"]).facts("dental", FACTS).create().await;
        Self::of(tenant).await
    }

    pub(crate) async fn of(tenant: TestTenant) -> Self {
        let scope = TenantScope { clock: Arc::new(FixedClock(NOW.parse().unwrap())), ..tenant.scope.clone() };
        let nobody = Uuid::nil();
        let mut practice = Self {
            tenant,
            scope,
            till: Till::default(),
            patient: PatientId::new(nobody),
            dentist: StaffId::new(nobody),
        };
        practice.patient = practice.register().await;
        let body = json!({ "family_name": "Sy", "given_name": "An", "roles": ["dentist"] });
        let input = serde_json::from_value(body).unwrap();
        let made = practice
            .write(async |tx| Ok(staff::create(tx, &practice.scope, &staff::NoAccounts, input).await?));
        practice.dentist = made.await.unwrap().id;
        practice
    }

    pub(crate) async fn register(&self) -> PatientId {
        let input = serde_json::from_value(json!({ "family_name": "Doe", "given_name": "Jo" })).unwrap();
        let made =
            self.write(async |tx| Ok(patient::create(tx, &self.scope, &self.tenant.cipher, input).await?));
        made.await.unwrap().id
    }

    /// Runs one operation in a transaction of its own: committed when it is done, rolled back when refused.
    pub(crate) async fn write<T>(
        &self,
        work: impl AsyncFnOnce(&TenantTransaction) -> Result<T, DentalError>,
    ) -> Result<T, DentalError> {
        let tx = self.tenant.connection.begin().await?;
        match work(&tx).await {
            Ok(done) => {
                tx.commit().await?;
                Ok(done)
            }
            Err(refused) => {
                tx.rollback().await.unwrap();
                Err(refused)
            }
        }
    }

    pub(crate) async fn presence(&self, body: Value) -> Result<ToothPresence, DentalError> {
        let input = serde_json::from_value(body).unwrap();
        self.write(async |tx| {
            presence::record(tx, &self.scope, &self.tenant.cipher, self.patient, input).await
        })
        .await
    }

    pub(crate) async fn finding(&self, body: Value) -> Result<ToothFinding, DentalError> {
        let input = serde_json::from_value(body).unwrap();
        self.write(async |tx| {
            finding::record(tx, &self.scope, &self.tenant.cipher, self.patient, input).await
        })
        .await
    }

    /// Plans a treatment; the dentist is added to the body.
    pub(crate) async fn plan(&self, mut body: Value) -> Result<Treatment, DentalError> {
        body["staff_id"] = json!(self.dentist);
        let input = serde_json::from_value(body).unwrap();
        self.write(async |tx| {
            treatment::create(tx, &self.scope, &self.tenant.cipher, self.patient, input).await
        })
        .await
    }

    pub(crate) async fn act(&self, on: &Treatment, action: Action) -> Result<Treatment, DentalError> {
        self.act_with(on, action, json!({})).await
    }

    pub(crate) async fn act_with(
        &self,
        on: &Treatment,
        action: Action,
        body: Value,
    ) -> Result<Treatment, DentalError> {
        let input = serde_json::from_value(body).unwrap();
        self.write(async |tx| {
            let revision = (on.id, Some(on.version));
            let charges: &dyn Charges = &self.till;
            let hand = (&self.tenant.cipher, charges);
            treatment::transition(tx, &self.scope, hand, revision, (action, input)).await
        })
        .await
    }

    /// Plans a treatment, begins it and completes it.
    pub(crate) async fn perform(&self, body: Value) -> Result<Treatment, DentalError> {
        let planned = self.plan(body).await?;
        let begun = self.act(&planned, Action::Start).await?;
        self.act(&begun, Action::Complete).await
    }

    pub(crate) async fn treatment(&self, of: &Treatment) -> Treatment {
        let db = &self.tenant.connection;
        treatment::get(db, &self.scope, &self.tenant.cipher, of.id).await.unwrap()
    }

    pub(crate) async fn draft(&self, body: Value) -> Result<TreatmentPlan, DentalError> {
        let input = serde_json::from_value(body).unwrap();
        self.write(async |tx| {
            treatment_plan::create(tx, &self.scope, &self.tenant.cipher, self.patient, input).await
        })
        .await
    }

    pub(crate) async fn chart(&self) -> Chart {
        self.chart_as(ChartView::default()).await
    }

    pub(crate) async fn chart_of(&self, day: &str) -> Chart {
        let as_of: NaiveDate = day.parse().unwrap();
        self.chart_as(ChartView { as_of: Some(as_of), notation: None }).await
    }

    pub(crate) async fn chart_as(&self, view: ChartView) -> Chart {
        let tx = self.tenant.connection.begin_read_only().await.unwrap();
        let chart = chart::get(&tx, &self.scope, self.patient, view).await.unwrap();
        tx.commit().await.unwrap();
        chart
    }

    /// The words of the audit rows of a thing, and of its events, oldest first.
    pub(crate) async fn trail(&self, id: Uuid) -> (Vec<String>, Vec<String>) {
        let mut connection = self.tenant.database.superuser().await;
        let schema = self.tenant.tenant.database_schema.quoted();
        let path = format!("SET search_path = {schema}, public");
        sqlx::query(sqlx::AssertSqlSafe(path)).execute(&mut connection).await.unwrap();
        let audit =
            "SELECT action FROM audit_logs WHERE tenant_id = $1 AND entity_id = $2 ORDER BY recorded_at";
        let audit = sqlx::query_scalar(audit)
            .bind(self.tenant.tenant.id.uuid())
            .bind(id)
            .fetch_all(&mut connection)
            .await
            .unwrap();
        let events = "SELECT event_type FROM outbox WHERE aggregate_id = $1 ORDER BY id";
        (audit, sqlx::query_scalar(events).bind(id).fetch_all(&mut connection).await.unwrap())
    }
}

/// One tooth of a chart.
pub(crate) fn tooth<'a>(chart: &'a Chart, code: &str) -> &'a ChartTooth {
    chart.teeth.iter().find(|tooth| tooth.fdi.to_string() == code).unwrap()
}

/// The pointer and code of the only wrong field of a refusal.
pub(crate) fn wrong_field<T: std::fmt::Debug>(result: Result<T, DentalError>) -> (String, String) {
    let error = result.unwrap_err();
    let mut fields = error.fields();
    assert_eq!(fields.len(), 1, "{error:?}");
    let field = fields.remove(0);
    (field.pointer, field.code)
}

/// The code of a refusal.
pub(crate) fn code<T: std::fmt::Debug>(result: Result<T, DentalError>) -> &'static str {
    result.unwrap_err().code()
}
