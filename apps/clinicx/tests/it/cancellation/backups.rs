//! The operations on backups and clones: what each needs to succeed once. None of them does the work itself.

use actix_web::test::TestRequest;
use clinicx_tenancy::registry;
use clinicx_types::name::TenantSlug;
use clinicx_web::api::OperationFacts;
use serde_json::json;
use sqlx::{ConnectOptions, postgres::PgConnectOptions};
use uuid::Uuid;

use super::handlers::{Bench, bearing, unique_slug};

impl Bench {
    /// Makes a request that will succeed, if the operation is one on backups.
    pub(super) async fn outside_on_backups(&self, facts: &OperationFacts) -> Option<TestRequest> {
        let body = match facts.id {
            "list_backups" | "back_up_tenant" | "verify_backup" => None,
            "restore_backup" => Some(json!({"into": unique_slug()})),
            "clone_tenant" => Some(json!({"slug": unique_slug(), "name": "A copy"})),
            _ => return None,
        };
        let slug = self.spare(facts.id).await;
        let id = self.stored_backup(&slug).await.to_string();
        let uri = facts.path.replace("{slug}", &slug).replace("{id}", &id);
        let mut request = TestRequest::default().method(facts.method.clone()).uri(&uri);
        if let Some(body) = body {
            request = request.set_json(body);
        }
        Some(bearing(request, &self.operator))
    }

    /// Notes a backup that nobody looks into.
    async fn stored_backup(&self, slug: &str) -> Uuid {
        let parsed = TenantSlug::parse(slug).unwrap();
        let tenant = registry::get_by_slug(&self.platform.app, &parsed).await.unwrap();
        let url = self.platform.config.database.url.as_ref().unwrap().expose();
        let mut superuser = url.parse::<PgConnectOptions>().unwrap().connect().await.unwrap();
        let id = Uuid::now_v7();
        sqlx::query(
            "INSERT INTO public.tenant_backups (id, tenant_id, tenant_slug, state, reason, location, manifest_mac, \
                                                taken_at, started_at, finished_at) \
             VALUES ($1, $2, $3, 'stored', 'demand', 'nowhere', repeat('0', 64), now(), now(), now())",
        )
        .bind(id)
        .bind(tenant.id.uuid())
        .bind(slug)
        .execute(&mut superuser)
        .await
        .unwrap();
        id
    }
}
