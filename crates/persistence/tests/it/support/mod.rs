//! A login and some tenants of its own for each test, on one server for all.

use std::{
    future::Future,
    pin::Pin,
    sync::atomic::{AtomicU32, Ordering},
    task::{Context, Poll},
    time::Duration,
};

use clinicx_embedded_postgres::TestServer;
use clinicx_persistence::{
    ApplyMode, Cluster, ClusterKind, ClusterOptions, PoolOptions, SystemOptions, TenantConnection,
    TenantTarget, Timeouts,
};
use clinicx_types::{
    id::TenantId,
    name::{ClusterName, SchemaName},
    version::SchemaVersion,
};
use sea_orm::{ConnectionTrait, DbBackend, DbErr, Statement};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, Row, postgres::PgConnectOptions};
use uuid::Uuid;

pub const MODES: [ApplyMode; 2] = [ApplyMode::Session, ApplyMode::Transaction];
pub const NOTES: i32 = 30;

static WORLDS: AtomicU32 = AtomicU32::new(0);

/// A login and its tenants.
pub struct World {
    pub login: String,
    pub tenants: Vec<TenantTarget>,
    server: &'static TestServer,
}

impl World {
    pub async fn new(tenants: u32) -> Self {
        let server = TestServer::shared().expect("a PostgreSQL server");
        let number = WORLDS.fetch_add(1, Ordering::Relaxed);
        let login = format!("app_{number}");
        let world = Self {
            tenants: (0..tenants).map(|index| target(&format!("tenant_w{number}_{index}"))).collect(),
            login,
            server,
        };
        let mut setup = world.superuser().await;
        let login = &world.login;
        run(
            &mut setup,
            &format!("CREATE ROLE {login} LOGIN NOINHERIT; ALTER ROLE {login} SET search_path TO ''"),
        )
        .await;
        for tenant in &world.tenants {
            run(&mut setup, &world.tenant_script(tenant)).await;
        }
        world
    }

    fn tenant_script(&self, tenant: &TenantTarget) -> String {
        let (login, schema, id) = (&self.login, tenant.schema.as_str(), tenant.tenant_id);
        format!(
            "CREATE ROLE {schema} NOLOGIN NOINHERIT; GRANT {schema} TO {login}; CREATE SCHEMA {schema};
             GRANT USAGE ON SCHEMA {schema} TO {schema};
             CREATE TABLE {schema}.notes (id uuid PRIMARY KEY, tenant_id uuid NOT NULL DEFAULT '{id}'
                 CHECK (tenant_id = '{id}'), number integer NOT NULL UNIQUE, body text NOT NULL);
             CREATE TABLE {schema}.lines (id uuid PRIMARY KEY, tenant_id uuid NOT NULL DEFAULT '{id}'
                 CHECK (tenant_id = '{id}'), note_id uuid NOT NULL REFERENCES {schema}.notes);
             ALTER TABLE {schema}.notes ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
             CREATE POLICY tenant ON {schema}.notes
                 USING (COALESCE(current_setting('app.current_tenant', true) = '{id}', false));
             GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema} TO {schema};
             INSERT INTO {schema}.notes (id, number, body)
                 SELECT gen_random_uuid(), g, '{schema}' FROM generate_series(1, {NOTES}) AS g;
             INSERT INTO {schema}.lines (id, note_id) SELECT gen_random_uuid(), id FROM {schema}.notes"
        )
    }

    pub async fn superuser(&self) -> PgConnection {
        self.superuser_in("postgres").await
    }

    pub async fn superuser_in(&self, database: &str) -> PgConnection {
        let url = self.server.superuser_url(database);
        PgConnection::connect(&url).await.expect("the superuser")
    }

    pub fn options(&self) -> PgConnectOptions {
        self.server.url(&self.login, "postgres").parse().expect("a URL")
    }

    pub fn server(&self) -> &'static TestServer {
        self.server
    }

    pub fn cluster_options(&self, mode: ApplyMode, pool: PoolOptions) -> ClusterOptions {
        ClusterOptions {
            name: ClusterName::parse("main").expect("a name"),
            connect: self.options(),
            session_authorization: None,
            kind: ClusterKind::Postgres,
            apply_mode: mode,
            pool,
            timeouts: Timeouts::default(),
        }
    }

    /// Connects with so many connections for work and one for the reaper.
    pub async fn cluster(&self, mode: ApplyMode, workers: u32) -> Cluster {
        Cluster::connect(self.cluster_options(mode, pool(workers))).await.expect("a cluster")
    }

    pub fn tenant(&self, cluster: &Cluster, index: usize) -> TenantConnection {
        cluster.tenant(self.tenants[index].clone())
    }

    pub fn system_options(&self, max_connections: u32) -> SystemOptions {
        SystemOptions {
            connect: self.options(),
            session_authorization: None,
            max_connections,
            acquire_timeout: Duration::from_secs(5),
            timeouts: Timeouts::SYSTEM,
        }
    }

    /// Counts the connections of this world's login, those in a transaction, and lists those it has.
    pub async fn backends(&self, superuser: &mut PgConnection) -> Backends {
        let question = format!(
            "SELECT count(*), count(*) FILTER (WHERE state LIKE 'idle in transaction%')
             FROM pg_stat_activity WHERE usename = '{}'",
            self.login
        );
        let row = superuser.fetch_one(AssertSqlSafe(question)).await.expect("pg_stat_activity");
        Backends { all: row.get(0), idle_in_transaction: row.get(1) }
    }
}

/// Waits until no connection of a world's login is left: a backend outlives its connection for a moment.
pub async fn all_have_gone(world: &World) {
    let mut superuser = world.superuser().await;
    let deadline = tokio::time::Instant::now() + Duration::from_secs(5);
    while world.backends(&mut superuser).await.all > 0 {
        assert!(tokio::time::Instant::now() < deadline, "connections are left");
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backends {
    pub all: i64,
    pub idle_in_transaction: i64,
}

pub fn pool(workers: u32) -> PoolOptions {
    PoolOptions {
        max_connections: workers + 1,
        min_connections: 0,
        acquire_timeout: Duration::from_secs(10),
        tenant_share: 1.0,
        ..PoolOptions::default()
    }
}

pub fn target(schema: &str) -> TenantTarget {
    let schema = SchemaName::parse(schema).expect("a schema");
    TenantTarget {
        tenant_id: TenantId::new(Uuid::now_v7()),
        cluster: ClusterName::parse("main").expect("a name"),
        database: None,
        role: Some(schema.role()),
        schema,
        schema_version: SchemaVersion { core: 1, modules: 0 },
    }
}

pub async fn run(connection: &mut PgConnection, sql: &str) {
    connection.execute(AssertSqlSafe(sql.to_owned())).await.expect(sql);
}

pub fn sql(text: &str) -> Statement {
    Statement::from_string(DbBackend::Postgres, text)
}

/// What the server says about who is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Who {
    pub path: String,
    pub user: String,
    pub tenant: String,
    pub canary: String,
}

pub async fn who(db: &impl ConnectionTrait) -> Result<Who, DbErr> {
    let question = sql("SELECT current_setting('search_path') AS path, current_user::text AS user,
             current_setting('app.current_tenant') AS tenant,
             (SELECT string_agg(DISTINCT body, ',') FROM notes WHERE number <= 30) AS canary");
    let row = db.query_one_raw(question).await?.expect("a row");
    let text = |column: &str| row.try_get::<String>("", column);
    Ok(Who { path: text("path")?, user: text("user")?, tenant: text("tenant")?, canary: text("canary")? })
}

pub fn expected(target: &TenantTarget) -> Who {
    let schema = target.schema.as_str();
    Who {
        path: format!("{schema}, pg_temp"),
        user: schema.to_owned(),
        tenant: target.tenant_id.to_string(),
        canary: schema.to_owned(),
    }
}

/// Drops a future at the poll of this number, unless it ends before.
pub struct CancelAt<F> {
    future: Pin<Box<F>>,
    left: usize,
}

impl<F: Future> CancelAt<F> {
    pub fn poll(number: usize, future: F) -> Self {
        Self { future: Box::pin(future), left: number }
    }
}

impl<F: Future> Future for CancelAt<F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match self.future.as_mut().poll(context) {
            Poll::Ready(value) => Poll::Ready(Some(value)),
            Poll::Pending => {
                self.left -= 1;
                if self.left == 0 { Poll::Ready(None) } else { Poll::Pending }
            }
        }
    }
}

/// Waits until something holds, for what other processes do.
pub async fn eventually<F: Future<Output = bool>>(what: &str, mut holds: impl FnMut() -> F) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    while !holds().await {
        assert!(tokio::time::Instant::now() < deadline, "never came true: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
