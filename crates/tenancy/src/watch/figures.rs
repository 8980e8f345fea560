//! Reading what was seen of tenants.

use std::{collections::BTreeMap, time::Duration};

use chrono::{DateTime, NaiveDate, Utc};
use clinicx_persistence::SystemExecutor;
use clinicx_types::{
    id::TenantId,
    name::{SchemaName, TenantSlug},
};
use schemars::JsonSchema;
use sea_orm::{DbErr, FromQueryResult, raw_sql};
use serde::Serialize;

/// What was last seen of a tenant, and what its requests came to since the beginning of the last hour.
#[derive(Clone, Debug, PartialEq, FromQueryResult)]
pub struct Figures {
    /// The tenant.
    pub tenant_id: TenantId,
    /// When its schema was looked at; `None` before the first look, and then the next five are too.
    pub taken_at: Option<DateTime<Utc>>,
    /// How many tables it has.
    pub table_count: Option<i32>,
    /// The size of its tables with their indexes, in bytes.
    pub total_bytes: Option<i64>,
    /// The size of its indexes, in bytes.
    pub index_bytes: Option<i64>,
    /// About how many rows it has.
    pub row_estimate: Option<i64>,
    /// About how many dead rows wait for VACUUM.
    pub dead_rows: Option<i64>,
    /// How many requests it had.
    pub requests: i64,
    /// How many of them were refused (4xx).
    pub refused: i64,
    /// How many of them failed (5xx).
    pub errors: i64,
    /// How many of them were slow.
    pub slow_requests: i64,
    /// When its last request was answered, as far back as that is kept.
    pub last_activity_at: Option<DateTime<Utc>>,
    /// The codes of its alerts, with commas between them.
    pub alerts: String,
}

impl Figures {
    /// Returns the share of requests that failed, from 0 to 1; `None` without a request.
    pub fn error_rate(&self) -> Option<f64> {
        share(self.errors, self.requests)
    }
}

pub(super) fn share(part: i64, whole: i64) -> Option<f64> {
    let number = |count: i64| u32::try_from(count).map_or(f64::from(u32::MAX), f64::from);
    (whole > 0).then(|| number(part) / number(whole))
}

/// Returns what was seen of these tenants.
///
/// # Errors
/// What the database answers.
pub async fn read(
    db: &impl SystemExecutor,
    tenants: &[TenantId],
) -> Result<BTreeMap<TenantId, Figures>, DbErr> {
    if tenants.is_empty() {
        return Ok(BTreeMap::new());
    }
    let ids: Vec<uuid::Uuid> = tenants.iter().map(|id| id.uuid()).collect();
    let rows: Vec<Figures> = db
        .query_all(raw_sql!(
            Postgres,
            r#"SELECT t.id AS tenant_id, s.taken_at, s.table_count, s.total_bytes, s.index_bytes, s.row_estimate,
                      s.dead_rows, h.requests, h.refused, h.errors, h.slow AS slow_requests,
                      l.last_at AS last_activity_at, COALESCE(a.codes, '') AS alerts
               FROM public.tenants AS t
               LEFT JOIN public.tenant_statistics AS s ON s.tenant_id = t.id
               CROSS JOIN LATERAL (
                   SELECT CAST(COALESCE(sum(r.requests), 0) AS bigint) AS requests,
                          CAST(COALESCE(sum(r.refused), 0) AS bigint) AS refused,
                          CAST(COALESCE(sum(r.errors), 0) AS bigint) AS errors,
                          CAST(COALESCE(sum(r.slow), 0) AS bigint) AS slow
                   FROM public.tenant_traffic_hours AS r
                   WHERE r.tenant_id = t.id AND r.hour >= date_trunc('hour', now(), 'UTC') - interval '1 hour'
               ) AS h
               LEFT JOIN LATERAL (
                   SELECT r.last_at FROM public.tenant_traffic_hours AS r
                   WHERE r.tenant_id = t.id
                   ORDER BY r.hour DESC
                   LIMIT 1
               ) AS l ON true
               LEFT JOIN LATERAL (
                   SELECT string_agg(o.code, ',' ORDER BY o.code) AS codes FROM public.tenant_alerts AS o
                   WHERE o.tenant_id = t.id AND o.cleared_at IS NULL
               ) AS a ON true
               WHERE t.id IN ({..ids})"#
        ))
        .await?;
    Ok(rows.into_iter().map(|row| (row.tenant_id, row)).collect())
}

/// What a tenant's connections do at this moment, those of all processes together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Activity {
    /// How many work for it; `None` where the login may not see what connections do.
    pub connections: Option<i64>,
    /// How many of its statements have run for long.
    pub slow_statements: Option<i64>,
}

/// Returns what the connections do of those tenants for which one is open; the others have none.
///
/// It reads the list of connections, which has as many rows as there are connections, however many schemas there are.
///
/// # Errors
/// What the database answers.
pub async fn activity(db: &impl SystemExecutor, slow: Duration) -> Result<BTreeMap<String, Activity>, DbErr> {
    #[derive(FromQueryResult)]
    struct Row {
        schema: String,
        connections: Option<i64>,
        slow: Option<i64>,
    }
    let slow = slow.as_secs_f64();
    let rows: Vec<Row> = db
        .query_all(raw_sql!(
            Postgres,
            r#"SELECT substr(p.application_name, 9) AS schema,
                      CASE WHEN bool_and(p.state IS NOT NULL)
                           THEN count(*) FILTER (WHERE p.state <> 'idle') END AS connections,
                      CASE WHEN bool_and(p.state IS NOT NULL)
                           THEN count(*) FILTER (
                               WHERE p.state = 'active'
                                   AND clock_timestamp() - p.query_start > make_interval(secs => {slow})) END AS slow
               FROM pg_catalog.pg_stat_activity AS p
               WHERE p.datname = current_database() AND p.application_name LIKE 'clinicx:tenant\_%'
               GROUP BY p.application_name"#
        ))
        .await?;
    let activity =
        |row: Row| (row.schema, Activity { connections: row.connections, slow_statements: row.slow });
    Ok(rows.into_iter().map(activity).collect())
}

impl Activity {
    /// Returns what the connections of a tenant do.
    pub fn of(all: &BTreeMap<String, Self>, schema: &SchemaName) -> Self {
        let none = Self { connections: Some(0), slow_statements: Some(0) };
        all.get(schema.as_str()).copied().unwrap_or(none)
    }
}

/// What a day has left of a tenant.
#[derive(Clone, Debug, PartialEq, Eq, FromQueryResult, Serialize, JsonSchema)]
pub struct Day {
    /// The day (UTC).
    pub day: NaiveDate,
    /// The size of its tables with their indexes, in bytes.
    pub total_bytes: i64,
    /// About how many rows it had.
    pub row_estimate: i64,
    /// About how many dead rows waited for VACUUM.
    pub dead_rows: i64,
    /// The most connections that were seen to work for it at a time.
    pub connections_most: i32,
    /// How many slow statements were seen.
    pub slow_statements: i64,
}

/// What an hour has left of a tenant's requests.
#[derive(Clone, Debug, PartialEq, Eq, FromQueryResult, Serialize, JsonSchema)]
pub struct Hour {
    /// When it began.
    pub hour: DateTime<Utc>,
    /// How many requests there were.
    pub requests: i64,
    /// How many of them were refused (4xx).
    pub refused: i64,
    /// How many of them failed (5xx).
    pub errors: i64,
    /// How many of them were slow.
    pub slow: i64,
    /// How long they took in all, in milliseconds.
    pub busy_ms: i64,
}

/// Returns the last days of a tenant, the newest first.
///
/// # Errors
/// What the database answers.
pub async fn days(db: &impl SystemExecutor, slug: &TenantSlug, most: u16) -> Result<Vec<Day>, DbErr> {
    let (slug, most) = (slug.as_str(), i64::from(most));
    db.query_all(raw_sql!(
        Postgres,
        r#"SELECT d.day, d.total_bytes, d.row_estimate, d.dead_rows, d.connections_most, d.slow_statements
           FROM public.tenant_statistics_days AS d
           JOIN public.tenants AS t ON t.id = d.tenant_id
           WHERE t.slug = {slug}
           ORDER BY d.day DESC
           LIMIT {most}"#
    ))
    .await
}

/// Returns the last hours of a tenant's requests, the newest first.
///
/// # Errors
/// What the database answers.
pub async fn hours(db: &impl SystemExecutor, slug: &TenantSlug, most: u16) -> Result<Vec<Hour>, DbErr> {
    let (slug, most) = (slug.as_str(), i64::from(most));
    db.query_all(raw_sql!(
        Postgres,
        r#"SELECT h.hour, h.requests, h.refused, h.errors, h.slow, h.busy_ms
           FROM public.tenant_traffic_hours AS h
           JOIN public.tenants AS t ON t.id = h.tenant_id
           WHERE t.slug = {slug}
           ORDER BY h.hour DESC
           LIMIT {most}"#
    ))
    .await
}
