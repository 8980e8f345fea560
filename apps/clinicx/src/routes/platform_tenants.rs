//! Tenants, for operators of the platform.

use chrono::{DateTime, Utc};
use clinicx_archive::ArchiveError;
use clinicx_core::patch_field::{nullable, present};
use clinicx_identity::{NewAccount, Password};
use clinicx_tenancy::{
    PlatformScope, Purge, Tenant, TenantDraft, TenantLimits, TenantPatch, TenantStatus,
    registry::{self, TenantFilter},
};
use clinicx_types::{
    id::TenantId,
    name::{ClusterName, TenantSlug},
};
use clinicx_web::{
    Access, ApiError, Body, CallerCx, HttpModule, IfMatch, List, Operation, Path, Query, Reply,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use validator::Validate;

use crate::{archives, charging, provision, wiring::Slot};

/// The operations on tenants.
pub fn module(slot: &Slot) -> HttpModule {
    let take = || slot.clone();
    let (creating, listing, getting, updating, deleting) = (take(), take(), take(), take(), take());
    let crud = [
        Operation::post("/platform/tenants", "create_tenant")
            .summary("Create a tenant that is ready to serve")
            .description("Answers 201 when schema, role, tables and the first administrator are there, all of them.")
            .access(Access::Operator)
            .answers::<TenantBody>(201)
            .errors(&["slug_taken"])
            .handler(move |cx: CallerCx, body: Body<CreateTenant>| create(creating.clone(), cx, body)),
        Operation::get("/platform/tenants", "list_tenants")
            .summary("List tenants by slug")
            .access(Access::Operator)
            .answers_page::<TenantBody>()
            .handler(move |cx: CallerCx, wanted: List<Wanted>| list(listing.clone(), cx, wanted)),
        slugged(Operation::get("/platform/tenants/{slug}", "get_tenant"))
            .summary("Show a tenant")
            .answers::<TenantBody>(200)
            .handler(move |cx: CallerCx, slug: Path<String>| get(getting.clone(), cx, slug)),
        slugged(Operation::patch("/platform/tenants/{slug}", "update_tenant"))
            .summary("Change a tenant's name, plan, limits or time zone")
            .answers::<TenantBody>(200)
            .errors(&["tenant_gone"])
            .handler(move |cx: CallerCx, slug: Path<String>, body: Body<UpdateTenant>| {
                update(updating.clone(), cx, slug, body)
            }),
        slugged(Operation::delete("/platform/tenants/{slug}", "purge_tenant"))
            .summary("Destroy an archived tenant's data for good")
            .description(
                "Only an archived tenant, only with `confirm=<slug>`, and only after the retention time or with \
                 `force=true`. Its backups stay unless `backups=true` is said.",
            )
            .answers_empty(204)
            .errors(&["transition_refused", "retention_not_over"])
            .handler(move |cx: CallerCx, slug: Path<String>, query: Query<PurgeQuery>| {
                purge(deleting.clone(), cx, slug, query)
            }),
    ];
    HttpModule::new("platform", "Tenants, for operators of the platform").operations(crud).operations([
        lifecycle(slot, "/platform/tenants/{slug}/suspend", "suspend_tenant", Step::Suspend),
        lifecycle(slot, "/platform/tenants/{slug}/resume", "resume_tenant", Step::Resume),
        lifecycle(slot, "/platform/tenants/{slug}/archive", "archive_tenant", Step::Archive),
        lifecycle(slot, "/platform/tenants/{slug}/restore", "restore_tenant", Step::Restore),
        enabling(slot),
        disabling(slot),
    ])
}

fn slugged(operation: Operation) -> Operation {
    let schema = json!({"type": "string", "pattern": "^[a-z][a-z0-9]*(-[a-z0-9]+)*$", "maxLength": 40});
    operation.access(Access::Operator).path_param("slug", schema).errors(&["not_found"])
}

/// A step in a tenant's life. `If-Match` is heeded and not demanded: an operator suspends what is, not a version.
#[derive(Clone, Copy)]
enum Step {
    Suspend,
    Resume,
    Archive,
    Restore,
}

fn lifecycle(slot: &Slot, path: &'static str, id: &'static str, step: Step) -> Operation {
    let slot = slot.clone();
    let summary = match step {
        Step::Suspend => "Stop serving a tenant; its role loses the schema at once",
        Step::Resume => "Serve a suspended tenant again",
        Step::Archive => "End a tenant; its data are kept for the retention time",
        Step::Restore => "Take an archived tenant back into service",
    };
    slugged(Operation::transition(path, id))
        .summary(summary)
        .description(
            "`If-Match` is heeded and may be left out: an operator takes this step with the tenant as it is, not with \
             a version of it.",
        )
        .if_match(IfMatch::Accepted)
        .answers::<TenantBody>(200)
        .handler(move |cx: CallerCx, slug: Path<String>| take_step(slot.clone(), cx, slug, step))
}

fn enabling(slot: &Slot) -> Operation {
    let slot = slot.clone();
    slugged(Operation::post("/platform/tenants/{slug}/modules", "enable_module"))
        .summary("Give a tenant a further module, with its tables")
        .answers::<TenantBody>(200)
        .errors(&["transition_refused", "tenant_maintenance"])
        .handler(move |cx: CallerCx, slug: Path<String>, body: Body<EnableModule>| {
            enable(slot.clone(), cx, slug, body)
        })
}

fn disabling(slot: &Slot) -> Operation {
    let slot = slot.clone();
    let schema = json!({"type": "string", "pattern": "^[a-z][a-z0-9_]*$"});
    slugged(Operation::delete("/platform/tenants/{slug}/modules/{module}", "disable_module"))
        .summary("Take a module from a tenant; what its tables hold stays")
        .path_param("module", schema)
        .answers::<TenantBody>(200)
        .errors(&["transition_refused", "tenant_maintenance"])
        .handler(move |cx: CallerCx, names: Path<(String, String)>| disable(slot.clone(), cx, names))
}

/// A tenant as operators see it.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct TenantBody {
    id: TenantId,
    slug: String,
    name: String,
    status: String,
    database_schema: String,
    schema_version: String,
    modules: Vec<String>,
    isolation: String,
    cluster: String,
    region: Option<String>,
    plan: Option<String>,
    limits: TenantLimits,
    time_zone: String,
    currency: String,
    locale: String,
    version: i64,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

impl From<&Tenant> for TenantBody {
    fn from(tenant: &Tenant) -> Self {
        // Every tenant has `core`; it is no module that one chooses.
        let chosen = tenant.modules.iter().filter(|module| module.as_str() != "core");
        Self {
            id: tenant.id,
            slug: tenant.slug.to_string(),
            name: tenant.name.clone(),
            status: tenant.status.to_string(),
            database_schema: tenant.database_schema.to_string(),
            schema_version: tenant.schema_version.to_string(),
            modules: chosen.map(ToString::to_string).collect(),
            isolation: tenant.isolation.as_str().to_owned(),
            cluster: tenant.cluster.to_string(),
            region: tenant.region.clone(),
            plan: tenant.plan.clone(),
            limits: tenant.limits,
            time_zone: tenant.time_zone.name().to_owned(),
            currency: tenant.currency.code().to_owned(),
            locale: tenant.locale.clone(),
            version: tenant.version,
            created_at: tenant.created_at,
            updated_at: tenant.updated_at,
        }
    }
}

/// A new tenant.
#[derive(Clone, Debug, Deserialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields)]
struct CreateTenant {
    /// Names it in URLs and host names.
    #[schemars(regex(pattern = "^[a-z][a-z0-9]*(-[a-z0-9]+)*$"), length(max = 40))]
    slug: String,
    /// Names it for people.
    #[schemars(length(min = 1, max = 200))]
    name: String,
    /// Modules beside `core`.
    #[serde(default)]
    modules: Vec<String>,
    /// The clinic's time zone (IANA).
    #[schemars(length(min = 1))]
    time_zone: String,
    /// The clinic's currency (ISO 4217).
    #[schemars(regex(pattern = "^[A-Z]{3}$"))]
    currency: String,
    /// The clinic's locale (BCP 47).
    #[schemars(length(min = 1))]
    locale: String,
    /// What it subscribes to.
    plan: Option<String>,
    /// `schema` unless said otherwise.
    isolation: Option<String>,
    /// The cluster that will hold it; the least loaded that fits unless said otherwise.
    cluster: Option<String>,
    /// The region in which its data must stay.
    region: Option<String>,
    /// The first administrator; an account with the address is used as it is.
    admin: Admin,
}

/// The first administrator of a tenant.
#[derive(Clone, Debug, Deserialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields)]
struct Admin {
    /// The address.
    #[schemars(email)]
    email: String,
    /// The name.
    #[schemars(length(min = 1, max = 200))]
    full_name: String,
    /// The password; without one nobody can log in to a new account until it is set.
    password: Option<Password>,
}

/// A change of a tenant; an absent field stays as it is.
#[derive(Clone, Debug, Deserialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields)]
struct UpdateTenant {
    /// A new name.
    #[serde(default, deserialize_with = "present")]
    #[schemars(with = "String")]
    name: Option<String>,
    /// A new plan; `null` for none.
    #[serde(default, deserialize_with = "nullable")]
    plan: Option<Option<String>>,
    /// New limits, which replace the old ones; `null` for those that hold for all.
    #[serde(default, deserialize_with = "nullable")]
    limits: Option<Option<TenantLimits>>,
    /// A new time zone (IANA).
    #[serde(default, deserialize_with = "present")]
    #[schemars(with = "String")]
    time_zone: Option<String>,
}

/// A module to be enabled.
#[derive(Clone, Debug, Deserialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields)]
struct EnableModule {
    /// Its name, such as `dental`.
    #[schemars(regex(pattern = "^[a-z][a-z0-9_]*$"))]
    module: String,
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
    /// Those on this cluster.
    #[schemars(with = "Option<String>", regex(pattern = "^[a-z][a-z0-9_]*$"))]
    cluster: Option<ClusterName>,
}

/// How surely a tenant is to be destroyed.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct PurgeQuery {
    /// The slug, said again.
    confirm: Option<String>,
    /// Before the retention time is over.
    #[serde(default)]
    force: bool,
    /// With its backups; without it they stay.
    #[serde(default)]
    backups: bool,
}

pub(super) fn scope(cx: &CallerCx) -> PlatformScope {
    PlatformScope {
        actor: cx.actor(),
        session_id: cx.caller().session_id,
        request_id: cx.request_id(),
        source: cx.source(),
        clock: cx.clock().clone(),
        ids: cx.ids().clone(),
    }
}

/// A text that is no slug names no tenant.
pub(super) fn slug(text: &str) -> Result<TenantSlug, ApiError> {
    TenantSlug::parse(text).map_err(|_| ApiError::not_found())
}

async fn create(slot: Slot, cx: CallerCx, Body(input): Body<CreateTenant>) -> Result<Reply, ApiError> {
    let scope = scope(&cx);
    let platform = slot.platform()?.clone();
    cx.perform(move || {
        Box::pin(async move {
            let CreateTenant { admin, .. } = &input;
            let draft = TenantDraft {
                slug: input.slug.clone(),
                name: input.name.clone(),
                modules: input.modules.clone(),
                time_zone: input.time_zone.clone(),
                currency: input.currency.clone(),
                locale: input.locale.clone(),
                plan: input.plan.clone(),
                isolation: input.isolation.clone(),
                cluster: input.cluster.clone(),
                region: input.region.clone(),
            };
            let account = NewAccount {
                email: &admin.email,
                full_name: &admin.full_name,
                password: admin.password.as_ref(),
                is_operator: false,
            };
            let tenant = provision::create(&platform, &scope, draft, account).await?;
            Ok(Reply::created(format!("/platform/tenants/{}", tenant.slug), &TenantBody::from(&tenant)))
        })
    })
    .await
}

async fn list(slot: Slot, _cx: CallerCx, list: List<Wanted>) -> Result<Reply, ApiError> {
    let Wanted { status, q, cluster } = list.filter.clone();
    let filter = TenantFilter { status, q, cluster };
    let page = registry::list(&slot.platform()?.app, &filter, &list.page).await?;
    Ok(Reply::page(&list, &page.map(|tenant| TenantBody::from(&tenant))))
}

async fn get(slot: Slot, _cx: CallerCx, Path(text): Path<String>) -> Result<Reply, ApiError> {
    let tenant = registry::get_by_slug(&slot.platform()?.app, &slug(&text)?).await?;
    Ok(Reply::ok(&TenantBody::from(&tenant)).concerning(tenant.id))
}

async fn update(
    slot: Slot,
    cx: CallerCx,
    Path(text): Path<String>,
    Body(patch): Body<UpdateTenant>,
) -> Result<Reply, ApiError> {
    let (slug, scope, expected) = (slug(&text)?, scope(&cx), cx.expected_version());
    let (tenancy, resolver) = (slot.tenancy()?.clone(), slot.platform()?.resolver.clone());
    let UpdateTenant { name, plan, limits, time_zone } = patch;
    let patch = TenantPatch { name, plan, limits: limits.map(Option::unwrap_or_default), time_zone };
    cx.perform(move || {
        Box::pin(async move {
            let tenant = tenancy.update(&slug, patch, expected, &scope).await?;
            resolver.invalidate(&tenant).await;
            Ok(Reply::ok(&TenantBody::from(&tenant)))
        })
    })
    .await
}

async fn take_step(
    slot: Slot,
    cx: CallerCx,
    Path(text): Path<String>,
    step: Step,
) -> Result<Reply, ApiError> {
    let (slug, scope, expected) = (slug(&text)?, scope(&cx), cx.expected_version());
    let (tenancy, resolver) = (slot.tenancy()?.clone(), slot.platform()?.resolver.clone());
    cx.perform(move || {
        Box::pin(async move {
            let tenant = match step {
                Step::Suspend => tenancy.suspend(&slug, expected, &scope).await?,
                Step::Resume => tenancy.resume(&slug, expected, &scope).await?,
                Step::Archive => tenancy.archive(&slug, expected, &scope).await?,
                Step::Restore => tenancy.restore(&slug, expected, &scope).await?,
            };
            resolver.invalidate(&tenant).await;
            Ok(Reply::ok(&TenantBody::from(&tenant)))
        })
    })
    .await
}

async fn enable(
    slot: Slot,
    cx: CallerCx,
    Path(text): Path<String>,
    Body(input): Body<EnableModule>,
) -> Result<Reply, ApiError> {
    let (slug, scope) = (slug(&text)?, scope(&cx));
    let (tenancy, platform) = (slot.tenancy()?.clone(), slot.platform()?.clone());
    cx.perform(move || {
        Box::pin(async move {
            let tenant = tenancy.enable_module(&slug, &input.module, &scope).await?;
            platform.resolver.invalidate(&tenant).await;
            charging::catch_up(&platform.app, &scope, &tenant).await?;
            Ok(Reply::ok(&TenantBody::from(&tenant)))
        })
    })
    .await
}

async fn disable(
    slot: Slot,
    cx: CallerCx,
    Path((text, module)): Path<(String, String)>,
) -> Result<Reply, ApiError> {
    let (slug, scope, expected) = (slug(&text)?, scope(&cx), cx.expected_version());
    let (tenancy, resolver) = (slot.tenancy()?.clone(), slot.platform()?.resolver.clone());
    cx.perform(move || {
        Box::pin(async move {
            let tenant = tenancy.disable_module(&slug, &module, expected, &scope).await?;
            resolver.invalidate(&tenant).await;
            Ok(Reply::ok(&TenantBody::from(&tenant)))
        })
    })
    .await
}

async fn purge(
    slot: Slot,
    cx: CallerCx,
    Path(text): Path<String>,
    Query(PurgeQuery { confirm, force, backups }): Query<PurgeQuery>,
) -> Result<Reply, ApiError> {
    let (slug, scope, expected) = (slug(&text)?, scope(&cx), cx.expected_version());
    let (tenancy, platform) = (slot.tenancy()?.clone(), slot.platform()?.clone());
    let purge = if force { Purge::Now { confirm } } else { Purge::AfterRetention { confirm } };
    cx.perform(move || {
        Box::pin(async move {
            if backups {
                let tenant = tenancy.confirm_purge(&slug, expected, &purge, &scope).await?;
                let archivist = archives::archivist(&platform).map_err(|_| ArchiveError::NotConfigured)?;
                archivist.remove_all(&tenant, &scope).await?;
            }
            let tenant = tenancy.purge(&slug, expected, &purge, &scope, Vec::new()).await?;
            platform.resolver.invalidate(&tenant).await;
            Ok(Reply::no_content())
        })
    })
    .await
}
