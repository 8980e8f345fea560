//! Background work, for operators of the platform.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use actix_web::{http::StatusCode, web::Bytes};
use clinicx_identity::Identity;
use clinicx_jobs::{Job, JobFilter, JobId, JobState, query};
use clinicx_persistence::SystemConnection;
use clinicx_tenancy::registry;
use clinicx_types::{
    id::{SessionId, TenantId, UserId},
    name::TenantSlug,
};
use clinicx_web::{Access, ApiError, CallerCx, HttpModule, IfMatch, List, Operation, Path, Reply};
use futures_util::{Stream, stream};
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::platform_tenants::scope;
use crate::wiring::{Platform, Slot};

/// How often a job is looked at for whoever watches it.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// After so long without news a comment is sent, so that nothing between takes the connection for dead.
const SIGN_EVERY: Duration = Duration::from_secs(15);
/// How long one answer goes on. Then the client asks again, with a token that is looked at again.
const WATCH_FOR: Duration = Duration::from_secs(60);
/// How many answers of one user go on at a time, in one process; each looks twice a second.
const MAX_WATCHES: usize = 8;
/// After how long a client that was cut off asks again, in milliseconds.
const RETRY_MS: u32 = 1000;

/// The operations on jobs.
pub fn module(slot: &Slot) -> HttpModule {
    let take = || slot.clone();
    let watchers = Watchers::default();
    let (listing, getting, watching, cancelling) = (take(), take(), take(), take());
    HttpModule::new("jobs", "Background work, for operators of the platform").operations([
        Operation::get("/platform/jobs", "list_jobs")
            .summary("List jobs, the newest first")
            .access(Access::Operator)
            .answers_page::<Job>()
            .errors(&["not_found"])
            .handler(move |cx: CallerCx, wanted: List<Wanted>| list(listing.clone(), cx, wanted)),
        Operation::get("/platform/jobs/{id}", "get_job")
            .summary("Show a job: where it stands, how far it has come, why it has failed")
            .access(Access::Operator)
            .answers::<Job>(200)
            .errors(&["not_found"])
            .handler(move |cx: CallerCx, id: Path<JobId>| get(getting.clone(), cx, id)),
        Operation::get("/platform/jobs/{id}/events", "watch_job")
            .summary("Watch a job, as server-sent events")
            .description(
                "Each event `job` holds the job as it is shown, with its version as `id`: one at once, and one for \
                 each change. The answer ends with the job, with the caller's right and after a minute at the latest: \
                 whoever goes on watching asks again. A user watches at most eight at a time.",
            )
            .access(Access::Operator)
            .answers_content("text/event-stream")
            .errors(&["not_found"])
            .handler(move |cx: CallerCx, id: Path<JobId>| {
                watch(watching.clone(), watchers.clone(), cx, id)
            }),
        Operation::transition("/platform/jobs/{id}/cancel", "cancel_job")
            .summary("Cancel a job")
            .description(
                "A job that waits is cancelled at once. One that runs is told to stop; until it has, the answer shows \
                 it as running with `cancel_requested`.",
            )
            .access(Access::Operator)
            .if_match(IfMatch::Accepted)
            .answers::<Job>(200)
            .errors(&["not_found"])
            .handler(move |cx: CallerCx, id: Path<JobId>| cancel(cancelling.clone(), cx, id)),
    ])
}

/// Which jobs are listed.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Wanted {
    /// Those in this state.
    state: Option<JobState>,
    /// Those of the tenant with this slug.
    #[schemars(with = "Option<String>")]
    tenant: Option<TenantSlug>,
    /// Those of this kind, such as `jobs.retention`.
    #[schemars(length(max = 100))]
    kind: Option<String>,
}

async fn list(slot: Slot, _cx: CallerCx, list: List<Wanted>) -> Result<Reply, ApiError> {
    let app = &slot.platform()?.app;
    let Wanted { state, tenant, kind } = list.filter.clone();
    let tenant = match tenant {
        Some(slug) => Some(registry::get_by_slug(app, &slug).await?.id),
        None => None,
    };
    let page = query::list(app, &JobFilter { state, tenant, kind }, &list.page).await?;
    Ok(about(tenant, Reply::page(&list, &page)))
}

async fn get(slot: Slot, _cx: CallerCx, Path(id): Path<JobId>) -> Result<Reply, ApiError> {
    let job = query::get(&slot.platform()?.app, id).await?;
    Ok(about(job.tenant_id, Reply::ok(&job)))
}

async fn cancel(slot: Slot, cx: CallerCx, Path(id): Path<JobId>) -> Result<Reply, ApiError> {
    let (app, scope, expected) = (slot.platform()?.app.clone(), scope(&cx), cx.expected_version());
    cx.perform(move || {
        Box::pin(async move {
            let job = clinicx_jobs::cancel(&app, &scope, id, expected).await?;
            Ok(about(job.tenant_id, Reply::ok(&job)))
        })
    })
    .await
}

async fn watch(
    slot: Slot,
    watchers: Watchers,
    cx: CallerCx,
    Path(id): Path<JobId>,
) -> Result<Reply, ApiError> {
    let platform = slot.platform()?;
    let job = query::get(&platform.app, id).await?;
    let (user, session) = (cx.caller().user_id, cx.caller().session_id.ok_or_else(ApiError::not_found)?);
    let place = watchers.enter(user).ok_or_else(too_many)?;
    let watch = Watch::begin(platform, id, session, place);
    Ok(about(job.tenant_id, Reply::streaming("text/event-stream", watch.events(job))))
}

/// Says whose job it is, for the audit.
fn about(tenant: Option<TenantId>, reply: Reply) -> Reply {
    match tenant {
        Some(tenant) => reply.concerning(tenant),
        None => reply,
    }
}

fn too_many() -> ApiError {
    ApiError::new(StatusCode::TOO_MANY_REQUESTS, "throttled")
        .detail("too many jobs are being watched by this user at a time")
}

/// How many answers each user has that go on.
#[derive(Clone, Default)]
struct Watchers(Arc<Mutex<HashMap<UserId, usize>>>);

impl Watchers {
    /// Counts one more, unless there are too many.
    fn enter(&self, user: UserId) -> Option<Place> {
        let mut counts = self.counts();
        let count = counts.entry(user).or_default();
        (*count < MAX_WATCHES).then(|| {
            *count += 1;
            Place { watchers: self.clone(), user }
        })
    }

    fn counts(&self) -> MutexGuard<'_, HashMap<UserId, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One of a user's answers that go on, for as long as it lives.
struct Place {
    watchers: Watchers,
    user: UserId,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.watchers.counts();
        if let Entry::Occupied(mut count) = counts.entry(self.user) {
            *count.get_mut() = count.get().saturating_sub(1);
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

/// Somebody who watches a job.
struct Watch {
    app: SystemConnection,
    identity: Identity,
    id: JobId,
    /// As whom: it is looked at again for as long as the answer goes on.
    session: SessionId,
    _place: Place,
    /// Cancelled when the service begins to stop, which would otherwise wait for this answer.
    stopping: CancellationToken,
    until: Instant,
    last: Instant,
    seen: Option<i64>,
}

impl Watch {
    fn begin(platform: &Platform, id: JobId, session: SessionId, place: Place) -> Self {
        let now = Instant::now();
        Self {
            app: platform.app.clone(),
            identity: platform.identity.clone(),
            id,
            session,
            _place: place,
            stopping: platform.stopping.clone(),
            until: now + WATCH_FOR,
            last: now,
            seen: None,
        }
    }

    /// Returns what is sent: the job as it is, and again after each change, until it has ended.
    fn events(self, job: Job) -> impl Stream<Item = Bytes> + Send {
        stream::unfold(Some((self, Some(job))), async |state| {
            let (mut watch, job) = state?;
            let job = match job {
                Some(job) => Some(job),
                None => watch.news().await?,
            };
            watch.last = Instant::now();
            let Some(job) = job else { return Some((Bytes::from_static(b": \n\n"), Some((watch, None)))) };
            let event = watch.event(&job);
            let goes_on = !job.state.is_final();
            Some((event, goes_on.then_some((watch, None))))
        })
    }

    /// Waits for a change, or for the time at which a sign of life is due; `None` at the end of the answer.
    async fn news(&mut self) -> Option<Option<Job>> {
        loop {
            tokio::select! {
                () = self.stopping.cancelled() => return None,
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
            if Instant::now() >= self.until || !self.may_go_on().await {
                return None;
            }
            match query::find(&self.app, self.id).await {
                Ok(Some(job)) if self.seen != Some(job.version) => return Some(Some(job)),
                Ok(None) => return None,
                // While the database is away there is no news.
                Ok(Some(_)) | Err(_) => {}
            }
            if self.last.elapsed() >= SIGN_EVERY {
                return Some(None);
            }
        }
    }

    /// Tells whether whoever watches still operates the platform; a log-out or a right that was taken away is noticed
    /// as soon as by the next request. While the database is away nobody knows, and there is no news either.
    async fn may_go_on(&self) -> bool {
        match self.identity.standing_of(self.session).await {
            Ok(standing) => standing.is_some_and(|principal| principal.is_operator && !principal.must_enrol),
            Err(_) => true,
        }
    }

    fn event(&mut self, job: &Job) -> Bytes {
        let retry = if self.seen.is_none() { format!("retry: {RETRY_MS}\n") } else { String::new() };
        self.seen = Some(job.version);
        // JSON has no line breaks outside of texts, and in them they are written as two signs.
        let data = serde_json::to_string(job).unwrap_or_default();
        Bytes::from(format!("{retry}event: job\nid: {}\ndata: {data}\n\n", job.version))
    }
}
