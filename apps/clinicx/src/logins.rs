//! As whom the parts of the service log in to PostgreSQL.

use std::str::FromStr;

use anyhow::Context;
use clinicx_persistence::{SystemOptions, Timeouts};
use clinicx_types::name::RoleName;
use sqlx::{ConnectOptions, Connection, postgres::PgConnectOptions};

use crate::config::{DatabaseConfig, Secret};

/// One login.
#[derive(Clone)]
pub struct Login {
    /// How to connect.
    pub connect: PgConnectOptions,
    /// The role to become, when the URL is an administrator's.
    pub session_authorization: Option<RoleName>,
}

impl Login {
    /// Returns the options of a pool of this login.
    pub fn pool(&self, max_connections: u32, acquire_timeout: std::time::Duration) -> SystemOptions {
        SystemOptions {
            connect: self.connect.clone(),
            session_authorization: self.session_authorization.clone(),
            max_connections,
            acquire_timeout,
            timeouts: Timeouts::SYSTEM,
        }
    }
}

/// Every login that the configuration has.
#[derive(Clone)]
pub struct Logins {
    /// Serves requests.
    pub app: Login,
    /// Changes the registry; `None` when it is not configured.
    pub control: Option<Login>,
    /// Changes structure; `None` when it is not configured.
    pub migrator: Option<Login>,
    /// Reads everything, for backups; `None` when it is not configured.
    pub backup: Option<Login>,
    /// Creates roles and the system schema; `None` when there is no administrator's URL.
    pub admin: Option<PgConnectOptions>,
}

impl Logins {
    /// Reads the URLs, and asks the server whether `database.url` is an administrator's.
    ///
    /// # Errors
    /// No URL, a URL that is none, or a server that can't be reached.
    pub async fn open(config: &DatabaseConfig) -> anyhow::Result<Self> {
        let url = config.url.as_ref().context(
            "database.url is not configured: set CLINICX_DATABASE__URL, or run `clinicx dev` for a server of its own",
        )?;
        let connect = parse(url, "database.url")?;
        let administrator = is_administrator(&connect).await?;
        let role = |suffix: &str| role_name(&config.role_prefix, suffix);
        let of = |own: Option<&Secret>, key: &str, suffix: &str| -> anyhow::Result<Option<Login>> {
            match own {
                Some(url) => Ok(Some(Login { connect: parse(url, key)?, session_authorization: None })),
                None if administrator => {
                    Ok(Some(Login { connect: connect.clone(), session_authorization: Some(role(suffix)?) }))
                }
                None => Ok(None),
            }
        };
        let admin = match &config.admin_url {
            Some(url) => Some(parse(url, "database.admin_url")?),
            None => administrator.then(|| connect.clone()),
        };
        let app = Login {
            connect: connect.clone(),
            session_authorization: if administrator { Some(role("app")?) } else { None },
        };
        Ok(Self {
            app,
            control: of(config.control_url.as_ref(), "database.control_url", "control")?,
            migrator: of(config.migrator_url.as_ref(), "database.migrator_url", "migrator")?,
            backup: of(config.backup_url.as_ref(), "database.backup_url", "backup")?,
            admin,
        })
    }

    /// Reads the URLs that changing structure takes: an administrator's alone is enough.
    ///
    /// # Errors
    /// As [`Logins::open`].
    pub async fn open_for_structure(config: &DatabaseConfig) -> anyhow::Result<Self> {
        let mut config = config.clone();
        config.url = config.admin_url.clone().or(config.url);
        Self::open(&config).await
    }

    /// Returns the best login for changing the system schema: the administrator's, else the migrator's.
    ///
    /// # Errors
    /// Neither is configured.
    pub fn structure(&self) -> anyhow::Result<&PgConnectOptions> {
        let migrator = self.migrator.as_ref().map(|login| &login.connect);
        self.admin.as_ref().or(migrator).context(
            "database.admin_url is not configured; creating roles needs an administrator's login, once",
        )
    }

    /// Returns the login that changes the registry.
    ///
    /// # Errors
    /// It is not configured.
    pub fn control(&self) -> anyhow::Result<&Login> {
        self.control
            .as_ref()
            .context("database.control_url is not configured; it changes the registry of tenants")
    }

    /// Returns the login that changes structure.
    ///
    /// # Errors
    /// It is not configured.
    pub fn migrator(&self) -> anyhow::Result<&Login> {
        self.migrator
            .as_ref()
            .context("database.migrator_url is not configured; it creates and changes tables")
    }
}

/// Returns the name of one of the service's roles.
///
/// # Errors
/// The configured prefix makes no identifier.
pub fn role_name(prefix: &str, suffix: &str) -> anyhow::Result<RoleName> {
    RoleName::parse(&format!("{prefix}_{suffix}"))
        .map_err(|error| anyhow::anyhow!("database.role_prefix {error}"))
}

fn parse(url: &Secret, key: &str) -> anyhow::Result<PgConnectOptions> {
    let url = url.expose();
    // The parser takes every scheme; its error would show the URL, and with it the password.
    let known = url.starts_with("postgres://") || url.starts_with("postgresql://");
    let options = PgConnectOptions::from_str(url).ok().filter(|_| known);
    options.map(|options| options.application_name("clinicx").disable_statement_logging()).with_context(
        || format!("{key} is not a PostgreSQL URL: postgres://user:password@host:port/database"),
    )
}

async fn is_administrator(connect: &PgConnectOptions) -> anyhow::Result<bool> {
    let mut connection = connect.connect().await.map_err(|error| unreachable_server(connect, &error))?;
    let superuser: bool =
        sqlx::query_scalar("SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = session_user")
            .fetch_one(&mut connection)
            .await
            .context("ask PostgreSQL who has logged in")?;
    connection.close().await.ok();
    Ok(superuser)
}

/// One line that says which server could not be reached and what to do.
pub fn unreachable_server(connect: &PgConnectOptions, error: &sqlx::Error) -> anyhow::Error {
    let place = match connect.get_socket() {
        Some(socket) => socket.display().to_string(),
        None => format!("{}:{}", connect.get_host(), connect.get_port()),
    };
    let why = match error {
        sqlx::Error::Io(error) => error.to_string(),
        sqlx::Error::Database(error) => match error.code().as_deref().unwrap_or_default() {
            // Becoming a role that is not there.
            "22023" => {
                return anyhow::anyhow!(
                    "PostgreSQL at {place} has not the service's roles; run `clinicx migrate system`"
                );
            }
            "3D000" => format!("there is no database {}", connect.get_database().unwrap_or_default()),
            "28000" | "28P01" => "the login was refused".to_owned(),
            code => format!("the server refused (SQLSTATE {code})"),
        },
        sqlx::Error::Tls(_) => "TLS failed".to_owned(),
        _ => "no usable answer".to_owned(),
    };
    anyhow::anyhow!(
        "cannot connect to PostgreSQL at {place} as {}: {why}; is it running, and is CLINICX_DATABASE__URL right?",
        connect.get_username()
    )
}
