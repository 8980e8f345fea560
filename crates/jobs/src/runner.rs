//! What works: claims jobs, renews their leases, makes the jobs of what is due.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use clinicx_persistence::{Cluster, Failure, SystemConnection, SystemExecutor};
use clinicx_tenancy::ModuleRegistry;
use clinicx_types::clock::RandomIds;
use sea_orm::{DbErr, FromQueryResult, raw_sql};
use tokio::{
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval, timeout},
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    claim::{self, Abandoned, Want},
    execution,
    lease::{self, Held, Reason},
    schedule,
    set::JobSet,
    telemetry,
};

/// How often the figures of the queue are brought to the metrics.
const FIGURES_EVERY: Duration = Duration::from_secs(15);

/// How a runner is set.
#[derive(Clone, Debug)]
pub struct RunnerOptions {
    /// What names it in the table, for people.
    pub name: String,
    /// How many jobs it runs at a time; the platform's own take at most half of the places.
    pub concurrency: u16,
    /// How many jobs of one tenant run at a time, in all runners together.
    pub per_tenant: u16,
    /// How many jobs run at a time, in all runners together; the platform's own are at most half of them.
    pub total: u16,
    /// After how long without a sign of life a job is taken over by another runner.
    pub lease: Duration,
    /// How often it looks for jobs, due schedules and cancellations.
    pub poll: Duration,
    /// How long a job that is to stop may take; then it is dropped at its next await.
    pub grace: Duration,
}

impl Default for RunnerOptions {
    fn default() -> Self {
        Self {
            name: "runner".to_owned(),
            concurrency: 4,
            per_tenant: 2,
            total: 16,
            lease: Duration::from_secs(30),
            poll: Duration::from_secs(1),
            grace: Duration::from_secs(10),
        }
    }
}

/// Works off jobs, together with the runners of other processes.
#[derive(Debug)]
pub struct Runner {
    worker: Arc<Worker>,
}

/// What a runner and its jobs share.
pub(crate) struct Worker {
    pub(crate) system: SystemConnection,
    pub(crate) cluster: Cluster,
    pub(crate) modules: Arc<ModuleRegistry>,
    pub(crate) set: JobSet,
    pub(crate) options: RunnerOptions,
    held: Mutex<HashMap<Uuid, Entry>>,
}

#[derive(Clone)]
struct Entry {
    held: Arc<Held>,
    is_platform: bool,
}

/// Keeps a lease among those that are looked after, until it is dropped.
pub(crate) struct Hold {
    pub(crate) worker: Arc<Worker>,
    pub(crate) held: Arc<Held>,
}

impl Hold {
    fn begin(worker: &Arc<Worker>, held: Held, is_platform: bool) -> Self {
        let held = Arc::new(held);
        worker.entries().insert(held.token, Entry { held: Arc::clone(&held), is_platform });
        Self { worker: Arc::clone(worker), held }
    }
}

impl Worker {
    fn entries(&self) -> std::sync::MutexGuard<'_, HashMap<Uuid, Entry>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn held(&self) -> Vec<Arc<Held>> {
        self.entries().values().map(|entry| Arc::clone(&entry.held)).collect()
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.worker.entries().remove(&self.held.token);
    }
}

impl std::fmt::Debug for Worker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Worker")
            .field("set", &self.set)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

impl Runner {
    /// Makes one that reads jobs and the registry with the application's login, and works in the tenants of a cluster.
    pub fn new(
        system: SystemConnection,
        cluster: Cluster,
        modules: Arc<ModuleRegistry>,
        set: JobSet,
        options: RunnerOptions,
    ) -> Self {
        let held = Mutex::new(HashMap::new());
        Self { worker: Arc::new(Worker { system, cluster, modules, set, options, held }) }
    }

    /// Works until it is told to stop; then what runs is told to stop too, and goes back to those that wait unless it
    /// ends by itself.
    ///
    /// When this future is dropped, its jobs are: their leases run out, and others take them over.
    pub async fn run(&self, stop: CancellationToken) {
        let mut jobs = JoinSet::new();
        tokio::select! {
            () = self.work(&mut jobs, &stop) => {}
            () = self.watch() => {}
        }
        for held in self.worker.held() {
            held.stop(Reason::Ending);
        }
        let drained = async { while jobs.join_next().await.is_some() {} };
        tokio::select! {
            () = drained => {}
            () = self.watch() => {}
        }
    }

    async fn work(&self, jobs: &mut JoinSet<()>, stop: &CancellationToken) {
        let mut ticks = interval(self.worker.options.poll);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut state = State { is_registered: false, is_failing: false, figures_at: Instant::now() };
        loop {
            let is_tick = tokio::select! {
                biased;
                () = stop.cancelled() => return,
                _ = ticks.tick() => true,
                Some(_) = jobs.join_next(), if !jobs.is_empty() => false,
            };
            // Those that ended meanwhile leave their places too.
            while jobs.try_join_next().is_some() {}
            match self.turn(jobs, &mut state, is_tick).await {
                Ok(()) => state.is_failing = false,
                Err(error) => {
                    let error = Failure::of(&error);
                    if state.is_failing {
                        tracing::debug!(%error, "jobs can't be claimed");
                    } else {
                        tracing::warn!(%error, "jobs can't be claimed; it is tried again and again");
                    }
                    state.is_failing = true;
                }
            }
        }
    }

    async fn turn(&self, jobs: &mut JoinSet<()>, state: &mut State, is_tick: bool) -> Result<(), DbErr> {
        let worker = &self.worker;
        if !state.is_registered {
            schedule::register(&worker.system, worker.set.schedules()).await?;
            state.is_registered = true;
        }
        let mut is_waiting = true;
        if is_tick {
            let schedules = worker.set.schedules();
            let waiting = claim::look(&worker.system, schedules).await?;
            let due = waiting.schedules && schedule::fire(&worker.system, &RandomIds, schedules).await? > 0;
            is_waiting = waiting.jobs || due;
            if state.figures_at <= Instant::now() {
                state.figures_at = Instant::now() + FIGURES_EVERY;
                figures(&worker.system).await?;
            }
        }
        if is_waiting { self.claim(jobs).await } else { Ok(()) }
    }

    async fn claim(&self, jobs: &mut JoinSet<()>) -> Result<(), DbErr> {
        let worker = &self.worker;
        let options = &worker.options;
        let kinds: Vec<String> = worker.set.kinds().map(str::to_owned).collect();
        let own = worker.entries().values().filter(|entry| entry.is_platform).count();
        let count = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
        let half = |places: u16| i64::from((places / 2).max(1));
        let want = Want {
            runner: &options.name,
            kinds: &kinds,
            places: i64::from(options.concurrency) - count(jobs.len()),
            platform_places: (half(options.concurrency) - count(own)).max(0),
            per_tenant: i64::from(options.per_tenant),
            per_platform: half(options.total),
            total: i64::from(options.total),
            lease: options.lease,
        };
        if want.places <= 0 {
            return Ok(());
        }
        let good_until = Instant::now() + options.lease;
        let (abandoned, claimed) = claim::claim(&worker.system, &want).await?;
        for job in abandoned {
            self.tell_abandoned(&job);
        }
        for job in claimed {
            // Before its task begins: whoever stops the runner meanwhile must find it.
            let hold = Hold::begin(worker, Held::new(job.token, good_until), job.tenant_id.is_none());
            jobs.spawn(execution::execute(hold, job));
        }
        Ok(())
    }

    fn tell_abandoned(&self, job: &Abandoned) {
        let Abandoned { id, kind, state } = job;
        let known = self.worker.set.kinds().find(|known| *known == kind.as_str());
        telemetry::abandoned(known.unwrap_or("other"));
        tracing::warn!(job.id = %id, job.kind = kind, job.outcome = state, "the process of a job has gone");
    }

    /// Renews leases and looks for cancellations; never ends.
    async fn watch(&self) {
        let mut ticks = interval(self.worker.options.poll);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let now = Instant::now();
            let mut held = self.worker.held();
            held.retain(|held| {
                // Whether or not the database knows: another may have it from now on.
                let is_over = held.good_until() <= now;
                if is_over {
                    held.lose();
                }
                !is_over
            });
            if !held.is_empty() {
                self.look_after(&held, now).await;
            }
        }
    }

    async fn look_after(&self, held: &[Arc<Held>], now: Instant) {
        let (system, lease) = (&self.worker.system, self.worker.options.lease);
        let tokens: Vec<Uuid> = held.iter().map(|held| held.token).collect();
        let renews = held.iter().any(|held| held.good_until() < now + lease * 2 / 3);
        let work = async {
            if renews {
                lease::renew(system, &tokens, lease).await
            } else {
                lease::look(system, &tokens).await
            }
        };
        // A statement that takes longer must not keep a lease from being noticed as lost.
        let standings = match timeout(lease / 4, work).await {
            Ok(Ok(standings)) => standings,
            Ok(Err(error)) => {
                let error = Failure::of(&error);
                tracing::debug!(%error, "leases could not be renewed");
                return;
            }
            Err(_) => return,
        };
        for held in held {
            match standings.iter().find(|standing| standing.token == held.token) {
                Some(standing) => {
                    if renews {
                        held.renewed(now + lease);
                    }
                    if standing.cancelled {
                        held.stop(Reason::Cancelled);
                    }
                }
                None => held.lose(),
            }
        }
    }
}

/// What a runner remembers from turn to turn.
struct State {
    is_registered: bool,
    is_failing: bool,
    figures_at: Instant,
}

#[derive(FromQueryResult)]
struct Figures {
    jobs: i64,
    oldest_s: f64,
}

async fn figures(db: &SystemConnection) -> Result<(), DbErr> {
    let figures: Option<Figures> = db
        .query_one(raw_sql!(
            Postgres,
            r#"SELECT count(*) AS jobs,
                      CAST(COALESCE(extract(epoch FROM now() - min(j.run_after)), 0) AS float8) AS oldest_s
               FROM public.jobs AS j
               LEFT JOIN public.tenants AS t ON t.id = j.tenant_id
               WHERE j.state = 'queued' AND j.run_after <= now() AND (t.id IS NULL OR t.status = 'active')"#
        ))
        .await?;
    if let Some(Figures { jobs, oldest_s }) = figures {
        telemetry::waiting(u32::try_from(jobs).unwrap_or(u32::MAX), oldest_s);
    }
    Ok(())
}
