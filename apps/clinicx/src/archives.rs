//! The archives of this service's tenants: where they are, and the background work on them.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use clinicx_archive::{
    ArchiveError, ArchiveId, Archivist, ArchivistOptions, Backup, BackupLogin, Folder, Progress, Retention,
    Store, Target, Watch,
    registry::{self, Reason},
};
use clinicx_jobs::{JobContext, JobError, JobKind, JobSet, NewJob, OnPlatform, Schedule, enqueue};
use clinicx_tenancy::{TenantStatus, registry as tenants};
use clinicx_types::id::TenantId;
use serde::{Deserialize, Serialize};

use crate::{modules, wiring::Platform};

/// Between two reports of how far the work has come.
const REPORT_EVERY: Duration = Duration::from_millis(500);
/// What was promised to the outside in a tenant's name does not go to another one: events on their way, and answers
/// that are kept for repetitions.
const LEFT_BEHIND: &[&str] = &["outbox", "idempotency_keys"];

/// Returns the hand on archives. What it lacks of logins or a folder it says when it is used.
///
/// # Errors
/// The control login is not configured.
pub fn archivist(platform: &Platform) -> anyhow::Result<Archivist> {
    let backup = platform.logins.backup.as_ref().map(|login| BackupLogin {
        connect: login.connect.clone(),
        session_authorization: login.session_authorization.clone(),
    });
    let folder = platform.config.archive.folder.as_ref();
    Ok(Archivist::new(ArchivistOptions {
        tenancy: platform.tenancy()?.clone(),
        backup,
        store: folder.map(|folder| -> Arc<dyn Store> { Arc::new(Folder::new(folder)) }),
        sealed: modules::sealed_columns(&platform.config.extensions),
        left_behind: LEFT_BEHIND,
    }))
}

/// Adds the kinds of work on archives, and what of it is repeated.
///
/// # Errors
/// They do not fit together.
pub fn jobs(platform: &Platform, set: JobSet) -> anyhow::Result<JobSet> {
    let own = || platform.clone();
    let utc = chrono_tz::Tz::UTC;
    Ok(set
        .kind(BackUp(own()))?
        .kind(Verify(own()))?
        .kind(Restore(own()))?
        .kind(CloneTenant(own()))?
        .kind(BackUpDue(own()))?
        .kind(Retain(own()))?
        .schedule(Schedule::new::<BackUpDue>("archive.back_up_due", "*/10 * * * *", utc, &())?)?
        .schedule(Schedule::new::<Retain>("archive.retention", "23 * * * *", utc, &())?)?)
}

/// A backup that is to be made.
#[derive(Debug, Serialize, Deserialize)]
pub struct BackUpInput {
    /// Of which tenant.
    pub tenant: TenantId,
    /// Whether it was due; then it is verified as well, when that is configured.
    pub due: bool,
}

/// Backs a tenant up.
#[derive(Clone)]
pub struct BackUp(Platform);

/// Which backup was made.
#[derive(Debug, Serialize)]
pub struct BackedUp {
    backup: ArchiveId,
    rows: Option<i64>,
    stored_bytes: Option<i64>,
}

#[async_trait]
impl JobKind for BackUp {
    const NAME: &'static str = "tenants.back_up";
    const MAX_ATTEMPTS: i32 = 3;
    const FIRST_PAUSE: Duration = Duration::from_secs(60);
    type Scope = OnPlatform;
    type Input = BackUpInput;
    type Output = BackedUp;

    async fn run(&self, context: &JobContext<OnPlatform>, input: BackUpInput) -> Result<BackedUp, JobError> {
        let archivist = hand(&self.0)?;
        let tenant = tenants::find_by_id(&self.0.app, input.tenant).await?.ok_or_else(gone)?;
        let reason = if input.due { Reason::Schedule } else { Reason::Demand };
        context.step("back_up").await;
        let told = Told::default();
        let said = |progress| told.note(progress);
        let watch = Watch::stopped_by(context.stop().clone()).telling(&said);
        let backup =
            told.report(context, archivist.back_up(&tenant, reason, context.scope(), &watch)).await?;
        if input.due && self.0.config.archive.verify {
            context.step("verify").await;
            told.report(context, archivist.verify(&backup, context.scope(), &watch)).await?;
        }
        Ok(BackedUp { backup: backup.id, rows: backup.rows, stored_bytes: backup.stored_bytes })
    }
}

/// Proves a backup.
#[derive(Clone)]
pub struct Verify(Platform);

/// What a verification has seen.
#[derive(Debug, Serialize)]
pub struct VerifiedOutput {
    tables: u64,
    rows: u64,
}

#[async_trait]
impl JobKind for Verify {
    const NAME: &'static str = "tenants.verify_backup";
    const MAX_ATTEMPTS: i32 = 3;
    type Scope = OnPlatform;
    type Input = ArchiveId;
    type Output = VerifiedOutput;

    async fn run(&self, context: &JobContext<OnPlatform>, id: ArchiveId) -> Result<VerifiedOutput, JobError> {
        let archivist = hand(&self.0)?;
        let backup = registry::get(&self.0.app, None, id).await?;
        let told = Told::default();
        let said = |progress| told.note(progress);
        let watch = Watch::stopped_by(context.stop().clone()).telling(&said);
        let seen = told.report(context, archivist.verify(&backup, context.scope(), &watch)).await?;
        Ok(VerifiedOutput { tables: seen.tables, rows: seen.rows })
    }
}

/// Where a backup goes.
#[derive(Debug, Serialize, Deserialize)]
pub struct RestoreInput {
    /// The backup.
    pub backup: ArchiveId,
    /// The new tenant's slug; without it the tenant itself is put back.
    pub into: Option<String>,
    /// Whether a tenant that is put back is served again at the end.
    pub resume: bool,
}

/// Makes a new tenant of a backup, or puts the tenant back to it.
#[derive(Clone)]
pub struct Restore(Platform);

/// Which tenant was made.
#[derive(Debug, Serialize)]
pub struct Made {
    tenant: String,
    rows: Option<u64>,
    /// The archived tenant that has everything as it was before.
    #[serde(skip_serializing_if = "Option::is_none")]
    kept: Option<String>,
}

#[async_trait]
impl JobKind for Restore {
    const NAME: &'static str = "tenants.restore_backup";
    const MAX_ATTEMPTS: i32 = 3;
    type Scope = OnPlatform;
    type Input = RestoreInput;
    type Output = Made;

    async fn run(&self, context: &JobContext<OnPlatform>, input: RestoreInput) -> Result<Made, JobError> {
        let archivist = hand(&self.0)?;
        let id = TenantId::new(context.id().uuid());
        let backup = registry::get(&self.0.app, None, input.backup).await?;
        let Some(into) = input.into else {
            return self.put_back(context, &archivist, &backup, (id, input.resume)).await;
        };
        if let Some(made) = made_before(&self.0, id).await? {
            return Ok(made);
        }
        let target = Target { id, slug: into, name: None };
        let told = Told::default();
        let said = |progress| told.note(progress);
        let watch = Watch::stopped_by(context.stop().clone()).telling(&said);
        let work = archivist.restore_into(&backup, &target, context.scope(), &watch);
        let restored = told.report(context, work).await?;
        self.0.resolver.invalidate(&restored.tenant).await;
        Ok(Made { tenant: restored.tenant.slug.to_string(), rows: Some(restored.rows), kept: None })
    }
}

impl Restore {
    /// Suspends the tenant, puts it back, and lets it be served again. After a failure that another try would not mend
    /// it is served as it was; until another try it stays suspended.
    async fn put_back(
        &self,
        context: &JobContext<OnPlatform>,
        archivist: &Archivist,
        backup: &Backup,
        (id, resume): (TenantId, bool),
    ) -> Result<Made, JobError> {
        let (tenancy, scope) = (archivist.tenancy(), context.scope());
        let mut tenant = tenants::find_by_id(&self.0.app, backup.tenant_id).await?.ok_or_else(gone)?;
        if tenant.status == TenantStatus::Active {
            context.step("suspend").await;
            tenant = tenancy.suspend(&tenant.slug, None, scope).await?;
            self.0.resolver.invalidate(&tenant).await;
        }
        context.step("put_back").await;
        let kept = Target::keeping(&tenant, id);
        let told = Told::default();
        let said = |progress| told.note(progress);
        let watch = Watch::stopped_by(context.stop().clone()).telling(&said);
        let work = archivist.put_back(backup, &tenant, &kept, scope, &watch);
        let done = told.report(context, work).await;
        if resume && matches!(done, Ok(_) | Err(JobError::Failed(_))) {
            context.step("resume").await;
            let served = tenancy.resume(&tenant.slug, None, scope).await?;
            self.0.resolver.invalidate(&served).await;
        }
        let done = done?;
        Ok(Made {
            tenant: done.tenant.slug.to_string(),
            rows: Some(done.rows),
            kept: Some(done.kept.slug.to_string()),
        })
    }
}

/// A tenant that is to be copied.
#[derive(Debug, Serialize, Deserialize)]
pub struct CloneInput {
    /// The tenant.
    pub tenant: TenantId,
    /// The new tenant's slug.
    pub into: String,
    /// The new tenant's name.
    pub name: String,
}

/// Copies a tenant into a new one.
#[derive(Clone)]
pub struct CloneTenant(Platform);

#[async_trait]
impl JobKind for CloneTenant {
    const NAME: &'static str = "tenants.clone";
    const MAX_ATTEMPTS: i32 = 3;
    type Scope = OnPlatform;
    type Input = CloneInput;
    type Output = Made;

    async fn run(&self, context: &JobContext<OnPlatform>, input: CloneInput) -> Result<Made, JobError> {
        let archivist = hand(&self.0)?;
        let id = TenantId::new(context.id().uuid());
        if let Some(made) = made_before(&self.0, id).await? {
            return Ok(made);
        }
        let target = Target { id, slug: input.into, name: Some(input.name) };
        let tenant = tenants::find_by_id(&self.0.app, input.tenant).await?.ok_or_else(gone)?;
        let told = Told::default();
        let said = |progress| told.note(progress);
        let watch = Watch::stopped_by(context.stop().clone()).telling(&said);
        let work = archivist.clone_tenant(&tenant, &target, context.scope(), &watch);
        let made = told.report(context, work).await?;
        self.0.resolver.invalidate(&made.tenant).await;
        Ok(Made { tenant: made.tenant.slug.to_string(), rows: Some(made.rows), kept: None })
    }
}

/// Asks for the backups that are due.
#[derive(Clone)]
struct BackUpDue(Platform);

/// How many were asked for.
#[derive(Debug, Serialize)]
struct Asked {
    tenants: usize,
}

#[async_trait]
impl JobKind for BackUpDue {
    const NAME: &'static str = "archive.back_up_due";
    type Scope = OnPlatform;
    type Input = ();
    type Output = Asked;

    async fn run(&self, context: &JobContext<OnPlatform>, (): ()) -> Result<Asked, JobError> {
        let Some(every) = self.0.config.archive.every else { return Ok(Asked { tenants: 0 }) };
        let archivist = hand(&self.0)?;
        let mut asked = 0;
        for slug in archivist.due(every, context.scope()).await? {
            context.go_on()?;
            let tenant = tenants::get_by_slug(&self.0.app, &slug).await?.id;
            let new =
                NewJob::<BackUp>::on_platform(BackUpInput { tenant, due: true }).unique(tenant.to_string());
            asked += usize::from(enqueue(&self.0.app, context.scope(), new).await?.is_new);
        }
        Ok(Asked { tenants: asked })
    }
}

/// Removes the backups that need not be kept.
#[derive(Clone)]
struct Retain(Platform);

/// How many there were.
#[derive(Debug, Serialize)]
struct Removed {
    expired: u64,
    abandoned: u64,
}

#[async_trait]
impl JobKind for Retain {
    const NAME: &'static str = "archive.retention";
    type Scope = OnPlatform;
    type Input = ();
    type Output = Removed;

    async fn run(&self, context: &JobContext<OnPlatform>, (): ()) -> Result<Removed, JobError> {
        let config = &self.0.config.archive;
        if config.folder.is_none() {
            return Ok(Removed { expired: 0, abandoned: 0 });
        }
        let retention = Retention { keep_for: config.keep_for, keep_last: config.keep_last };
        let removed = hand(&self.0)?.retain(retention, context.scope()).await?;
        Ok(Removed { expired: removed.expired, abandoned: removed.abandoned })
    }
}

/// How far the work has come, between whoever does it and the row that shows it.
#[derive(Default)]
struct Told(Mutex<Progress>);

impl Told {
    fn note(&self, progress: Progress) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = progress;
    }

    async fn report<T>(
        &self,
        context: &JobContext<OnPlatform>,
        work: impl Future<Output = Result<T, ArchiveError>> + Send,
    ) -> Result<T, JobError> {
        tokio::pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return match done {
                    Err(ArchiveError::Stopped) => Err(JobError::Stopped),
                    other => Ok(other?),
                },
                () = tokio::time::sleep(REPORT_EVERY) => {
                    let progress = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
                    context.progress(progress.tables, Some(progress.of_tables), "tables").await;
                }
            }
        }
    }
}

/// Finds the tenant that this job has made before its process ended.
async fn made_before(platform: &Platform, id: TenantId) -> Result<Option<Made>, JobError> {
    let found = tenants::find_by_id(&platform.app, id).await?;
    Ok(found.map(|tenant| Made { tenant: tenant.slug.to_string(), rows: None, kept: None }))
}

fn hand(platform: &Platform) -> Result<Archivist, JobError> {
    archivist(platform).map_err(|error| JobError::failed("not_configured", error.to_string()))
}

fn gone() -> JobError {
    JobError::failed("not_found", "there is no such tenant any more")
}
