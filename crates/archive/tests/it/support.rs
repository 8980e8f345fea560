//! A clinic with rows of all kinds, and somebody who archives it.

use std::sync::Arc;

use clinicx_archive::{
    Archivist, ArchivistOptions, Backup, BackupLogin, Folder, Store, Watch, registry::Reason,
};
use clinicx_billing::invoice;
use clinicx_core::{
    patient::{self, PatientFilter, PatientSort},
    service, staff,
};
use clinicx_keys::sealed::SealedColumn;
use clinicx_migration::{fence, system::SystemRole};
use clinicx_persistence::TenantScope;
use clinicx_tenancy::{PlatformScope, Tenant};
use clinicx_testing::TestTenant;
use clinicx_types::{clock::FixedClock, name::SchemaName, page::PageRequest};
use serde_json::json;
use sqlx::{Executor, PgConnection, Row};
use tempfile::TempDir;

/// The columns whose values differ between a tenant and its copy, because they are sealed.
pub(crate) fn sealed() -> Vec<SealedColumn> {
    [clinicx_core::sealed::COLUMNS, clinicx_billing::sealed::COLUMNS].concat()
}

pub(crate) struct Clinic {
    pub(crate) tenant: TestTenant,
    pub(crate) scope: TenantScope,
    pub(crate) folder: Arc<TempDir>,
    pub(crate) by: PlatformScope,
}

impl Clinic {
    /// A clinic with people, a service and issued invoices.
    pub(crate) async fn open() -> Self {
        let empty = Self::empty().await;
        for number in 0..5 {
            empty.patient(&format!("Haddad {number}")).await;
        }
        let body = json!({ "family_name": "Sy\\lva", "given_name": "An", "roles": ["dentist"] });
        let tx = empty.tenant.connection.begin().await.unwrap();
        staff::create(&tx, &empty.scope, &staff::NoAccounts, serde_json::from_value(body).unwrap())
            .await
            .unwrap();
        tx.commit().await.unwrap();
        let body = json!({ "code": "CHECK", "name": "Check-up — فحص", "duration_minutes": 30 });
        let tx = empty.tenant.connection.begin().await.unwrap();
        service::create(&tx, &empty.scope, serde_json::from_value(body).unwrap()).await.unwrap();
        tx.commit().await.unwrap();
        // Signs that COPY writes otherwise than they are.
        let schema = empty.tenant.tenant.database_schema.quoted();
        let odd = format!("UPDATE {schema}.services SET name = E'Check\\tup\\n\\\\N — فحص'");
        empty.tenant.database.superuser().await.execute(sqlx::AssertSqlSafe(odd)).await.unwrap();
        empty.invoice().await;
        empty.invoice().await;
        empty
    }

    pub(crate) async fn empty() -> Self {
        let builder = TestTenant::builder()
            .facts("core", clinicx_core::FACTS)
            .facts("billing", clinicx_billing::FACTS)
            .modules(&["billing", "dental"]);
        Self::of(builder.create().await, Arc::new(tempfile::tempdir().unwrap()))
    }

    pub(crate) fn of(tenant: TestTenant, folder: Arc<TempDir>) -> Self {
        let clock = Arc::new(FixedClock("2026-06-01T07:00:00Z".parse().unwrap()));
        let scope = TenantScope { clock, ..tenant.scope.clone() };
        Self { tenant, scope, folder, by: PlatformScope::system("test") }
    }

    pub(crate) fn store(&self) -> Arc<dyn Store> {
        Arc::new(Folder::new(self.folder.path()))
    }

    pub(crate) fn archivist(&self) -> Archivist {
        self.archivist_with(self.store())
    }

    pub(crate) fn archivist_with(&self, store: Arc<dyn Store>) -> Archivist {
        let login = BackupLogin {
            connect: self.tenant.database.login_options(SystemRole::Backup),
            session_authorization: None,
        };
        Archivist::new(ArchivistOptions {
            tenancy: self.tenant.tenancy.clone(),
            backup: Some(login),
            store: Some(store),
            sealed: sealed(),
            left_behind: &["idempotency_keys", "outbox"],
        })
    }

    pub(crate) async fn back_up(&self) -> Backup {
        let (archivist, tenant) = (self.archivist(), &self.tenant.tenant);
        archivist.back_up(tenant, Reason::Demand, &self.by, &Watch::default()).await.unwrap()
    }

    pub(crate) async fn patient(&self, family_name: &str) -> patient::Patient {
        let body = json!({
            "family_name": family_name, "given_name": "Layla", "notes": "afraid of needles",
            "identifiers": [{ "system": "passport", "value": format!("A {family_name}") }],
        });
        let tx = self.tenant.connection.begin().await.unwrap();
        let input = serde_json::from_value(body).unwrap();
        let made = patient::create(&tx, &self.scope, &self.tenant.cipher, input).await.unwrap();
        tx.commit().await.unwrap();
        made
    }

    /// Issues an invoice and returns its number.
    pub(crate) async fn invoice(&self) -> String {
        let patient = self.patient(&format!("Payer {}", self.scope.next_id().simple())).await;
        let line =
            json!({ "description": "Crown", "quantity": "1", "unit_price": "100.00", "tax_rate": "19" });
        let body = json!({ "patient_id": patient.id, "lines": [line] });
        let tx = self.tenant.connection.begin().await.unwrap();
        let (scope, cipher) = (&self.scope, &self.tenant.cipher);
        let draft = invoice::create(&tx, scope, cipher, serde_json::from_value(body).unwrap()).await.unwrap();
        let issued = invoice::issue(&tx, scope, cipher, (draft.id, Some(1))).await.unwrap();
        tx.commit().await.unwrap();
        let issued = serde_json::to_value(&issued).unwrap();
        issued["number"].as_str().unwrap_or_else(|| panic!("{issued}")).to_owned()
    }

    /// Returns the same clinic's pool and scope for another tenant.
    pub(crate) async fn in_tenant(&self, tenant: &Tenant) -> Self {
        let keyring =
            clinicx_keys::Keyring::new(self.tenant.tenancy.app().clone(), self.tenant.tenancy.keys().clone());
        let mut other = self.tenant.clone();
        other.connection = other.cluster.tenant(tenant.target());
        other.cipher = keyring.cipher(tenant.id).await.unwrap().lasting();
        other.scope = TenantScope::system(
            tenant.id,
            tenant.slug.clone(),
            (tenant.time_zone, tenant.currency, &tenant.locale),
            "test",
            self.scope.permissions.clone(),
        );
        other.tenant = tenant.clone();
        Self::of(other, Arc::clone(&self.folder))
    }

    /// The rows of every table that a copy has too, without what differs between two tenants.
    pub(crate) async fn contents(&self, schema: &SchemaName) -> Vec<(String, i64, Option<String>)> {
        let mut superuser = self.tenant.database.superuser().await;
        let mut contents = Vec::new();
        for table in tables(&mut superuser, schema).await {
            let of_table = |column: &&SealedColumn| column.field.table == table;
            let names = |column: &SealedColumn| {
                let index = column.index.map(|index| format!(" - '{}'", index.column));
                format!(" - '{}'{}", column.field.column, index.unwrap_or_default())
            };
            let without: Vec<String> = sealed().iter().filter(of_table).map(names).collect();
            let sql = format!(
                "SELECT count(*) AS rows, md5(string_agg(t.row::text, '|' ORDER BY t.row::text)) AS hash \
                 FROM (SELECT to_jsonb(t) - 'tenant_id'{} AS row FROM {}.\"{table}\" AS t) AS t",
                without.concat(),
                schema.quoted(),
            );
            let row = sqlx::query(sqlx::AssertSqlSafe(sql)).fetch_one(&mut superuser).await.unwrap();
            contents.push((table, row.get("rows"), row.get("hash")));
        }
        contents
    }

    /// What the catalog says of the schema's tables, constraints, indexes, policies and grants.
    pub(crate) async fn structure(&self, tenant: &Tenant) -> Vec<String> {
        let mut superuser = self.tenant.database.superuser().await;
        let rows = sqlx::query(
            "SELECT pg_get_constraintdef(k.oid) || ' ' || k.conname || ' ' || c.relname AS line \
             FROM pg_constraint AS k JOIN pg_class AS c ON c.oid = k.conrelid \
             WHERE c.relnamespace = $1::text::regnamespace \
             UNION ALL SELECT pg_get_indexdef(indexrelid) FROM pg_index AS x JOIN pg_class AS c ON c.oid = x.indrelid \
             WHERE c.relnamespace = $1::text::regnamespace \
             UNION ALL SELECT concat_ws(' ', c.relname, c.relacl::text, c.relrowsecurity, c.relforcerowsecurity, \
                                        p.polname, pg_get_expr(p.polqual, c.oid), pg_get_expr(p.polwithcheck, c.oid)) \
             FROM pg_class AS c LEFT JOIN pg_policy AS p ON p.polrelid = c.oid \
             WHERE c.relnamespace = $1::text::regnamespace AND c.relkind = 'r' ORDER BY 1",
        )
        .bind(tenant.database_schema.as_str())
        .fetch_all(&mut superuser)
        .await
        .unwrap();
        let named = |row: &sqlx::postgres::PgRow| {
            let line: String = row.get("line");
            line.replace(&tenant.id.to_string(), "{tenant}")
                .replace(tenant.database_schema.as_str(), "{schema}")
        };
        rows.iter().map(named).collect()
    }

    pub(crate) async fn has_no_gaps(&self, tenant: &Tenant) {
        let system = self.tenant.database.system(SystemRole::App).await;
        let roles = self.tenant.database.roles();
        let gaps = fence::check(&system, &roles, Some(&tenant.database_schema)).await.unwrap();
        assert!(gaps.is_empty(), "{gaps:?}");
    }

    /// How many schemas, roles and registry rows there are of this slug.
    pub(crate) async fn left_of(&self, slug: &str) -> i64 {
        let mut superuser = self.tenant.database.superuser().await;
        let schema = format!("tenant_{}", slug.replace('-', "_"));
        sqlx::query_scalar(
            "SELECT (SELECT count(*) FROM pg_namespace WHERE nspname = $1) \
                  + (SELECT count(*) FROM pg_roles WHERE rolname = $1) \
                  + (SELECT count(*) FROM public.tenants WHERE slug = $2)",
        )
        .bind(schema)
        .bind(slug)
        .fetch_one(&mut superuser)
        .await
        .unwrap()
    }

    pub(crate) async fn actions(&self, tenant: &Tenant) -> Vec<String> {
        let mut superuser = self.tenant.database.superuser().await;
        sqlx::query_scalar(
            "SELECT action FROM public.audit_logs WHERE tenant_id = $1 AND entity = 'tenant' ORDER BY recorded_at, id",
        )
        .bind(tenant.id.uuid())
        .fetch_all(&mut superuser)
        .await
        .unwrap()
    }
}

async fn tables(superuser: &mut PgConnection, schema: &SchemaName) -> Vec<String> {
    sqlx::query_scalar(
        "SELECT relname::text FROM pg_class WHERE relnamespace = $1::text::regnamespace AND relkind = 'r' \
         AND relname NOT IN ('schema_migrations', 'outbox', 'idempotency_keys') ORDER BY 1",
    )
    .bind(schema.as_str())
    .fetch_all(superuser)
    .await
    .unwrap()
}

/// The family names of those who are found by a passport, and the notes of the first.
pub(crate) async fn find(clinic: &Clinic, passport: &str) -> (Vec<String>, Option<String>) {
    let filter = PatientFilter { identifier: Some(passport.to_owned()), ..PatientFilter::default() };
    let (connection, cipher) = (&clinic.tenant.connection, &clinic.tenant.cipher);
    let order = (&PageRequest::default(), PatientSort::Name);
    let page = patient::list(connection, &clinic.scope, cipher, &filter, order).await.unwrap();
    let names = serde_json::to_value(&page.items).unwrap();
    let names = names.as_array().unwrap().iter().map(|one| one["family_name"].as_str().unwrap().to_owned());
    let notes = match page.items.first() {
        Some(first) => {
            let found = patient::get(connection, &clinic.scope, cipher, first.id).await.unwrap();
            serde_json::to_value(&found).unwrap()["notes"].as_str().map(str::to_owned)
        }
        None => None,
    };
    (names.collect(), notes)
}
