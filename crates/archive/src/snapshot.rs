//! One consistent look at a tenant, by the login that reads everything.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use clinicx_keys::store as keys;
use clinicx_migration::tenant::{ledger, plan};
use clinicx_persistence::SystemExecutor;
use clinicx_tenancy::{TenancyError, Tenant, registry};
use clinicx_types::{
    id::{TenantId, UserId},
    name::{RoleName, SchemaName},
};
use futures_util::{StreamExt, stream::BoxStream};
use sea_orm::{DbErr, FromQueryResult, QueryResult, RuntimeErr, Statement, raw_sql, sea_query::Values};
use sea_query_sqlx::SqlxValues;
use sqlx::{
    ConnectOptions, Connection, Executor, PgConnection, Postgres, postgres::PgConnectOptions, query::Query,
};
use tokio::sync::Mutex;

use crate::{
    catalog::{self, Table},
    error::ArchiveError,
    manifest::{AppliedMigration, Manifest, Member, TenantFacts, TravellingKey},
};

/// How values are written, so that the same value is the same text wherever and whenever it is read.
pub(crate) const FORMS: [(&str, &str); 6] = [
    ("timezone", "UTC"),
    ("datestyle", "ISO, YMD"),
    ("intervalstyle", "postgres"),
    ("extra_float_digits", "1"),
    ("bytea_output", "hex"),
    ("client_encoding", "UTF8"),
];
/// How long the snapshot waits for whoever changes the tenant's tables.
const LOCK_TIMEOUT: Duration = Duration::from_secs(10);
/// How often it is begun anew when the tables have changed just before it.
const ATTEMPTS: u32 = 5;

/// The login that reads everything.
#[derive(Clone)]
pub struct BackupLogin {
    /// How to connect.
    pub connect: PgConnectOptions,
    /// The role to become first when the login of the URL is a superuser's.
    pub session_authorization: Option<RoleName>,
}

impl std::fmt::Debug for BackupLogin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BackupLogin").finish_non_exhaustive()
    }
}

/// A tenant as it was at one moment, while others go on writing. Dropping it ends it.
///
/// Its transaction is REPEATABLE READ and READ ONLY, and holds the weakest lock on each table, so that nobody changes
/// the tables meanwhile.
pub(crate) struct Snapshot {
    connection: Mutex<PgConnection>,
    schema: SchemaName,
    tables: Vec<Table>,
}

impl Snapshot {
    /// Takes it.
    ///
    /// # Errors
    /// What the server answers; somebody changes the tenant's tables for longer than ten seconds.
    pub(crate) async fn take(login: &BackupLogin, schema: &SchemaName) -> Result<Self, ArchiveError> {
        let connect = login.connect.clone().disable_statement_logging().application_name("clinicx:archive");
        let mut connection = PgConnection::connect_with(&connect)
            .await
            .map_err(|error| ArchiveError::database("connect as the backup login", error))?;
        let mut preamble = String::new();
        if let Some(role) = &login.session_authorization {
            preamble.push_str(&format!("SET SESSION AUTHORIZATION {}; ", role.quoted()));
        }
        preamble.push_str("SET search_path TO pg_catalog, pg_temp; SET statement_timeout TO 0; ");
        preamble.push_str("SET idle_in_transaction_session_timeout TO 0; SET row_security TO off");
        for (name, value) in FORMS {
            preamble.push_str(&format!("; SET {name} TO '{value}'"));
        }
        connection
            .execute(sqlx::AssertSqlSafe(preamble))
            .await
            .map_err(|error| ArchiveError::database("become the backup role", error))?;
        let mut snapshot =
            Self { connection: Mutex::new(connection), schema: schema.clone(), tables: Vec::new() };
        for _ in 0..ATTEMPTS {
            if snapshot.begin().await? {
                return Ok(snapshot);
            }
        }
        Err(TenancyError::Maintenance.into())
    }

    /// Begins the transaction. The locks come before its first query, which is what the snapshot is taken at; whether
    /// the tables are still those that were locked is looked at in the snapshot itself.
    async fn begin(&mut self) -> Result<bool, ArchiveError> {
        let failed = |error: DbErr| ArchiveError::of("list the tenant's tables", &error);
        let before = catalog::tables(self, &self.schema).await.map_err(failed)?;
        let mut names: Vec<String> = before.iter().map(|table| table.name.quoted()).collect();
        names.push(ledger::TABLE.to_owned());
        let schema = self.schema.quoted();
        let names: Vec<String> = names.iter().map(|name| format!("{schema}.{name}")).collect();
        let script = format!(
            "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL lock_timeout TO {}; \
             LOCK TABLE {} IN ACCESS SHARE MODE; SET LOCAL search_path TO {schema}, pg_temp",
            LOCK_TIMEOUT.as_millis(),
            names.join(", "),
        );
        match self.run("begin the snapshot", script).await {
            Ok(()) => {}
            Err(ArchiveError::Database(failure)) => match failure.sqlstate() {
                // Somebody took a table away between the two.
                Some("42P01") => {
                    self.run("begin anew", "ROLLBACK".to_owned()).await?;
                    return Ok(false);
                }
                Some("55P03") => return Err(TenancyError::Maintenance.into()),
                _ => return Err(ArchiveError::Database(failure)),
            },
            Err(other) => return Err(other),
        }
        self.tables = catalog::tables(self, &self.schema).await.map_err(failed)?;
        if self.tables == before {
            return Ok(true);
        }
        self.run("begin anew", "ROLLBACK".to_owned()).await?;
        Ok(false)
    }

    /// Returns the tables.
    pub(crate) fn tables(&self) -> &[Table] {
        &self.tables
    }

    /// Reads everything but the rows.
    ///
    /// # Errors
    /// The tenant is not in the registry; what the database answers.
    pub(crate) async fn describe(&self, tenant: TenantId) -> Result<(Manifest, Tenant), ArchiveError> {
        let failed = |error: DbErr| ArchiveError::of("describe the tenant", &error);
        let moment: Option<Moment> = self.query_one(moment()).await.map_err(failed)?;
        let moment = moment.ok_or(TenancyError::UnknownTenant)?;
        let found = registry::find_by_id(self, tenant).await?.ok_or(TenancyError::UnknownTenant)?;
        let migrations = ledger::read(self).await.map_err(failed)?;
        let members: Vec<MemberRow> = self
            .query_all(raw_sql!(
                Postgres,
                r#"SELECT user_id, array_to_string(roles, ',') AS roles FROM public.memberships
                   WHERE tenant_id = {tenant} ORDER BY user_id"#
            ))
            .await
            .map_err(failed)?;
        let keys = keys::load(self, tenant).await?;
        let mut counts = std::collections::BTreeMap::<&str, i32>::new();
        for row in &migrations {
            *counts.entry(row.module.as_str()).or_default() += 1;
        }
        let schema_version = plan::version_of(counts).to_string();
        let manifest = Manifest {
            program: env!("CARGO_PKG_VERSION").to_owned(),
            server_version: moment.server_version,
            taken_at: moment.taken_at,
            lsn: moment.lsn,
            tenant: facts(&found),
            schema_version,
            migrations: migrations
                .into_iter()
                .map(|row| AppliedMigration {
                    module: row.module,
                    position: row.position,
                    name: row.name,
                    checksum: row.checksum,
                })
                .collect(),
            members: members.into_iter().map(MemberRow::member).collect(),
            keys: keys.iter().map(|row| TravellingKey::of(&row.key)).collect(),
            tables: Vec::new(),
        };
        Ok((manifest, found))
    }

    /// Reads a table's rows, as COPY writes them.
    ///
    /// # Errors
    /// What the server answers.
    pub(crate) async fn rows(
        &mut self,
        table: &Table,
    ) -> Result<BoxStream<'_, Result<Bytes, ArchiveError>>, ArchiveError> {
        let failed = |error| ArchiveError::database("read the rows of a table", error);
        let statement = table.copy_out(&self.schema);
        let rows = self.connection.get_mut().copy_out_raw(&statement).await.map_err(failed)?;
        Ok(rows.map(move |piece| piece.map_err(failed)).boxed())
    }

    /// Ends it.
    pub(crate) async fn close(self) {
        // It has changed nothing; however the connection ends, the server ends the transaction.
        let _closed = self.connection.into_inner().close().await;
    }

    async fn run(&self, action: &'static str, script: String) -> Result<(), ArchiveError> {
        let mut connection = self.connection.lock().await;
        let done = connection.execute(sqlx::AssertSqlSafe(script)).await;
        done.map(drop).map_err(|error| ArchiveError::database(action, error))
    }
}

#[derive(FromQueryResult)]
struct Moment {
    taken_at: DateTime<Utc>,
    lsn: String,
    server_version: i32,
}

fn moment() -> Statement {
    raw_sql!(
        Postgres,
        r#"SELECT pg_catalog.now() AS taken_at,
                  CAST(CASE WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_last_wal_replay_lsn()
                       ELSE pg_catalog.pg_current_wal_lsn() END AS text) AS lsn,
                  CAST(pg_catalog.current_setting('server_version_num') AS integer) AS server_version"#
    )
}

#[derive(FromQueryResult)]
struct MemberRow {
    user_id: UserId,
    roles: String,
}

impl MemberRow {
    fn member(self) -> Member {
        Member { user_id: self.user_id, roles: self.roles.split(',').map(str::to_owned).collect() }
    }
}

fn facts(tenant: &Tenant) -> TenantFacts {
    TenantFacts {
        id: tenant.id,
        slug: tenant.slug.to_string(),
        name: tenant.name.clone(),
        modules: tenant.modules.iter().map(ToString::to_string).collect(),
        region: tenant.region.clone(),
        plan: tenant.plan.clone(),
        time_zone: tenant.time_zone.name().to_owned(),
        currency: tenant.currency.code().to_owned(),
        locale: tenant.locale.clone(),
    }
}

#[async_trait]
impl SystemExecutor for Snapshot {
    async fn execute(&self, statement: Statement) -> Result<u64, DbErr> {
        let mut connection = self.connection.lock().await;
        let done = bind(statement).execute(&mut *connection).await;
        done.map(|done| done.rows_affected()).map_err(query_error)
    }

    async fn query_one<T: FromQueryResult + Send>(&self, statement: Statement) -> Result<Option<T>, DbErr> {
        let mut connection = self.connection.lock().await;
        let row = bind(statement).fetch_optional(&mut *connection).await.map_err(query_error)?;
        row.map(|row| T::from_query_result(&QueryResult::from(row), "")).transpose()
    }

    async fn query_all<T: FromQueryResult + Send>(&self, statement: Statement) -> Result<Vec<T>, DbErr> {
        let mut connection = self.connection.lock().await;
        let rows = bind(statement).fetch_all(&mut *connection).await.map_err(query_error)?;
        rows.into_iter().map(|row| T::from_query_result(&QueryResult::from(row), "")).collect()
    }
}

fn bind(statement: Statement) -> Query<'static, Postgres, SqlxValues> {
    let values = statement.values.unwrap_or_else(|| Values(Vec::new()));
    sqlx::query_with(sqlx::AssertSqlSafe(statement.sql), SqlxValues(values)).persistent(false)
}

fn query_error(error: sqlx::Error) -> DbErr {
    DbErr::Query(RuntimeErr::SqlxError(error.into()))
}
