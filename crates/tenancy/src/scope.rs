//! Who acts on the platform, when, and in which request.

use std::{net::IpAddr, sync::Arc};

use chrono::{DateTime, Utc};
use clinicx_persistence::Actor;
use clinicx_types::{
    clock::{Clock, IdSource, RandomIds, SystemClock},
    id::{RequestId, SessionId},
};
use uuid::Uuid;

/// What an operation on tenants needs to know about its caller.
#[derive(Clone, Debug)]
pub struct PlatformScope {
    /// Who acts.
    pub actor: Actor,
    /// The log-in from which the request came, for audit rows.
    pub session_id: Option<SessionId>,
    /// The request or job, for audit rows and logs.
    pub request_id: RequestId,
    /// Where the request came from.
    pub source: Option<IpAddr>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Where new identifiers come from.
    pub ids: Arc<dyn IdSource>,
}

impl PlatformScope {
    /// Makes a scope of the service itself, for commands, jobs and tests.
    pub fn system(job: &'static str) -> Self {
        Self {
            actor: Actor::System(job),
            session_id: None,
            request_id: RequestId::new(RandomIds.next()),
            source: None,
            clock: Arc::new(SystemClock),
            ids: Arc::new(RandomIds),
        }
    }

    /// Returns the present instant.
    pub fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    /// Returns a new identifier.
    pub fn next_id(&self) -> Uuid {
        self.ids.next()
    }
}
