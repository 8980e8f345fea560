//! The requests of each tenant, counted in a process and added up in the system schema now and then.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use clinicx_persistence::{SystemConnection, SystemExecutor};
use clinicx_types::id::TenantId;
use sea_orm::{DbErr, raw_sql};
use serde::Serialize;
use serde_json::json;

/// How an answer counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It was what was asked for.
    Good,
    /// The request was refused.
    Refused,
    /// The service failed.
    Failed,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
struct Counts {
    requests: u64,
    refused: u64,
    errors: u64,
    slow: u64,
    busy_ms: u64,
}

impl Counts {
    fn add(&mut self, other: Self) {
        let sum = u64::saturating_add;
        *self = Self {
            requests: sum(self.requests, other.requests),
            refused: sum(self.refused, other.refused),
            errors: sum(self.errors, other.errors),
            slow: sum(self.slow, other.slow),
            busy_ms: sum(self.busy_ms, other.busy_ms),
        };
    }
}

/// The requests since they were last added up. Cheap to clone; it holds as many entries as tenants had requests.
#[derive(Clone, Debug)]
pub struct Traffic {
    counts: Arc<Mutex<HashMap<TenantId, Counts>>>,
    slow: Duration,
}

impl Traffic {
    /// Makes one; a request that takes longer than `slow` is slow.
    pub fn new(slow: Duration) -> Self {
        Self { counts: Arc::default(), slow }
    }

    /// Counts an answer to a request of a tenant.
    pub fn count(&self, tenant: TenantId, answer: Answer, took: Duration) {
        let one = Counts {
            requests: 1,
            refused: u64::from(answer == Answer::Refused),
            errors: u64::from(answer == Answer::Failed),
            slow: u64::from(took > self.slow),
            busy_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        };
        self.lock().entry(tenant).or_default().add(one);
    }

    /// Adds what was counted to the present hour of the system schema, and begins anew; returns of how many tenants.
    /// What can't be written is counted on.
    ///
    /// # Errors
    /// What the database answers.
    pub async fn flush(&self, db: &SystemConnection) -> Result<u64, DbErr> {
        let taken = Taken { counts: std::mem::take(&mut *self.lock()), back: self };
        if taken.counts.is_empty() {
            return Ok(0);
        }
        let rows: Vec<_> = taken
            .counts
            .iter()
            .map(|(tenant, counts)| json!({ "tenant_id": tenant, "counts": counts }))
            .collect();
        let rows = serde_json::Value::Array(rows);
        // Sorted, so that two processes that write at once don't wait for each other in a circle.
        let written = db
            .execute(raw_sql!(
                Postgres,
                r#"INSERT INTO public.tenant_traffic_hours AS h
                       (tenant_id, hour, requests, refused, errors, slow, busy_ms, last_at)
                   SELECT t.id, date_trunc('hour', now(), 'UTC'), c.requests, c.refused, c.errors, c.slow, c.busy_ms,
                          now()
                   FROM jsonb_to_recordset({rows}) AS r (tenant_id uuid, counts jsonb)
                   CROSS JOIN LATERAL jsonb_to_record(r.counts) AS c
                       (requests bigint, refused bigint, errors bigint, slow bigint, busy_ms bigint)
                   JOIN public.tenants AS t ON t.id = r.tenant_id
                   ORDER BY t.id
                   ON CONFLICT (tenant_id, hour) DO UPDATE
                   SET requests = h.requests + EXCLUDED.requests, refused = h.refused + EXCLUDED.refused,
                       errors = h.errors + EXCLUDED.errors, slow = h.slow + EXCLUDED.slow,
                       busy_ms = h.busy_ms + EXCLUDED.busy_ms, last_at = EXCLUDED.last_at"#
            ))
            .await?;
        taken.keep();
        Ok(written)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<TenantId, Counts>> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is about to be written; put back unless it was.
struct Taken<'a> {
    counts: HashMap<TenantId, Counts>,
    back: &'a Traffic,
}

impl Taken<'_> {
    fn keep(mut self) {
        self.counts.clear();
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        let mut counts = self.back.lock();
        for (tenant, count) in self.counts.drain() {
            counts.entry(tenant).or_default().add(count);
        }
    }
}

#[cfg(test)]
mod tests {
    use clinicx_types::clock::{IdSource, RandomIds};

    use super::*;

    #[test]
    fn answers_are_counted_by_tenant_and_what_was_not_written_is_put_back() {
        let traffic = Traffic::new(Duration::from_secs(1));
        let (one, other) = (TenantId::new(RandomIds.next()), TenantId::new(RandomIds.next()));
        traffic.count(one, Answer::Good, Duration::from_millis(5));
        traffic.count(one, Answer::Failed, Duration::from_millis(1_005));
        traffic.count(other, Answer::Refused, Duration::ZERO);
        let expected = Counts { requests: 2, refused: 0, errors: 1, slow: 1, busy_ms: 1_010 };
        assert_eq!(traffic.lock()[&one], expected);
        let taken = Taken { counts: std::mem::take(&mut *traffic.lock()), back: &traffic };
        traffic.count(other, Answer::Good, Duration::ZERO);
        drop(taken);
        let counts = traffic.lock();
        assert_eq!(counts[&one], expected);
        assert_eq!((counts[&other].requests, counts[&other].refused), (2, 1));
    }
}
