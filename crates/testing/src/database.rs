//! Databases of the process's own server, copied from a template with the system schema.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use clinicx_embedded_postgres::TestServer;
use clinicx_keys::{KeyProviders, Keyring, local::LocalProvider};
use clinicx_migration::{
    owner::OwnerLogin,
    system::{self, RoleNames, SystemRole, roles},
    tenant,
};
use clinicx_persistence::{
    ApplyMode, Cluster, ClusterKind, ClusterOptions, PoolOptions, SystemConnection, SystemOptions, Timeouts,
};
use clinicx_tenancy::{ClusterEntry, Module, ModuleRegistry, Tenancy, TenancyOptions};
use clinicx_types::{module::ModuleFacts, name::ClusterName};
use sqlx::{
    ConnectOptions, Connection, Executor, PgConnection,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tokio::sync::{Mutex, MutexGuard, OnceCell};

/// The database that all others are copied from.
const TEMPLATE: &str = "clinicx_template";
/// The most connections of one pool.
const MAX_CONNECTIONS: u32 = 4;
/// How long a test waits for a connection.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(20);

static PREPARED: OnceCell<()> = OnceCell::const_new();
static SHARED: OnceCell<TestDatabase> = OnceCell::const_new();
static NEXT: AtomicU32 = AtomicU32::new(1);

/// A database with the system schema and no tenant. Cheap to clone.
#[derive(Clone, Debug)]
pub struct TestDatabase {
    name: Arc<str>,
}

impl TestDatabase {
    /// Returns the one database of this process, made when it is first asked for.
    ///
    /// # Panics
    /// When no PostgreSQL can be started.
    pub async fn shared() -> Self {
        SHARED.get_or_init(Self::create).await.clone()
    }

    /// Makes a database of its own for a test.
    ///
    /// # Panics
    /// When no PostgreSQL can be started.
    pub async fn create() -> Self {
        PREPARED.get_or_init(prepare_template).await;
        let name = format!("clinicx_{}", NEXT.fetch_add(1, Ordering::Relaxed));
        run_on("postgres", format!("CREATE DATABASE {name} TEMPLATE {TEMPLATE}")).await;
        let database = Self { name: name.into() };
        roles::adopt_copy(&database.superuser_options(), &database.roles())
            .await
            .expect("give the roles their rights on a copied database");
        database
    }

    /// Makes an empty database, without roles' rights and without a system schema.
    ///
    /// # Panics
    /// When no PostgreSQL can be started.
    pub async fn create_empty() -> Self {
        PREPARED.get_or_init(prepare_template).await;
        let name = format!("empty_{}", NEXT.fetch_add(1, Ordering::Relaxed));
        run_on("postgres", format!("CREATE DATABASE {name}")).await;
        Self { name: name.into() }
    }

    /// Returns its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the names of the system roles.
    pub fn roles(&self) -> RoleNames {
        RoleNames::default()
    }

    /// Returns how to connect as the superuser.
    pub fn superuser_options(&self) -> PgConnectOptions {
        options(&server().superuser_url(&self.name))
    }

    /// Returns how to connect with one of the system's logins.
    pub fn login_options(&self, role: SystemRole) -> PgConnectOptions {
        options(&server().url(self.roles().of(role).as_str(), &self.name))
    }

    /// Opens a connection of the superuser, who is stopped by no grant and by no row-level security.
    ///
    /// # Panics
    /// When the server can't be reached.
    pub async fn superuser(&self) -> PgConnection {
        PgConnection::connect_with(&self.superuser_options()).await.expect("connect as the superuser")
    }

    /// Keeps the other tests of this program that change or mend roles away until the guard is dropped: roles belong
    /// to the whole server, and a migration of the system schema in any database mends them.
    pub async fn hold_roles(&self) -> MutexGuard<'static, ()> {
        static ROLES: Mutex<()> = Mutex::const_new(());
        ROLES.lock().await
    }

    /// Opens a bare connection of one of the system's logins.
    ///
    /// # Panics
    /// When the server can't be reached.
    pub async fn login(&self, role: SystemRole) -> PgConnection {
        PgConnection::connect_with(&self.login_options(role)).await.expect("connect with a system login")
    }

    /// Opens a pool of one of the system's logins on the system schema.
    ///
    /// # Panics
    /// When the server can't be reached.
    pub async fn system(&self, role: SystemRole) -> SystemConnection {
        let options = SystemOptions {
            connect: self.login_options(role),
            session_authorization: None,
            max_connections: MAX_CONNECTIONS,
            acquire_timeout: ACQUIRE_TIMEOUT,
            timeouts: Timeouts::SYSTEM,
        };
        SystemConnection::connect(options).await.expect("open a pool on the system schema")
    }

    /// Returns the login that becomes the owner role.
    pub fn migrator(&self) -> OwnerLogin {
        OwnerLogin::new(self.login_options(SystemRole::Migrator), &self.roles())
    }

    /// Returns how to reach its tenants in session mode.
    pub fn cluster_options(&self) -> ClusterOptions {
        ClusterOptions {
            name: cluster_name(),
            connect: self.login_options(SystemRole::App),
            session_authorization: None,
            kind: ClusterKind::Postgres,
            apply_mode: ApplyMode::Session,
            pool: PoolOptions {
                max_connections: MAX_CONNECTIONS,
                min_connections: 0,
                acquire_timeout: ACQUIRE_TIMEOUT,
                tenant_share: 1.0,
                ..PoolOptions::default()
            },
            timeouts: Timeouts::default(),
        }
    }

    /// Opens a pool of tenants' connections.
    ///
    /// # Panics
    /// When the server can't be reached.
    pub async fn cluster(&self) -> Cluster {
        Cluster::connect(self.cluster_options()).await.expect("open a pool of tenants' connections")
    }

    /// Returns the keys of its tenants.
    ///
    /// # Panics
    /// When the server can't be reached.
    pub async fn keyring(&self) -> Keyring {
        Keyring::new(self.system(SystemRole::App).await, keys())
    }

    /// Returns the operator's hand on its tenants, with the modules that [`modules`] makes of the facts.
    ///
    /// # Panics
    /// When the server can't be reached.
    pub async fn tenancy(&self, modules: Arc<ModuleRegistry>) -> Tenancy {
        let (app, control) = tokio::join!(self.system(SystemRole::App), self.system(SystemRole::Control));
        let tenancy = Tenancy::new(TenancyOptions {
            app,
            control,
            migrator: Some(self.migrator()),
            modules,
            keys: keys(),
            home: home(),
            others: Vec::new(),
            retention: Duration::from_secs(30 * 24 * 3600),
        });
        tenancy.register_clusters().await.expect("register the cluster");
        tenancy
    }
}

/// Returns core, billing and dental with the given facts for each name; modules without facts have none.
///
/// # Panics
/// When the facts don't fit together.
pub fn modules(facts: &[(&str, ModuleFacts)]) -> Arc<ModuleRegistry> {
    let all = [tenant::core::MIGRATIONS, tenant::billing::MIGRATIONS, tenant::dental::MIGRATIONS];
    let module = |migrations: tenant::ModuleMigrations| {
        let known = facts.iter().find(|(name, _)| *name == migrations.module);
        let facts = known.map(|(_, facts)| *facts).unwrap_or_default();
        Module { name: migrations.module, migrations, facts }
    };
    Arc::new(ModuleRegistry::new(all.map(module)).expect("the modules fit together"))
}

/// Returns the master key of every test.
pub fn keys() -> KeyProviders {
    KeyProviders::new(Arc::new(LocalProvider::new(LocalProvider::FILE, [7; 32])))
}

/// Returns the cluster that every test database is in.
pub fn home() -> ClusterEntry {
    ClusterEntry { name: cluster_name(), region: None }
}

fn cluster_name() -> ClusterName {
    ClusterName::parse("main").expect("a cluster's name")
}

fn server() -> &'static TestServer {
    TestServer::shared().unwrap_or_else(|error| panic!("no PostgreSQL for tests: {error}"))
}

fn options(url: &str) -> PgConnectOptions {
    url.parse::<PgConnectOptions>().expect("the server's own URL").disable_statement_logging()
}

/// Makes the template: roles once for the server, the system schema once for the process.
async fn prepare_template() {
    // Starting the server blocks; it must not hold up a runtime's other work.
    tokio::task::spawn_blocking(server).await.expect("start PostgreSQL");
    run_on("postgres", format!("CREATE DATABASE {TEMPLATE}")).await;
    let superuser = options(&server().superuser_url(TEMPLATE));
    system::migrate(&superuser, &RoleNames::default())
        .await
        .unwrap_or_else(|error| panic!("the system schema can't be made: {error}"));
    // A database that somebody is connected to can't be copied, and a closed connection takes a moment to go.
    let pool = PgPoolOptions::new()
        .max_connections(1)
        .connect_lazy_with(options(&server().superuser_url("postgres")));
    for _ in 0..500 {
        let left: i64 = sqlx::query_scalar("SELECT count(*) FROM pg_stat_activity WHERE datname = $1")
            .bind(TEMPLATE)
            .fetch_one(&pool)
            .await
            .expect("count the connections to the template");
        if left == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    pool.close().await;
}

async fn run_on(database: &str, statement: String) {
    let mut connection = PgConnection::connect_with(&options(&server().superuser_url(database)))
        .await
        .expect("connect as the superuser");
    connection
        .execute(sqlx::AssertSqlSafe(statement.as_str()))
        .await
        .unwrap_or_else(|error| panic!("{statement}: {error}"));
    let _closed = connection.close().await;
}
