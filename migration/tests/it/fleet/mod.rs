//! The fleet: runs over many tenants, what halts them, and how they go on.

mod outside;
mod readings;
mod runs;
mod waves;

use std::{collections::BTreeSet, sync::Arc};

use clinicx_migration::{
    owner::OwnerLogin,
    system::SystemRole,
    tenant::{
        Down, ModuleMigrations, Plan, TenantMigration,
        fleet::{self, Event, RunOptions, RunReport, Standing},
        script::{Script, col},
    },
};
use clinicx_persistence::SystemConnection;
use clinicx_tenancy::{Module, ModuleRegistry, PlatformScope, Tenancy, Tenant, TenantDraft};
use clinicx_testing::{TestDatabase, tenant::unique_slug};
use clinicx_types::{id::TenantId, module::ModuleFacts};
use sea_orm::sea_query::{IntoIden, Table};
use sqlx::Executor;

pub(crate) const fn step(name: &'static str, up: fn(&mut Script)) -> TenantMigration {
    TenantMigration { name, up, down: Down::Irreversible("a test") }
}

/// One table: a thousand tenants of it are made in a moment.
pub(crate) const NOTES: TenantMigration = step("m0001_create_notes", |script| {
    let mut table = Table::create();
    table.table("notes".into_iden()).col(col("body").text().not_null()).col(col("folded").text());
    script.create_table(table);
});

/// Adds a column and an index; it fails where a note says `bad`.
const COLUMN: TenantMigration = TenantMigration {
    name: "m0002_add_colour",
    up: |script| {
        script.sql("ALTER TABLE notes ADD COLUMN colour text");
        script.sql("ALTER TABLE notes ADD CONSTRAINT ck_notes__body CHECK (body <> 'bad')");
    },
    down: Down::Script(|script| {
        script.sql("ALTER TABLE notes DROP CONSTRAINT ck_notes__body, DROP COLUMN colour");
    }),
};

const FIRST: &[TenantMigration] = &[NOTES];
const SECOND: &[TenantMigration] = &[NOTES, COLUMN];

pub(crate) fn core(migrations: &'static [TenantMigration]) -> ModuleMigrations {
    ModuleMigrations { module: "core", requires: &[], migrations, serves_from: None }
}

pub(crate) fn plan(migrations: &'static [TenantMigration]) -> Plan {
    Plan::new([core(migrations)]).unwrap()
}

/// A database with a fleet of small tenants.
pub(crate) struct Fleet {
    pub(crate) database: TestDatabase,
    pub(crate) tenancy: Tenancy,
    pub(crate) registry: SystemConnection,
    pub(crate) tenants: Vec<Tenant>,
}

impl Fleet {
    /// Makes so many tenants at these migrations.
    pub(crate) async fn create(number: usize, migrations: &'static [TenantMigration]) -> Self {
        let database = TestDatabase::create().await;
        let tenancy = tenancy(&database, migrations).await;
        let registry = database.system(SystemRole::App).await;
        let mut tenants = Vec::with_capacity(number);
        while tenants.len() < number {
            let batch = (number - tenants.len()).min(4);
            let made = (0..batch).map(|_| create(&tenancy));
            tenants.extend(futures_util::future::join_all(made).await);
        }
        tenants.sort_by(|a, b| a.slug.as_str().cmp(b.slug.as_str()));
        Self { database, tenancy, registry, tenants }
    }

    pub(crate) fn login(&self) -> OwnerLogin {
        self.database.migrator()
    }

    pub(crate) fn slugs(&self, which: &[usize]) -> BTreeSet<String> {
        which.iter().map(|at| self.tenants[*at].slug.to_string()).collect()
    }

    /// Runs over the fleet.
    pub(crate) async fn run(&self, plan: &Plan, options: &RunOptions) -> RunReport {
        fleet::run(&self.login(), plan, options, |_| {}).await.unwrap()
    }

    /// Runs over the fleet and writes down what happens.
    async fn watch(&self, plan: &Plan, options: &RunOptions) -> (RunReport, Vec<String>) {
        let (login, mut said) = (self.login(), Vec::new());
        let report = fleet::run(&login, plan, options, |event| match event {
            Event::Waiting => said.push("waiting".to_owned()),
            Event::Began { resumed, tenants, .. } => said.push(format!("began {tenants} {resumed}")),
            Event::Wave { wave, tenants } => said.push(format!("{wave} {tenants}")),
            Event::Tenant(_) => {}
        });
        let report = report.await.unwrap();
        (report, said)
    }

    pub(crate) async fn standings(&self, plan: &Plan) -> Vec<Standing> {
        fleet::standings(&self.registry, plan).await.unwrap()
    }

    /// Runs a statement in the schema of one tenant, as a superuser.
    pub(crate) async fn sql(&self, at: usize, statement: &str) {
        let mut superuser = self.database.superuser().await;
        let schema = &self.tenants[at].database_schema;
        let text = format!("SET search_path TO {schema}, pg_temp; {statement}");
        superuser
            .execute(sqlx::AssertSqlSafe(text))
            .await
            .unwrap_or_else(|error| panic!("{statement}: {error}"));
    }

    /// Asks for a number in the schema of one tenant, as a superuser.
    pub(crate) async fn number(&self, at: usize, query: &str) -> i64 {
        let mut superuser = self.database.superuser().await;
        let schema = &self.tenants[at].database_schema;
        superuser
            .execute(sqlx::AssertSqlSafe(format!("SET search_path TO {schema}, pg_temp")))
            .await
            .unwrap();
        sqlx::query_scalar(sqlx::AssertSqlSafe(query.to_owned())).fetch_one(&mut superuser).await.unwrap()
    }

    /// Makes a tenant fail at [`COLUMN`].
    async fn spoil(&self, at: usize) {
        self.sql(at, "INSERT INTO notes (id, body) VALUES (gen_random_uuid(), 'bad')").await;
    }

    async fn mend(&self, at: usize) {
        self.sql(at, "DELETE FROM notes WHERE body = 'bad'").await;
    }
}

pub(crate) async fn tenancy(database: &TestDatabase, migrations: &'static [TenantMigration]) -> Tenancy {
    let module = Module { name: "core", migrations: core(migrations), facts: ModuleFacts::default() };
    database.tenancy(Arc::new(ModuleRegistry::new([module]).unwrap())).await
}

pub(crate) async fn create(tenancy: &Tenancy) -> Tenant {
    let draft = TenantDraft {
        slug: unique_slug(),
        name: "Clinic".to_owned(),
        time_zone: "UTC".to_owned(),
        currency: "EUR".to_owned(),
        locale: "en".to_owned(),
        ..TenantDraft::default()
    };
    let by = PlatformScope::system("test");
    let new = tenancy.check(draft, TenantId::new(by.next_id())).unwrap();
    tenancy.create(new, &by, Vec::new()).await.unwrap()
}

pub(crate) fn options() -> RunOptions {
    RunOptions::new(PlatformScope::system("test").next_id())
}
