//! The look at all schemas.

use std::time::Duration;

use clinicx_persistence::{SystemConnection, SystemExecutor, SystemTransaction};
use sea_orm::{DbBackend, DbErr, Statement, raw_sql};
use serde::Serialize;

/// Looking at a table's size asks the file system for each of its files, and waits for whoever rebuilds it.
const LIMITS: [&str; 2] = ["SET LOCAL statement_timeout TO '5min'", "SET LOCAL lock_timeout TO '1min'"];

/// One pass over the catalog. What PostgreSQL counts of a table's rows is better than its estimate from the last
/// ANALYZE, until its counters are reset.
const SIZES: &str = "\
INSERT INTO public.tenant_statistics AS s
    (tenant_id, table_count, total_bytes, index_bytes, row_estimate, dead_rows, writes, last_analyzed_at, taken_at)
SELECT t.id, z.table_count, z.total_bytes, z.index_bytes, z.row_estimate, z.dead_rows, z.writes, z.last_analyzed_at,
       now()
FROM (
    SELECT n.nspname AS schema,
           CAST(count(*) AS integer) AS table_count,
           CAST(sum(pg_total_relation_size(c.oid)) AS bigint) AS total_bytes,
           CAST(sum(pg_indexes_size(c.oid)) AS bigint) AS index_bytes,
           CAST(sum(CASE WHEN pg_stat_get_live_tuples(c.oid) > 0 THEN pg_stat_get_live_tuples(c.oid)
                         ELSE greatest(c.reltuples, 0) END) AS bigint) AS row_estimate,
           CAST(sum(pg_stat_get_dead_tuples(c.oid)) AS bigint) AS dead_rows,
           CAST(sum(pg_stat_get_tuples_inserted(c.oid) + pg_stat_get_tuples_updated(c.oid)
                    + pg_stat_get_tuples_deleted(c.oid)) AS bigint) AS writes,
           max(greatest(pg_stat_get_last_analyze_time(c.oid), pg_stat_get_last_autoanalyze_time(c.oid)))
               AS last_analyzed_at
    FROM pg_catalog.pg_namespace AS n
    JOIN pg_catalog.pg_class AS c ON c.relnamespace = n.oid AND c.relkind = 'r'
    WHERE n.nspname LIKE 'tenant\\_%'
    GROUP BY n.nspname
) AS z
JOIN public.tenants AS t ON t.database_schema = z.schema
WHERE t.status <> 'purged'
ON CONFLICT (tenant_id) DO UPDATE
SET table_count = EXCLUDED.table_count, total_bytes = EXCLUDED.total_bytes, index_bytes = EXCLUDED.index_bytes,
    row_estimate = EXCLUDED.row_estimate, dead_rows = EXCLUDED.dead_rows, writes = EXCLUDED.writes,
    last_analyzed_at = EXCLUDED.last_analyzed_at, taken_at = EXCLUDED.taken_at";

/// How long what was seen is kept.
#[derive(Clone, Copy, Debug)]
pub struct Keep {
    /// What each day has left of a tenant.
    pub days: Duration,
    /// What each hour has left of a tenant's requests.
    pub hours: Duration,
    /// Alerts that are over.
    pub alerts: Duration,
}

/// What a look has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Collected {
    /// How many tenants it has seen.
    pub tenants: u64,
    /// How many rows of old looks were removed.
    pub removed: u64,
}

/// Looks at all schemas, and leaves what it has seen in the system schema. A statement that has run for longer than
/// `slow` at this moment counts as slow.
///
/// # Errors
/// What the database answers; nothing is left then.
pub async fn collect(db: &SystemConnection, slow: Duration, keep: &Keep) -> Result<Collected, DbErr> {
    let tx = db.begin().await?;
    let collected = in_one(&tx, slow, keep).await;
    match collected {
        Ok(collected) => tx.commit().await.map(|()| collected),
        Err(error) => {
            // The reason is what counts; a roll-back that fails closes the connection.
            let _rolled_back = tx.rollback().await;
            Err(error)
        }
    }
}

async fn in_one(tx: &SystemTransaction, slow: Duration, keep: &Keep) -> Result<Collected, DbErr> {
    let statement = |text: &str| Statement::from_string(DbBackend::Postgres, text);
    for limit in LIMITS {
        tx.execute(statement(limit)).await?;
    }
    let tenants = tx.execute(statement(SIZES)).await?;
    day(tx, slow).await?;
    let removed = remove(tx, keep).await?;
    Ok(Collected { tenants, removed })
}

/// Brings the present day up to what was just seen.
async fn day(tx: &SystemTransaction, slow: Duration) -> Result<(), DbErr> {
    let slow = slow.as_secs_f64();
    tx.execute(raw_sql!(
        Postgres,
        r#"INSERT INTO public.tenant_statistics_days AS d
               (tenant_id, day, total_bytes, row_estimate, dead_rows, connections_most, slow_statements)
           SELECT s.tenant_id, CAST(now() AT TIME ZONE 'UTC' AS date), s.total_bytes, s.row_estimate, s.dead_rows,
                  CAST(COALESCE(a.connections, 0) AS integer), COALESCE(a.slow, 0)
           FROM public.tenant_statistics AS s
           JOIN public.tenants AS t ON t.id = s.tenant_id
           LEFT JOIN (
               SELECT substr(p.application_name, 9) AS schema,
                      count(*) FILTER (WHERE p.state <> 'idle') AS connections,
                      count(*) FILTER (
                          WHERE p.state = 'active' AND clock_timestamp() - p.query_start > make_interval(secs => {slow})
                      ) AS slow
               FROM pg_catalog.pg_stat_activity AS p
               WHERE p.datname = current_database() AND p.application_name LIKE 'clinicx:tenant\_%'
               GROUP BY p.application_name
           ) AS a ON a.schema = t.database_schema
           WHERE s.taken_at = now()
           ON CONFLICT (tenant_id, day) DO UPDATE
           SET total_bytes = EXCLUDED.total_bytes, row_estimate = EXCLUDED.row_estimate,
               dead_rows = EXCLUDED.dead_rows,
               connections_most = greatest(d.connections_most, EXCLUDED.connections_most),
               slow_statements = d.slow_statements + EXCLUDED.slow_statements"#
    ))
    .await
    .map(drop)
}

/// Removes what is older than it is kept, and everything of tenants that are no more.
async fn remove(tx: &SystemTransaction, keep: &Keep) -> Result<u64, DbErr> {
    let seconds = |time: Duration| time.as_secs_f64();
    let (days, hours, alerts) = (seconds(keep.days), seconds(keep.hours), seconds(keep.alerts));
    let mut removed = 0_u64;
    for statement in [
        raw_sql!(
            Postgres,
            r#"DELETE FROM public.tenant_statistics_days WHERE day < now() - make_interval(secs => {days})"#
        ),
        raw_sql!(
            Postgres,
            r#"DELETE FROM public.tenant_traffic_hours WHERE hour < now() - make_interval(secs => {hours})"#
        ),
        raw_sql!(
            Postgres,
            r#"DELETE FROM public.tenant_alerts WHERE cleared_at < now() - make_interval(secs => {alerts})"#
        ),
    ] {
        removed = removed.saturating_add(tx.execute(statement).await?);
    }
    for table in ["tenant_statistics", "tenant_statistics_days", "tenant_traffic_hours", "tenant_alerts"] {
        let text = format!(
            "DELETE FROM public.{table} AS s USING public.tenants AS t WHERE t.id = s.tenant_id AND t.status = 'purged'"
        );
        removed =
            removed.saturating_add(tx.execute(Statement::from_string(DbBackend::Postgres, text)).await?);
    }
    Ok(removed)
}
