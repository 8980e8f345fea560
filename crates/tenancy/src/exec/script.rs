//! A script, run in one tenant.

use std::time::Duration;

use clinicx_persistence::{
    TenantConnection, TenantScope, TenantTransaction,
    record::{Change, record},
};
use clinicx_types::module::EventType;
use sea_orm::{ConnectionTrait, DbBackend, Statement};
use serde::Serialize;
use serde_json::json;

use super::{
    ExecError, digest,
    statement::{CHANGES, command, split},
};

/// A script was run in a tenant: the event, and the action of its audit row.
pub const RUN: EventType = EventType("tenant.script_run");

/// The statements of a script, in their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Script {
    statements: Vec<String>,
    digest: String,
}

/// How a script is run.
#[derive(Clone, Debug)]
pub struct Terms {
    /// Why it is run and by whom, for the audit row.
    pub why: serde_json::Value,
    /// How long all of it may take in one tenant, until its commit.
    pub limit: Duration,
    /// Whether what it does is kept.
    pub trial: Trial,
}

/// Whether what a script does is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trial {
    /// It is committed.
    No,
    /// It is rolled back, after it has said how many rows it would change.
    Yes,
}

/// What came of a statement of a script.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Ran {
    /// Its first word.
    pub command: String,
    /// How many rows it has changed or read.
    pub rows: u64,
}

impl Script {
    /// Reads a text; semicolons stand between its statements.
    ///
    /// # Errors
    /// [`ExecError::Empty`], [`ExecError::NotForAScript`].
    pub fn parse(text: &str) -> Result<Self, ExecError> {
        let statements = split(text);
        if statements.is_empty() {
            return Err(ExecError::Empty);
        }
        for (number, statement) in (1..).zip(&statements) {
            let command = command(statement).to_uppercase();
            if !CHANGES.contains(&command.as_str()) {
                return Err(ExecError::NotForAScript { number, command });
            }
        }
        let statements = statements.into_iter().map(str::to_owned).collect();
        Ok(Self { statements, digest: digest(text) })
    }

    /// Returns the SHA-256 of the text that was read, in hexadecimal digits.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// Returns how many statements it has.
    pub fn len(&self) -> usize {
        self.statements.len()
    }

    /// Tells whether it has no statement, which none is read with.
    pub fn is_empty(&self) -> bool {
        self.statements.is_empty()
    }

    /// Runs it as one transaction of the tenant's role: all of it, or nothing. The audit row names its digest, why it was
    /// run, and how many rows each statement has changed.
    ///
    /// # Errors
    /// [`ExecError::TooLong`], [`ExecError::Database`]; nothing of it is left then, unless the connection was lost during
    /// the commit.
    pub async fn run(
        &self,
        connection: &TenantConnection,
        scope: &TenantScope,
        terms: &Terms,
    ) -> Result<Vec<Ran>, ExecError> {
        let tx = connection.begin().await?;
        // Whoever is late is dropped with its transaction, which ends its backend: nothing of it can be committed.
        let ran = tokio::time::timeout(terms.limit, self.carry_out(&tx, scope, &terms.why)).await;
        match ran.unwrap_or(Err(ExecError::TooLong)) {
            Ok(ran) => {
                match terms.trial {
                    Trial::No => tx.commit().await?,
                    Trial::Yes => tx.rollback().await?,
                }
                Ok(ran)
            }
            Err(error) => {
                // Why it failed is what counts; a failed roll-back closes the connection.
                let _rolled_back = tx.rollback().await;
                Err(error)
            }
        }
    }

    async fn carry_out(
        &self,
        tx: &TenantTransaction,
        scope: &TenantScope,
        why: &serde_json::Value,
    ) -> Result<Vec<Ran>, ExecError> {
        let mut ran = Vec::with_capacity(self.statements.len());
        for text in &self.statements {
            let done = tx.execute_raw(Statement::from_string(DbBackend::Postgres, text.as_str())).await?;
            ran.push(Ran { command: command(text).to_uppercase(), rows: done.rows_affected() });
        }
        let change = Change {
            event: RUN,
            aggregate: "tenant",
            aggregate_id: scope.tenant_id.uuid(),
            patient_id: None,
            before: None,
            after: Some(json!({ "sha256": self.digest, "statements": ran, "why": why })),
            payload: json!({ "sha256": self.digest }),
        };
        record(tx, scope, change).await?;
        Ok(ran)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_changes_data_and_nothing_else() {
        assert_eq!(Script::parse("UPDATE a SET b = 1; DELETE FROM c;").unwrap().len(), 2);
        assert_eq!(Script::parse("-- nothing"), Err(ExecError::Empty));
        for (text, number, word) in [
            ("SELECT 1; COMMIT; DROP TABLE x", 2, "COMMIT"),
            ("RESET ROLE", 1, "RESET"),
            ("SET ROLE x", 1, "SET"),
            ("COPY x FROM PROGRAM 'id'", 1, "COPY"),
            ("DO $$ BEGIN COMMIT; END $$", 1, "DO"),
            ("SAVEPOINT a", 1, "SAVEPOINT"),
            ("SELECT 1; TRUNCATE x", 2, "TRUNCATE"),
            ("CREATE TABLE x ()", 1, "CREATE"),
        ] {
            let refused = ExecError::NotForAScript { number, command: word.to_owned() };
            assert_eq!(Script::parse(text), Err(refused), "{text}");
        }
    }
}
