//! Tests of tenants' lives against a real PostgreSQL.

#![expect(clippy::disallowed_methods, reason = "tests make their own ids and read the machine's clock")]
#![expect(clippy::unwrap_used, reason = "what a test can't do without has failed")]

mod exec;
mod keyring;
mod lifecycle;
mod provisioning;
mod registry;
mod resolver;
mod setting;
mod validation;
mod watch;

use clinicx_tenancy::{NewTenant, PlatformScope, Tenancy, TenantDraft};
use clinicx_testing::{TestDatabase, database, tenant::unique_slug};
use clinicx_types::id::TenantId;

/// Returns a description of a tenant that is right in every part.
fn draft(slug: &str) -> TenantDraft {
    TenantDraft {
        slug: slug.to_owned(),
        name: "Clinic".to_owned(),
        modules: vec!["billing".to_owned()],
        time_zone: "Asia/Damascus".to_owned(),
        currency: "SYP".to_owned(),
        locale: "ar-SY".to_owned(),
        ..TenantDraft::default()
    }
}

fn new_tenant(tenancy: &Tenancy, slug: &str) -> NewTenant {
    tenancy.check(draft(slug), TenantId::new(by().next_id())).unwrap()
}

fn by() -> PlatformScope {
    PlatformScope::system("test")
}

async fn tenancy(database: &TestDatabase) -> Tenancy {
    database.tenancy(database::modules(&[])).await
}

fn slug() -> String {
    unique_slug()
}
