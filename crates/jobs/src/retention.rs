//! The first kind of work: the end of jobs that nobody looks at any more.

use std::time::Duration;

use async_trait::async_trait;
use clinicx_persistence::{SystemConnection, SystemExecutor};
use sea_orm::raw_sql;
use serde::Serialize;

use crate::{
    context::JobContext,
    error::JobError,
    kind::{JobKind, OnPlatform},
    lease::milliseconds,
};

/// How many rows one statement removes.
const BATCH: u64 = 1000;

/// Removes jobs that ended long ago, and cancels what waits for a tenant that is gone for good.
#[derive(Clone, Copy, Debug)]
pub struct Retention {
    /// How long an ended job is kept.
    pub keep: Duration,
}

/// What was removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RetentionReport {
    /// How many ended jobs.
    pub removed: u64,
    /// How many jobs of purged tenants were cancelled.
    pub cancelled: u64,
}

#[async_trait]
impl JobKind for Retention {
    const NAME: &'static str = "jobs.retention";
    type Scope = OnPlatform;
    type Input = ();
    type Output = RetentionReport;

    async fn run(&self, context: &JobContext<OnPlatform>, (): ()) -> Result<RetentionReport, JobError> {
        let db = context.system();
        let cancelled = self.cancel(db).await?;
        let mut removed = 0_u64;
        loop {
            context.go_on()?;
            let batch = self.remove(db).await?;
            removed = removed.saturating_add(batch);
            context.progress(removed, None, "jobs").await;
            if batch < BATCH {
                return Ok(RetentionReport { removed, cancelled });
            }
        }
    }
}

impl Retention {
    async fn remove(&self, db: &SystemConnection) -> Result<u64, JobError> {
        let (keep_ms, batch) = (milliseconds(self.keep), BATCH.cast_signed());
        let removed = db
            .execute(raw_sql!(
                Postgres,
                r#"DELETE FROM public.jobs
                   WHERE id IN (
                       SELECT id FROM public.jobs
                       WHERE finished_at < now() - {keep_ms} * interval '1 millisecond'
                       ORDER BY finished_at
                       LIMIT {batch})"#
            ))
            .await;
        removed.map_err(|error| JobError::database(&error))
    }

    async fn cancel(&self, db: &SystemConnection) -> Result<u64, JobError> {
        let cancelled = db
            .execute(raw_sql!(
                Postgres,
                r#"UPDATE public.jobs
                   SET state = 'cancelled', finished_at = clock_timestamp(), error_code = 'tenant_gone',
                       error_detail = 'the tenant was purged', version = version + 1, updated_at = clock_timestamp()
                   WHERE state = 'queued'
                       AND tenant_id IN (SELECT id FROM public.tenants WHERE status = 'purged')"#
            ))
            .await;
        cancelled.map_err(|error| JobError::database(&error))
    }
}
