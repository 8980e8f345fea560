//! Who changes accounts, and where a request came from.

use std::{net::IpAddr, sync::Arc};

use chrono::{DateTime, Utc};
use clinicx_persistence::Actor;
use clinicx_types::{
    clock::{Clock, IdSource, RandomIds, SystemClock},
    id::RequestId,
};
use uuid::Uuid;

/// Where a request comes from whose caller is not known yet, or only by a token.
#[derive(Clone, Copy, Debug)]
pub struct Origin {
    /// The request, for audit rows and logs.
    pub request_id: RequestId,
    /// The caller's address; `None` for a caller inside the process.
    pub source: Option<IpAddr>,
}

/// What a change of accounts needs to know about its caller.
#[derive(Clone, Debug)]
pub struct IdentityScope {
    /// Who acts.
    pub actor: Actor,
    /// The request or job, for audit rows and logs.
    pub request_id: RequestId,
    /// Where the request came from.
    pub source: Option<IpAddr>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Where new identifiers come from.
    pub ids: Arc<dyn IdSource>,
}

impl IdentityScope {
    /// Makes a scope of the service itself, for commands, jobs and the start.
    pub fn system(job: &'static str) -> Self {
        Self {
            actor: Actor::System(job),
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
