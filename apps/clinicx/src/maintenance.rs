//! The upkeep of the tenants' tables as a job, and what it and the command share.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use clinicx_audit::Entry;
use clinicx_jobs::{JobContext, JobError, JobKind, OnPlatform};
use clinicx_migration::tenant::{
    apply::Subject,
    fleet::{FleetError, standings},
    maintain::{self, Asked, MaintainError, Maintained, Task},
};
use clinicx_tenancy::PlatformScope;
use clinicx_types::name::TenantSlug;
use serde::Serialize;
use serde_json::json;

use crate::wiring::{self, Platform};

/// Keeps up all active tenants' tables within the window.
#[derive(Clone)]
pub struct Maintain(Platform);

impl Maintain {
    /// Makes it.
    pub fn new(platform: &Platform) -> Self {
        Self(platform.clone())
    }
}

/// What an upkeep has come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// How many tenants there are.
    pub tenants: usize,
    /// How many had their turn.
    pub looked_at: usize,
    /// How much was done.
    pub done: usize,
    /// How much has failed.
    pub failed: usize,
    /// How much was due and not begun.
    pub left: usize,
}

impl Summary {
    /// Adds up what came of each.
    pub fn of(tenants: usize, all: &[Maintained]) -> Self {
        let mut summary = Self { tenants, looked_at: all.len(), ..Self::default() };
        for one in all {
            let failed = one.done.iter().filter(|done| done.failure.is_some()).count();
            summary.failed += failed + usize::from(one.failure.is_some());
            summary.done += one.done.len() - failed;
            summary.left += one.left.len();
        }
        summary
    }
}

#[async_trait]
impl JobKind for Maintain {
    const NAME: &'static str = "tenants.maintain";
    type Scope = OnPlatform;
    type Input = ();
    type Output = Summary;
    const MAX_ATTEMPTS: i32 = 3;

    async fn run(&self, context: &JobContext<OnPlatform>, (): ()) -> Result<Summary, JobError> {
        let platform = &self.0;
        let config = &platform.config.maintenance;
        let subjects = subjects(platform, &[]).await.map_err(|error| {
            JobError::retry("unavailable", format!("the tenants could not be listed: {error}"))
        })?;
        let stop = context.stop().clone();
        let asked = Asked {
            tasks: Task::ALL.into_iter().collect(),
            rules: config.rules(),
            concurrency: config.concurrency,
            pause: config.pause,
            until: Instant::now() + config.window,
            only_report: false,
            stop: Arc::new(move || stop.is_cancelled()),
        };
        let summary = carry_out(platform, subjects, &asked, context.scope(), |_| {}).await;
        context.go_on()?;
        match summary {
            Ok((summary, _)) => Ok(summary),
            Err(Failed::NotConfigured) => {
                Err(JobError::failed("not_configured", "database.migrator_url is not configured"))
            }
            Err(Failed::Maintain(MaintainError::Busy)) => Err(JobError::Later(Duration::from_secs(600))),
            Err(Failed::Maintain(MaintainError::Database(failure))) => {
                Err(JobError::failure(&failure.failure))
            }
            Err(Failed::Audit) => Err(JobError::retry("unavailable", "the audit row could not be written")),
        }
    }
}

/// Why an upkeep could not be carried out.
#[derive(Debug, thiserror::Error)]
pub enum Failed {
    /// There is no login that owns tables.
    #[error("database.migrator_url is not configured; it keeps up the tables")]
    NotConfigured,
    /// It failed.
    #[error(transparent)]
    Maintain(#[from] MaintainError),
    /// What was done could not be written into the audit.
    #[error("the audit row could not be written")]
    Audit,
}

/// Lists the active tenants with a schema, or those that are named, in whatever state.
///
/// # Errors
/// What the database answers.
pub async fn subjects(
    platform: &Platform,
    only: &[TenantSlug],
) -> Result<Vec<(String, Subject)>, FleetError> {
    let standings = standings(&platform.app, platform.modules.plan()).await?;
    let is_wanted = |slug: &str, status: &str| match only {
        [] => status == "active",
        only => only.iter().any(|one| one.as_str() == slug),
    };
    let wanted = standings.into_iter().filter(|one| is_wanted(&one.slug, &one.status));
    Ok(wanted.map(|one| (one.slug, one.subject)).collect())
}

/// Keeps up the tables of these tenants; what was done leaves one row in the platform's audit.
///
/// # Errors
/// [`Failed`].
pub async fn carry_out(
    platform: &Platform,
    subjects: Vec<(String, Subject)>,
    asked: &Asked,
    by: &PlatformScope,
    progress: impl FnMut(&Maintained) + Send,
) -> Result<(Summary, Vec<Maintained>), Failed> {
    let migrator = platform.logins.migrator().map_err(|_| Failed::NotConfigured)?;
    let login = wiring::owner_login(migrator, &platform.roles);
    let tenants = subjects.len();
    let subjects = subjects.into_iter().map(|(_, subject)| subject).collect();
    let all = maintain::run(&login, subjects, asked, progress).await?;
    let summary = Summary::of(tenants, &all);
    if !asked.only_report {
        let entry = Entry {
            tenant_id: None,
            actor: by.actor,
            session_id: by.session_id,
            break_glass_id: None,
            action: "fleet.maintained".into(),
            entity: "fleet",
            entity_id: None,
            patient_id: None,
            patient_ids: None,
            request_id: by.request_id,
            source: by.source,
            after: Some(json!(summary)),
        };
        platform.audit.write_and_wait(entry).await.map_err(|_| Failed::Audit)?;
        let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        metrics::counter!("clinicx_maintenance_statements_total", "outcome" => "done")
            .increment(count(summary.done));
        metrics::counter!("clinicx_maintenance_statements_total", "outcome" => "failed")
            .increment(count(summary.failed));
    }
    Ok((summary, all))
}
