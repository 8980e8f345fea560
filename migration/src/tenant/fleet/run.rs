//! One run over the fleet.

use std::{
    collections::{BTreeMap, BTreeSet},
    num::NonZeroUsize,
};

use clinicx_types::{id::TenantId, uuid::Uuid};
use sea_orm::JsonValue;

use super::{
    Mark,
    desk::{Desk, PING, failed},
    pool::{Pool, Task, TenantResult, Terms},
    prepare::{self, Prepared},
    standing::{FleetError, Standing, standings_to},
    status::{self, Undone},
    store,
    wave::{Share, Wave},
};
use crate::{
    failure::DatabaseFailure,
    owner::OwnerLogin,
    tenant::{
        apply::{Direction, Fences, MigrateError, Subject},
        limits::{Limits, Target},
        plan::Plan,
    },
};

/// What is asked of a run.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// Names the run, when it is a new one.
    pub id: Uuid,
    /// The slugs of the tenants; all when there are none.
    pub only: BTreeSet<String>,
    /// The slugs of canaries beside those of the ring.
    pub canary: BTreeSet<String>,
    /// How many tenants at a time.
    pub concurrency: NonZeroUsize,
    /// The share of a wave that may fail.
    pub halt_at: Share,
    /// Where the tenants are brought.
    pub target: Target,
    /// In which directions.
    pub direction: Direction,
    /// When the fences are put up; [`Fences::Always`] looks at every tenant, also at those that are where they are to be.
    pub fences: Fences,
    /// Tries again what failed: in a run that is taken up, or in the last one.
    pub retry_failed: bool,
}

impl RunOptions {
    /// Brings all tenants to the newest, in a run of this id.
    pub fn new(id: Uuid) -> Self {
        Self {
            id,
            only: BTreeSet::new(),
            canary: BTreeSet::new(),
            concurrency: super::CONCURRENCY,
            halt_at: Share::DEFAULT,
            target: Target::Newest,
            direction: Direction::Forward,
            fences: Fences::WhenTouched,
            retry_failed: false,
        }
    }
}

/// What happens in a run.
#[derive(Debug)]
pub enum Event<'a> {
    /// Another run is going on; this one begins when it has ended.
    Waiting,
    /// It has begun.
    Began {
        /// The run.
        run: Uuid,
        /// Whether it goes on where another invocation was cut short or halted.
        resumed: bool,
        /// How many tenants there are to be done.
        tenants: usize,
    },
    /// A wave has begun.
    Wave {
        /// Which.
        wave: Wave,
        /// How many of its tenants there are to be done.
        tenants: usize,
    },
    /// A tenant is done, or has failed.
    Tenant(&'a TenantResult),
}

/// Why a run could not go on. It can be taken up again.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// There is no tenant of this slug with tables.
    #[error("there is no tenant {0} with tables")]
    UnknownTenant(String),
    /// The fleet could not be listed.
    #[error(transparent)]
    Fleet(#[from] FleetError),
    /// The database said no.
    #[error(transparent)]
    Database(#[from] DatabaseFailure),
    /// The connection that leads the run was lost, and its lock with it.
    #[error("the connection that leads the run was lost")]
    Lost,
    /// The database was away too long while a tenant was migrated.
    #[error("the database is away")]
    Away(#[source] MigrateError),
}

/// How a run has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunEnd {
    /// Every tenant was where it is to be; there was no run.
    Nothing,
    /// Every tenant is where it is to be.
    Succeeded,
    /// Some tenants are not where they are to be.
    Partly,
    /// Too much went wrong; the reason.
    Halted(String),
}

/// What has come of a run.
#[derive(Clone, Debug)]
pub struct RunReport {
    /// The run; `None` when there was nothing to do.
    pub run: Option<Uuid>,
    /// How it has ended.
    pub end: RunEnd,
    /// How many tenants this invocation has done.
    pub done: usize,
    /// The tenants that are not done, by slug.
    pub undone: Vec<Undone>,
    /// The tenants that are pinned below what the program has, by slug, and to what.
    pub pinned: Vec<(String, Limits)>,
}

/// Runs over the fleet: takes the run up that was cut short or halted when the same is asked for, or begins a new one.
/// Waits while another run is going on. What is said of `events` is said as it happens.
///
/// When the future is dropped or the process killed, what runs is rolled back, and the next run goes on from there.
///
/// # Errors
/// [`RunError`]. A tenant that fails is no error of the run; it stands in the report.
pub async fn run(
    login: &OwnerLogin,
    plan: &Plan,
    options: &RunOptions,
    mut events: impl FnMut(Event<'_>) + Send,
) -> Result<RunReport, RunError> {
    let mut desk = Desk::open(login, &mut events).await?;
    let prepared = prepare::prepare(&mut desk, login, plan, options).await?;
    let mut run = Run { login, plan, options, desk, events, id: options.id, done: 0 };
    let end = match prepared {
        Prepared::Nothing => RunEnd::Nothing,
        Prepared::Run { id, resumed, tenants } => {
            run.id = id;
            (run.events)(Event::Began { run: id, resumed, tenants });
            run.waves().await?
        }
    };
    run.report(end).await
}

struct Run<'a, F> {
    login: &'a OwnerLogin,
    plan: &'a Plan,
    options: &'a RunOptions,
    desk: Desk,
    events: F,
    id: Uuid,
    done: usize,
}

/// Why a wave stopped before its end.
type Halt = Option<String>;

impl<F: FnMut(Event<'_>) + Send> Run<'_, F> {
    async fn waves(&mut self) -> Result<RunEnd, RunError> {
        for wave in [Wave::Canary, Wave::Early, Wave::Rest] {
            if let Some(reason) = self.wave(wave).await? {
                return Ok(RunEnd::Halted(reason));
            }
        }
        // Whoever was made by an older program meanwhile comes last, until nobody does.
        loop {
            let reason = self.wave(Wave::Late).await?;
            if let Some(reason) = reason {
                return Ok(RunEnd::Halted(reason));
            }
            if !self.options.only.is_empty() || self.options.retry_failed || !self.newcomers().await? {
                break;
            }
        }
        let tx = self.desk.begin().await?;
        let counts = store::counts(&tx, self.id, None).await.map_err(failed)?;
        self.desk.commit(tx).await?;
        let is_done = counts.iter().all(|count| count.state == "done" || count.tenants == 0);
        Ok(if is_done { RunEnd::Succeeded } else { RunEnd::Partly })
    }

    async fn standings(&mut self) -> Result<Vec<Standing>, RunError> {
        let tx = self.desk.begin().await?;
        let standings = standings_to(&tx, self.plan, &self.options.target).await?;
        self.desk.commit(tx).await?;
        Ok(standings)
    }

    /// Adds the tenants that have come meanwhile and are behind; tells whether there are any.
    async fn newcomers(&mut self) -> Result<bool, RunError> {
        let standings = self.standings().await?;
        let tx = self.desk.begin().await?;
        let members: BTreeSet<TenantId> =
            store::members(&tx, self.id).await.map_err(failed)?.into_iter().collect();
        let new = standings.iter().filter(|one| one.pending > 0 && !members.contains(&one.subject.tenant_id));
        let new: Vec<store::New> = new
            .filter_map(|one| {
                Some(store::New {
                    tenant_id: one.subject.tenant_id,
                    wave: Wave::Late,
                    limits: one.limits(self.plan, &self.options.target).ok()?,
                    from_version: one.version.to_string(),
                    skipped: None,
                })
            })
            .collect();
        store::add(&tx, self.id, &new).await.map_err(failed)?;
        self.desk.commit(tx).await?;
        Ok(!new.is_empty())
    }

    /// Does what is pending of a wave.
    async fn wave(&mut self, wave: Wave) -> Result<Halt, RunError> {
        let standings = self.standings().await?;
        let mut subjects: BTreeMap<TenantId, Subject> =
            standings.into_iter().map(|one| (one.subject.tenant_id, one.subject)).collect();
        let tx = self.desk.begin().await?;
        let pending = store::pending(&tx, self.id, wave).await.map_err(failed)?;
        let mut tally = Tally::of(&store::counts(&tx, self.id, Some(wave)).await.map_err(failed)?);
        let mut tasks = Vec::with_capacity(pending.len());
        for one in pending {
            match subjects.remove(&one.tenant_id) {
                Some(subject) => tasks.push(Task { subject, limits: Limits::from_stored(&one.limits) }),
                None => self.gone(&tx, one.tenant_id).await?,
            }
        }
        self.desk.commit(tx).await?;
        if let Some(reason) = self.halts(wave, &tally) {
            return Ok(Some(reason));
        }
        if tasks.is_empty() {
            return Ok(None);
        }
        (self.events)(Event::Wave { wave, tenants: tasks.len() });
        let terms = Terms {
            login: self.login.clone(),
            plan: self.plan.clone(),
            direction: self.options.direction,
            fences: self.options.fences,
            mark: Some(Mark { run: self.id }),
        };
        let mut pool = Pool::start(&terms, tasks, self.options.concurrency.min(super::MAX_CONCURRENCY));
        self.see_through(&mut pool, wave, &mut tally).await
    }

    /// Takes the results of a wave until there are no more.
    async fn see_through(
        &mut self,
        pool: &mut Pool,
        wave: Wave,
        tally: &mut Tally,
    ) -> Result<Halt, RunError> {
        let (mut halt, mut away) = (None, None);
        loop {
            let next = tokio::time::timeout(PING, pool.next()).await;
            self.desk.ping().await?;
            let result = match next {
                Err(_elapsed) => continue,
                Ok(None) => break,
                Ok(Some(result)) => result,
            };
            match &result.result {
                Ok(_) => self.done += 1,
                Err(error) if error.is_away() => {
                    pool.halt();
                    away = Some(error.clone());
                    continue;
                }
                Err(error) => {
                    tally.failed += self.write_down(&result.subject, error).await?;
                    if let Some(reason) = self.halts(wave, tally) {
                        pool.halt();
                        halt = Some(reason);
                    }
                }
            }
            (self.events)(Event::Tenant(&result));
        }
        away.map_or(Ok(halt), |error| Err(RunError::Away(error)))
    }

    /// Writes a failure down; returns how many that are.
    async fn write_down(&mut self, subject: &Subject, error: &MigrateError) -> Result<usize, RunError> {
        let tx = self.desk.begin().await?;
        let is_gone = *error == MigrateError::UnknownTenant;
        if is_gone {
            self.gone(&tx, subject.tenant_id).await?;
        } else {
            let text = error.to_string();
            store::fail(&tx, self.id, subject.tenant_id, "failed", &text).await.map_err(failed)?;
        }
        self.desk.commit(tx).await?;
        Ok(usize::from(!is_gone))
    }

    async fn gone(&self, tx: &crate::owner::OwnerTransaction, tenant: TenantId) -> Result<(), RunError> {
        store::fail(tx, self.id, tenant, "skipped", "the tenant has ended meanwhile").await.map_err(failed)
    }

    /// Tells why the run stops, when too much of the wave has failed.
    fn halts(&self, wave: Wave, tally: &Tally) -> Halt {
        let Tally { failed, all } = *tally;
        if wave == Wave::Canary && failed > 0 {
            return Some(format!("{failed} of {all} canaries failed"));
        }
        let share = self.options.halt_at;
        share
            .is_passed(failed, all)
            .then(|| format!("{failed} of {all} tenants of the wave {wave} failed, more than {share}"))
    }

    async fn report(mut self, end: RunEnd) -> Result<RunReport, RunError> {
        let standings = self.standings().await?;
        let tx = self.desk.begin().await?;
        let (state, reason) = match &end {
            RunEnd::Nothing => (None, None),
            RunEnd::Succeeded => (Some("succeeded"), None),
            RunEnd::Partly => (Some("partly"), None),
            RunEnd::Halted(reason) => (Some("halted"), Some(reason.as_str())),
        };
        let mut undone = Vec::new();
        if let Some(state) = state {
            undone = status::undone(&tx, self.id).await?;
            store::end(&tx, self.id, state, reason).await.map_err(failed)?;
            let after = [
                ("state", JsonValue::from(state)),
                ("done", JsonValue::from(self.done)),
                ("undone", JsonValue::from(undone.len())),
            ];
            let after = after.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
            store::record(&tx, self.id, "fleet.migration_ended", JsonValue::Object(after))
                .await
                .map_err(failed)?;
        }
        self.desk.commit(tx).await?;
        self.desk.close().await;
        let only = &self.options.only;
        let pinned = standings
            .into_iter()
            .filter(|one| only.is_empty() || only.contains(&one.slug))
            .filter(|one| one.is_held_back(self.plan))
            .filter_map(|one| Some((one.slug, one.pin?)))
            .collect();
        let run = state.map(|_| self.id);
        Ok(RunReport { run, end, done: self.done, undone, pinned })
    }
}

/// How a wave stands.
struct Tally {
    failed: usize,
    all: usize,
}

impl Tally {
    fn of(counts: &[store::Count]) -> Self {
        let of = |wanted: &[&str]| {
            let counts = counts.iter().filter(|count| wanted.contains(&count.state.as_str()));
            usize::try_from(counts.map(|count| count.tenants).sum::<i64>()).unwrap_or_default()
        };
        Self { failed: of(&["failed"]), all: of(&["pending", "done", "failed"]) }
    }
}
