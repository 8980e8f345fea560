//! A query, read from one tenant.

use std::time::Duration;

use clinicx_persistence::{TenantConnection, TenantScoped, TenantTransaction};
use sea_orm::{ConnectionTrait, DbBackend, JsonValue, QueryResult, Statement};

use super::{ExecError, statement::Query};

/// What a query has brought back from one tenant.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rows {
    /// The names of the columns, in their order; two may have the same.
    pub columns: Vec<String>,
    /// The values of each row: numbers, truth values, JSON as it stands, exact decimals and everything else as text.
    pub rows: Vec<Vec<JsonValue>>,
    /// There were more than were asked for.
    pub is_cut: bool,
}

/// How much of a query is wanted.
#[derive(Clone, Copy, Debug)]
pub struct Wanted {
    /// At most so many rows of a tenant.
    pub rows: u32,
    /// How long it may take in one tenant.
    pub limit: Duration,
}

/// Runs a query in a transaction that reads only, as the tenant's role.
///
/// It leaves no audit row: whoever shows the rows writes one first.
///
/// # Errors
/// [`ExecError::TooLong`], [`ExecError::Database`], [`ExecError::Foreign`].
pub async fn query(connection: &TenantConnection, query: &Query, wanted: Wanted) -> Result<Rows, ExecError> {
    let tx = connection.begin_read_only().await?;
    // Whoever is late is dropped with its transaction, which ends its backend.
    let rows = tokio::time::timeout(wanted.limit, read(&tx, query, wanted.rows)).await;
    match rows.unwrap_or(Err(ExecError::TooLong)) {
        Ok(rows) => tx.commit().await.map(|()| rows).map_err(ExecError::from),
        Err(error) => {
            // Nothing was changed; why it failed is what counts.
            let _rolled_back = tx.rollback().await;
            Err(error)
        }
    }
}

async fn read(tx: &TenantTransaction, query: &Query, limit: u32) -> Result<Rows, ExecError> {
    if query.explains() {
        return plan(tx, query).await;
    }
    let columns = columns(tx, query).await?;
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    // One row more than is wanted tells whether there are more.
    let text = selection(query.text(), columns.len(), limit.saturating_add(1));
    let found = tx.query_all_raw(Statement::from_string(DbBackend::Postgres, text)).await?;
    let is_cut = found.len() > limit;
    let tenant = tx.target().tenant_id.to_string();
    let rows = found.iter().take(limit).map(|row| values(row, columns.len(), &tenant));
    Ok(Rows { rows: rows.collect::<Result<_, _>>()?, columns, is_cut })
}

/// Returns the names of a query's columns, which a result without rows does not tell. The join runs nothing of it.
async fn columns(tx: &TenantTransaction, query: &Query) -> Result<Vec<String>, ExecError> {
    let text = format!("SELECT q.* FROM (SELECT) AS one LEFT JOIN (\n{}\n) AS q ON false", query.text());
    let row = tx.query_one_raw(Statement::from_string(DbBackend::Postgres, text)).await?;
    Ok(row.map(|row| row.column_names()).unwrap_or_default())
}

/// Writes what reads a query's rows: first for whom they are read, then each column as JSON. A decimal stays exact as
/// text.
fn selection(query: &str, columns: usize, limit: usize) -> String {
    let names: Vec<String> = (0..columns).map(|column| format!("c{column}")).collect();
    let values: String = names
        .iter()
        .map(|name| {
            format!(
                ", CASE WHEN pg_typeof(q.{name}) = 'numeric'::regtype THEN to_json(q.{name}::text) \
                 ELSE to_json(q.{name}) END"
            )
        })
        .collect();
    let names = match names.is_empty() {
        true => String::new(),
        false => format!("({})", names.join(", ")),
    };
    format!(
        "SELECT current_setting('app.current_tenant'){values} FROM (\n{query}\n) AS q{names} LIMIT {limit}"
    )
}

fn values(row: &QueryResult, columns: usize, tenant: &str) -> Result<Vec<JsonValue>, ExecError> {
    let read_for: String = row.try_get_by_index(0)?;
    if read_for != tenant {
        return Err(ExecError::Foreign);
    }
    let value = |column: usize| -> Result<JsonValue, ExecError> {
        let value: Option<JsonValue> = row.try_get_by_index(column + 1)?;
        Ok(value.unwrap_or(JsonValue::Null))
    };
    (0..columns).map(value).collect()
}

/// Reads a plan, which is the same for whoever's rows.
async fn plan(tx: &TenantTransaction, query: &Query) -> Result<Rows, ExecError> {
    let found =
        tx.query_all_raw(Statement::from_string(DbBackend::Postgres, query.text().to_owned())).await?;
    let line = |row: &QueryResult| -> Result<Vec<JsonValue>, ExecError> {
        // With FORMAT JSON it is a value, else lines of text.
        let line = row.try_get_by_index::<String>(0).map(JsonValue::from);
        Ok(vec![line.or_else(|_| row.try_get_by_index::<JsonValue>(0))?])
    };
    let rows = found.iter().map(line).collect::<Result<_, _>>()?;
    Ok(Rows { columns: vec!["QUERY PLAN".to_owned()], rows, is_cut: false })
}
