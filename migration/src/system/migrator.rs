//! Brings the system schema forward with sea-orm-migration, as the owner role and under a lock.

use async_trait::async_trait;
use clinicx_types::name::RoleName;
use sea_orm::{
    ConnectionTrait, DatabaseConnection, DbBackend, DbErr, DynIden, SqlxPostgresConnector, Statement,
    sea_query::IntoIden,
};
use sea_orm_migration::{MigrationName, MigrationTrait, MigratorTraitSelf, SchemaManager};
use sqlx::{
    ConnectOptions, Connection, Executor, PgConnection,
    postgres::{PgConnectOptions, PgPoolOptions},
};

use super::{LIST, RoleNames, SystemMigration, SystemRole, functions, roles, script::SystemScript};
use crate::failure::DatabaseFailure;

/// The table that remembers which migrations of the system schema were applied.
pub const LEDGER: &str = "system_migrations";
/// Brings back a row when the audit is there.
const HAS_AUDIT: &str = "SELECT 1 AS it FROM pg_catalog.pg_class \
     WHERE relnamespace = 'public'::pg_catalog.regnamespace AND relname = 'audit_logs'";
/// The advisory lock of whoever migrates the system schema of a database.
const LOCK: i64 = 0x636c_696e_6963_7801;

/// Why the system schema could not be brought forward.
#[derive(Debug, thiserror::Error)]
pub enum SystemMigrationError {
    /// Creating or repairing roles is a superuser's work.
    #[error(
        "the roles are missing or incomplete, and the login is not a superuser's: run it as an administrator"
    )]
    NotAdministrator,
    /// The database said no.
    #[error(transparent)]
    Database(#[from] DatabaseFailure),
}

impl SystemMigrationError {
    pub(super) fn database(action: &'static str, error: sqlx::Error) -> Self {
        Self::Database(DatabaseFailure::new(action, error))
    }
}

/// What a run has done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Whether the roles were created or repaired; only an administrator's login does that.
    pub roles: bool,
    /// The migrations that were applied, in their order.
    pub applied: Vec<String>,
}

/// The migrations of the system schema, for one set of role names.
#[derive(Clone, Debug)]
pub struct SystemMigrator {
    roles: RoleNames,
    /// Whether there is an audit to write to.
    records: bool,
}

impl SystemMigrator {
    /// Makes the migrator of a database whose roles have these names.
    pub fn new(roles: RoleNames) -> Self {
        Self { roles, records: false }
    }
}

impl MigratorTraitSelf for SystemMigrator {
    fn migrations(&self) -> Vec<Box<dyn MigrationTrait>> {
        let step = |migration: &SystemMigration| -> Box<dyn MigrationTrait> {
            Box::new(Step { migration: *migration, roles: self.roles.clone(), records: self.records })
        };
        LIST.iter().map(step).collect()
    }

    fn migration_table_name(&self) -> DynIden {
        LEDGER.into_iden()
    }
}

/// Creates or repairs the roles when the login is an administrator's, and applies what is pending as the owner.
///
/// Safe to run from several processes at once and to run again.
///
/// # Errors
/// [`SystemMigrationError`].
pub async fn migrate(login: &PgConnectOptions, names: &RoleNames) -> Result<Report, SystemMigrationError> {
    let mut report = Report { roles: can_administer(login).await?, applied: Vec::new() };
    if report.roles {
        roles::bootstrap(login, names).await?;
    }
    let db = connect_as_owner(login, names).await?;
    let result = apply(&db, names, report.roles).await;
    // Closing gives the lock back; the result is what counts.
    let _closed = db.close().await;
    report.applied = result.map_err(|error| DatabaseFailure::of("migrate the system schema", &error))?;
    Ok(report)
}

/// Lists the migrations that have not been applied, without changing anything; any login of the system may ask.
///
/// # Errors
/// [`SystemMigrationError::Database`].
pub async fn pending(
    login: &PgConnectOptions,
    names: &RoleNames,
) -> Result<Vec<String>, SystemMigrationError> {
    let options = PgPoolOptions::new().max_connections(1).after_connect(|connection, _| {
        Box::pin(async move { connection.execute("SET search_path TO public").await.map(drop) })
    });
    let pool = options
        .connect_with(login.clone().disable_statement_logging())
        .await
        .map_err(|error| SystemMigrationError::database("connect", error))?;
    let db = SqlxPostgresConnector::from_sqlx_postgres_pool(pool);
    let migrator = SystemMigrator::new(names.clone());
    let result = migrator.get_pending_migrations_read_only(&db).await;
    let _closed = db.close().await;
    let migrations = result.map_err(|error| DatabaseFailure::of("read the applied migrations", &error))?;
    Ok(migrations.iter().map(|migration| migration.name().to_owned()).collect())
}

async fn apply(
    db: &DatabaseConnection,
    names: &RoleNames,
    roles_were_repaired: bool,
) -> Result<Vec<String>, DbErr> {
    let is_new = db.query_one_raw(Statement::from_string(DbBackend::Postgres, HAS_AUDIT)).await?.is_none();
    let migrator = SystemMigrator { roles: names.clone(), records: !is_new };
    let pending = migrator.get_pending_migrations(db).await?;
    let mut restore = functions::restore(names);
    // Of the making of a database there is nobody to tell.
    if roles_were_repaired && !is_new {
        restore.push_str(";\n");
        restore
            .push_str(&audit_row("system.repaired", "jsonb_build_object('roles', true, 'functions', true)"));
    }
    if pending.is_empty() {
        db.execute_unprepared(&restore).await?;
        return Ok(Vec::new());
    }
    migrator.up(db, None).await?;
    db.execute_unprepared(&restore).await?;
    for role in [SystemRole::App, SystemRole::Control, SystemRole::Migrator] {
        db.execute_unprepared(&format!("GRANT SELECT ON TABLE {LEDGER} TO {}", names.of(role).quoted()))
            .await?;
    }
    Ok(pending.iter().map(|migration| migration.name().to_owned()).collect())
}

/// Writes the audit row of something that was done to the system schema.
fn audit_row(action: &str, after: &str) -> String {
    format!(
        "INSERT INTO public.audit_logs (actor_kind, actor_job, action, entity, after) \
         VALUES ('system', 'system migration', '{action}', 'system_schema', {after})"
    )
}

async fn can_administer(login: &PgConnectOptions) -> Result<bool, SystemMigrationError> {
    let mut connection = PgConnection::connect_with(login)
        .await
        .map_err(|error| SystemMigrationError::database("connect", error))?;
    let superuser = roles::is_superuser(&mut connection).await?;
    let _closed = connection.close().await;
    Ok(superuser)
}

/// Opens the one connection of a run: it holds the lock as long as it lives, and it is the owner's.
async fn connect_as_owner(
    login: &PgConnectOptions,
    names: &RoleNames,
) -> Result<DatabaseConnection, SystemMigrationError> {
    let preamble = preamble(names.of(SystemRole::Owner));
    let options =
        PgPoolOptions::new().max_connections(1).max_lifetime(None).idle_timeout(None).after_connect(
            move |connection, _| {
                let preamble = preamble.clone();
                Box::pin(async move { connection.execute(sqlx::AssertSqlSafe(preamble)).await.map(drop) })
            },
        );
    let pool = options
        .connect_with(login.clone().disable_statement_logging())
        .await
        .map_err(|error| SystemMigrationError::database("become the owner role", error))?;
    Ok(SqlxPostgresConnector::from_sqlx_postgres_pool(pool))
}

fn preamble(owner: &RoleName) -> String {
    format!(
        "SET lock_timeout TO 0; SELECT pg_catalog.pg_advisory_lock({LOCK}); SET ROLE {}; SET search_path TO public; \
         SET lock_timeout TO '10s'; SET statement_timeout TO 0; SET client_min_messages TO warning",
        owner.quoted()
    )
}

/// One migration with the names that it grants to.
struct Step {
    migration: SystemMigration,
    roles: RoleNames,
    records: bool,
}

impl MigrationName for Step {
    fn name(&self) -> &str {
        self.migration.name
    }
}

#[async_trait]
impl MigrationTrait for Step {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let mut script = SystemScript::new(&self.roles);
        (self.migration.up)(&mut script);
        let mut statements = script.into_statements();
        if self.records {
            let name = self.migration.name;
            statements
                .push(audit_row("system.migrated", &format!("jsonb_build_object('migration', '{name}')")));
        }
        let batch = statements.join(";\n");
        manager.get_connection().execute_unprepared(&batch).await.map(|_| ())
    }

    async fn down(&self, _manager: &SchemaManager) -> Result<(), DbErr> {
        Err(DbErr::Migration(format!(
            "{} is not undone: {}",
            self.migration.name, self.migration.irreversible
        )))
    }
}
