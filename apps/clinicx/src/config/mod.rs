//! What can be configured, and what holds unless it is.

mod archive;
mod check;
mod cors;
mod jobs;
mod keys;
mod limits;
mod load;
mod mail;
mod maintenance;
mod oidc;
mod secret;
mod watch;

use std::{net::IpAddr, path::PathBuf, time::Duration};

use clinicx_persistence::{ApplyMode, ClusterKind};
use serde::{Deserialize, Serialize};

use crate::extension::Extensions;

pub use archive::ArchiveConfig;
pub use cors::CorsConfig;
pub use jobs::JobsConfig;
pub use keys::{KeyProviderKind, KeysConfig, VaultConfig};
pub use limits::{LimitsConfig, RateConfig, TenantLimitsConfig};
pub use load::{ConfigError, load};
pub use mail::{MailConfig, MailSender, SmtpConfig, SmtpEncryption};
pub use maintenance::MaintenanceConfig;
pub use oidc::{OidcConfig, OidcOperator, OidcRoles};
pub use secret::Secret;
pub use watch::{AlertConfig, WatchConfig};

/// The whole configuration. Defaults stand here; a file, the environment and flags override them in that order.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Whether failed self-checks are warnings or refuse the start.
    pub profile: Profile,
    /// The folder for what the service itself keeps: keys, the embedded PostgreSQL.
    pub state_dir: StateDir,
    /// The folder with PostgreSQL's programs, for the embedded server; found by itself when absent.
    pub postgres_bin: Option<PathBuf>,
    /// The HTTP server.
    pub http: HttpConfig,
    /// How much one address and one tenant may ask for.
    pub limits: LimitsConfig,
    /// PostgreSQL.
    pub database: DatabaseConfig,
    /// Log-in and tokens.
    pub auth: AuthConfig,
    /// Keys that protect data at rest.
    pub keys: KeysConfig,
    /// The audit.
    pub audit: AuditConfig,
    /// The first operator of the platform.
    pub bootstrap: BootstrapConfig,
    /// Mail to account holders.
    pub mail: MailConfig,
    /// Background work.
    pub jobs: JobsConfig,
    /// Archives of tenants.
    pub archive: ArchiveConfig,
    /// The upkeep of the tenants' tables.
    pub maintenance: MaintenanceConfig,
    /// Watching the tenants.
    pub watch: WatchConfig,
    /// Logs.
    pub log: LogConfig,
    /// What the program brings besides; nothing that a file could say.
    #[serde(skip)]
    pub extensions: Extensions,
}

/// How strict the start is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Profile {
    /// A failed check is a warning.
    #[default]
    Development,
    /// A failed check refuses the start.
    Production,
}

/// The folder for the service's own state, `.clinicx` in the working folder unless configured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StateDir(pub PathBuf);

impl Default for StateDir {
    fn default() -> Self {
        Self(PathBuf::from(".clinicx"))
    }
}

/// The HTTP server.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HttpConfig {
    /// The address to listen on.
    pub host: IpAddr,
    /// The port to listen on; 0 takes a free one.
    pub port: u16,
    /// The domain whose subdomains name tenants, such as `clinics.example`.
    pub base_domain: Option<String>,
    /// The addresses of the proxies whose `X-Forwarded-For` says where a request came from; anybody else's is not
    /// believed.
    pub trusted_proxies: Vec<IpAddr>,
    /// A port of its own for `/metrics`; the main port serves it when absent.
    pub metrics_port: Option<u16>,
    /// The largest request body, in bytes.
    pub body_limit: usize,
    /// The largest head of a request without its first line, in bytes.
    pub header_limit: usize,
    /// The most header fields of a request.
    pub header_count: usize,
    /// The longest path and query of a request, in bytes.
    pub url_limit: usize,
    /// How long a request's head may take to arrive.
    #[serde(with = "humantime_serde")]
    pub header_timeout: Duration,
    /// How long a request's body may take to arrive.
    #[serde(with = "humantime_serde")]
    pub body_timeout: Duration,
    /// How long a request may take in all; not below `database.statement_timeout`.
    #[serde(with = "humantime_serde")]
    pub request_timeout: Duration,
    /// How long running requests may take to end at shutdown.
    #[serde(with = "humantime_serde")]
    pub shutdown_timeout: Duration,
    /// The most open connections for each worker.
    pub max_connections: usize,
    /// The number of worker threads; one for each core when absent.
    pub workers: Option<usize>,
    /// How long browsers are told to use nothing but HTTPS for the host and its subdomains
    /// (`Strict-Transport-Security`); they are not told when absent.
    #[serde(with = "humantime_serde")]
    pub hsts: Option<Duration>,
    /// Which other sites' pages may use the API.
    pub cors: CorsConfig,
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            host: IpAddr::from([127, 0, 0, 1]),
            port: 8080,
            base_domain: None,
            trusted_proxies: Vec::new(),
            metrics_port: None,
            body_limit: 1024 * 1024,
            header_limit: 32 * 1024,
            header_count: 80,
            url_limit: 8 * 1024,
            header_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(15),
            request_timeout: Duration::from_secs(30),
            shutdown_timeout: Duration::from_secs(30),
            max_connections: 10_000,
            workers: None,
            hsts: None,
            cors: CorsConfig::default(),
        }
    }
}

/// PostgreSQL: where it is, and as whom the parts of the service log in.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DatabaseConfig {
    /// The application's login. An administrator's URL serves for every login, in development only.
    pub url: Option<Secret>,
    /// An administrator's login, for `clinicx migrate system` alone.
    pub admin_url: Option<Secret>,
    /// The login that changes structure; `url` when absent.
    pub migrator_url: Option<Secret>,
    /// The login that changes the registry; `url` when absent.
    pub control_url: Option<Secret>,
    /// The login that reads everything for backups; `url` when absent.
    pub backup_url: Option<Secret>,
    /// What the names of the service's roles begin with.
    pub role_prefix: String,
    /// The name of this cluster in the registry.
    pub cluster: String,
    /// The region of this cluster.
    pub region: Option<String>,
    /// What kind of PostgreSQL it is.
    pub kind: ClusterKind,
    /// How a tenant is applied to a connection.
    pub apply_mode: ApplyMode,
    /// The tenants' connections.
    pub pool: PoolConfig,
    /// The most connections to the system schema.
    pub system_connections: u32,
    /// How long a statement may run.
    #[serde(with = "humantime_serde")]
    pub statement_timeout: Duration,
    /// How long a statement may wait for a lock.
    #[serde(with = "humantime_serde")]
    pub lock_timeout: Duration,
    /// How long a transaction may do nothing.
    #[serde(with = "humantime_serde")]
    pub idle_in_transaction_timeout: Duration,
}

impl Default for DatabaseConfig {
    fn default() -> Self {
        let timeouts = clinicx_persistence::Timeouts::default();
        Self {
            url: None,
            admin_url: None,
            migrator_url: None,
            control_url: None,
            backup_url: None,
            role_prefix: "clinicx".to_owned(),
            cluster: "main".to_owned(),
            region: None,
            kind: ClusterKind::default(),
            apply_mode: ApplyMode::default(),
            pool: PoolConfig::default(),
            system_connections: 8,
            statement_timeout: timeouts.statement,
            lock_timeout: timeouts.lock,
            idle_in_transaction_timeout: timeouts.idle_in_transaction,
        }
    }
}

/// The pool of the tenants' connections; see [`clinicx_persistence::PoolOptions`].
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PoolConfig {
    /// The most connections.
    pub max_connections: u32,
    /// How many are kept open when idle.
    pub min_connections: u32,
    /// How long a request waits for one.
    #[serde(with = "humantime_serde")]
    pub acquire_timeout: Duration,
    /// After how long unused one is closed.
    #[serde(with = "humantime_serde")]
    pub idle_timeout: Duration,
    /// After how long in all one is closed.
    #[serde(with = "humantime_serde")]
    pub max_lifetime: Duration,
    /// After how many different tenants one is closed.
    pub max_tenants_per_connection: u32,
    /// The share of the pool that one tenant may hold, from 0 to 1.
    pub tenant_share: f64,
    /// How many prepared statements a connection keeps.
    pub statement_cache_capacity: usize,
}

impl Default for PoolConfig {
    fn default() -> Self {
        let pool = clinicx_persistence::PoolOptions::default();
        Self {
            max_connections: pool.max_connections,
            min_connections: pool.min_connections,
            acquire_timeout: pool.acquire_timeout,
            idle_timeout: pool.idle_timeout,
            max_lifetime: pool.max_lifetime,
            max_tenants_per_connection: pool.max_tenants_per_connection,
            tenant_share: pool.tenant_share,
            statement_cache_capacity: pool.statement_cache_capacity,
        }
    }
}

impl From<&PoolConfig> for clinicx_persistence::PoolOptions {
    fn from(config: &PoolConfig) -> Self {
        Self {
            max_connections: config.max_connections,
            min_connections: config.min_connections,
            acquire_timeout: config.acquire_timeout,
            idle_timeout: config.idle_timeout,
            max_lifetime: config.max_lifetime,
            max_tenants_per_connection: config.max_tenants_per_connection,
            tenant_share: config.tenant_share,
            statement_cache_capacity: config.statement_cache_capacity,
        }
    }
}

/// Log-in and tokens.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AuthConfig {
    /// The key that signs access tokens: 32 bytes in base64. Every process of one service needs the same.
    pub token_key: Option<Secret>,
    /// A file that holds it; made in the state folder when neither is configured.
    pub token_key_file: Option<PathBuf>,
    /// The token key of before, in base64: it opens the second factors and waiting mail that were sealed with it.
    pub previous_token_key: Option<Secret>,
    /// How long an access token is good for; at most 15 minutes.
    #[serde(with = "humantime_serde")]
    pub access_token_ttl: Duration,
    /// The OpenID Connect issuers from which people may come.
    pub oidc: Vec<OidcConfig>,
    /// Whether an operator of the platform may do nothing before a second factor is enrolled; by default in
    /// production alone.
    pub require_operator_totp: Option<bool>,
}

impl Default for AuthConfig {
    fn default() -> Self {
        Self {
            token_key: None,
            token_key_file: None,
            access_token_ttl: Duration::from_secs(10 * 60),
            oidc: Vec::new(),
            previous_token_key: None,
            require_operator_totp: None,
        }
    }
}

/// The audit.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AuditConfig {
    /// When the answer to a read of a patient's data is given.
    pub reads: AuditReads,
    /// The name of the log in its checkpoints; each installation needs its own, and it never changes.
    pub log_name: String,
    /// The seed of the key that signs checkpoints: 32 bytes in base64. Every process of one service needs the same.
    pub signing_key: Option<Secret>,
    /// A file that holds it; made in the state folder when neither is configured.
    pub signing_key_file: Option<PathBuf>,
    /// Public keys that have signed earlier checkpoints, as `clinicx audit public-key` prints them.
    pub former_public_keys: Vec<String>,
    /// How often rows are sealed.
    #[serde(with = "humantime_serde")]
    pub seal_every: Duration,
    /// How old a row must be before `clinicx audit prune` removes it.
    #[serde(with = "humantime_serde")]
    pub min_retention: Duration,
}

/// Ten years, as long as many countries have records of treatment kept (in Germany section 630f BGB).
const TEN_YEARS: Duration = Duration::from_secs(10 * 31_557_600);

impl Default for AuditConfig {
    fn default() -> Self {
        Self {
            reads: AuditReads::default(),
            log_name: "clinicx-audit".to_owned(),
            signing_key: None,
            signing_key_file: None,
            former_public_keys: Vec::new(),
            seal_every: Duration::from_secs(5),
            min_retention: TEN_YEARS,
        }
    }
}

/// When the answer to a read that leaves an audit row is given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AuditReads {
    /// When the row is committed.
    #[default]
    BeforeAnswer,
    /// At once; the row comes at most a second later, and a crash in between loses it.
    #[serde(rename = "within_1s")]
    Within1s,
}

/// The first operator of the platform, made at the start when there is no user with this address.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BootstrapConfig {
    /// The address.
    pub email: Option<String>,
    /// The password.
    pub password: Option<Secret>,
}

/// Logs.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogConfig {
    /// Human on a terminal and JSON elsewhere, unless one of them is asked for.
    pub format: LogFormat,
    /// A filter as of `tracing-subscriber`: a level, or levels for targets.
    pub filter: String,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self {
            format: LogFormat::default(),
            filter: "info,actix_server=warn,sqlx=warn,sea_orm=warn".to_owned(),
        }
    }
}

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// Human on a terminal, JSON elsewhere.
    #[default]
    Auto,
    /// For people.
    Human,
    /// One JSON object a line.
    Json,
}
