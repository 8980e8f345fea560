//! A clinic with people and rooms for the tests of scheduling.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use clinicx_core::{
    CoreError, FACTS, PatientId, RoomId, ServiceId, StaffId,
    appointment::{self, Appointment, BookAppointment, TransitionInput},
    patient, room, service, staff, time_off, working_hours,
};
use clinicx_persistence::{TenantScope, TenantTransaction};
use clinicx_testing::TestTenant;
use clinicx_types::{
    clock::{FixedClock, IdSource},
    error::DomainError,
};
use serde_json::{Value, json};
use uuid::Uuid;

/// Now, unless a test says otherwise: a Monday morning, 09:00 in Berlin.
pub(crate) const NOW: &str = "2026-06-01T07:00:00Z";

/// A tenant with everything that core permits.
pub(crate) struct Practice {
    pub(crate) tenant: TestTenant,
    pub(crate) scope: TenantScope,
}

/// Identifiers in a row: two sources with the same start give the same ones.
#[derive(Debug)]
pub(crate) struct CountedIds(AtomicU64);

impl CountedIds {
    pub(crate) fn from(start: u64) -> Arc<Self> {
        Arc::new(Self(AtomicU64::new(start)))
    }
}

impl IdSource for CountedIds {
    fn next(&self) -> Uuid {
        Uuid::from_u128(
            0x0197_0000_0000_7000_8000_0000_0000_0000 + u128::from(self.0.fetch_add(1, Ordering::Relaxed)),
        )
    }
}

impl Practice {
    pub(crate) async fn open() -> Self {
        Self::of(TestTenant::with_core_facts(FACTS).await)
    }

    pub(crate) async fn in_zone(zone: &str) -> Self {
        Self::of(TestTenant::builder().facts("core", FACTS).time_zone(zone).create().await)
    }

    pub(crate) fn of(tenant: TestTenant) -> Self {
        let scope = TenantScope { clock: Arc::new(FixedClock(NOW.parse().unwrap())), ..tenant.scope.clone() };
        Self { tenant, scope }
    }

    /// Returns the scope at another time.
    pub(crate) fn at(&self, now: &str) -> TenantScope {
        TenantScope { clock: Arc::new(FixedClock(now.parse().unwrap())), ..self.scope.clone() }
    }

    /// Runs one operation in a transaction of its own: committed when it is done, rolled back when refused.
    pub(crate) async fn write<T>(
        &self,
        work: impl AsyncFnOnce(&TenantTransaction) -> Result<T, CoreError>,
    ) -> Result<T, CoreError> {
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

    pub(crate) async fn patient(&self) -> PatientId {
        let input = serde_json::from_value(json!({ "family_name": "Doe", "given_name": "Jo" })).unwrap();
        self.write(async |tx| patient::create(tx, &self.scope, &self.tenant.cipher, input).await)
            .await
            .unwrap()
            .id
    }

    pub(crate) async fn staff(&self) -> StaffId {
        self.staff_with(json!({ "family_name": "Sy", "given_name": "An", "roles": ["dentist"] }))
            .await
            .unwrap()
            .id
    }

    pub(crate) async fn staff_with(&self, body: Value) -> Result<staff::StaffMember, CoreError> {
        let input = serde_json::from_value(body).unwrap();
        self.write(async |tx| staff::create(tx, &self.scope, &staff::NoAccounts, input).await).await
    }

    pub(crate) async fn chair(&self) -> RoomId {
        self.room_with(json!({ "name": "Chair 1", "kind": "chair" })).await.unwrap().id
    }

    pub(crate) async fn room_with(&self, body: Value) -> Result<room::Room, CoreError> {
        let input = serde_json::from_value(body).unwrap();
        self.write(async |tx| room::create(tx, &self.scope, input).await).await
    }

    pub(crate) async fn service(&self, body: Value) -> ServiceId {
        self.service_with(body).await.unwrap().id
    }

    pub(crate) async fn service_with(&self, body: Value) -> Result<service::Service, CoreError> {
        let input = serde_json::from_value(body).unwrap();
        self.write(async |tx| service::create(tx, &self.scope, input).await).await
    }

    pub(crate) async fn hours(
        &self,
        who: StaffId,
        body: Value,
    ) -> Result<working_hours::WorkingHours, CoreError> {
        let input = serde_json::from_value(body).unwrap();
        self.write(async |tx| working_hours::create(tx, &self.scope, who, input).await).await
    }

    pub(crate) async fn away(&self, who: StaffId, body: Value) -> Result<time_off::TimeOff, CoreError> {
        let input = serde_json::from_value(body).unwrap();
        self.write(async |tx| time_off::create(tx, &self.scope, who, input).await).await
    }

    pub(crate) async fn book(&self, body: Value) -> Result<Appointment, CoreError> {
        self.book_as(&self.scope, body).await
    }

    pub(crate) async fn book_as(&self, scope: &TenantScope, body: Value) -> Result<Appointment, CoreError> {
        let input: BookAppointment = serde_json::from_value(body).unwrap();
        self.write(async |tx| appointment::book(tx, scope, &self.tenant.cipher, input).await).await
    }

    pub(crate) async fn act(
        &self,
        scope: &TenantScope,
        on: &Appointment,
        action: appointment::Action,
    ) -> Result<Appointment, CoreError> {
        let input = TransitionInput::default();
        self.write(async |tx| {
            appointment::transition(
                tx,
                scope,
                &self.tenant.cipher,
                (on.id, Some(on.version)),
                (action, input),
            )
            .await
        })
        .await
    }

    pub(crate) async fn reschedule(&self, on: &Appointment, body: Value) -> Result<Appointment, CoreError> {
        let input = serde_json::from_value(body).unwrap();
        let version = Some(on.version);
        self.write(async |tx| {
            appointment::reschedule(tx, &self.scope, &self.tenant.cipher, (on.id, version), input).await
        })
        .await
    }

    pub(crate) async fn get(&self, of: &Appointment) -> Appointment {
        appointment::get(&self.tenant.connection, &self.scope, &self.tenant.cipher, of.id).await.unwrap()
    }

    /// Counts rows with an id of this tenant, as the superuser.
    pub(crate) async fn count(&self, sql: &'static str, id: Uuid) -> i64 {
        let mut connection = self.tenant.database.superuser().await;
        let schema = self.tenant.tenant.database_schema.quoted();
        let path = format!("SET search_path = {schema}, public");
        sqlx::query(sqlx::AssertSqlSafe(path)).execute(&mut connection).await.unwrap();
        sqlx::query_scalar(sql).bind(id).fetch_one(&mut connection).await.unwrap()
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

/// The pointer and code of the only wrong field of a refusal.
pub(crate) fn wrong_field<T: std::fmt::Debug>(result: Result<T, CoreError>) -> (String, String) {
    let error = result.unwrap_err();
    let mut fields = error.fields();
    assert_eq!(fields.len(), 1, "{error:?}");
    let field = fields.remove(0);
    (field.pointer, field.code)
}

/// The code of a refusal.
pub(crate) fn code<T: std::fmt::Debug>(result: Result<T, CoreError>) -> &'static str {
    result.unwrap_err().code()
}
