//! What is wrong with a log.

use std::fmt;

use serde::Serialize;
use uuid::Uuid;

/// What was done to the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Wrong {
    /// A row is not what was sealed.
    Edited,
    /// A row or its leaf is gone.
    Removed,
    /// A row was put in where rows are sealed, or a leaf behind the last checkpoint.
    Inserted,
    /// Rows stand in another order.
    Reordered,
    /// The end of the log is gone.
    Truncated,
    /// Leaves, roots or checkpoints were made anew.
    Rewritten,
}

impl Wrong {
    /// Returns the word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Edited => "edited",
            Self::Removed => "removed",
            Self::Inserted => "inserted",
            Self::Reordered => "reordered",
            Self::Truncated => "truncated",
            Self::Rewritten => "rewritten",
        }
    }
}

/// The first thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was done.
    pub what: Wrong,
    /// The first bad position; `None` for a row that has none.
    pub position: Option<u64>,
    /// The position before which it lies, where it can't be told more exactly.
    pub until: Option<u64>,
    /// The row, where there is one.
    pub audit_id: Option<Uuid>,
    /// How it shows.
    pub detail: String,
}

impl Finding {
    pub(crate) fn of(what: Wrong, detail: impl Into<String>) -> Self {
        Self { what, position: None, until: None, audit_id: None, detail: detail.into() }
    }

    pub(crate) fn at(what: Wrong, position: u64, detail: impl Into<String>) -> Self {
        Self { position: Some(position), ..Self::of(what, detail) }
    }

    pub(crate) fn between(what: Wrong, from: u64, until: u64, detail: impl Into<String>) -> Self {
        Self { until: Some(until), ..Self::at(what, from, detail) }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.position, self.until) {
            (Some(position), Some(until)) => {
                write!(f, "{} from position {position}, before {until}", self.what.as_str())?
            }
            (Some(position), None) => write!(f, "{} at position {position}", self.what.as_str())?,
            _ => write!(f, "{}", self.what.as_str())?,
        }
        if let Some(id) = self.audit_id {
            write!(f, " (row {id})")?;
        }
        write!(f, ": {}", self.detail)
    }
}
