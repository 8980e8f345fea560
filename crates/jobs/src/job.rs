//! A job as the table has it.

use std::{fmt, str::FromStr};

use chrono::{DateTime, Utc};
use clinicx_tenancy::tenant::WordError;
use clinicx_types::{id::TenantId, typed_id};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

typed_id! {
    /// Names one job, from the moment it is asked for.
    JobId,
}

/// Where a job stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum JobState {
    /// It waits: for its time, for a free place, for its tenant to be served, or to be tried again.
    Queued,
    /// A runner is at it.
    Running,
    /// It is done.
    Succeeded,
    /// It was given up.
    Failed,
    /// Somebody did not want it any more.
    Cancelled,
}

impl JobState {
    /// Every state.
    pub const ALL: [Self; 5] = [Self::Queued, Self::Running, Self::Succeeded, Self::Failed, Self::Cancelled];

    /// Returns the word for it in JSON and SQL.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// Tells whether nothing more will happen to it.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Cancelled)
    }
}

impl fmt::Display for JobState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for JobState {
    type Err = WordError;
    fn from_str(text: &str) -> Result<Self, WordError> {
        const WORDS: &[&str] = &["queued", "running", "succeeded", "failed", "cancelled"];
        Self::ALL.into_iter().find(|state| state.as_str() == text).ok_or(WordError(WORDS))
    }
}

/// How far a job has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Progress {
    /// How much is done.
    pub done: u64,
    /// How much there is to do, once it is known.
    pub total: Option<u64>,
    /// Of what, in the plural: `tenants`, `rows`.
    pub unit: String,
}

/// A part of the work that was begun.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Step {
    /// What it is.
    pub name: String,
    /// When it was begun.
    pub at: DateTime<Utc>,
}

/// Why a job has failed, or why its last try has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct JobFailure {
    /// A stable word for it.
    pub code: String,
    /// What happened, without a patient's data.
    pub detail: String,
}

/// A job, for whoever looks at it.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Job {
    /// Names it.
    pub id: JobId,
    /// What kind of work it is.
    pub kind: String,
    /// The slug of the tenant in which it works; the platform's own have none.
    pub tenant: Option<String>,
    /// That tenant's id.
    #[serde(skip)]
    pub tenant_id: Option<TenantId>,
    /// Where it stands.
    pub state: JobState,
    /// How far it has come; null before it has said anything.
    pub progress: Option<Progress>,
    /// The parts that it has begun, the oldest first.
    pub steps: Vec<Step>,
    /// Why it has failed; of a job that is tried again, why the last try has.
    pub error: Option<JobFailure>,
    /// What came of it.
    pub output: Option<serde_json::Value>,
    /// Which jobs of one tenant come first: those with a higher number.
    pub priority: i16,
    /// How often it was begun.
    pub attempts: i32,
    /// How often it is begun at most.
    pub max_attempts: i32,
    /// Before this it is not begun.
    pub run_after: DateTime<Utc>,
    /// Whether somebody has asked for its end.
    pub cancel_requested: bool,
    /// The user who has asked for it; null when the service has.
    pub created_by: Option<Uuid>,
    /// The request that has asked for it.
    pub request_id: Uuid,
    /// Rises with each change that can be seen.
    pub version: i64,
    /// When it was asked for.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
    /// When it was last begun.
    pub started_at: Option<DateTime<Utc>>,
    /// When it ended.
    pub finished_at: Option<DateTime<Utc>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_state_reads_its_own_word() {
        for state in JobState::ALL {
            assert_eq!(state.as_str().parse(), Ok(state));
            assert_eq!(serde_json::to_value(state).unwrap(), state.as_str());
        }
        assert!("done".parse::<JobState>().is_err());
    }
}
