//! A clinic of its own for each test of patients.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};

use clinicx_core::{
    CoreError, PatientId,
    patient::{
        self, CreatePatient, Patient, PatientFilter, PatientSort, PatientSummary, Revision, UpdatePatient,
    },
};
use clinicx_keys::FieldCipher;
use clinicx_persistence::{TenantConnection, TenantScope};
use clinicx_testing::TestTenant;
use clinicx_types::{
    clock::{IdSource, RandomIds},
    page::{Page, PageRequest},
};
use sea_orm::{ConnectionTrait, DbBackend, Statement, raw_sql};
use sqlx::{Connection, Executor, Row};
use uuid::Uuid;

/// A tenant and the key of its sealed fields.
pub(crate) struct Clinic {
    tenant: TestTenant,
    pub(crate) cipher: FieldCipher,
}

/// What an audit row says of a change.
#[derive(Debug)]
pub(crate) struct AuditRow {
    pub(crate) action: String,
    pub(crate) before: serde_json::Value,
    pub(crate) after: serde_json::Value,
}

/// Gives out the given ids, then random ones.
#[derive(Debug)]
pub(crate) struct ScriptedIds(Mutex<VecDeque<Uuid>>);

impl ScriptedIds {
    pub(crate) fn new(ids: &[Uuid]) -> Self {
        Self(Mutex::new(ids.iter().copied().collect()))
    }
}

impl IdSource for ScriptedIds {
    fn next(&self) -> Uuid {
        self.0.lock().unwrap().pop_front().unwrap_or_else(|| RandomIds.next())
    }
}

impl Clinic {
    pub(crate) async fn open(locale: &str) -> Self {
        let tenant = TestTenant::builder().modules(&[]).locale(locale).create().await;
        let cipher = tenant.cipher.clone();
        Self { tenant, cipher }
    }

    pub(crate) fn db(&self) -> TenantConnection {
        self.tenant.connection.clone()
    }

    pub(crate) fn scope(&self) -> TenantScope {
        self.tenant.scope.clone()
    }

    pub(crate) async fn register(&self, input: CreatePatient) -> Patient {
        self.try_register(input).await.unwrap()
    }

    pub(crate) async fn try_register(&self, input: CreatePatient) -> Result<Patient, CoreError> {
        self.register_with(Arc::new(RandomIds), input).await
    }

    /// Registers with ids from the given source.
    pub(crate) async fn register_with(
        &self,
        ids: Arc<dyn IdSource>,
        input: CreatePatient,
    ) -> Result<Patient, CoreError> {
        let scope = TenantScope { ids, ..self.scope() };
        let tx = self.db().begin().await.unwrap();
        let made = patient::create(&tx, &scope, &self.cipher, input).await?;
        tx.commit().await.unwrap();
        Ok(made)
    }

    pub(crate) async fn change(
        &self,
        revision: Revision,
        patch: UpdatePatient,
    ) -> Result<Patient, CoreError> {
        let tx = self.db().begin().await.unwrap();
        let changed = patient::update(&tx, &self.scope(), &self.cipher, revision, patch).await?;
        tx.commit().await.unwrap();
        Ok(changed)
    }

    pub(crate) async fn get(&self, id: PatientId) -> Result<Patient, CoreError> {
        patient::get(&self.db(), &self.scope(), &self.cipher, id).await
    }

    pub(crate) async fn search(&self, q: &str) -> Vec<PatientId> {
        self.list(&PatientFilter { q: Some(q.to_owned()), ..PatientFilter::default() }).await
    }

    pub(crate) async fn list(&self, filter: &PatientFilter) -> Vec<PatientId> {
        let page = self.try_list(filter, &PageRequest::default(), PatientSort::Name).await.unwrap();
        page.items.into_iter().map(|item| item.id).collect()
    }

    pub(crate) async fn try_list(
        &self,
        filter: &PatientFilter,
        page: &PageRequest,
        sort: PatientSort,
    ) -> Result<Page<PatientSummary>, CoreError> {
        patient::list(&self.db(), &self.scope(), &self.cipher, filter, (page, sort)).await
    }

    /// Runs a statement as the tenant.
    pub(crate) async fn run(&self, sql: &str) {
        self.db().execute_raw(Statement::from_string(DbBackend::Postgres, sql)).await.unwrap();
    }

    /// Lets PostgreSQL count what is in the tenant's tables.
    pub(crate) async fn analyze(&self, tables: &[&str]) {
        let mut superuser = self.tenant.database.superuser().await;
        for table in tables {
            let statement = format!("ANALYZE {}.{table}", self.tenant.tenant.database_schema.quoted());
            superuser.execute(sqlx::AssertSqlSafe(statement)).await.unwrap();
        }
        superuser.close().await.unwrap();
    }

    /// The types of a patient's events, oldest first.
    pub(crate) async fn events(&self, id: PatientId) -> Vec<String> {
        let id = id.uuid();
        let statement = raw_sql!(
            Postgres,
            "SELECT event_type FROM outbox WHERE aggregate_id = {id} ORDER BY created_at, id"
        );
        let rows = self.db().query_all_raw(statement).await.unwrap();
        rows.iter().map(|row| row.try_get("", "event_type").unwrap()).collect()
    }

    /// Everything that a patient's events carry.
    pub(crate) async fn payloads(&self, id: PatientId) -> String {
        let id = id.uuid();
        let statement = raw_sql!(
            Postgres,
            "SELECT string_agg(payload::text, ' ') AS payloads FROM outbox WHERE aggregate_id = {id}"
        );
        self.db().query_one_raw(statement).await.unwrap().unwrap().try_get("", "payloads").unwrap()
    }

    /// A patient's audit rows, oldest first; no tenant's role may read them.
    pub(crate) async fn audit_rows(&self, id: PatientId) -> Vec<AuditRow> {
        let mut superuser = self.tenant.database.superuser().await;
        let rows = sqlx::query(
            "SELECT action, COALESCE(before, 'null') AS before, COALESCE(after, 'null') AS after
             FROM public.audit_logs WHERE patient_id = $1 AND tenant_id = $2 ORDER BY recorded_at",
        )
        .bind(id.uuid())
        .bind(self.scope().tenant_id.uuid())
        .fetch_all(&mut superuser)
        .await
        .unwrap();
        superuser.close().await.unwrap();
        let row = |row: &sqlx::postgres::PgRow| AuditRow {
            action: row.get("action"),
            before: row.get("before"),
            after: row.get("after"),
        };
        rows.iter().map(row).collect()
    }
}
