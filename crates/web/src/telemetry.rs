//! Counts and times requests, by operation and never by tenant.

use std::time::Duration;

use actix_web::http::{Method, StatusCode};

/// Counts a request as running until it is dropped.
pub(crate) struct InFlight;

impl InFlight {
    pub(crate) fn begin() -> Self {
        metrics::gauge!("clinicx_http_requests_in_flight").increment(1.0);
        Self
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        metrics::gauge!("clinicx_http_requests_in_flight").decrement(1.0);
    }
}

/// Counts an answer and its duration.
pub(crate) fn answered(operation: &'static str, method: &Method, status: StatusCode, duration: Duration) {
    let labels = [("operation", operation), ("method", known(method)), ("status", class(status))];
    metrics::counter!("clinicx_http_requests_total", &labels).increment(1);
    metrics::histogram!("clinicx_http_request_duration_seconds", &labels).record(duration.as_secs_f64());
}

/// Counts a request that was refused by a limit.
pub(crate) fn throttled(limit: &'static str) {
    metrics::counter!("clinicx_http_throttled_total", "limit" => limit).increment(1);
}

/// Counts another try of a transaction.
pub(crate) fn retried(operation: &'static str) {
    metrics::counter!("clinicx_http_transaction_retries_total", "operation" => operation).increment(1);
}

/// Returns the method as a label; an invented one does not make a new time series.
fn known(method: &Method) -> &'static str {
    const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
    METHODS.into_iter().find(|name| *name == method.as_str()).unwrap_or("other")
}

fn class(status: StatusCode) -> &'static str {
    match status.as_u16() {
        0..=199 => "1xx",
        200..=299 => "2xx",
        300..=399 => "3xx",
        400..=499 => "4xx",
        _ => "5xx",
    }
}
