//! Asking for work.

use std::{marker::PhantomData, time::Duration};

use clinicx_persistence::{Actor, SystemExecutor};
use clinicx_tenancy::PlatformScope;
use clinicx_types::id::TenantId;
use sea_orm::{FromQueryResult, raw_sql};
use serde_json::json;

use crate::{
    audit,
    error::JobsError,
    job::JobId,
    kind::{InTenant, JobKind, OnPlatform},
    lease::milliseconds,
};

/// How often a unique key is looked for whose job ends at that very moment.
const TRIES: u32 = 3;

/// A job that is to be.
#[derive(Clone, Debug)]
pub struct NewJob<K: JobKind> {
    tenant: Option<TenantId>,
    input: K::Input,
    unique_key: Option<String>,
    priority: i16,
    delay: Duration,
    max_attempts: i32,
    kind: PhantomData<K>,
}

impl<K: JobKind<Scope = OnPlatform>> NewJob<K> {
    /// Describes a job of the platform.
    pub fn on_platform(input: K::Input) -> Self {
        Self::new(None, input)
    }
}

impl<K: JobKind<Scope = InTenant>> NewJob<K> {
    /// Describes a job of a tenant.
    pub fn in_tenant(tenant: TenantId, input: K::Input) -> Self {
        Self::new(Some(tenant), input)
    }
}

impl<K: JobKind> NewJob<K> {
    fn new(tenant: Option<TenantId>, input: K::Input) -> Self {
        Self {
            tenant,
            input,
            unique_key: None,
            priority: 0,
            delay: Duration::ZERO,
            max_attempts: K::MAX_ATTEMPTS,
            kind: PhantomData,
        }
    }

    /// Says that there is to be one such job of this kind and tenant at a time: while one waits or runs, asking for
    /// another gives that one. At most 200 characters.
    #[must_use]
    pub fn unique(self, key: impl Into<String>) -> Self {
        Self { unique_key: Some(key.into()), ..self }
    }

    /// Puts it before its tenant's jobs with a lower priority; 0 unless it is said.
    #[must_use]
    pub fn priority(self, priority: i16) -> Self {
        Self { priority, ..self }
    }

    /// Begins it after a while at the earliest.
    #[must_use]
    pub fn after(self, delay: Duration) -> Self {
        Self { delay, ..self }
    }

    /// Begins it so often at most, instead of as often as its kind says.
    #[must_use]
    pub fn max_attempts(self, max_attempts: i32) -> Self {
        Self { max_attempts: max_attempts.max(1), ..self }
    }
}

/// What came of asking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Enqueued {
    /// The job.
    pub id: JobId,
    /// Whether it was made, or was there with the same unique key.
    pub is_new: bool,
}

#[derive(FromQueryResult)]
struct Found {
    id: JobId,
}

/// Asks for a job, in the transaction of whatever it belongs to: it is there when that commits, and never without it.
///
/// What a person asks for leaves the audit row `job.enqueued` in the same transaction.
///
/// # Errors
/// [`JobsError::Input`], [`JobsError::Busy`], [`JobsError::Database`].
pub async fn enqueue<K: JobKind>(
    db: &impl SystemExecutor,
    by: &PlatformScope,
    job: NewJob<K>,
) -> Result<Enqueued, JobsError> {
    let NewJob { tenant, input, unique_key, priority, delay, max_attempts, kind: _ } = job;
    let kind = K::NAME;
    let input = serde_json::to_value(input).map_err(|_| JobsError::Input { kind })?;
    let (created_by, request_id) = (by.actor.user_id(), by.request_id);
    let (unique_key, delay_ms) = (unique_key.as_deref(), milliseconds(delay));
    for _ in 0..TRIES {
        let id = JobId::new(by.next_id());
        let input = input.clone();
        let made = db
            .execute(raw_sql!(
                Postgres,
                r#"INSERT INTO public.jobs
                       (id, kind, tenant_id, unique_key, input, priority, run_after, max_attempts, created_by,
                        request_id)
                   VALUES ({id}, {kind}, {tenant}, {unique_key}, {input}, {priority},
                           now() + {delay_ms} * interval '1 millisecond', {max_attempts}, {created_by}, {request_id})
                   ON CONFLICT (kind, party, unique_key)
                       WHERE unique_key IS NOT NULL AND state IN ('queued', 'running')
                       DO NOTHING"#
            ))
            .await?;
        if made == 1 {
            if !matches!(by.actor, Actor::System(_)) {
                let after = json!({"kind": kind});
                db.execute(audit::statement(by, "job.enqueued", (id, tenant), after)).await?;
            }
            return Ok(Enqueued { id, is_new: true });
        }
        let found: Option<Found> = db
            .query_one(raw_sql!(
                Postgres,
                r#"SELECT id FROM public.jobs
                   WHERE kind = {kind} AND tenant_id IS NOT DISTINCT FROM {tenant} AND unique_key = {unique_key}
                       AND state IN ('queued', 'running')"#
            ))
            .await?;
        if let Some(Found { id }) = found {
            return Ok(Enqueued { id, is_new: false });
        }
    }
    Err(JobsError::Busy)
}
