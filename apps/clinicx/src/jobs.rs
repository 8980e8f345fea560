//! The kinds of background work of this application, and what of it is repeated: the one list to which a new one is
//! added.

use async_trait::async_trait;
use chrono_tz::Tz;
use clinicx_jobs::{JobContext, JobError, JobKind, JobSet, OnPlatform, Retention, Runner, Schedule};
use clinicx_types::clock::{IdSource, RandomIds};
use clinicx_web::Kit;
use serde::Serialize;

use crate::{archives, charging, maintenance::Maintain, sweeper, watch::Watch, wiring::Platform};

/// Returns the kinds and schedules: this application's own, and those of what it was extended with.
///
/// # Errors
/// They do not fit together.
pub fn set(platform: &Platform, kit: &Kit) -> anyhow::Result<JobSet> {
    let keep = platform.config.jobs.keep;
    let mut set = JobSet::new()
        .kind(Retention { keep })?
        .kind(ExpireHolds(platform.clone()))?
        .kind(Watch::new(platform))?
        .kind(Maintain::new(platform))?
        .kind(charging::HandOver)?
        .kind(RemoveExpired { platform: platform.clone(), kit: kit.clone() })?
        .schedule(Schedule::new::<ExpireHolds>("appointments.expire_holds", "*/5 * * * *", Tz::UTC, &())?)?
        .schedule(Schedule::new::<RemoveExpired>("platform.remove_expired", "7 * * * *", Tz::UTC, &())?)?
        .schedule(Schedule::new::<Retention>("jobs.retention", "37 * * * *", Tz::UTC, &())?)?;
    set = archives::jobs(platform, set)?;
    if let Some(expression) = platform.config.watch.expression() {
        set = set.schedule(Schedule::new::<Watch>("tenants.watch", expression, Tz::UTC, &())?)?;
    }
    let maintenance = &platform.config.maintenance;
    if let Some(expression) = maintenance.expression() {
        let zone = maintenance.zone().map_err(anyhow::Error::msg)?;
        set = set.schedule(Schedule::new::<Maintain>("tenants.maintain", expression, zone, &())?)?;
    }
    for extension in platform.config.extensions.iter() {
        set = (extension.jobs)(platform, set)?;
    }
    Ok(set)
}

/// Returns what runs them in this process.
///
/// # Errors
/// As [`set`].
pub fn runner(platform: &Platform, kit: &Kit) -> anyhow::Result<Runner> {
    let set = set(platform, kit)?;
    // Processes in containers all have the number 1.
    let name = format!("{}-{}", std::process::id(), RandomIds.next().simple());
    let options = platform.config.jobs.runner(name);
    let (system, cluster) = (platform.app.clone(), platform.cluster.clone());
    Ok(Runner::new(system, cluster, platform.modules.clone(), set, options))
}

/// Cancels the expired holds of every active clinic. A booking that wants the time of one does not wait for this.
#[derive(Clone)]
struct ExpireHolds(Platform);

/// How many there were.
#[derive(Debug, Serialize)]
struct Expired {
    holds: u64,
}

#[async_trait]
impl JobKind for ExpireHolds {
    const NAME: &'static str = "appointments.expire_holds";
    type Scope = OnPlatform;
    type Input = ();
    type Output = Expired;

    async fn run(&self, _context: &JobContext<OnPlatform>, (): ()) -> Result<Expired, JobError> {
        let holds = sweeper::expire_holds(&self.0).await;
        holds.map(|holds| Expired { holds }).map_err(|_| unlisted())
    }
}

/// Removes the rows of ended log-ins, and the answers that are kept for no repetition any more.
#[derive(Clone)]
struct RemoveExpired {
    platform: Platform,
    kit: Kit,
}

/// How many answers there were; identity counts nothing.
#[derive(Debug, Serialize)]
struct Removed {
    platform_answers: u64,
    tenant_answers: u64,
}

#[async_trait]
impl JobKind for RemoveExpired {
    const NAME: &'static str = "platform.remove_expired";
    type Scope = OnPlatform;
    type Input = ();
    type Output = Removed;

    async fn run(&self, context: &JobContext<OnPlatform>, (): ()) -> Result<Removed, JobError> {
        context.step("log_ins").await;
        self.platform.identity.sweep().await?;
        context.step("platform_answers").await;
        let kept =
            |error: clinicx_web::ApiError| JobError::retry(error.code(), "answers could not be removed");
        let platform_answers = self.kit.sweep().await.map_err(kept)?;
        context.go_on()?;
        context.step("tenant_answers").await;
        let tenant_answers = sweeper::remove_kept_answers(&self.platform).await.map_err(|_| unlisted())?;
        Ok(Removed { platform_answers, tenant_answers })
    }
}

fn unlisted() -> JobError {
    JobError::retry("unavailable", "the clinics could not be listed")
}
