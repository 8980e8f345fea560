//! Every difference between a schema and what its migrations make is named, and nothing else.

use clinicx_migration::tenant::{
    self, Down, ModuleMigrations, Plan, Subject, TenantMigration,
    drift::{Change, Comparer, Difference, drift},
};
use clinicx_testing::{TestDatabase, TestTenant};
use sqlx::{Executor, PgConnection};

fn plan() -> Plan {
    Plan::new([tenant::core::MIGRATIONS, tenant::billing::MIGRATIONS, tenant::dental::MIGRATIONS]).unwrap()
}

fn subject(test: &TestTenant) -> Subject {
    Subject {
        tenant_id: test.tenant.id,
        schema: test.tenant.database_schema.clone(),
        modules: test.tenant.modules.clone(),
    }
}

async fn differences(test: &TestTenant) -> Vec<Difference> {
    let found = drift(&test.database.migrator(), &plan(), &[subject(test)], |_| {}).await.unwrap();
    found.into_iter().next().unwrap().found.unwrap()
}

/// A superuser in the tenant's schema.
async fn superuser(test: &TestTenant) -> PgConnection {
    let mut superuser = test.database.superuser().await;
    let set = format!("SET search_path TO {}, pg_temp", test.tenant.database_schema);
    superuser.execute(sqlx::AssertSqlSafe(set)).await.unwrap();
    superuser
}

/// What is planted, and how the one difference that it makes is named.
const PLANTED: &[(&str, &str, &str, Change)] = &[
    ("ALTER TABLE rooms ADD COLUMN extra text", "column", "rooms.extra", Change::Extra),
    ("ALTER TABLE rooms DROP COLUMN name CASCADE", "column", "rooms.name", Change::Missing),
    ("ALTER TABLE services ALTER COLUMN name TYPE varchar(80)", "column", "services.name", Change::Different),
    ("ALTER TABLE services ALTER COLUMN name DROP NOT NULL", "column", "services.name", Change::Different),
    (
        "ALTER TABLE services ALTER COLUMN version SET DEFAULT 7",
        "column",
        "services.version",
        Change::Different,
    ),
    (
        "ALTER TABLE services ALTER COLUMN version DROP DEFAULT",
        "column",
        "services.version",
        Change::Different,
    ),
    ("ALTER TABLE services ALTER COLUMN name SET DEFAULT 'x'", "column", "services.name", Change::Different),
    (
        "ALTER TABLE services ALTER COLUMN name TYPE text COLLATE \"C\"",
        "column",
        "services.name",
        Change::Different,
    ),
    (
        "ALTER TABLE services RENAME COLUMN updated_at TO changed_at",
        "column",
        "services.changed_at",
        Change::Extra,
    ),
    ("CREATE TABLE mine (id uuid PRIMARY KEY)", "table", "mine", Change::Extra),
    ("DROP TABLE patient_consents", "table", "patient_consents", Change::Missing),
    ("CREATE UNLOGGED TABLE fast (id uuid PRIMARY KEY)", "table", "fast", Change::Extra),
    ("ALTER TABLE working_hours SET UNLOGGED", "table", "working_hours", Change::Different),
    ("ALTER TABLE services OWNER TO postgres", "table", "services", Change::Different),
    ("ALTER TABLE services DISABLE ROW LEVEL SECURITY", "table", "services", Change::Different),
    ("ALTER TABLE services NO FORCE ROW LEVEL SECURITY", "table", "services", Change::Different),
    (
        "ALTER TABLE services ADD CONSTRAINT ck_mine CHECK (name <> 'x')",
        "constraint",
        "services.ck_mine",
        Change::Extra,
    ),
    (
        "ALTER TABLE services DROP CONSTRAINT ck_services__tenant",
        "constraint",
        "services.ck_services__tenant",
        Change::Missing,
    ),
    (
        "ALTER TABLE services DROP CONSTRAINT ck_services__tenant; \
         ALTER TABLE services ADD CONSTRAINT ck_services__tenant CHECK (tenant_id IS NOT NULL)",
        "constraint",
        "services.ck_services__tenant",
        Change::Different,
    ),
    (
        "ALTER TABLE invoices DROP CONSTRAINT ck_invoices__due; ALTER TABLE invoices ADD CONSTRAINT ck_invoices__due \
         CHECK (allocated >= 0 AND credited >= 0 AND allocated + credited <= gross) NOT VALID",
        "constraint",
        "invoices.ck_invoices__due",
        Change::Different,
    ),
    (
        "ALTER TABLE invoices DROP CONSTRAINT fk_invoices__account_id",
        "constraint",
        "invoices.fk_invoices__account_id",
        Change::Missing,
    ),
    (
        "ALTER TABLE invoices DROP CONSTRAINT fk_invoices__account_id; ALTER TABLE invoices ADD CONSTRAINT \
         fk_invoices__account_id FOREIGN KEY (account_id) REFERENCES accounts (id) ON DELETE CASCADE",
        "constraint",
        "invoices.fk_invoices__account_id",
        Change::Different,
    ),
    (
        "ALTER TABLE payments DISABLE TRIGGER ALL",
        "constraint",
        "payments.fk_payments__account_id",
        Change::Different,
    ),
    ("CREATE INDEX ix_mine ON services (name)", "index", "services.ix_mine", Change::Extra),
    ("DROP INDEX ix_invoices__account_id", "index", "invoices.ix_invoices__account_id", Change::Missing),
    (
        "DROP INDEX ix_invoices__account_id; CREATE INDEX ix_invoices__account_id ON invoices (account_id)",
        "index",
        "invoices.ix_invoices__account_id",
        Change::Different,
    ),
    (
        "DROP INDEX ix_payments__voided_at; CREATE INDEX ix_payments__voided_at ON payments (voided_at)",
        "index",
        "payments.ix_payments__voided_at",
        Change::Different,
    ),
    (
        "DROP INDEX ix_invoices__account_id; \
         CREATE UNIQUE INDEX ix_invoices__account_id ON invoices (account_id, status)",
        "index",
        "invoices.ix_invoices__account_id",
        Change::Different,
    ),
    (
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'ix_invoices__account_id'::regclass",
        "index",
        "invoices.ix_invoices__account_id",
        Change::Different,
    ),
    ("CREATE POLICY hole ON services USING (true)", "policy", "services.hole", Change::Extra),
    ("DROP POLICY tenant_isolation ON services", "policy", "services.tenant_isolation", Change::Missing),
    (
        "ALTER POLICY tenant_isolation ON services USING (true)",
        "policy",
        "services.tenant_isolation",
        Change::Different,
    ),
    ("GRANT SELECT ON services TO PUBLIC", "grant", "services.PUBLIC SELECT", Change::Extra),
    ("GRANT TRUNCATE ON services TO clinicx_app", "grant", "services.clinicx_app TRUNCATE", Change::Extra),
    ("REVOKE DELETE ON services FROM {role}", "grant", "services.{role} DELETE", Change::Missing),
    (
        "GRANT SELECT ON services TO {role} WITH GRANT OPTION",
        "grant",
        "services.{role} SELECT",
        Change::Different,
    ),
    (
        "GRANT UPDATE (name) ON services TO clinicx_app",
        "column_grant",
        "services.clinicx_app UPDATE name",
        Change::Extra,
    ),
    ("GRANT CREATE ON SCHEMA {role} TO {role}", "schema_grant", "{role} CREATE", Change::Extra),
    ("ALTER SCHEMA {role} OWNER TO postgres", "schema", "{role}", Change::Different),
    ("DROP TRIGGER refuse_truncate ON services", "trigger", "services.refuse_truncate", Change::Missing),
    (
        "CREATE TRIGGER mine BEFORE UPDATE ON services FOR EACH ROW \
         EXECUTE FUNCTION suppress_redundant_updates_trigger()",
        "trigger",
        "services.mine",
        Change::Extra,
    ),
    (
        "ALTER TABLE services DISABLE TRIGGER refuse_truncate",
        "trigger",
        "services.refuse_truncate",
        Change::Different,
    ),
    ("CREATE RULE mine AS ON DELETE TO services DO INSTEAD NOTHING", "rule", "services.mine", Change::Extra),
    ("CREATE VIEW look AS SELECT id FROM services", "view", "look", Change::Extra),
    ("CREATE MATERIALIZED VIEW kept AS SELECT id FROM services", "materialised view", "kept", Change::Extra),
    ("CREATE SEQUENCE numbers", "sequence", "numbers", Change::Extra),
    ("CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'", "routine", "f()", Change::Extra),
    ("CREATE TYPE mood AS ENUM ('good', 'bad')", "type", "mood", Change::Extra),
    ("CREATE STATISTICS mine ON id, name FROM services", "statistics", "mine", Change::Extra),
    (
        "ALTER DEFAULT PRIVILEGES FOR ROLE clinicx_owner IN SCHEMA {role} GRANT SELECT ON TABLES TO PUBLIC",
        "default_privileges",
        "clinicx_owner r",
        Change::Extra,
    ),
];

#[tokio::test]
async fn what_the_migrations_make_differs_in_nothing() {
    let database = TestDatabase::create().await;
    let all = TestTenant::builder().database(&database).create().await;
    let core = TestTenant::builder().database(&database).modules(&[]).create().await;
    let subjects = [subject(&all), subject(&core)];
    let found = drift(&database.migrator(), &plan(), &subjects, |_| {}).await.unwrap();
    for one in found {
        assert_eq!(one.found.unwrap(), Vec::new());
    }
    // Nothing is left of the references.
    let mut superuser = database.superuser().await;
    let left: i64 =
        sqlx::query_scalar("SELECT count(*) FROM pg_roles WHERE rolname LIKE 'tenant\\_drift\\_%'")
            .fetch_one(&mut superuser)
            .await
            .unwrap();
    assert_eq!(left, 0);
}

#[tokio::test]
async fn a_tenant_is_compared_with_the_migrations_that_it_has_had() {
    let test = TestTenant::create().await;
    let mut superuser = superuser(&test).await;
    // The program has learned more than the tenant has.
    let later = TenantMigration {
        name: "m9999_keep_more",
        up: |script| script.sql("CREATE TABLE more (id uuid PRIMARY KEY)"),
        down: Down::Irreversible("a test's own"),
    };
    let migrations: Vec<_> = tenant::billing::MIGRATIONS.migrations.iter().copied().chain([later]).collect();
    let billing = ModuleMigrations { migrations: migrations.leak(), ..tenant::billing::MIGRATIONS };
    let longer = Plan::new([tenant::core::MIGRATIONS, billing, tenant::dental::MIGRATIONS]).unwrap();
    let found = drift(&test.database.migrator(), &longer, &[subject(&test)], |_| {}).await.unwrap();
    assert_eq!(found.into_iter().next().unwrap().found.unwrap(), Vec::new());
    superuser.execute("DROP TABLE schema_migrations").await.unwrap();
    let found = drift(&test.database.migrator(), &plan(), &[subject(&test)], |_| {}).await.unwrap();
    assert!(found[0].found.is_err());
}

/// One plant after another: each is named, nothing else is, and what is offered mends it.
#[tokio::test(flavor = "multi_thread")]
async fn each_planted_difference_is_named_and_none_is_invented() {
    assert!(PLANTED.len() >= 40);
    let test = TestTenant::create().await;
    let other = test.another().await;
    let (login, plan) = (test.database.migrator(), plan());
    let mut comparer = Comparer::new(&login, &plan);
    let subject = subject(&test);
    let role = test.tenant.database_schema.to_string();
    let mut superuser = superuser(&test).await;
    for (plant, kind, object, change) in PLANTED {
        superuser
            .execute(sqlx::AssertSqlSafe(plant.replace("{role}", &role)))
            .await
            .unwrap_or_else(|error| panic!("{plant}: {error}"));
        let found = comparer.compare(&subject).await.unwrap().found.unwrap();
        let object = object.replace("{role}", &role);
        let is_it = |one: &Difference| one.kind == *kind && one.object == object && one.change == *change;
        assert!(found.iter().any(is_it), "{plant}: {found:#?}");
        assert!(found.iter().all(|one| belongs(plant, one)), "{plant}: {found:#?}");
        assert!(found.iter().all(|one| !one.mend.is_empty()), "{plant}: {found:#?}");
        // What is made anew may need its owner and its rights anew.
        let mut left = found;
        for _ in 0..4 {
            for one in &left {
                let statement = one.mend.split(" -- ").next().unwrap_or_default().to_owned();
                superuser
                    .execute(sqlx::AssertSqlSafe(statement.as_str()))
                    .await
                    .unwrap_or_else(|error| panic!("{plant}: {statement}: {error}"));
            }
            left = comparer.compare(&subject).await.unwrap().found.unwrap();
            if left.is_empty() {
                break;
            }
        }
        assert_eq!(left, Vec::new(), "after {plant}");
    }
    assert_eq!(differences(&other).await, Vec::new(), "another tenant's is left alone");
}

/// Tells whether a difference is of the relation that the plant names.
fn belongs(plant: &str, one: &Difference) -> bool {
    let relation = one.object.split('.').next().unwrap_or_default();
    let word = relation.split(['(', ' ']).next().unwrap_or_default();
    // A key is kept by triggers on both of its tables.
    let is_key = plant.contains("DISABLE TRIGGER ALL") && one.aspect.as_deref() == Some("enforced");
    plant.contains(word) || plant.contains("{role}") || word.is_empty() || is_key
}
