//! Whether the service lives, whether it can serve, and its figures.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use actix_web::http::{StatusCode, header};
use clinicx_persistence::{SystemConnection, SystemExecutor};
use clinicx_web::{Access, ApiError, HttpModule, Operation, RateClass, Reply};
use schemars::JsonSchema;
use sea_orm::{FromQueryResult, raw_sql};
use serde::Serialize;
use tokio::sync::Mutex;

use crate::wiring::Slot;

/// After how many seconds readiness is worth another look.
const RETRY_AFTER_S: &str = "2";
/// How long an answer about readiness is given again.
const KEPT_FOR: Duration = Duration::from_secs(1);
/// The media type of Prometheus' text format.
pub(crate) const PROMETHEUS: &str = "text/plain; version=0.0.4";

/// What `/healthz` and `/readyz` say.
#[derive(Debug, Serialize, JsonSchema)]
struct Health {
    /// `ok`, or `unavailable` with 503.
    status: &'static str,
    /// What is not well.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    failing: Vec<&'static str>,
}

#[derive(FromQueryResult)]
struct One {
    #[expect(dead_code, reason = "the answer's arrival is what counts")]
    one: i32,
}

/// The last answer about readiness, for all who ask within a second: the operation is not counted, and the connections
/// that it would take are those of log-ins.
#[derive(Default)]
struct Readiness(Mutex<Option<(Instant, bool)>>);

impl Readiness {
    /// Returns the last answer or asks for one; who comes meanwhile waits for it.
    async fn answer(&self, ask: impl Future<Output = bool>) -> bool {
        let mut last = self.0.lock().await;
        match *last {
            Some((at, ready)) if at.elapsed() < KEPT_FOR => ready,
            _ => {
                let ready = ask.await;
                *last = Some((Instant::now(), ready));
                ready
            }
        }
    }
}

/// The operations on the service itself.
pub fn module(slot: &Slot) -> HttpModule {
    let (ready, figures) = (slot.clone(), slot.clone());
    let last = Arc::<Readiness>::default();
    let operations = [
        Operation::get("/healthz", "health")
            .summary("Tell whether the process lives")
            .access(Access::Public)
            .rate(RateClass::Exempt)
            .answers::<Health>(200)
            .handler(health),
        Operation::get("/readyz", "readiness")
            .summary("Tell whether it can serve")
            .description("An answer is given to all who ask within a second.")
            .access(Access::Public)
            .rate(RateClass::Exempt)
            .answers::<Health>(200)
            .answers::<Health>(503)
            .handler(move || readiness(ready.clone(), Arc::clone(&last))),
        Operation::get("/metrics", "metrics")
            .summary("Show the figures in the format of Prometheus")
            .description("404 when they are served on a port of their own.")
            .access(Access::Public)
            .rate(RateClass::Exempt)
            .answers_content(PROMETHEUS)
            .errors(&["not_found"])
            .handler(move || metrics(figures.clone())),
    ];
    HttpModule::new("health", "The service itself").mounted_at("").operations(operations)
}

async fn health() -> Result<Reply, ApiError> {
    Ok(Reply::ok(&Health { status: "ok", failing: Vec::new() }))
}

async fn metrics(slot: Slot) -> Result<Reply, ApiError> {
    let platform = slot.platform()?;
    if platform.config.http.metrics_port.is_some() {
        return Err(ApiError::not_found());
    }
    Ok(Reply::content(PROMETHEUS, platform.metrics.render()))
}

async fn readiness(slot: Slot, last: Arc<Readiness>) -> Result<Reply, ApiError> {
    let platform = slot.platform()?;
    if last.answer(can_serve(&platform.app)).await {
        return Ok(Reply::ok(&Health { status: "ok", failing: Vec::new() }));
    }
    let report = Health { status: "unavailable", failing: vec!["database"] };
    Ok(Reply::json(StatusCode::SERVICE_UNAVAILABLE, &report).with_header(header::RETRY_AFTER, RETRY_AFTER_S))
}

/// Asks for what a log-in reads, so that a login without its rights is not said to be ready.
async fn can_serve(app: &SystemConnection) -> bool {
    let asked: Result<Option<One>, _> = app
        .query_one(raw_sql!(
            Postgres,
            r#"SELECT CAST(EXISTS (SELECT id FROM public.users) AS integer) AS one"#
        ))
        .await;
    asked.is_ok_and(|row| row.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_answer_about_readiness_is_good_for_a_second() {
        let readiness = Readiness::default();
        assert!(readiness.answer(async { true }).await);
        assert!(readiness.answer(async { panic!("asked again") }).await);
        let before = Instant::now().checked_sub(KEPT_FOR).unwrap();
        *readiness.0.lock().await = Some((before, true));
        assert!(!readiness.answer(async { false }).await);
        assert!(!readiness.answer(async { true }).await);
    }
}
