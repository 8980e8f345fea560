//! The exclusive use of one connection, and how it ends.

use std::{collections::HashSet, sync::Arc, time::Duration};

use clinicx_types::{
    id::TenantId,
    name::{DatabaseName, RoleName},
    sabotage::{Bug, planted},
};
use sea_orm::ConnAcquireErr;
use sqlx::{AssertSqlSafe, Connection as _, Executor, PgConnection, Row};
use tokio::{sync::OwnedSemaphorePermit, time::Instant};

use super::{Pool, open::Backend, share::SharePermit};
use crate::{
    options::ApplyMode,
    subject::{Reach, SYSTEM_SEARCH_PATH, Subject},
    trouble::{Trouble, is_answer, is_lost, is_stale_plan, sqlstate},
};

/// What PostgreSQL answers to a [`Subject::proof`] that fails: undefined_object.
const CHANGED_HANDS: &str = "42704";

/// A connection to PostgreSQL and what the pool knows of it.
pub(super) struct Connection {
    pub(super) pg: PgConnection,
    /// Whom it served last. In session mode that is what is applied to it now, as the server has acknowledged.
    pub(super) tag: Option<Arc<Subject>>,
    pub(super) database: Option<DatabaseName>,
    pub(super) served: HashSet<TenantId>,
    pub(super) expires: Instant,
    pub(super) parked: Instant,
}

impl Connection {
    pub(super) fn new(pg: PgConnection, database: Option<DatabaseName>, lifetime: Duration) -> Self {
        let now = Instant::now();
        // Connections opened together do not end together.
        let lifetime = lifetime.mul_f64(rand::random_range(0.9..=1.0));
        Self { pg, tag: None, database, served: HashSet::new(), expires: now + lifetime, parked: now }
    }

    pub(super) fn serves(&self, subject: &Arc<Subject>) -> bool {
        self.tag.as_ref().is_some_and(|tag| Arc::ptr_eq(tag, subject) || tag == subject)
    }

    /// Tells whether it has been applied to this tenant before.
    pub(super) fn has_served(&self, subject: &Subject) -> bool {
        subject.tenant_id().is_some_and(|tenant| self.served.contains(&tenant))
    }

    fn tag(&mut self, subject: &Arc<Subject>) {
        self.tag = Some(Arc::clone(subject));
        self.served.extend(subject.tenant_id());
    }
}

/// What a connection keeps from others until its backend has gone.
pub(super) struct Hold {
    pub(super) backend: Option<Backend>,
    pub(super) _slot: OwnedSemaphorePermit,
    pub(super) work: Option<OwnedSemaphorePermit>,
    pub(super) share: Option<SharePermit>,
}

impl Hold {
    pub(super) fn idle(backend: Option<Backend>, slot: OwnedSemaphorePermit) -> Self {
        Self { backend, _slot: slot, work: None, share: None }
    }

    pub(super) fn leased(
        slot: OwnedSemaphorePermit,
        work: OwnedSemaphorePermit,
        share: Option<SharePermit>,
    ) -> Self {
        Self { backend: None, _slot: slot, work: Some(work), share }
    }

    pub(super) fn release_permits(&mut self) -> (Option<OwnedSemaphorePermit>, Option<SharePermit>) {
        (self.work.take(), self.share.take())
    }
}

/// The exclusive use of one connection. It goes back to the pool only through [`Lease::park`], after the server
/// has confirmed that it is idle; dropping a lease closes the connection and ends its backend.
pub(crate) struct Lease {
    connection: Box<Connection>,
    guard: Guard,
}

/// Buries the connection unless it is disarmed.
struct Guard {
    pool: Arc<Pool>,
    hold: Option<Hold>,
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(hold) = self.hold.take() {
            self.pool.stats.discarded();
            self.pool.reaper.bury(hold, true);
        }
    }
}

impl Lease {
    pub(super) fn new(pool: Arc<Pool>, connection: Box<Connection>, hold: Hold) -> Self {
        pool.stats.taken();
        Self { connection, guard: Guard { pool, hold: Some(hold) } }
    }

    /// Returns the connection itself.
    pub(crate) fn pg(&mut self) -> &mut PgConnection {
        &mut self.connection.pg
    }

    /// Tells whether the prepared statements of this connection have names.
    pub(crate) fn names_statements(&self) -> bool {
        self.guard.pool.settings.connector.names_statements()
    }

    /// Applies a tenant for as long as the connection serves it, unless that is so already.
    pub(crate) async fn apply(&mut self, subject: &Arc<Subject>) -> Result<(), sqlx::Error> {
        if self.connection.serves(subject) || (self.connection.tag.is_some() && planted(Bug::NoReset)) {
            return Ok(());
        }
        // From here on until the server has acknowledged, nobody knows what is applied.
        let reach = match self.connection.tag.take() {
            // The terms are the pool's; what runs for a tenant cannot change them.
            Some(_) => Reach::SessionOnSameTerms,
            None => Reach::Session,
        };
        if planted(Bug::TagTooEarly) {
            self.connection.tag(subject);
        }
        let settings = subject.settings(reach, &self.guard.pool.settings.terms);
        // The driver's shortest way to run a batch, which also tells whether a transaction is open after it: it says
        // `BeginFailed` when the whole batch was acknowledged and none is. A test holds the driver to that.
        let answer = self.connection.pg.begin_with(AssertSqlSafe(settings)).await.map(drop);
        match answer {
            Err(sqlx::Error::BeginFailed) => {
                self.connection.tag(subject);
                Ok(())
            }
            Err(error) => Err(error),
            Ok(()) => Err(sqlx::Error::Protocol("a connection was handed out in a transaction".to_owned())),
        }
    }

    /// Opens a transaction; in transaction mode this applies the tenant for its length, in the same batch.
    pub(crate) async fn begin(&mut self, subject: &Arc<Subject>, begin: &str) -> Result<(), sqlx::Error> {
        match self.guard.pool.settings.mode {
            ApplyMode::Session => self.simple(begin.to_owned()).await,
            ApplyMode::Transaction => {
                let settings = subject.settings(Reach::Transaction, &self.guard.pool.settings.terms);
                self.simple(format!("{begin}; {settings}")).await?;
                self.connection.tag(subject);
                Ok(())
            }
        }
    }

    /// Runs statements of our own making that bring back no rows.
    pub(crate) async fn simple(&mut self, sql: String) -> Result<(), sqlx::Error> {
        self.connection.pg.execute(AssertSqlSafe(sql)).await.map(|_| ())
    }

    /// Ends the transaction by a COMMIT that the server has acknowledged as one.
    ///
    /// A COMMIT of an aborted transaction answers ROLLBACK, which the driver does not tell from success. The
    /// command before it fails in an aborted transaction, and then PostgreSQL does not run the COMMIT at all.
    ///
    /// Nor does it when the connection has come to serve somebody else by then: code that was planted in a table's
    /// expressions runs with its writes, and the next one would find the connection as that code has left it.
    pub(crate) async fn commit(mut self) -> Result<(), sqlx::Error> {
        let proof = self.connection.tag.as_ref().and_then(|subject| subject.proof());
        let proof = proof.map(|proof| format!("; {proof}")).unwrap_or_default();
        let committed = self.simple(format!("SET CONSTRAINTS ALL IMMEDIATE{proof}; COMMIT")).await;
        match committed {
            Ok(()) => {
                self.park();
                Ok(())
            }
            Err(error) if !proof.is_empty() && sqlstate(&error).as_deref() == Some(CHANGED_HANDS) => {
                tracing::error!(
                    "a transaction came to its end for somebody else: rolled back, its connection closed"
                );
                Err(error)
            }
            Err(error) => Err(self.recover(error, true).await),
        }
    }

    /// Ends the transaction by a ROLLBACK that the server has acknowledged.
    pub(crate) async fn rollback(mut self) -> Result<(), sqlx::Error> {
        self.simple("ROLLBACK".to_owned()).await.inspect_err(|error| self.note(error))?;
        self.park();
        Ok(())
    }

    /// Puts the connection back after an error when that is safe, and returns the error.
    pub(crate) async fn recover(mut self, error: sqlx::Error, in_transaction: bool) -> sqlx::Error {
        self.note(&error);
        if is_answer(&error) {
            let clean = match in_transaction {
                true => self.simple("ROLLBACK".to_owned()).await,
                false => self.connection.pg.ping().await,
            };
            if clean.is_ok() && (!is_stale_plan(&error) || self.forget_plans().await.is_ok()) {
                self.park();
            }
        }
        error
    }

    fn note(&self, error: &sqlx::Error) {
        if is_lost(error) {
            self.guard.pool.suspect();
        }
    }

    /// Lets go of all prepared statements.
    pub(crate) async fn forget_plans(&mut self) -> Result<(), sqlx::Error> {
        self.connection.pg.clear_cached_statements().await
    }

    /// Tells whether the server still answers.
    pub(super) async fn is_alive(&mut self) -> bool {
        self.connection.pg.ping().await.is_ok()
    }

    /// Closes the connection, and leaves the permits to the caller.
    pub(super) fn bury_and_keep_permits(
        mut self,
    ) -> Result<(OwnedSemaphorePermit, Option<SharePermit>), Trouble> {
        let permits = self.guard.hold.as_mut().map(Hold::release_permits);
        match permits {
            Some((Some(work), share)) => Ok((work, share)),
            _ => Err(Trouble::Acquire(ConnAcquireErr::ConnectionClosed)),
        }
    }

    /// Puts the connection back. Only to be called when the server has confirmed that it is idle.
    pub(crate) fn park(self) {
        if self.guard.pool.settings.inspect {
            let runtime = self.guard.pool.runtime.clone();
            runtime.spawn(self.inspect_and_park());
        } else {
            self.park_unchanged();
        }
    }

    pub(super) fn park_unchanged(self) {
        let Self { connection, mut guard } = self;
        if let Some(hold) = guard.hold.take() {
            guard.pool.stats.returned();
            guard.pool.park(connection, hold);
        }
    }

    /// Puts the connection back if nothing is left on it, by the simple protocol, which runs even in a
    /// transaction that is still open, and then tells of it.
    async fn inspect_and_park(mut self) {
        let login = &self.guard.pool.settings.connector.login();
        let question = format!(
            "SELECT (current_user = session_user AND session_user = {login} \
             AND current_setting('search_path') = '{SYSTEM_SEARCH_PATH}' \
             AND transaction_timestamp() = statement_timestamp())::text"
        );
        let answer = self.connection.pg.fetch_optional(AssertSqlSafe(question)).await;
        let clean = answer.ok().flatten().and_then(|row| row.try_get::<String, _>(0).ok());
        if clean.as_deref() == Some("true") {
            self.park_unchanged();
        } else {
            tracing::error!("a connection to the system schema came back with something left on it: closed");
        }
    }
}

/// Returns a login as a quoted literal; it can be any name that PostgreSQL admits.
pub(super) fn literal(login: &str) -> String {
    format!("'{}'", login.replace('\'', "''"))
}

/// Returns who is logged in.
pub(super) fn login(options: &sqlx::postgres::PgConnectOptions, role: Option<&RoleName>) -> String {
    literal(role.map_or(options.get_username(), RoleName::as_str))
}
