//! Watching the tenants: what their schemas hold, how they are used, and what somebody should look at.
//!
//! [`collect`](collect::collect) looks at all schemas in one pass over the catalog and leaves what it has seen in the
//! system schema; whoever asks afterwards reads that ([`figures`]), at a cost that does not depend on how many schemas
//! there are. [`Traffic`] counts a process's requests and adds them up there. [`alert`] holds both against thresholds.
//! Everything here is numbers, times and ids.

pub mod alert;
pub mod backup;
pub mod collect;
pub mod figures;
pub mod traffic;

pub use alert::{Alert, AlertCode, AlertFilter, Severity, Thresholds};
pub use backup::LastBackup;
pub use collect::{Collected, Keep};
pub use figures::{Activity, Day, Figures, Hour};
pub use traffic::Traffic;
