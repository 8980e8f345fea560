//! How the tenants are, and what somebody should look at, for operators of the platform.

use clinicx_tenancy::{
    TenancyError, TenantStatus,
    registry::{self, TenantFilter},
    watch::{
        Alert, AlertCode, AlertFilter, Day, Hour,
        alert::store,
        figures::{days, hours},
    },
};
use clinicx_types::name::TenantSlug;
use clinicx_web::{Access, ApiError, CallerCx, HttpModule, List, Operation, Path, Reply};
use schemars::JsonSchema;
use sea_orm::DbErr;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::platform_tenants::slug as slug_of;
use crate::{
    health::{self, TenantHealth},
    wiring::Slot,
};

/// How many days and hours are shown of a tenant.
const DAYS: u16 = 90;
const HOURS: u16 = 168;

/// The operations on the tenants' health.
pub fn module(slot: &Slot) -> HttpModule {
    let take = || slot.clone();
    let (listing, getting, alerting) = (take(), take(), take());
    let slug = json!({"type": "string", "pattern": "^[a-z][a-z0-9]*(-[a-z0-9]+)*$", "maxLength": 40});
    HttpModule::new("health_of_tenants", "How the tenants are, for operators of the platform").operations([
        Operation::get("/platform/health/tenants", "list_tenant_health")
            .summary("List by slug how tenants are")
            .description(
                "Sizes and rows are those of the last look at all schemas (`seen_at`); connections and slow statements \
                 are those of this moment; requests are those since the beginning of the last full hour.",
            )
            .access(Access::Operator)
            .answers_page::<TenantHealth>()
            .handler(move |cx: CallerCx, wanted: List<Wanted>| list(listing.clone(), cx, wanted)),
        Operation::get("/platform/health/tenants/{slug}", "get_tenant_health")
            .summary("Show how a tenant is, and how it was")
            .description("The last 90 days and the last 168 hours with requests, the newest first.")
            .access(Access::Operator)
            .path_param("slug", slug)
            .answers::<TenantHistory>(200)
            .errors(&["not_found"])
            .handler(move |cx: CallerCx, slug: Path<String>| get(getting.clone(), cx, slug)),
        Operation::get("/platform/alerts", "list_alerts")
            .summary("List alerts about tenants, the newest first")
            .description(
                "An alert is open from the look at which its rule was first broken to the one at which it no longer \
                 was; `[watch.alerts]` of the configuration has the rules' thresholds.",
            )
            .access(Access::Operator)
            .answers_page::<Alert>()
            .errors(&["not_found"])
            .handler(move |cx: CallerCx, wanted: List<WantedAlerts>| alerts(alerting.clone(), cx, wanted)),
    ])
}

/// Which tenants are listed.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Wanted {
    /// Those in this state; every state but `purged` unless it is named.
    #[schemars(with = "Option<String>")]
    status: Option<TenantStatus>,
    /// Those whose slug or name contains this.
    #[schemars(length(max = 200))]
    q: Option<String>,
}

/// Which alerts are listed.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct WantedAlerts {
    /// Those of the tenant with this slug.
    #[schemars(with = "Option<String>")]
    tenant: Option<TenantSlug>,
    /// Those of this rule.
    code: Option<AlertCode>,
    /// Those that are open, or with `false` those that are over.
    open: Option<bool>,
}

/// How a tenant is, and how it was.
#[derive(Clone, Debug, Serialize, JsonSchema)]
struct TenantHistory {
    /// How it is.
    #[serde(flatten)]
    health: TenantHealth,
    /// What the last days have left of it, the newest first.
    days: Vec<Day>,
    /// What the last hours with requests have left of it, the newest first.
    hours: Vec<Hour>,
}

async fn list(slot: Slot, _cx: CallerCx, list: List<Wanted>) -> Result<Reply, ApiError> {
    let platform = slot.platform()?;
    let Wanted { status, q } = list.filter.clone();
    let filter = TenantFilter { status, q, cluster: None };
    let page = registry::list(&platform.app, &filter, &list.page).await?;
    let items = health::of(platform, &page.items).await.map_err(unreadable)?;
    let (next, total) = (page.next, page.total);
    Ok(Reply::page(&list, &clinicx_types::page::Page { items, next, total }))
}

async fn get(slot: Slot, _cx: CallerCx, Path(slug): Path<String>) -> Result<Reply, ApiError> {
    let platform = slot.platform()?;
    let slug = slug_of(&slug)?;
    let tenant = registry::get_by_slug(&platform.app, &slug).await?;
    let mut health = health::of(platform, std::slice::from_ref(&tenant)).await.map_err(unreadable)?;
    let health = health.pop().ok_or_else(ApiError::not_found)?;
    let days = days(&platform.app, &slug, DAYS).await.map_err(unreadable)?;
    let hours = hours(&platform.app, &slug, HOURS).await.map_err(unreadable)?;
    Ok(Reply::ok(&TenantHistory { health, days, hours }).concerning(tenant.id))
}

async fn alerts(slot: Slot, _cx: CallerCx, list: List<WantedAlerts>) -> Result<Reply, ApiError> {
    let platform = slot.platform()?;
    let WantedAlerts { tenant, code, open } = list.filter.clone();
    let tenant = match tenant {
        Some(slug) => Some(registry::get_by_slug(&platform.app, &slug).await?.id),
        None => None,
    };
    let filter = AlertFilter { tenant, code, is_open: open };
    let page = store::list(&platform.app, &filter, &list.page).await.map_err(unreadable)?;
    let reply = Reply::page(&list, &page);
    Ok(match tenant {
        Some(tenant) => reply.concerning(tenant),
        None => reply,
    })
}

fn unreadable(error: DbErr) -> ApiError {
    ApiError::from(TenancyError::from(error))
}
