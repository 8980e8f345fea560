//! Background work: one table of jobs, and runners that share it out.
//!
//! The crate owns `jobs` and `job_schedules` of the system schema. It knows no kind of work by name: the application
//! registers values of [`JobKind`] in a [`JobSet`] and runs a [`Runner`] in as many processes as it likes.
//!
//! **Invariant:** whoever changes a running job shows the token of its lease. A runner whose lease has run out and
//! was taken by another can neither report nor finish. **Invariant:** the context of a tenant's job is made from the
//! registry's row of the tenant that the job had when it was claimed, and opens that tenant alone. **Invariant:** a
//! job runs at least once; what it does must bear to be begun again.
//!
//! Entry points: [`enqueue()`] inside the caller's transaction, [`cancel()`], [`query`] for looking, [`Runner`] for
//! working, [`Schedule`] for what is repeated. A new kind of work is a type with [`JobKind`] and one line where the
//! application composes its set.

mod audit;
pub mod backoff;
mod cancel;
mod claim;
pub mod context;
mod enqueue;
pub mod error;
mod execution;
mod expression;
pub mod job;
pub mod kind;
mod lease;
pub mod query;
mod retention;
pub mod runner;
pub mod schedule;
mod set;
mod telemetry;

pub use cancel::cancel;
pub use context::JobContext;
pub use enqueue::{Enqueued, NewJob, enqueue};
pub use error::{JobError, JobsError, Problem};
pub use expression::ExpressionError;
pub use job::{Job, JobId, JobState, Progress, Step};
pub use kind::{InTenant, JobKind, OnPlatform};
pub use query::JobFilter;
pub use retention::{Retention, RetentionReport};
pub use runner::{Runner, RunnerOptions};
pub use schedule::{Schedule, ScheduleError};
pub use set::{JobSet, SetError};
