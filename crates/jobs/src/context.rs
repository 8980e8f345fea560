//! What a job knows and may reach while it runs.

use std::{
    convert::Infallible,
    marker::PhantomData,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use clinicx_persistence::{SystemConnection, TenantConnection, TenantScope};
use clinicx_tenancy::PlatformScope;
use clinicx_types::clock::{Clock, SystemClock};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::{
    error::JobError,
    job::{JobId, Progress, Step},
    kind::{InTenant, OnPlatform, Scope},
    lease::{self, Held},
};

/// Between two reports of progress at least so much time passes; what is said meanwhile is written after it.
const REPORT_EVERY: Duration = Duration::from_millis(500);
/// The most steps that are kept of a job.
const MOST_STEPS: usize = 200;
/// The most characters of a step's name.
const MOST_LETTERS: usize = 100;

/// What a running job is given.
///
/// A tenant's job has that tenant's connection and nothing from which another one could be made:
///
/// ```
/// use clinicx_jobs::{InTenant, JobContext};
/// fn own(context: &JobContext<InTenant>) -> &clinicx_persistence::TenantConnection {
///     context.connection()
/// }
/// ```
///
/// The platform's job has none,
///
/// ```compile_fail,E0599
/// use clinicx_jobs::{JobContext, OnPlatform};
/// fn some(context: &JobContext<OnPlatform>) -> &clinicx_persistence::TenantConnection {
///     context.connection()
/// }
/// ```
///
/// a tenant's job does not get to the system schema,
///
/// ```compile_fail,E0599
/// use clinicx_jobs::{InTenant, JobContext};
/// fn system(context: &JobContext<InTenant>) -> &clinicx_persistence::SystemConnection {
///     context.system()
/// }
/// ```
///
/// and no context can be taken for one of another tenant, because only a runner makes one:
///
/// ```compile_fail,E0451
/// use clinicx_jobs::{InTenant, JobContext};
/// use clinicx_jobs::context::TenantReach;
/// fn other(context: &JobContext<InTenant>, reach: TenantReach) -> JobContext<InTenant> {
///     JobContext { reach, ..context.clone() }
/// }
/// ```
pub struct JobContext<S: Scope> {
    pub(crate) handle: Handle,
    pub(crate) reach: S::Reach,
    pub(crate) scope: PhantomData<S>,
}

impl<S: Scope> Clone for JobContext<S> {
    fn clone(&self) -> Self {
        Self { handle: self.handle.clone(), reach: self.reach.clone(), scope: PhantomData }
    }
}

impl<S: Scope> std::fmt::Debug for JobContext<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JobContext").field("job", &self.handle.id).finish_non_exhaustive()
    }
}

/// How far a job reaches, before its kind says which of the two it wants.
#[doc(hidden)]
#[derive(Clone, Debug)]
pub enum Reach {
    Platform(PlatformReach),
    Tenant(TenantReach),
}

/// What a job of the platform reaches.
#[derive(Clone, Debug)]
pub struct PlatformReach {
    pub(crate) system: SystemConnection,
    pub(crate) scope: PlatformScope,
}

/// What a job of a tenant reaches.
#[derive(Clone, Debug)]
pub struct TenantReach {
    pub(crate) connection: TenantConnection,
    pub(crate) scope: TenantScope,
}

impl JobContext<InTenant> {
    /// Returns the connection to the job's tenant.
    pub fn connection(&self) -> &TenantConnection {
        &self.reach.connection
    }

    /// Returns the service itself acting in the job's tenant, with the permissions of the kind.
    pub fn scope(&self) -> &TenantScope {
        &self.reach.scope
    }
}

impl JobContext<OnPlatform> {
    /// Returns the application's connection to the system schema.
    pub fn system(&self) -> &SystemConnection {
        &self.reach.system
    }

    /// Returns the service itself acting on the platform.
    pub fn scope(&self) -> &PlatformScope {
        &self.reach.scope
    }
}

impl<S: Scope> JobContext<S> {
    /// Returns the job.
    pub fn id(&self) -> JobId {
        self.handle.id
    }

    /// Returns which try this is, from 1.
    pub fn attempt(&self) -> i32 {
        self.handle.attempt
    }

    /// Returns the token that is cancelled when the job is to stop: somebody has cancelled it, the process ends, or
    /// its lease is lost. A job that does not heed it is dropped at its next await a few seconds later.
    pub fn stop(&self) -> &CancellationToken {
        &self.handle.held.stop
    }

    /// Returns early with `?` between two parts of the work.
    ///
    /// # Errors
    /// [`JobError::Stopped`] when the job is to stop.
    pub fn go_on(&self) -> Result<(), JobError> {
        if self.stop().is_cancelled() { Err(JobError::Stopped) } else { Ok(()) }
    }

    /// Says how far the work has come; twice a second at most it is written down for others to see.
    pub async fn progress(&self, done: u64, total: Option<u64>, unit: &'static str) {
        let is_whole = total == Some(done);
        let progress = Progress { done, total, unit: unit.to_owned() };
        if self.handle.note(is_whole, |report| report.progress = Some(progress)) {
            self.handle.write().await;
        }
    }

    /// Says that a further part of the work begins; the name holds no patient's data.
    pub async fn step(&self, name: &str) {
        let name: String = name.chars().take(MOST_LETTERS).collect();
        let step = Step { name, at: SystemClock.now() };
        self.handle.note(true, |report| {
            if report.steps.len() < MOST_STEPS {
                report.steps.push(step);
            }
        });
        self.handle.write().await;
    }
}

/// What a job has said of itself.
#[derive(Clone, Debug, Default)]
pub(crate) struct Report {
    pub(crate) progress: Option<Progress>,
    pub(crate) steps: Vec<Step>,
}

/// What a job has said of itself, and what of it others can see.
#[doc(hidden)]
#[derive(Debug, Default)]
pub struct Said {
    pub(crate) report: Report,
    written: Option<Instant>,
    /// Whether something was said since.
    is_new: bool,
}

impl Said {
    pub(crate) fn before(steps: Vec<Step>) -> Self {
        Self { report: Report { progress: None, steps }, ..Self::default() }
    }
}

/// A running job as its runner and its context share it.
#[doc(hidden)]
#[derive(Clone)]
pub struct Handle {
    pub(crate) id: JobId,
    pub(crate) attempt: i32,
    pub(crate) held: Arc<Held>,
    pub(crate) system: SystemConnection,
    pub(crate) said: Arc<Mutex<Said>>,
}

impl Handle {
    /// Returns what was said so far.
    pub(crate) fn said(&self) -> Report {
        self.lock().report.clone()
    }

    /// Takes something down and tells whether it is to be written now.
    fn note(&self, at_once: bool, change: impl FnOnce(&mut Report)) -> bool {
        let mut said = self.lock();
        change(&mut said.report);
        said.is_new = true;
        at_once || said.written.is_none_or(|last| last.elapsed() >= REPORT_EVERY)
    }

    /// Writes what was said too soon after something else; never ends.
    pub(crate) async fn keep_writing(&self) -> Infallible {
        loop {
            tokio::time::sleep(REPORT_EVERY).await;
            if self.lock().is_new {
                self.write().await;
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Said> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes what was said; the end of the job writes it again, so that a failure costs nothing but the sight of it.
    async fn write(&self) {
        let report = {
            let mut said = self.lock();
            (said.written, said.is_new) = (Some(Instant::now()), false);
            said.report.clone()
        };
        match lease::report(&self.system, self.id, self.held.token, &report).await {
            Ok(true) => {}
            Ok(false) => self.held.lose(),
            Err(error) => {
                let error = clinicx_persistence::Failure::of(&error);
                tracing::debug!(%error, "the progress of a job could not be written");
            }
        }
    }
}
