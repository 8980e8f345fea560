//! Counts and times jobs, by kind and never by tenant. The kinds are those that are registered.

use std::time::Duration;

/// Counts a job as running until it is dropped.
pub(crate) struct Running(&'static str);

impl Running {
    pub(crate) fn begin(kind: &'static str) -> Self {
        metrics::gauge!("clinicx_jobs_running", "kind" => kind).increment(1.0);
        Self(kind)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        metrics::gauge!("clinicx_jobs_running", "kind" => self.0).decrement(1.0);
    }
}

/// Counts a try and its duration. `outcome` is one of a few words.
pub(crate) fn ended(kind: &'static str, outcome: &'static str, duration: Duration) {
    metrics::counter!("clinicx_jobs_ended_total", "kind" => kind, "outcome" => outcome).increment(1);
    metrics::histogram!("clinicx_job_duration_seconds", "kind" => kind).record(duration.as_secs_f64());
}

/// Counts a job whose runner has gone.
pub(crate) fn abandoned(kind: &'static str) {
    metrics::counter!("clinicx_jobs_abandoned_total", "kind" => kind).increment(1);
}

/// Says how many jobs could be running if there were places, and how long the oldest of them has waited.
pub(crate) fn waiting(jobs: u32, oldest_s: f64) {
    metrics::gauge!("clinicx_jobs_waiting").set(f64::from(jobs));
    metrics::gauge!("clinicx_jobs_oldest_waiting_seconds").set(oldest_s);
}
