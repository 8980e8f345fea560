//! Work that is repeated. Every process looks whether a schedule is due; a lock on its row decides which of them makes
//! the job, and the row's next time is moved on in the same transaction.

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use clinicx_persistence::{SystemConnection, SystemExecutor, SystemTransaction};
use clinicx_types::{clock::IdSource, id::TenantId};
use sea_orm::{DbErr, FromQueryResult, raw_sql};
use serde_json::{Value, json};

use crate::{
    expression::{Expression, ExpressionError},
    kind::{JobKind, Scope},
};

/// When an expression is next due that has no further time; its year was the last one.
const NEVER: TimeDelta = TimeDelta::days(36_500);

/// Why a schedule can't be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    /// Its expression is none.
    #[error(transparent)]
    Expression(#[from] ExpressionError),
    /// Its input can't be written as JSON.
    #[error("the input of a schedule of the kind {0} can't be written as JSON")]
    Input(&'static str),
}

/// A kind of work that is repeated: once on the platform, or once in every active tenant.
///
/// What was missed while no process ran is made up for once. While a job of a schedule waits or runs, another one of
/// it is not made.
#[derive(Clone, Debug)]
pub struct Schedule {
    pub(crate) name: &'static str,
    pub(crate) kind: &'static str,
    expression: Expression,
    is_tenant: bool,
    max_attempts: i32,
    input: Value,
}

impl Schedule {
    /// Describes one: `expression` is a cron expression of five fields in the time zone.
    ///
    /// # Errors
    /// [`ScheduleError`].
    pub fn new<K: JobKind>(
        name: &'static str,
        expression: &str,
        zone: Tz,
        input: &K::Input,
    ) -> Result<Self, ScheduleError> {
        Ok(Self {
            name,
            kind: K::NAME,
            expression: Expression::parse(expression, zone)?,
            is_tenant: K::Scope::IS_TENANT,
            max_attempts: K::MAX_ATTEMPTS,
            input: serde_json::to_value(input).map_err(|_| ScheduleError::Input(K::NAME))?,
        })
    }

    /// Returns its name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Returns the first instant after another at which it is due.
    pub fn next_after(&self, instant: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.expression.next_after(instant)
    }
}

#[derive(FromQueryResult)]
struct Now {
    now: DateTime<Utc>,
}

/// Writes the schedules into the table. One that stands there as it is keeps its next time, and whether it is enabled.
pub(crate) async fn register(db: &SystemConnection, schedules: &[Schedule]) -> Result<(), DbErr> {
    for schedule in schedules {
        let Some(next_run) = next(db, schedule).await? else { continue };
        let (name, kind) = (schedule.name, schedule.kind);
        let (expression, zone) = (schedule.expression.text(), schedule.expression.zone().name());
        db.execute(raw_sql!(
            Postgres,
            r#"INSERT INTO public.job_schedules AS s (name, kind, expression, time_zone, next_run)
               VALUES ({name}, {kind}, {expression}, {zone}, {next_run})
               ON CONFLICT (name) DO UPDATE
               SET kind = EXCLUDED.kind, expression = EXCLUDED.expression, time_zone = EXCLUDED.time_zone,
                   next_run = EXCLUDED.next_run, updated_at = clock_timestamp()
               WHERE (s.kind, s.expression, s.time_zone)
                   IS DISTINCT FROM (EXCLUDED.kind, EXCLUDED.expression, EXCLUDED.time_zone)"#
        ))
        .await?;
    }
    Ok(())
}

/// Makes the jobs of what is due, and returns how many there were.
pub(crate) async fn fire(
    db: &SystemConnection,
    ids: &dyn IdSource,
    schedules: &[Schedule],
) -> Result<u64, DbErr> {
    let mut all = 0_u64;
    for schedule in schedules {
        let tx = db.begin().await?;
        match fire_in(&tx, ids, schedule).await {
            Ok(made) => {
                tx.commit().await?;
                all = all.saturating_add(made);
            }
            Err(error) => {
                // The reason is what counts; a roll-back that fails closes the connection.
                let _rolled_back = tx.rollback().await;
                return Err(error);
            }
        }
    }
    Ok(all)
}

#[derive(FromQueryResult)]
struct Due {
    due: DateTime<Utc>,
    now: DateTime<Utc>,
}

/// A schedule whose row says something else is another version's, which makes its jobs.
async fn fire_in(tx: &SystemTransaction, ids: &dyn IdSource, schedule: &Schedule) -> Result<u64, DbErr> {
    let (name, kind) = (schedule.name, schedule.kind);
    let (expression, zone) = (schedule.expression.text(), schedule.expression.zone().name());
    let found: Option<Due> = tx
        .query_one(raw_sql!(
            Postgres,
            r#"SELECT next_run AS due, clock_timestamp() AS now
               FROM public.job_schedules
               WHERE name = {name} AND kind = {kind} AND expression = {expression} AND time_zone = {zone} AND enabled
                   AND next_run <= clock_timestamp()
               FOR UPDATE SKIP LOCKED"#
        ))
        .await?;
    let Some(Due { due, now }) = found else { return Ok(0) };
    let made = make(tx, ids, schedule).await?;
    // From now on and not from what was due: of several missed times one is made up for.
    let next_run = schedule.next_after(now).unwrap_or(now + NEVER);
    tx.execute(raw_sql!(
        Postgres,
        r#"UPDATE public.job_schedules
           SET next_run = {next_run}, last_run = {due}, updated_at = clock_timestamp()
           WHERE name = {name}"#
    ))
    .await?;
    Ok(made)
}

async fn make(tx: &SystemTransaction, ids: &dyn IdSource, schedule: &Schedule) -> Result<u64, DbErr> {
    #[derive(FromQueryResult)]
    struct Active {
        id: TenantId,
    }
    let tenants: Vec<Option<TenantId>> = if schedule.is_tenant {
        let active = raw_sql!(Postgres, r#"SELECT id FROM public.tenants WHERE status = 'active'"#);
        let active: Vec<Active> = tx.query_all(active).await?;
        active.into_iter().map(|tenant| Some(tenant.id)).collect()
    } else {
        vec![None]
    };
    let rows: Vec<Value> = tenants
        .into_iter()
        .map(|tenant| json!({"id": ids.next(), "tenant_id": tenant, "request_id": ids.next()}))
        .collect();
    let (kind, max_attempts) = (schedule.kind, schedule.max_attempts);
    let (unique_key, input) = (format!("schedule:{}", schedule.name), schedule.input.clone());
    let rows = Value::Array(rows);
    tx.execute(raw_sql!(
        Postgres,
        r#"INSERT INTO public.jobs (id, kind, tenant_id, unique_key, input, max_attempts, request_id)
           SELECT r.id, {kind}, r.tenant_id, {unique_key}, {input}, {max_attempts}, r.request_id
           FROM jsonb_to_recordset({rows}) AS r (id uuid, tenant_id uuid, request_id uuid)
           ON CONFLICT (kind, party, unique_key)
               WHERE unique_key IS NOT NULL AND state IN ('queued', 'running')
               DO NOTHING"#
    ))
    .await
}

/// Times are the database's, as those of the jobs are.
async fn next(db: &SystemConnection, schedule: &Schedule) -> Result<Option<DateTime<Utc>>, DbErr> {
    let now: Option<Now> = db.query_one(raw_sql!(Postgres, r#"SELECT clock_timestamp() AS now"#)).await?;
    Ok(now.and_then(|now| schedule.next_after(now.now)))
}
