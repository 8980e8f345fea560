//! A database of its own for each test, kinds of work that do what a test tells them, and runners.

use std::{
    collections::HashMap,
    future::Future,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use clinicx_jobs::{
    InTenant, Job, JobContext, JobError, JobId, JobKind, JobSet, JobState, NewJob, OnPlatform, Runner,
    RunnerOptions, enqueue, query,
};
use clinicx_migration::system::SystemRole;
use clinicx_persistence::{Cluster, SystemConnection};
use clinicx_tenancy::{ModuleRegistry, PlatformScope, Tenancy};
use clinicx_testing::{TestDatabase, TestTenant, database};
use sea_orm::{ConnectionTrait, DbBackend, Statement};
use tokio::{
    sync::Semaphore,
    task::JoinHandle,
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;

/// How long anything may take that a test waits for.
const PATIENCE: Duration = Duration::from_secs(60);

/// A database and what works on it.
pub(crate) struct World {
    pub(crate) database: TestDatabase,
    pub(crate) app: SystemConnection,
    pub(crate) cluster: Cluster,
    pub(crate) modules: Arc<ModuleRegistry>,
    pub(crate) tenancy: Tenancy,
}

impl World {
    pub(crate) async fn new() -> Self {
        let database = TestDatabase::create().await;
        let modules = database::modules(&[]);
        Self {
            app: database.system(SystemRole::App).await,
            cluster: database.cluster().await,
            tenancy: database.tenancy(Arc::clone(&modules)).await,
            modules,
            database,
        }
    }

    pub(crate) async fn tenant(&self) -> TestTenant {
        TestTenant::builder().modules(&[]).database(&self.database).create().await
    }

    /// Runs a set with options in which everything goes fast.
    pub(crate) fn run(&self, set: JobSet, change: impl FnOnce(&mut RunnerOptions)) -> Running {
        let mut options = RunnerOptions {
            poll: Duration::from_millis(50),
            grace: Duration::from_millis(300),
            ..RunnerOptions::default()
        };
        change(&mut options);
        let modules = Arc::clone(&self.modules);
        let runner = Runner::new(self.app.clone(), self.cluster.clone(), modules, set, options);
        let stop = CancellationToken::new();
        let own = stop.clone();
        Running { stop, task: tokio::spawn(async move { runner.run(own).await }) }
    }

    pub(crate) async fn on_platform<K>(&self, input: K::Input) -> JobId
    where
        K: JobKind<Scope = OnPlatform>,
    {
        enqueue(&self.app, &by(), NewJob::<K>::on_platform(input)).await.unwrap().id
    }

    pub(crate) async fn in_tenant<K>(&self, tenant: &TestTenant, input: K::Input) -> JobId
    where
        K: JobKind<Scope = InTenant>,
    {
        enqueue(&self.app, &by(), NewJob::<K>::in_tenant(tenant.tenant.id, input)).await.unwrap().id
    }

    pub(crate) async fn job(&self, id: JobId) -> Job {
        query::get(&self.app, id).await.unwrap()
    }

    /// Waits until a job is in a state.
    pub(crate) async fn until(&self, id: JobId, state: JobState) -> Job {
        eventually(&format!("{id} is {state}"), || async {
            let job = self.job(id).await;
            assert!(job.state == state || !job.state.is_final(), "{job:?}");
            (job.state == state).then_some(job)
        })
        .await
    }

    /// Counts what a condition holds for.
    pub(crate) async fn count(&self, condition: &str) -> i64 {
        let text = format!("SELECT count(*) FROM public.jobs WHERE {condition}");
        sqlx::query_scalar(sqlx::AssertSqlSafe(text))
            .fetch_one(&mut self.database.superuser().await)
            .await
            .unwrap()
    }

    /// Changes something past every right.
    pub(crate) async fn meddle(&self, statement: &str) {
        let mut superuser = self.database.superuser().await;
        sqlx::query(sqlx::AssertSqlSafe(statement.to_owned())).execute(&mut superuser).await.unwrap();
    }
}

/// A runner at work.
pub(crate) struct Running {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Running {
    /// Ends it in good order.
    pub(crate) async fn end(self) {
        self.stop.cancel();
        self.task.await.unwrap();
    }

    /// Ends it as SIGKILL does: nothing is told to anybody.
    pub(crate) async fn kill(self) {
        self.task.abort();
        let _aborted = self.task.await;
    }
}

pub(crate) fn by() -> PlatformScope {
    PlatformScope::system("test")
}

/// Waits until something is there.
pub(crate) async fn eventually<T, F: Future<Output = Option<T>>>(
    what: &str,
    mut look: impl FnMut() -> F,
) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < deadline, "never came true: {what}");
        sleep(Duration::from_millis(20)).await;
    }
}

/// Counts how often each job was begun.
#[derive(Clone, Default)]
pub(crate) struct Tally(pub(crate) Arc<Mutex<HashMap<JobId, u32>>>);

#[async_trait]
impl JobKind for Tally {
    const NAME: &'static str = "test.tally";
    type Scope = OnPlatform;
    type Input = u32;
    type Output = u32;
    async fn run(&self, context: &JobContext<OnPlatform>, number: u32) -> Result<u32, JobError> {
        *self.0.lock().unwrap().entry(context.id()).or_default() += 1;
        Ok(number)
    }
}

/// Waits at a gate until the test opens it, or until it is to stop.
#[derive(Clone)]
pub(crate) struct Gated {
    pub(crate) arrived: Arc<Semaphore>,
    pub(crate) gate: Arc<Semaphore>,
    /// Whether it looks at what it is told.
    pub(crate) heeds: bool,
    /// Whether it says how far it has come.
    pub(crate) reports: bool,
    pub(crate) says: &'static str,
}

impl Gated {
    pub(crate) fn new(says: &'static str) -> Self {
        let closed = || Arc::new(Semaphore::new(0));
        Self { arrived: closed(), gate: closed(), heeds: true, reports: true, says }
    }

    pub(crate) fn set(&self) -> JobSet {
        JobSet::new().kind(self.clone()).unwrap().kind(GatedInTenant(self.clone())).unwrap()
    }

    /// Waits until a job stands at the gate.
    pub(crate) async fn arrives(&self) {
        self.arrived.acquire().await.unwrap().forget();
    }

    pub(crate) fn open(&self) {
        self.gate.add_permits(1);
    }

    async fn pass(&self, stop: &CancellationToken) -> Result<(), JobError> {
        self.arrived.add_permits(1);
        tokio::select! {
            permit = self.gate.acquire() => {
                permit.unwrap().forget();
                Ok(())
            }
            () = stop.cancelled(), if self.heeds => Err(JobError::Stopped),
        }
    }
}

#[async_trait]
impl JobKind for Gated {
    const NAME: &'static str = "test.gated";
    type Scope = OnPlatform;
    type Input = ();
    type Output = &'static str;
    async fn run(&self, context: &JobContext<OnPlatform>, (): ()) -> Result<&'static str, JobError> {
        self.pass(context.stop()).await?;
        if self.reports {
            context.progress(1, Some(1), self.says).await;
        }
        Ok(self.says)
    }
}

/// As [`Gated`], and then says whose tables it sees.
#[derive(Clone)]
pub(crate) struct GatedInTenant(pub(crate) Gated);

#[async_trait]
impl JobKind for GatedInTenant {
    const NAME: &'static str = "test.gated_in_tenant";
    type Scope = InTenant;
    type Input = ();
    type Output = String;
    async fn run(&self, context: &JobContext<InTenant>, (): ()) -> Result<String, JobError> {
        self.0.pass(context.stop()).await?;
        who(context).await
    }
}

/// Says whose tables it sees, after a while.
#[derive(Clone, Default)]
pub(crate) struct Quick {
    pub(crate) takes: Duration,
}

#[async_trait]
impl JobKind for Quick {
    const NAME: &'static str = "test.quick";
    type Scope = InTenant;
    type Input = ();
    type Output = String;
    async fn run(&self, context: &JobContext<InTenant>, (): ()) -> Result<String, JobError> {
        sleep(self.takes).await;
        who(context).await
    }
}

async fn who(context: &JobContext<InTenant>) -> Result<String, JobError> {
    let question = "SELECT concat_ws(' ', current_user, current_setting('app.current_tenant')) AS who FROM rooms \
        RIGHT JOIN (SELECT 1) AS one ON true LIMIT 1";
    let statement = Statement::from_string(DbBackend::Postgres, question);
    let row = context.connection().query_one_raw(statement).await;
    let row = row.map_err(|error| JobError::database(&error))?.unwrap();
    Ok(row.try_get("", "who").unwrap())
}

/// Returns what [`Quick`] says in a tenant.
pub(crate) fn name_of(tenant: &TestTenant) -> String {
    format!("{} {}", tenant.tenant.database_schema, tenant.tenant.id)
}
