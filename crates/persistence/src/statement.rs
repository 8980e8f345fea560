//! Statements on their way to PostgreSQL: which are let through, their comment, and what they bring back.

use std::{future::Future, sync::Arc};

use sea_orm::{Statement, Values};
use sea_query_sqlx::SqlxValues;
use sqlx::{
    AssertSqlSafe, Executor, PgConnection, Postgres,
    postgres::{PgQueryResult, PgRow},
};

use crate::trouble::Trouble;

/// What may run for a tenant. Whatever opens or ends a transaction or changes the session is not in the list:
/// the connection goes to another tenant afterwards.
const TENANT_COMMANDS: &[&str] =
    &["SELECT", "INSERT", "UPDATE", "DELETE", "WITH", "VALUES", "TABLE", "MERGE", "EXPLAIN", "LOCK"];

/// What may run on the system schema besides.
const SYSTEM_COMMANDS: &[&str] = &[
    "CREATE", "ALTER", "DROP", "GRANT", "REVOKE", "COMMENT", "TRUNCATE", "ANALYZE", "REFRESH", "NOTIFY",
    "CALL",
];

/// Which statements are let through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Allowed {
    /// Those on data.
    Data,
    /// Those on data and on structure.
    DataAndStructure,
}

/// A statement that may run, with its comment.
pub(crate) struct Tagged {
    text: Arc<String>,
    values: Values,
}

pub(crate) type Query = sqlx::query::Query<'static, Postgres, SqlxValues>;

impl Tagged {
    pub(crate) fn new(comment: &str, allowed: Allowed, statement: Statement) -> Result<Self, Trouble> {
        let command = command(&statement.sql);
        let is_one_of = |list: &[&str]| list.iter().any(|name| command.eq_ignore_ascii_case(name));
        let extra = allowed == Allowed::DataAndStructure
            && (is_one_of(SYSTEM_COMMANDS) || is_set_local(command, &statement.sql));
        if !is_one_of(TENANT_COMMANDS) && !extra {
            return Err(Trouble::Refused("a statement that would change the session or end the transaction"));
        }
        if takes_session_lock(&statement.sql) {
            return Err(Trouble::Refused("a lock that would outlast the transaction"));
        }
        let text = Arc::new([comment, statement.sql.as_str()].concat());
        Ok(Self { text, values: statement.values.unwrap_or(Values(Vec::new())) })
    }

    /// Builds the query. An unnamed statement costs a round trip more, and is the only kind that is right
    /// behind a pooler, where another client may have given the same name to another text.
    pub(crate) fn query(&self, named: bool) -> Query {
        let text = AssertSqlSafe(Arc::clone(&self.text));
        sqlx::query_with(text, SqlxValues(self.values.clone())).persistent(named)
    }

    /// Builds the query for the only time.
    pub(crate) fn into_query(self, named: bool) -> Query {
        sqlx::query_with(AssertSqlSafe(self.text), SqlxValues(self.values)).persistent(named)
    }
}

/// Returns the first word of a statement, behind comments and opening parentheses.
fn command(sql: &str) -> &str {
    let mut rest = sql;
    loop {
        rest = rest.trim_start_matches(|c: char| c.is_ascii_whitespace() || c == '(');
        if let Some(comment) = rest.strip_prefix("--") {
            rest = comment.split_once('\n').map_or("", |(_, after)| after);
        } else if let Some(comment) = rest.strip_prefix("/*") {
            rest = after_comment(comment);
        } else {
            let end = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
            return rest.get(..end).unwrap_or_default();
        }
    }
}

/// Returns what follows a block comment, which may hold others.
fn after_comment(mut rest: &str) -> &str {
    let mut depth = 1_u32;
    while depth > 0 {
        let (open, close) = (rest.find("/*"), rest.find("*/"));
        let at = match (open, close) {
            (Some(open), Some(close)) if open < close => {
                depth += 1;
                open
            }
            (_, Some(close)) => {
                depth -= 1;
                close
            }
            (_, None) => return "",
        };
        rest = rest.get(at + 2..).unwrap_or_default();
    }
    rest
}

fn is_set_local(command: &str, sql: &str) -> bool {
    command.eq_ignore_ascii_case("SET")
        && sql.split_ascii_whitespace().nth(1).is_some_and(|word| word.eq_ignore_ascii_case("LOCAL"))
}

/// Tells whether a statement calls one of the functions whose locks stay with the connection; those of a
/// transaction (`pg_advisory_xact_lock`) end with it. This keeps off slips, not those who hide the name.
fn takes_session_lock(sql: &str) -> bool {
    const NAME: &[u8] = b"advisory_lock";
    sql.as_bytes().windows(NAME.len()).any(|part| part.eq_ignore_ascii_case(NAME))
}

/// A way to run a query.
pub(crate) trait Fetch {
    /// What it brings back.
    type Answer: Send;

    /// Runs the query to its end.
    fn fetch(
        connection: &mut PgConnection,
        query: Query,
    ) -> impl Future<Output = Result<Self::Answer, sqlx::Error>> + Send;
}

/// Brings back the number of rows.
pub(crate) struct Execute;
/// Brings back the first row.
pub(crate) struct One;
/// Brings back all rows.
pub(crate) struct All;

impl Fetch for Execute {
    type Answer = PgQueryResult;
    async fn fetch(connection: &mut PgConnection, query: Query) -> Result<PgQueryResult, sqlx::Error> {
        connection.execute(query).await
    }
}

impl Fetch for One {
    type Answer = Option<PgRow>;
    async fn fetch(connection: &mut PgConnection, query: Query) -> Result<Option<PgRow>, sqlx::Error> {
        connection.fetch_optional(query).await
    }
}

impl Fetch for All {
    type Answer = Vec<PgRow>;
    async fn fetch(connection: &mut PgConnection, query: Query) -> Result<Vec<PgRow>, sqlx::Error> {
        connection.fetch_all(query).await
    }
}

#[cfg(test)]
mod tests {
    use sea_orm::DbBackend;

    use super::*;

    #[test]
    fn the_first_word_is_found_behind_comments() {
        let check = |sql: &str, expected: &str| assert_eq!(command(sql), expected, "{sql:?}");
        check("SELECT 1", "SELECT");
        check("  \n\tselect(1)", "select");
        check("((SELECT 1) UNION (SELECT 2))", "SELECT");
        check("-- a\n-- b\nUPDATE x", "UPDATE");
        check("/* a /* b */ c */ DELETE FROM x", "DELETE");
        check("/*/**/*/BEGIN", "BEGIN");
        check("/* open", "");
        check("", "");
        check("-- only", "");
    }

    #[test]
    fn what_changes_the_session_is_refused() {
        let allowed = |allowed: Allowed, sql: &str| {
            Tagged::new("/*t*/ ", allowed, Statement::from_string(DbBackend::Postgres, sql)).is_ok()
        };
        for sql in [
            "BEGIN",
            "start transaction",
            "COMMIT",
            "END",
            "ROLLBACK",
            "ABORT",
            "SAVEPOINT a",
            "RELEASE a",
            "PREPARE TRANSACTION 'x'",
            "SET ROLE NONE",
            "SET search_path TO x",
            "RESET ALL",
            "DISCARD ALL",
            "DO $$ BEGIN END $$",
            "LISTEN x",
            "DECLARE c CURSOR WITH HOLD FOR SELECT 1",
            "/*x*/BEGIN",
            "-- a\nSET ROLE x",
            "COPY x TO STDOUT",
            "DEALLOCATE ALL",
            "EXECUTE x",
            "SELECT pg_advisory_lock(1)",
            "SELECT id FROM x WHERE pg_catalog.PG_TRY_ADVISORY_LOCK_SHARED(1, 2)",
            "",
        ] {
            assert!(!allowed(Allowed::Data, sql), "{sql:?}");
            assert!(!allowed(Allowed::DataAndStructure, sql), "{sql:?}");
        }
        for sql in [
            "SELECT 1",
            "with a as (select 1) select * from a",
            "INSERT INTO x VALUES (1)",
            "LOCK TABLE x",
            "SELECT pg_advisory_xact_lock(1)",
            "SELECT pg_try_advisory_xact_lock(1)",
        ] {
            assert!(allowed(Allowed::Data, sql), "{sql:?}");
        }
        for sql in ["SET LOCAL ROLE x", "CREATE TABLE x ()", "GRANT x TO y"] {
            assert!(!allowed(Allowed::Data, sql), "{sql:?}");
            assert!(allowed(Allowed::DataAndStructure, sql), "{sql:?}");
        }
    }
}
