//! Background work.

use std::time::Duration;

use clinicx_jobs::RunnerOptions;
use serde::{Deserialize, Serialize};

/// How this process takes part in background work.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct JobsConfig {
    /// Whether this process runs jobs; without any that does, they wait.
    pub enabled: bool,
    /// How many jobs this process runs at a time; the platform's own take at most half of the places.
    pub concurrency: u16,
    /// How many jobs of one tenant run at a time, in all processes together.
    pub per_tenant: u16,
    /// How many jobs run at a time, in all processes together.
    pub total: u16,
    /// How often this process looks for jobs, due schedules and cancellations.
    #[serde(with = "humantime_serde")]
    pub poll: Duration,
    /// After how long without a sign of life from its process a job is taken over by another.
    #[serde(with = "humantime_serde")]
    pub lease: Duration,
    /// How long a job may take to stop when it is cancelled or the process ends.
    #[serde(with = "humantime_serde")]
    pub grace: Duration,
    /// How long ended jobs are kept.
    #[serde(with = "humantime_serde")]
    pub keep: Duration,
}

impl Default for JobsConfig {
    fn default() -> Self {
        let runner = RunnerOptions::default();
        Self {
            enabled: true,
            concurrency: runner.concurrency,
            per_tenant: runner.per_tenant,
            total: runner.total,
            poll: runner.poll,
            lease: runner.lease,
            grace: runner.grace,
            keep: Duration::from_secs(30 * 86_400),
        }
    }
}

impl JobsConfig {
    /// Returns the options of the runner that has this name in the table.
    pub fn runner(&self, name: String) -> RunnerOptions {
        RunnerOptions {
            name,
            concurrency: self.concurrency,
            per_tenant: self.per_tenant,
            total: self.total,
            poll: self.poll,
            lease: self.lease,
            grace: self.grace,
        }
    }
}
