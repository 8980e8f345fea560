//! The gate before the old tables: it writes down which rows of the named clinics change, and when a clinic has moved it
//! refuses to change them.
//!
//! It is a schema of its own with two small tables and a trigger on each mapped table. A writer of a named clinic takes a
//! shared advisory lock until the end of its transaction; whoever cuts over takes the exclusive one, so that the writers
//! under way come to their end, those that come wait, and nobody else's clinic notices. The names of the clinics stand in
//! the function itself and not in a table: a transaction with an old snapshot sees today's function.

use std::time::Duration;

use clinicx_core::intake::Thing;
use clinicx_migration::DatabaseFailure;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, Row, postgres::PgConnectOptions};

use super::connect;
use crate::{
    error::AdoptionError,
    mapping::{Mapping, TableMapping, name::literal},
};

/// How long a change of the old tables' triggers waits for their writers, each time: others wait behind it.
const LOCK_TIMEOUT: &str = "SET lock_timeout TO '500ms'";
/// How often it is tried.
const TRIES: u32 = 60;

const SCHEMA: &str = "\
DO $do$
BEGIN
    -- Whoever may not make schemas may have been given this one.
    IF pg_catalog.to_regnamespace('clinicx_adoption') IS NULL THEN
        CREATE SCHEMA clinicx_adoption;
    END IF;
END
$do$;
REVOKE ALL ON SCHEMA clinicx_adoption FROM PUBLIC;
CREATE TABLE IF NOT EXISTS clinicx_adoption.gates (
    tenant text NOT NULL PRIMARY KEY,
    state text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'moved'))
);
CREATE TABLE IF NOT EXISTS clinicx_adoption.changes (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant text NOT NULL,
    target text NOT NULL,
    key text
);
CREATE INDEX IF NOT EXISTS ix_changes__tenant ON clinicx_adoption.changes (tenant)";

/// `{tenants}` is an array of literals.
const NOTE: &str = "\
CREATE OR REPLACE FUNCTION clinicx_adoption.note(p_tenant text, p_target text, p_key text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $fn$
DECLARE
    v_state text;
BEGIN
    IF p_tenant IS NULL OR NOT p_tenant = ANY (ARRAY[{tenants}]::text[]) THEN
        RETURN;
    END IF;
    IF current_setting('clinicx_adoption.cleaning', true) = p_tenant THEN
        RETURN;
    END IF;
    PERFORM pg_advisory_xact_lock_shared(hashtextextended('clinicx gate ' || p_tenant, 0));
    SELECT state INTO v_state FROM clinicx_adoption.gates WHERE tenant = p_tenant FOR SHARE;
    IF v_state IS NULL THEN
        RAISE EXCEPTION 'the clinic is being moved; begin the transaction again' USING ERRCODE = 'serialization_failure';
    END IF;
    IF v_state = 'moved' THEN
        RAISE EXCEPTION 'the clinic has moved; its old rows are not changed any more'
            USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    INSERT INTO clinicx_adoption.changes (tenant, target, key) VALUES (p_tenant, p_target, p_key);
END
$fn$;
REVOKE ALL ON FUNCTION clinicx_adoption.note(text, text, text) FROM PUBLIC";

/// A row that has changed; without a key, all of the table may have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// What it becomes.
    pub thing: Thing,
    /// Its key.
    pub key: Option<String>,
}

/// The gate, by the login that owns the old tables.
#[derive(Debug)]
pub struct Gate {
    connection: PgConnection,
    options: PgConnectOptions,
}

/// The gate while the writers of one clinic are held up. Dropping it lets them go on as if nothing had been.
#[derive(Debug)]
pub struct Closed {
    connection: PgConnection,
    tenant: String,
}

impl Gate {
    /// Connects.
    ///
    /// # Errors
    /// What the server answers.
    pub async fn open(options: &PgConnectOptions) -> Result<Self, DatabaseFailure> {
        Ok(Self { connection: connect(options).await?, options: options.clone() })
    }

    /// Puts the gate up, for these clinics and those that it stands before already. When it returns, every change that
    /// is not in a snapshot taken later is written down.
    ///
    /// # Errors
    /// What the server answers; users of a table who never let it go.
    pub async fn put_up(&mut self, mapping: &Mapping, tenants: &[&str]) -> Result<(), DatabaseFailure> {
        let failed = |error| DatabaseFailure::new("put the gate up", error);
        self.run("put the gate up", &format!("{LOCK_TIMEOUT}; {SCHEMA}")).await?;
        for tenant in tenants {
            sqlx::query("INSERT INTO clinicx_adoption.gates (tenant) VALUES ($1) ON CONFLICT DO NOTHING")
                .bind(*tenant)
                .execute(&mut self.connection)
                .await
                .map_err(failed)?;
        }
        let all: Vec<String> =
            sqlx::query_scalar("SELECT tenant FROM clinicx_adoption.gates ORDER BY tenant")
                .fetch_all(&mut self.connection)
                .await
                .map_err(failed)?;
        let literals: Vec<String> = all.iter().map(|tenant| literal(tenant)).collect();
        self.run("put the gate up", &NOTE.replace("{tenants}", &literals.join(", "))).await?;
        for (thing, table) in &mapping.tables {
            self.put_before(&mapping.relation(table), *thing, table).await?;
        }
        Ok(())
    }

    async fn put_before(
        &mut self,
        relation: &str,
        thing: Thing,
        table: &TableMapping,
    ) -> Result<(), DatabaseFailure> {
        let target = thing.table();
        let (tenant, key) = (table.tenant.quoted(), table.key.quoted());
        let note = |row: &str| {
            format!(
                "PERFORM clinicx_adoption.note(CAST({row}.{tenant} AS text), '{target}', CAST({row}.{key} AS text));"
            )
        };
        let (old, new) = (note("OLD"), note("NEW"));
        let script = format!(
            "BEGIN; {LOCK_TIMEOUT};
             CREATE OR REPLACE FUNCTION clinicx_adoption.on_{target}() RETURNS trigger
             LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $fn$
             BEGIN
                 IF TG_OP = 'TRUNCATE' THEN
                     PERFORM clinicx_adoption.note(g.tenant, '{target}', NULL) FROM clinicx_adoption.gates AS g;
                     RETURN NULL;
                 END IF;
                 IF TG_OP <> 'INSERT' THEN {old} END IF;
                 IF TG_OP <> 'DELETE' THEN {new} END IF;
                 RETURN NULL;
             END
             $fn$;
             REVOKE ALL ON FUNCTION clinicx_adoption.on_{target}() FROM PUBLIC;
             CREATE OR REPLACE TRIGGER clinicx_adoption_rows AFTER INSERT OR UPDATE OR DELETE ON {relation}
             FOR EACH ROW EXECUTE FUNCTION clinicx_adoption.on_{target}();
             CREATE OR REPLACE TRIGGER clinicx_adoption_truncate AFTER TRUNCATE ON {relation}
             FOR EACH STATEMENT EXECUTE FUNCTION clinicx_adoption.on_{target}();
             COMMIT"
        );
        self.patiently("put the gate up", &script).await
    }

    /// Runs a script again while the users of a table don't let it go.
    async fn patiently(&mut self, action: &'static str, script: &str) -> Result<(), DatabaseFailure> {
        let mut tries = 1;
        loop {
            match self.run(action, script).await {
                Err(failure) if failure.sqlstate() == Some("55P03") && tries < TRIES => {
                    self.run(action, "ROLLBACK").await?;
                    tokio::time::sleep(Duration::from_millis(100 * u64::from(tries.min(10)))).await;
                    tries += 1;
                }
                done => return done,
            }
        }
    }

    async fn run(&mut self, action: &'static str, script: &str) -> Result<(), DatabaseFailure> {
        let done = self.connection.execute(AssertSqlSafe(script)).await;
        done.map(drop).map_err(|error| DatabaseFailure::new(action, error))
    }

    /// Takes the changes of a clinic that were written down, before a snapshot that shows them.
    ///
    /// # Errors
    /// What the server answers.
    pub async fn take(&mut self, tenant: &str) -> Result<Vec<Change>, DatabaseFailure> {
        take(&mut self.connection, tenant).await
    }

    /// Holds up the writers of a clinic, for as long as those under way may take at most.
    ///
    /// # Errors
    /// What the server answers; SQLSTATE `55P03` when they have taken longer.
    pub async fn close(&self, tenant: &str, patience: Duration) -> Result<Closed, DatabaseFailure> {
        let failed = |error| DatabaseFailure::new("hold up the clinic's writers", error);
        let mut connection = connect(&self.options).await?;
        let begin = format!("BEGIN; SET LOCAL lock_timeout TO {}", patience.as_millis().max(1));
        connection.execute(AssertSqlSafe(begin)).await.map_err(failed)?;
        sqlx::query("SELECT pg_advisory_xact_lock(hashtextextended('clinicx gate ' || $1, 0))")
            .bind(tenant)
            .execute(&mut connection)
            .await
            .map_err(failed)?;
        Ok(Closed { connection, tenant: tenant.to_owned() })
    }

    /// Returns the clinics that it stands before; none when it is not there.
    ///
    /// # Errors
    /// What the server answers.
    pub async fn tenants(&mut self) -> Result<Vec<String>, DatabaseFailure> {
        let failed = |error| DatabaseFailure::new("look at the gate", error);
        let is_there: bool = sqlx::query_scalar("SELECT to_regclass('clinicx_adoption.gates') IS NOT NULL")
            .fetch_one(&mut self.connection)
            .await
            .map_err(failed)?;
        if !is_there {
            return Ok(Vec::new());
        }
        sqlx::query_scalar("SELECT tenant FROM clinicx_adoption.gates ORDER BY tenant")
            .fetch_all(&mut self.connection)
            .await
            .map_err(failed)
    }

    /// Lets a clinic's old rows be changed again.
    ///
    /// # Errors
    /// What the server answers.
    pub async fn reopen(&mut self, tenant: &str) -> Result<(), DatabaseFailure> {
        if self.tenants().await?.is_empty() {
            return Ok(());
        }
        sqlx::query("UPDATE clinicx_adoption.gates SET state = 'open' WHERE tenant = $1")
            .bind(tenant)
            .execute(&mut self.connection)
            .await
            .map(drop)
            .map_err(|error| DatabaseFailure::new("open the gate", error))
    }

    /// Takes the gate away, with all that it has written down.
    ///
    /// # Errors
    /// What the server answers; users of a table who never let it go.
    pub async fn take_away(&mut self) -> Result<(), DatabaseFailure> {
        let script = format!("BEGIN; {LOCK_TIMEOUT}; DROP SCHEMA IF EXISTS clinicx_adoption CASCADE; COMMIT");
        self.patiently("take the gate away", &script).await
    }

    /// Returns its connection, for cleaning up.
    pub(crate) fn connection(&mut self) -> &mut PgConnection {
        &mut self.connection
    }

    /// Closes the connection.
    pub async fn leave(self) {
        let _closed = self.connection.close().await;
    }
}

impl Closed {
    /// Takes the changes of the clinic that were written down; they come back when it is dropped.
    ///
    /// # Errors
    /// What the server answers.
    pub async fn take(&mut self) -> Result<Vec<Change>, DatabaseFailure> {
        let tenant = self.tenant.clone();
        take(&mut self.connection, &tenant).await
    }

    /// Leaves the gate closed for good: whoever waits is refused.
    ///
    /// # Errors
    /// What the server answers; whether it is closed is then unknown.
    pub async fn for_good(mut self) -> Result<(), AdoptionError> {
        let failed = |error| DatabaseFailure::new("close the gate", error);
        sqlx::query("UPDATE clinicx_adoption.gates SET state = 'moved' WHERE tenant = $1")
            .bind(&self.tenant)
            .execute(&mut self.connection)
            .await
            .map_err(failed)?;
        self.connection.execute("COMMIT").await.map_err(failed)?;
        let _closed = self.connection.close().await;
        Ok(())
    }

    /// Lets the writers go on as if nothing had been.
    pub async fn undo(mut self) {
        // A connection that can't even roll back is closed, which rolls back too.
        let _rolled_back = self.connection.execute("ROLLBACK").await;
        let _closed = self.connection.close().await;
    }
}

async fn take(connection: &mut PgConnection, tenant: &str) -> Result<Vec<Change>, DatabaseFailure> {
    let failed = |error| DatabaseFailure::new("read what has changed", error);
    let rows = sqlx::query("DELETE FROM clinicx_adoption.changes WHERE tenant = $1 RETURNING target, key")
        .bind(tenant)
        .fetch_all(connection)
        .await
        .map_err(failed)?;
    let mut changes = Vec::with_capacity(rows.len());
    for row in rows {
        let target: String = row.try_get(0).map_err(failed)?;
        let key: Option<String> = row.try_get(1).map_err(failed)?;
        if let Some(thing) = Thing::ALL.into_iter().find(|thing| thing.table() == target) {
            changes.push(Change { thing, key });
        }
    }
    Ok(changes)
}
