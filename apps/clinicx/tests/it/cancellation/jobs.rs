//! The operations on background work: what each needs to succeed once.

use std::time::Duration;

use actix_web::test::TestRequest;
use clinicx_jobs::{JobId, NewJob, Retention, cancel, enqueue};
use clinicx_tenancy::PlatformScope;
use clinicx_web::api::OperationFacts;

use super::handlers::{Bench, bearing};

impl Bench {
    /// Makes a request that will succeed, if the operation is one on jobs.
    pub(super) async fn outside_on_jobs(&self, facts: &OperationFacts) -> Option<TestRequest> {
        let id = match facts.id {
            "list_jobs" => String::new(),
            "cancel_job" => self.waiting_job().await.to_string(),
            // One that has ended, so that whoever watches it comes to the end.
            "get_job" | "watch_job" => {
                let (id, scope) = (self.waiting_job().await, PlatformScope::system("test"));
                cancel(&self.platform.app, &scope, id, None).await.unwrap();
                id.to_string()
            }
            _ => return None,
        };
        let uri = facts.path.replace("{id}", &id);
        Some(bearing(TestRequest::default().method(facts.method.clone()).uri(&uri), &self.operator))
    }

    async fn waiting_job(&self) -> JobId {
        let new = NewJob::<Retention>::on_platform(()).after(Duration::from_secs(3600));
        enqueue(&self.platform.app, &PlatformScope::system("test"), new).await.unwrap().id
    }
}
