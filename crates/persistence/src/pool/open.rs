//! Opening connections, and telling PostgreSQL from a pooler that stands before it.

use std::{sync::Arc, time::Duration};

use clinicx_types::name::{DatabaseName, RoleName};
use sqlx::{
    AssertSqlSafe, ConnectOptions, Connection, Executor, PgConnection, Row, postgres::PgConnectOptions,
};
use tokio::time::Instant;

use super::lease;
use crate::{options::ApplyMode, trouble::sqlstate};

/// The most time that opening one connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
/// How long a server that starts up or has no connection left is asked again.
const PATIENCE: Duration = Duration::from_secs(5);
/// The setting that tells whether what is said to the server arrives there.
const PROBE: &str = "app.clinicx_probe";

/// What stands at the other end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Door {
    /// PostgreSQL itself: a connection is a backend.
    Direct,
    /// A pooler: backends change under a connection.
    Pooler,
}

/// Why a connection could not be opened.
#[derive(Debug)]
pub(crate) enum OpenError {
    /// The server could not be reached, or refused the login.
    Unreachable(sqlx::Error),
    /// A pooler has come to stand between.
    Pooler,
}

impl OpenError {
    pub(crate) fn into_sqlx(self) -> sqlx::Error {
        match self {
            Self::Unreachable(error) => error,
            Self::Pooler => sqlx::Error::Protocol("a connection pooler stands before PostgreSQL".to_owned()),
        }
    }
}

impl From<sqlx::Error> for OpenError {
    fn from(error: sqlx::Error) -> Self {
        Self::Unreachable(error)
    }
}

/// One backend of PostgreSQL; its number alone could by then be another's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Backend {
    pub(super) pid: i32,
    /// Microseconds since 1970 on the server's clock.
    pub(super) started: i64,
}

/// A connection that has just been opened.
pub(super) struct Opened {
    pub(super) pg: PgConnection,
    pub(super) backend: Option<Backend>,
}

/// Opens connections of one login.
#[derive(Clone)]
pub(crate) struct Connector {
    options: Arc<PgConnectOptions>,
    door: Door,
    mode: ApplyMode,
    session_authorization: Option<RoleName>,
    names_statements: bool,
}

impl Connector {
    /// Finds out what stands at the other end.
    pub(crate) async fn find(
        options: PgConnectOptions,
        mode: ApplyMode,
        session_authorization: Option<RoleName>,
        statement_cache_capacity: usize,
    ) -> Result<Self, OpenError> {
        let options = options
            .disable_statement_logging()
            // PostgreSQL 12 and newer sends the shortest exact digits by itself, and poolers refuse the parameter.
            .extra_float_digits(None)
            // With a capacity of 0 the driver would leave each statement behind on the server.
            .statement_cache_capacity(statement_cache_capacity.max(1));
        let mut this = Self {
            options: Arc::new(options),
            door: Door::Direct,
            mode,
            session_authorization,
            names_statements: statement_cache_capacity > 0,
        };
        match in_time(this.dial(None)).await {
            Ok(opened) => {
                let _ = opened.pg.close().await;
            }
            Err(OpenError::Pooler) => {
                this.door = Door::Pooler;
                this.names_statements = false;
            }
            Err(error) => return Err(error),
        }
        Ok(this)
    }

    /// Applies in another way from now on.
    pub(crate) fn with_mode(mut self, mode: ApplyMode) -> Self {
        self.mode = mode;
        self
    }

    pub(crate) fn door(&self) -> Door {
        self.door
    }

    pub(crate) fn names_statements(&self) -> bool {
        self.names_statements
    }

    /// Returns who is logged in, as a quoted literal.
    pub(super) fn login(&self) -> String {
        lease::login(&self.options, self.session_authorization.as_ref())
    }

    /// Opens a connection, and asks a server again that is just starting up or has none left.
    pub(super) async fn open_patiently(
        &self,
        database: Option<&DatabaseName>,
        deadline: Instant,
    ) -> Result<Opened, OpenError> {
        let until = deadline.min(Instant::now() + PATIENCE);
        let mut pause = Duration::from_millis(20);
        loop {
            match self.open(database).await {
                Err(OpenError::Unreachable(error))
                    if is_passing(&error) && Instant::now() + pause < until =>
                {
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(Duration::from_millis(500));
                }
                opened => return opened,
            }
        }
    }

    /// Opens a connection.
    pub(super) async fn open(&self, database: Option<&DatabaseName>) -> Result<Opened, OpenError> {
        in_time(async {
            let mut opened = self.dial(database).await?;
            if self.door == Door::Direct && self.mode == ApplyMode::Session {
                opened.pg.execute(AssertSqlSafe(self.greeting())).await?;
            }
            Ok(opened)
        })
        .await
    }

    /// Opens a connection as the login itself, with nothing set; for what is no tenant's work.
    pub(super) async fn open_bare(&self) -> Result<Opened, OpenError> {
        in_time(self.dial(None)).await
    }

    /// What is set once on a connection that only this pool ever uses. No notice is wanted: it could hold values.
    fn greeting(&self) -> String {
        let mut greeting = "SET client_min_messages TO error; SET search_path TO ''".to_owned();
        if let Some(role) = &self.session_authorization {
            greeting.push_str("; SET SESSION AUTHORIZATION ");
            greeting.push_str(&role.quoted());
        }
        greeting
    }

    async fn dial(&self, database: Option<&DatabaseName>) -> Result<Opened, OpenError> {
        let mut options = (*self.options).clone();
        if let Some(database) = database {
            options = options.database(database.as_str());
        }
        if self.door == Door::Pooler {
            let pg = PgConnection::connect_with(&options).await?;
            return Ok(Opened { pg, backend: None });
        }
        let token = format!("{:032x}", rand::random::<u128>());
        match PgConnection::connect_with(&options.clone().options([(PROBE, &token)])).await {
            Ok(pg) => identify(pg, &token).await,
            // What PostgreSQL would take and the other end does not, a pooler has refused.
            Err(error @ sqlx::Error::Database(_)) => match PgConnection::connect_with(&options).await {
                Ok(_) => Err(OpenError::Pooler),
                Err(_) => Err(error.into()),
            },
            Err(error) => Err(error.into()),
        }
    }
}

/// Reads back the probe and which backend serves the connection.
async fn identify(mut pg: PgConnection, token: &str) -> Result<Opened, OpenError> {
    let question = format!(
        "SELECT a.pid::text, (extract(epoch FROM a.backend_start) * 1000000)::bigint::text, \
         current_setting('{PROBE}', true) \
         FROM pg_catalog.pg_stat_get_activity(pg_catalog.pg_backend_pid()) AS a"
    );
    let row = pg.fetch_one(AssertSqlSafe(question)).await?;
    let text = |index: usize| row.try_get::<Option<String>, _>(index).ok().flatten();
    if text(2).as_deref() != Some(token) {
        return Err(OpenError::Pooler);
    }
    let number = |index: usize| text(index).and_then(|text| text.parse::<i64>().ok());
    let (Some(pid), Some(started)) = (number(0).and_then(|pid| i32::try_from(pid).ok()), number(1)) else {
        return Err(sqlx::Error::Protocol("the server does not say which backend this is".to_owned()).into());
    };
    Ok(Opened { pg, backend: Some(Backend { pid, started }) })
}

async fn in_time<T>(work: impl Future<Output = Result<T, OpenError>>) -> Result<T, OpenError> {
    let ended = tokio::time::timeout(CONNECT_TIMEOUT, work).await;
    ended.unwrap_or_else(|_| Err(sqlx::Error::Io(std::io::ErrorKind::TimedOut.into()).into()))
}

/// Tells whether the server will take connections before long: it starts up, or others have them all.
fn is_passing(error: &sqlx::Error) -> bool {
    matches!(sqlstate(error).as_deref(), Some("57P03" | "53300"))
}
