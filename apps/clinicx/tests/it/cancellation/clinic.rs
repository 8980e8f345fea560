//! A furnished tenant, and one call of an operation in it.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use clinicx_core::{AppointmentId, CoreError, PatientId, RoomId, ServiceId, StaffId, appointment};
use clinicx_keys::FieldCipher;
use clinicx_persistence::{TenantConnection, TenantScope, TenantTarget, TenantTransaction};
use clinicx_types::id::RequestId;
use sea_orm::{ConnectionTrait, DbErr, FromQueryResult, raw_sql};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    billing, dental,
    paths::{Answer, Path, Stage, Subject, Work, path},
};

/// A row and its version.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Thing {
    pub(crate) id: Uuid,
    pub(crate) version: i64,
}

/// How a write ends, and whether it has an `Idempotency-Key`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    Plain,
    /// Behind a savepoint, with the answer kept.
    Keyed,
    /// Rolled back at its end, as a refusal is.
    Undone,
    /// Rolled back to the savepoint, with the refusal kept.
    KeyedUndone,
}

impl Manner {
    pub(crate) const ALL: [Self; 4] = [Self::Plain, Self::Undone, Self::Keyed, Self::KeyedUndone];

    /// Those in which an operation can run.
    pub(crate) fn of(path: &Path) -> &'static [Self] {
        if path.writes() { &Self::ALL } else { &Self::ALL[..1] }
    }

    /// Returns the first poll at which the next manner differs from this one, which ended at a poll: what is undone
    /// differs by its end alone.
    pub(crate) fn next_differs_from(self, end: usize) -> usize {
        match self {
            Self::Plain => end.saturating_sub(4).max(1),
            Self::Keyed => end.saturating_sub(12).max(1),
            Self::Undone | Self::KeyedUndone => 1,
        }
    }

    pub(crate) fn commits(self) -> bool {
        matches!(self, Self::Plain | Self::Keyed)
    }
}

/// A tenant with a patient, staff, a room and a service whose names are its canary.
#[derive(Clone)]
pub(crate) struct Clinic {
    pub(crate) db: TenantConnection,
    pub(crate) target: TenantTarget,
    pub(crate) canary: Arc<str>,
    template: Box<Call>,
    numbers: Arc<AtomicU32>,
}

/// One call; it owns all that it needs.
#[derive(Clone)]
pub(crate) struct Call {
    pub(crate) db: TenantConnection,
    pub(crate) scope: TenantScope,
    pub(crate) cipher: FieldCipher,
    pub(crate) canary: Arc<str>,
    pub(crate) patient: PatientId,
    pub(crate) staff: StaffId,
    /// Whose hours and absences are changed, so that they hinder no booking.
    pub(crate) colleague: StaffId,
    pub(crate) room: RoomId,
    pub(crate) service: ServiceId,
    /// An issued invoice that is large enough for every payment.
    pub(crate) invoice: Uuid,
    pub(crate) subject: Thing,
    pub(crate) number: u32,
    pub(crate) body: Value,
}

/// Who the server says that is served.
#[derive(Debug, PartialEq, Eq, FromQueryResult)]
struct Served {
    role: String,
    path: String,
    tenant: String,
    canary: Option<String>,
}

impl Clinic {
    /// Furnishes a tenant.
    pub(crate) async fn furnish(
        db: TenantConnection,
        target: TenantTarget,
        scope: TenantScope,
        cipher: FieldCipher,
        canary: &str,
    ) -> Self {
        let template = Call {
            db: db.clone(),
            scope,
            cipher,
            canary: canary.into(),
            patient: PatientId::new(Uuid::nil()),
            staff: StaffId::new(Uuid::nil()),
            colleague: StaffId::new(Uuid::nil()),
            room: RoomId::new(Uuid::nil()),
            service: ServiceId::new(Uuid::nil()),
            invoice: Uuid::nil(),
            subject: Thing::default(),
            number: 0,
            body: Value::Null,
        };
        let mut clinic =
            Self { db, target, canary: canary.into(), template: Box::new(template), numbers: Arc::default() };
        clinic.template.patient = PatientId::new(clinic.done("create_patient").await.id);
        clinic.template.staff = StaffId::new(clinic.done("create_staff_member").await.id);
        clinic.template.colleague = StaffId::new(clinic.done("create_staff_member").await.id);
        clinic.template.room = RoomId::new(clinic.done("create_room").await.id);
        clinic.template.service = ServiceId::new(clinic.done("create_service").await.id);
        clinic.template.invoice = billing::furnish(&clinic).await;
        clinic
    }

    /// Returns the one patient of whom things are recorded.
    pub(super) fn patient(&self) -> PatientId {
        self.template.patient
    }

    /// Returns a call with a number and a request id of its own.
    pub(crate) fn call(&self, path: &Path, subject: Thing) -> Call {
        let mut call = (*self.template).clone();
        call.number = self.numbers.fetch_add(1, Ordering::Relaxed) + 1;
        call.scope.request_id = RequestId::new(call.scope.next_id());
        call.subject = subject;
        call.body = (path.body)(&call);
        call
    }

    /// Makes something to which an operation can be done.
    pub(crate) async fn prepare(&self, subject: Subject) -> Thing {
        match subject {
            Subject::Nothing => Thing::default(),
            Subject::Patient => self.done("create_patient").await,
            Subject::Staff => self.done("create_staff_member").await,
            Subject::Room => self.done("create_room").await,
            Subject::Service => self.done("create_service").await,
            Subject::WorkingHours => self.done("create_working_hours").await,
            Subject::TimeOff => self.done("create_time_off").await,
            Subject::Dental(thing) => dental::prepare(self, thing).await,
            Subject::Billing(thing) => billing::prepare(self, thing).await,
            Subject::Appointment(Stage::Booked) => self.done("book_appointment").await,
            Subject::Appointment(stage) => {
                let booking = path("book_appointment");
                let mut call = self.call(booking, Thing::default());
                match stage {
                    Stage::Proposed => call.body["status"] = json!("proposed"),
                    Stage::Started => (call.body["start"], call.body["end"]) = call.slot_before_now(),
                    Stage::Booked | Stage::CheckedIn => {}
                }
                let booked = thing(&call.run(booking, Manner::Plain).await.unwrap());
                if stage != Stage::CheckedIn {
                    return booked;
                }
                let checking_in = path("check_in_appointment");
                let call = self.call(checking_in, booked);
                thing(&call.run(checking_in, Manner::Plain).await.unwrap())
            }
        }
    }

    async fn done(&self, id: &str) -> Thing {
        self.done_to(id, Thing::default()).await
    }

    /// Does an operation to something, so that it stands as another one wants it.
    pub(super) async fn done_to(&self, id: &str, subject: Thing) -> Thing {
        let path = path(id);
        thing(&self.call(path, subject).run(path, Manner::Plain).await.unwrap())
    }

    /// Tells whether a statement of this tenant runs as this tenant and sees its rows alone.
    pub(crate) async fn is_itself(&self) -> bool {
        let mistaken = self.mistaken().await;
        if let Some(mistaken) = &mistaken {
            println!("wrong tenant: {mistaken}");
        }
        mistaken.is_none()
    }

    /// Says as whom a statement of this tenant runs, when that is not this tenant.
    pub(crate) async fn mistaken(&self) -> Option<String> {
        let question = raw_sql!(
            Postgres,
            r#"SELECT current_user::text AS role,
                      current_setting('search_path') AS path,
                      current_setting('app.current_tenant') AS tenant,
                      (SELECT string_agg(DISTINCT family_name, ',') FROM patients) AS canary"#
        );
        let served = Served::find_by_statement(question).one(&self.db).await.unwrap().unwrap();
        let schema = self.target.schema.as_str();
        let expected = Served {
            role: schema.to_owned(),
            path: format!("{schema}, pg_temp"),
            tenant: self.target.tenant_id.to_string(),
            canary: Some(self.canary.to_string()),
        };
        (served != expected).then(|| format!("{served:?}, not {expected:?}"))
    }
}

pub(super) fn thing(answer: &Value) -> Thing {
    Thing {
        id: answer["id"].as_str().unwrap().parse().unwrap(),
        version: answer["version"].as_i64().unwrap(),
    }
}

impl Call {
    /// Reads what the operation is told, as a handler does.
    pub(crate) fn input<T: DeserializeOwned>(&self) -> T {
        serde_json::from_value(self.body.clone()).unwrap()
    }

    /// A text that no other call has.
    pub(crate) fn text(&self) -> String {
        format!("{} {:06}", self.canary, self.number)
    }

    /// A time that no other call has.
    pub(crate) fn slot(&self) -> (Value, Value) {
        self.slot_from("2029-01-01T00:00:00Z")
    }

    fn slot_before_now(&self) -> (Value, Value) {
        self.slot_from("2024-01-01T00:00:00Z")
    }

    fn slot_from(&self, first: &str) -> (Value, Value) {
        let start = first.parse::<DateTime<Utc>>().unwrap() + TimeDelta::minutes(20) * self.ordinal();
        (json!(start), json!(start + TimeDelta::minutes(15)))
    }

    /// A day that no other call has.
    pub(crate) fn day(&self) -> NaiveDate {
        NaiveDate::from_ymd_opt(2029, 1, 1).unwrap() + TimeDelta::days(1) * self.ordinal()
    }

    fn ordinal(&self) -> i32 {
        i32::try_from(self.number).unwrap()
    }

    /// Goes the operation's way through the database, as its handler does.
    pub(crate) async fn run(&self, path: &Path, manner: Manner) -> Answer {
        match &path.work {
            Work::Single(read) => read(&self.db, self).await,
            Work::Read(read) => {
                let tx = self.db.begin_read_only().await?;
                let outcome = read(&tx, self).await;
                finish(tx, outcome, true).await
            }
            Work::Write(_) | Work::Act(_) => {
                let tx = self.db.begin().await?;
                match manner {
                    Manner::Plain | Manner::Undone => {
                        let outcome = self.write(path, &tx).await;
                        finish(tx, outcome, manner.commits()).await
                    }
                    Manner::Keyed | Manner::KeyedUndone => self.with_key(path, tx, manner.commits()).await,
                }
            }
        }
    }

    async fn write(&self, path: &Path, tx: &TenantTransaction) -> Answer {
        match &path.work {
            Work::Write(write) | Work::Read(write) => write(tx, self).await,
            Work::Act(action) => {
                let (id, version) = (AppointmentId::new(self.subject.id), Some(self.subject.version));
                let moved = appointment::transition(
                    tx,
                    &self.scope,
                    &self.cipher,
                    (id, version),
                    (*action, self.input()),
                );
                Ok(serde_json::to_value(moved.await?).unwrap())
            }
            Work::Single(_) => unreachable!("a single read writes nothing"),
        }
    }

    /// Takes the key, works behind a savepoint, and keeps the answer.
    async fn with_key(&self, path: &Path, tx: TenantTransaction, commits: bool) -> Answer {
        let key = self.scope.request_id.to_string();
        let (principal, operation) = (self.scope.tenant_id.uuid(), path.id);
        let lock = i64::from(self.number);
        tx.query_one_raw(raw_sql!(Postgres, r#"SELECT pg_try_advisory_xact_lock({lock}) AS taken"#)).await?;
        let kept = tx.query_one_raw(raw_sql!(
            Postgres,
            r#"SELECT status
               FROM idempotency_keys
               WHERE principal = {principal} AND operation = {operation} AND key = {key}"#
        ));
        assert!(kept.await?.is_none());
        let point = tx.savepoint().await?;
        let outcome = self.write(path, &point).await;
        if outcome.is_err() {
            point.rollback().await?;
            return finish(tx, outcome, false).await;
        }
        if commits {
            point.commit().await?
        } else {
            point.rollback().await?
        }
        self.keep(&tx, path.id, &key).await?;
        tx.commit().await?;
        outcome
    }

    async fn keep(&self, tx: &TenantTransaction, operation: &str, key: &str) -> Result<(), DbErr> {
        let (id, principal, now) = (self.scope.next_id(), self.scope.tenant_id.uuid(), self.scope.now());
        let expires_at = now + TimeDelta::days(1);
        let (hash, status, body) = (vec![0_u8; 32], 201, b"{}".to_vec());
        let statement = raw_sql!(
            Postgres,
            r#"INSERT INTO idempotency_keys
                   (id, principal, operation, key, request_hash, status, body, created_at, updated_at, expires_at)
               VALUES ({id}, {principal}, {operation}, {key}, {hash}, {status}, {body}, {now}, {now}, {expires_at})"#
        );
        tx.execute_raw(statement).await.map(|_| ())
    }
}

async fn finish(tx: TenantTransaction, outcome: Answer, commits: bool) -> Result<Value, CoreError> {
    if commits && outcome.is_ok() {
        tx.commit().await?
    } else {
        tx.rollback().await?
    }
    outcome
}
