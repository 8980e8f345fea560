//! Looking at jobs.

use chrono::{DateTime, Utc};
use clinicx_persistence::{Failure, FailureKind, SystemExecutor};
use clinicx_types::{
    id::TenantId,
    page::{Page, PageRequest},
};
use sea_orm::{
    DbBackend, FromQueryResult,
    sea_query::{Alias, Expr, ExprTrait, JoinType, Order, Query, SelectStatement},
};
use serde_json::Value;
use uuid::Uuid;

use crate::{
    error::JobsError,
    job::{Job, JobFailure, JobId, JobState},
};

const COLUMNS: &str = "j.id, j.kind, j.tenant_id, t.slug AS tenant, j.state, j.progress, j.steps, j.error_code, \
    j.error_detail, j.output, j.priority, j.attempts, j.max_attempts, j.run_after, \
    j.cancel_requested_at IS NOT NULL AS cancel_requested, j.created_by, j.request_id, j.version, j.created_at, \
    j.updated_at, j.started_at, j.finished_at";

/// Which jobs are listed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JobFilter {
    /// Those in this state.
    pub state: Option<JobState>,
    /// Those of this tenant.
    pub tenant: Option<TenantId>,
    /// Those of this kind.
    pub kind: Option<String>,
}

/// Finds a job.
///
/// # Errors
/// [`JobsError::Database`].
pub async fn find(db: &impl SystemExecutor, id: JobId) -> Result<Option<Job>, JobsError> {
    let mut select = select();
    select.and_where(Expr::cust("j.id").eq(id.uuid()));
    let row: Option<Row> = db.query_one(DbBackend::Postgres.build(&select)).await?;
    row.map(Row::read).transpose()
}

/// Returns a job.
///
/// # Errors
/// [`JobsError::UnknownJob`], [`JobsError::Database`].
pub async fn get(db: &impl SystemExecutor, id: JobId) -> Result<Job, JobsError> {
    find(db, id).await?.ok_or(JobsError::UnknownJob)
}

/// Lists jobs, the newest first.
///
/// # Errors
/// [`JobsError::Database`].
pub async fn list(
    db: &impl SystemExecutor,
    filter: &JobFilter,
    page: &PageRequest,
) -> Result<Page<Job>, JobsError> {
    let mut select = select();
    narrow(&mut select, filter);
    let total = if page.count { Some(count(db, filter).await?) } else { None };
    if let Some(after) =
        page.after.as_ref().and_then(|key| key.0.first()).and_then(|id| id.parse::<Uuid>().ok())
    {
        select.and_where(Expr::cust("j.id").lt(after));
    }
    select.order_by_expr(Expr::cust("j.id"), Order::Desc).limit(u64::from(page.limit()) + 1);
    let rows: Vec<Row> = db.query_all(DbBackend::Postgres.build(&select)).await?;
    let jobs = rows.into_iter().map(Row::read).collect::<Result<Vec<_>, _>>()?;
    Ok(Page::from_rows(jobs, page, total, |job| vec![job.id.to_string()]))
}

async fn count(db: &impl SystemExecutor, filter: &JobFilter) -> Result<u64, JobsError> {
    #[derive(FromQueryResult)]
    struct Count {
        jobs: i64,
    }
    let mut select = Query::select();
    select
        .expr_as(Expr::cust("count(*)"), Alias::new("jobs"))
        .from_as((Alias::new("public"), Alias::new("jobs")), Alias::new("j"));
    narrow(&mut select, filter);
    let row: Option<Count> = db.query_one(DbBackend::Postgres.build(&select)).await?;
    Ok(row.map_or(0, |row| u64::try_from(row.jobs).unwrap_or_default()))
}

fn select() -> SelectStatement {
    let mut select = Query::select();
    select
        .expr(Expr::cust(COLUMNS))
        .from_as((Alias::new("public"), Alias::new("jobs")), Alias::new("j"))
        .join_as(
            JoinType::LeftJoin,
            (Alias::new("public"), Alias::new("tenants")),
            Alias::new("t"),
            Expr::cust("t.id = j.tenant_id"),
        );
    select
}

fn narrow(select: &mut SelectStatement, filter: &JobFilter) {
    if let Some(state) = filter.state {
        select.and_where(Expr::cust("j.state").eq(state.as_str()));
    }
    if let Some(tenant) = filter.tenant {
        select.and_where(Expr::cust("j.tenant_id").eq(tenant.uuid()));
    }
    if let Some(kind) = &filter.kind {
        select.and_where(Expr::cust("j.kind").eq(kind.as_str()));
    }
}

#[derive(FromQueryResult)]
struct Row {
    id: JobId,
    kind: String,
    tenant_id: Option<TenantId>,
    tenant: Option<String>,
    state: String,
    progress: Option<Value>,
    steps: Value,
    error_code: Option<String>,
    error_detail: Option<String>,
    output: Option<Value>,
    priority: i16,
    attempts: i32,
    max_attempts: i32,
    run_after: DateTime<Utc>,
    cancel_requested: bool,
    created_by: Option<Uuid>,
    request_id: Uuid,
    version: i64,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    started_at: Option<DateTime<Utc>>,
    finished_at: Option<DateTime<Utc>>,
}

impl Row {
    fn read(self) -> Result<Job, JobsError> {
        let error =
            self.error_code.map(|code| JobFailure { code, detail: self.error_detail.unwrap_or_default() });
        Ok(Job {
            id: self.id,
            kind: self.kind,
            tenant: self.tenant,
            tenant_id: self.tenant_id,
            state: self.state.parse().map_err(|_| unreadable(self.id))?,
            progress: self.progress.and_then(|progress| serde_json::from_value(progress).ok()),
            steps: serde_json::from_value(self.steps).unwrap_or_default(),
            error,
            output: self.output,
            priority: self.priority,
            attempts: self.attempts,
            max_attempts: self.max_attempts,
            run_after: self.run_after,
            cancel_requested: self.cancel_requested,
            created_by: self.created_by,
            request_id: self.request_id,
            version: self.version,
            created_at: self.created_at,
            updated_at: self.updated_at,
            started_at: self.started_at,
            finished_at: self.finished_at,
        })
    }
}

/// The database's checks let nothing else in than what can be read: a defect.
pub(crate) fn unreadable(id: JobId) -> JobsError {
    tracing::error!(job.id = %id, "the table holds a job that cannot be read");
    JobsError::Database(Failure { kind: FailureKind::Internal, sqlstate: None, constraint: None })
}
