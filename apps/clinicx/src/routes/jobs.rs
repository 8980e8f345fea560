//! Background work, for operators of the platform.

use std::time::Duration;

use actix_web::web::Bytes;
use clinicx_jobs::{Job, JobFilter, JobId, JobState, query};
use clinicx_persistence::SystemConnection;
use clinicx_tenancy::registry;
use clinicx_types::{id::TenantId, name::TenantSlug};
use clinicx_web::{Access, ApiError, CallerCx, HttpModule, IfMatch, List, Operation, Path, Reply};
use futures_util::{Stream, stream};
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::platform_tenants::scope;
use crate::wiring::Slot;

/// How often a job is looked at for whoever watches it.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// After so long without news a comment is sent, so that nothing between takes the connection for dead.
const SIGN_EVERY: Duration = Duration::from_secs(15);
/// How long one answer goes on. Then the client asks again, with a token that is looked at again.
const WATCH_FOR: Duration = Duration::from_secs(60);
/// After how long a client that was cut off asks again, in milliseconds.
const RETRY_MS: u32 = 1000;

/// The operations on jobs.
pub fn module(slot: &Slot) -> HttpModule {
    let take = || slot.clone();
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
                 each change. The answer ends with the job, and after a minute at the latest: whoever goes on watching \
                 asks again.",
            )
            .access(Access::Operator)
            .answers_content("text/event-stream")
            .errors(&["not_found"])
            .handler(move |cx: CallerCx, id: Path<JobId>| watch(watching.clone(), cx, id)),
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

async fn watch(slot: Slot, _cx: CallerCx, Path(id): Path<JobId>) -> Result<Reply, ApiError> {
    let platform = slot.platform()?;
    let job = query::get(&platform.app, id).await?;
    let watch = Watch::begin(platform.app.clone(), id, platform.stopping.clone());
    Ok(about(job.tenant_id, Reply::streaming("text/event-stream", watch.events(job))))
}

/// Says whose job it is, for the audit.
fn about(tenant: Option<TenantId>, reply: Reply) -> Reply {
    match tenant {
        Some(tenant) => reply.concerning(tenant),
        None => reply,
    }
}

/// Somebody who watches a job.
struct Watch {
    app: SystemConnection,
    id: JobId,
    /// Cancelled when the service begins to stop, which would otherwise wait for this answer.
    stopping: CancellationToken,
    until: Instant,
    last: Instant,
    seen: Option<i64>,
}

impl Watch {
    fn begin(app: SystemConnection, id: JobId, stopping: CancellationToken) -> Self {
        let now = Instant::now();
        Self { app, id, stopping, until: now + WATCH_FOR, last: now, seen: None }
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
            if Instant::now() >= self.until {
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

    fn event(&mut self, job: &Job) -> Bytes {
        let retry = if self.seen.is_none() { format!("retry: {RETRY_MS}\n") } else { String::new() };
        self.seen = Some(job.version);
        // JSON has no line breaks outside of texts, and in them they are written as two signs.
        let data = serde_json::to_string(job).unwrap_or_default();
        Bytes::from(format!("{retry}event: job\nid: {}\ndata: {data}\n\n", job.version))
    }
}
