//! Puts the crates together: logins, pools, tenancy, identity, keys.

use std::sync::{Arc, OnceLock};

use actix_web::http::StatusCode;
use anyhow::Context;
use clinicx_audit::{AuditWriter, Release, WriterOptions};
use clinicx_identity::{
    Bootstrap, Identity, IdentityKeys, IdentitySettings, Password, SealingKeys, TokenKey,
};
use clinicx_keys::Keyring;
use clinicx_migration::{
    owner::OwnerLogin,
    system::{self, RoleNames},
};
use clinicx_persistence::{Cluster, ClusterOptions, ConnectError, PoolOptions, SystemConnection, Timeouts};
use clinicx_tenancy::{
    ClusterEntry, Configurations, FeatureFlags, ModuleRegistry, PlatformScope, Resolver, Tenancy,
    TenancyOptions, watch::Traffic,
};
use clinicx_types::{
    clock::{RandomIds, SystemClock},
    name::ClusterName,
};
use clinicx_web::ApiError;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio_util::sync::CancellationToken;

use crate::{
    checks::{self, Check},
    config::{AuditReads, Config, OidcConfig, Profile},
    key_check,
    keys::{self, DataKeys},
    logins::{Login, Logins, unreachable_server},
    mail, modules, observability,
    said::{said_of, wrong_setting},
    sealing::LogKeys,
};

/// How long an archived tenant is kept before it may be purged without force.
const RETENTION: std::time::Duration = std::time::Duration::from_secs(30 * 86_400);
/// The most connections of the control login.
pub(crate) const CONTROL_CONNECTIONS: u32 = 4;

/// Everything that serves requests and commands. Cheap to clone.
#[derive(Clone)]
pub struct Platform {
    /// What is configured.
    pub config: Arc<Config>,
    /// The names of the roles.
    pub roles: RoleNames,
    /// The logins.
    pub logins: Arc<Logins>,
    /// The application's connection to the system schema.
    pub app: SystemConnection,
    /// Writes the audit rows of reads and refusals.
    pub audit: AuditWriter,
    /// The keys of the audit's log.
    pub log_keys: LogKeys,
    /// The modules of the application.
    pub modules: Arc<ModuleRegistry>,
    /// Looks tenants up.
    pub resolver: Resolver,
    /// What is set for the whole platform.
    pub configurations: Configurations,
    /// What is on for whom.
    pub flags: FeatureFlags,
    /// Users and tokens.
    pub identity: Identity,
    /// The cluster that holds the tenants.
    pub cluster: Cluster,
    /// Gives the tenants' ciphers of fields at rest.
    pub keyring: Keyring,
    /// Who wraps the tenants' data keys.
    pub data_keys: DataKeys,
    /// The key of the cursors.
    pub token_key: [u8; keys::KEY_BYTES],
    /// Renders the metrics.
    pub metrics: PrometheusHandle,
    /// The requests of each tenant since they were last written down.
    pub traffic: Traffic,
    /// Cancelled when the service begins to stop, for what would go on otherwise.
    pub stopping: CancellationToken,
    tenancy: Option<Tenancy>,
}

impl Platform {
    /// Connects to everything that the configuration names.
    ///
    /// # Errors
    /// A login that is missing or refused, a key that is none, a server that can't be reached; one line each.
    pub async fn open(config: &Config) -> anyhow::Result<Self> {
        config.check_pools()?;
        let database = &config.database;
        let logins = Logins::open(database).await?;
        let roles = role_names(config)?;
        let timeout = database.pool.acquire_timeout;
        let app = connect(&logins.app, database.system_connections, timeout).await?;
        let modules = Arc::new(modules::registry(&config.extensions)?);
        let name = ClusterName::parse(&database.cluster)
            .map_err(|error| anyhow::anyhow!("database.cluster {error}"))?;
        let cluster = Cluster::connect(cluster_options(config, &logins.app, name.clone()))
            .await
            .map_err(|error| connection_problem(&logins.app, error))?;
        let data_keys = keys::data_keys(config)?;
        let tenancy = match &logins.control {
            Some(control) => {
                let options = TenancyOptions {
                    app: app.clone(),
                    control: connect(control, CONTROL_CONNECTIONS, timeout).await?,
                    migrator: logins.migrator.as_ref().map(|login| owner_login(login, &roles)),
                    modules: Arc::clone(&modules),
                    keys: data_keys.providers.clone(),
                    home: ClusterEntry { name, region: database.region.clone() },
                    others: Vec::new(),
                    retention: RETENTION,
                };
                Some(Tenancy::new(options))
            }
            None => None,
        };
        let release = match config.audit.reads {
            AuditReads::BeforeAnswer => Release::AfterCommit,
            AuditReads::Within1s => Release::AtOnce,
        };
        let audit = AuditWriter::start(app.clone(), WriterOptions { release, ..WriterOptions::default() });
        let token_key = keys::token_key(config)?;
        let settings = IdentitySettings {
            access_token_ttl: config.auth.access_token_ttl,
            mail: mail::settings(config),
            require_operator_totp: config
                .auth
                .require_operator_totp
                .unwrap_or(config.profile == Profile::Production),
            ..IdentitySettings::default()
        };
        let sealing = SealingKeys::new(token_key);
        let sealing = match keys::previous_token_key(config)? {
            Some(previous) => sealing.with_retired(previous),
            None => sealing,
        };
        let identity_keys = IdentityKeys { token: TokenKey::new(token_key)?, sealing };
        let identity =
            Identity::new(app.clone(), &identity_keys, settings, Arc::new(SystemClock), Arc::new(RandomIds))
                .context("auth.access_token_ttl must be from 1 second to 15 minutes")?;
        let issuers: anyhow::Result<Vec<_>> = config.auth.oidc.iter().map(OidcConfig::settings).collect();
        let identity = identity
            .with_issuers(issuers?, config.profile == Profile::Development)
            .map_err(|error| wrong_setting("auth.oidc", error))?;
        Ok(Self {
            config: Arc::new(config.clone()),
            roles,
            resolver: Resolver::new(app.clone(), Arc::clone(&modules)),
            configurations: Configurations::new(app.clone()),
            flags: FeatureFlags::new(app.clone()),
            logins: Arc::new(logins),
            audit,
            log_keys: LogKeys::open(config)?,
            modules,
            identity,
            cluster,
            keyring: Keyring::keeping(app.clone(), data_keys.providers.clone(), config.keys.cache_ttl),
            data_keys,
            app,
            token_key,
            metrics: metrics_handle()?,
            traffic: Traffic::new(config.watch.slow_request),
            stopping: CancellationToken::new(),
            tenancy,
        })
    }

    /// Connects as [`Platform::open`] does, for one command: the tenants' connections are opened when they are
    /// needed, and none is kept ready.
    ///
    /// # Errors
    /// As [`Platform::open`].
    pub async fn open_for_command(config: &Config) -> anyhow::Result<Self> {
        let mut config = config.clone();
        config.database.pool.min_connections = 0;
        Self::open(&config).await
    }

    /// Connects as [`Platform::open_for_command`] does, and refuses a database whose system schema is behind.
    ///
    /// # Errors
    /// As [`Platform::open`], and migrations that are pending.
    pub async fn open_current(config: &Config) -> anyhow::Result<Self> {
        let platform = Self::open_for_command(config).await?;
        let pending = system::pending(&platform.logins.app.connect, &platform.roles).await?.len();
        if pending > 0 {
            platform.close().await;
            anyhow::bail!("the system schema is {pending} migrations behind; run `clinicx migrate system`");
        }
        Ok(platform)
    }

    /// Returns the operator's hand on tenants.
    ///
    /// # Errors
    /// The control login is not configured.
    pub fn tenancy(&self) -> anyhow::Result<&Tenancy> {
        self.tenancy.as_ref().context(
            "database.control_url is not configured; it changes the registry, settings and keys, and seals the audit",
        )
    }

    /// Makes the service ready: self-checks, the first operator.
    ///
    /// # Errors
    /// The system schema is behind; a failed check in production; a bootstrap account that can't be made.
    pub async fn ready_to_serve(&self) -> anyhow::Result<()> {
        let checks = checks::run(self).await?;
        for check in checks.iter().filter(|check| !check.is_well()) {
            let Check { name, status, finding, mend, .. } = check;
            tracing::warn!(check = name, status, %finding, %mend, "self-check");
        }
        let is_strict = self.config.profile == Profile::Production;
        let fatal = checks.iter().find(|check| !check.passed() && (check.fatal || is_strict));
        if let Some(check) = fatal {
            anyhow::bail!("{}: {}; {}", check.name, check.finding, check.mend);
        }
        if let Some(tenancy) = &self.tenancy {
            key_check::establish(tenancy, &self.data_keys).await?;
        }
        self.bootstrap().await.map(drop)
    }

    /// Makes the first operator, when one is configured and there is none with the address; says what became of it.
    ///
    /// # Errors
    /// An address or password that is not acceptable; an account that is there and is no operator's.
    pub async fn bootstrap(&self) -> anyhow::Result<Option<Bootstrap>> {
        let configured = &self.config.bootstrap;
        let (Some(email), Some(password)) = (&configured.email, &configured.password) else {
            return Ok(None);
        };
        let password = Password::new(password.expose());
        let made = self.identity.bootstrap_operator(email, &password).await;
        let made = made.map_err(|error| said_of("bootstrap", error))?;
        match made {
            Bootstrap::Created(id) => tracing::info!(user.id = %id, "the first operator was made"),
            Bootstrap::Present(_) => {}
            Bootstrap::NotAnOperator(_) => {
                tracing::warn!("the user of bootstrap.email exists and is no operator; nothing was changed");
            }
        }
        Ok(Some(made))
    }

    /// Brings the pools' figures to the metrics.
    pub fn report_pool(&self) {
        let mode = match self.cluster.apply_mode() {
            clinicx_persistence::ApplyMode::Session => "session",
            clinicx_persistence::ApplyMode::Transaction => "transaction",
        };
        // Only the tenants' pool changes its role for each lease, in one mode or the other.
        let mut pools = vec![
            (vec![("pool", "tenant"), ("mode", mode)], self.cluster.stats()),
            (vec![("pool", "system")], self.app.stats()),
        ];
        if let Some(tenancy) = &self.tenancy {
            pools.push((vec![("pool", "control")], tenancy.control().stats()));
        }
        for (labels, stats) in pools {
            let gauges = [
                ("clinicx_pool_in_use", stats.in_use),
                ("clinicx_pool_idle", stats.idle),
                ("clinicx_pool_closing", stats.closing),
                ("clinicx_pool_waiting", stats.waiting),
            ];
            for (name, value) in gauges {
                let value = u32::try_from(value).unwrap_or(u32::MAX);
                metrics::gauge!(name, &labels).set(f64::from(value));
            }
            let counters = [
                ("clinicx_pool_waits_total", stats.waits),
                ("clinicx_pool_acquire_timeouts_total", stats.acquire_timeouts),
                ("clinicx_pool_opened_total", stats.opened),
                ("clinicx_pool_tag_hits_total", stats.tag_hits),
                ("clinicx_pool_switches_total", stats.switches),
                ("clinicx_pool_discarded_total", stats.discarded),
                ("clinicx_pool_retired_total", stats.retired),
            ];
            for (name, value) in counters {
                metrics::counter!(name, &labels).absolute(value);
            }
        }
    }

    /// Closes every pool once its connections are back.
    pub async fn close(&self) {
        self.audit.close(self.config.http.shutdown_timeout).await;
        self.cluster.close().await;
        if let Some(tenancy) = &self.tenancy {
            tenancy.close().await;
            tenancy.control().close().await;
        }
        self.app.close().await;
    }
}

/// A place for the platform: routes are described before there is one, and find it there when they run.
#[derive(Clone, Default)]
pub struct Slot(Arc<OnceLock<Platform>>);

impl Slot {
    /// Puts the platform into its place.
    pub fn holding(platform: Platform) -> Self {
        let slot = Self::default();
        let _ = slot.0.set(platform);
        slot
    }

    /// Returns the platform.
    ///
    /// # Errors
    /// Nothing is served yet.
    pub fn platform(&self) -> Result<&Platform, ApiError> {
        self.0.get().ok_or_else(ApiError::unavailable)
    }

    /// Returns the operator's hand on tenants.
    ///
    /// # Errors
    /// 503 `not_configured` without the control login.
    pub fn tenancy(&self) -> Result<&Tenancy, ApiError> {
        self.platform()?.tenancy().map_err(|error| {
            ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "not_configured").caused_by(error.to_string())
        })
    }
}

/// Returns the names of the roles that the configuration asks for.
///
/// # Errors
/// The prefix makes no identifiers.
pub fn role_names(config: &Config) -> anyhow::Result<RoleNames> {
    RoleNames::with_prefix(&config.database.role_prefix)
        .map_err(|error| anyhow::anyhow!("database.role_prefix {error}"))
}

/// Returns the migrator's login as the owner that it becomes.
pub fn owner_login(migrator: &Login, roles: &RoleNames) -> OwnerLogin {
    OwnerLogin {
        session_authorization: migrator.session_authorization.clone(),
        ..OwnerLogin::new(migrator.connect.clone(), roles)
    }
}

/// Returns a scope of the service itself, for commands.
pub fn command_scope(command: &'static str) -> PlatformScope {
    PlatformScope::system(command)
}

/// One recorder serves the whole process, however many services a test starts in it.
fn metrics_handle() -> anyhow::Result<PrometheusHandle> {
    static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();
    if let Some(handle) = HANDLE.get() {
        return Ok(handle.clone());
    }
    match observability::start_metrics() {
        Ok(handle) => Ok(HANDLE.get_or_init(|| handle).clone()),
        Err(error) => HANDLE.get().cloned().ok_or(error),
    }
}

pub(crate) async fn connect(
    login: &Login,
    max_connections: u32,
    timeout: std::time::Duration,
) -> anyhow::Result<SystemConnection> {
    SystemConnection::connect(login.pool(max_connections, timeout))
        .await
        .map_err(|error| connection_problem(login, error))
}

fn connection_problem(login: &Login, error: ConnectError) -> anyhow::Error {
    match error {
        ConnectError::Unreachable(error) => unreachable_server(&login.connect, &error),
        other => other.into(),
    }
}

fn cluster_options(config: &Config, app: &Login, name: ClusterName) -> ClusterOptions {
    let database = &config.database;
    ClusterOptions {
        name,
        connect: app.connect.clone(),
        session_authorization: app.session_authorization.clone(),
        kind: database.kind,
        apply_mode: database.apply_mode,
        pool: PoolOptions::from(&database.pool),
        timeouts: Timeouts {
            statement: database.statement_timeout,
            lock: database.lock_timeout,
            idle_in_transaction: database.idle_in_transaction_timeout,
        },
    }
}
