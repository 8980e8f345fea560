//! Backups and clones of tenants, for operators of the platform.

use clinicx_archive::{
    ArchiveError, ArchiveId, Backup, BackupState,
    registry::{self, BackupFilter},
};
use clinicx_jobs::{JobKind, NewJob, OnPlatform, enqueue};
use clinicx_tenancy::{PlatformScope, TenancyError, Tenant, TenantDraft, TenantStatus, registry as tenants};
use clinicx_types::id::TenantId;
use clinicx_web::{Access, ApiError, Body, CallerCx, HttpModule, List, Operation, Path, Reply};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use validator::Validate;

use super::platform_tenants::{scope, slug};
use crate::{
    archives::{self, BackUp, BackUpInput, CloneInput, CloneTenant, Restore, RestoreInput, Verify},
    wiring::{Platform, Slot},
};

/// The operations on backups.
pub fn module(slot: &Slot) -> HttpModule {
    let take = || slot.clone();
    let (listing, making, verifying, restoring, cloning) = (take(), take(), take(), take(), take());
    HttpModule::new("backups", "Backups and clones of tenants, for operators of the platform").operations([
        of_tenant(Operation::get("/platform/tenants/{slug}/backups", "list_backups"))
            .summary("List a tenant's backups, the newest first")
            .answers_page::<Backup>()
            .handler(move |cx: CallerCx, text: Path<String>, wanted: List<Wanted>| {
                list(listing.clone(), cx, text, wanted)
            }),
        of_tenant(Operation::post("/platform/tenants/{slug}/backups", "back_up_tenant"))
            .summary("Back a tenant up")
            .description(
                "Answers 202 with the job that does it. While one of the tenant waits or runs, that one is answered.",
            )
            .answers::<Started>(202)
            .errors(&["tenant_gone", "not_configured"])
            .handler(move |cx: CallerCx, text: Path<String>| back_up(making.clone(), cx, text)),
        of_backup(Operation::post("/platform/tenants/{slug}/backups/{id}/verify", "verify_backup"))
            .summary("Prove a backup: it is restored as a whole, read back and compared, and undone")
            .answers::<Started>(202)
            .handler(move |cx: CallerCx, names: Path<(String, ArchiveId)>| verify(verifying.clone(), cx, names)),
        of_backup(Operation::post("/platform/tenants/{slug}/backups/{id}/restore", "restore_backup"))
            .summary("Make a new tenant of a backup, or put the tenant back to it")
            .description(
                "Answers 202 with the job that does it. With `into` the tenant that was backed up stays as it is; \
                 nothing of the new one can be reached before all of it was read back and compared. Without `into` the \
                 tenant is suspended, what it is copied into an archived tenant that the job names as `kept`, and its \
                 tables are made anew of the backup; then it is served again if it was.",
            )
            .answers::<Started>(202)
            .errors(&["slug_taken"])
            .handler(move |cx: CallerCx, names: Path<(String, ArchiveId)>, body: Body<RestoreBackup>| {
                restore(restoring.clone(), cx, names, body)
            }),
        of_tenant(Operation::post("/platform/tenants/{slug}/clone", "clone_tenant"))
            .summary("Copy a tenant as it is at this moment into a new one")
            .description("Answers 202 with the job that does it.")
            .answers::<Started>(202)
            .errors(&["slug_taken", "tenant_gone", "not_configured"])
            .handler(move |cx: CallerCx, text: Path<String>, body: Body<CloneBody>| {
                clone(cloning.clone(), cx, text, body)
            }),
    ])
}

fn of_tenant(operation: Operation) -> Operation {
    let schema = json!({"type": "string", "pattern": "^[a-z][a-z0-9]*(-[a-z0-9]+)*$", "maxLength": 40});
    operation.access(Access::Operator).path_param("slug", schema).errors(&["not_found"])
}

fn of_backup(operation: Operation) -> Operation {
    of_tenant(operation).errors(&["transition_refused", "not_configured"])
}

/// Which backups are listed.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Wanted {
    /// Those in this state.
    state: Option<BackupState>,
}

/// Where a tenant's backup goes.
#[derive(Clone, Debug, Deserialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields)]
struct RestoreBackup {
    /// The new tenant's slug; without it the tenant itself is put back.
    #[schemars(regex(pattern = "^[a-z][a-z0-9]*(-[a-z0-9]+)*$"), length(max = 40))]
    into: Option<String>,
}

/// The copy of a tenant.
#[derive(Clone, Debug, Deserialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields)]
struct CloneBody {
    /// The new tenant's slug.
    #[schemars(regex(pattern = "^[a-z][a-z0-9]*(-[a-z0-9]+)*$"), length(max = 40))]
    slug: String,
    /// The new tenant's name.
    #[schemars(length(min = 1, max = 200))]
    name: String,
}

/// The job that does what was asked for.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
struct Started {
    /// Names it; `Location` says where its state is found.
    job_id: uuid::Uuid,
}

async fn list(
    slot: Slot,
    _cx: CallerCx,
    Path(text): Path<String>,
    list: List<Wanted>,
) -> Result<Reply, ApiError> {
    let app = &slot.platform()?.app;
    let tenant = tenants::get_by_slug(app, &slug(&text)?).await?;
    let filter = BackupFilter { tenant: Some(tenant.id), state: list.filter.state };
    let page = registry::list(app, filter, &list.page).await?;
    Ok(Reply::page(&list, &page).concerning(tenant.id))
}

async fn back_up(slot: Slot, cx: CallerCx, Path(text): Path<String>) -> Result<Reply, ApiError> {
    let (slug, scope, platform) = (slug(&text)?, scope(&cx), slot.platform()?.clone());
    cx.perform(move || {
        Box::pin(async move {
            let tenant = tenants::get_by_slug(&platform.app, &slug).await?;
            require_tables(&tenant)?;
            require_store(&platform)?;
            let new = NewJob::<BackUp>::on_platform(BackUpInput { tenant: tenant.id, due: false });
            begin(&platform, &scope, tenant.id, new.unique(tenant.id.to_string())).await
        })
    })
    .await
}

async fn verify(
    slot: Slot,
    cx: CallerCx,
    Path((text, id)): Path<(String, ArchiveId)>,
) -> Result<Reply, ApiError> {
    let (slug, scope, platform) = (slug(&text)?, scope(&cx), slot.platform()?.clone());
    cx.perform(move || {
        Box::pin(async move {
            let tenant = tenants::get_by_slug(&platform.app, &slug).await?;
            let backup = stored(&platform, &tenant, id).await?;
            let new = NewJob::<Verify>::on_platform(backup.id);
            begin(&platform, &scope, tenant.id, new.unique(backup.id.to_string())).await
        })
    })
    .await
}

async fn restore(
    slot: Slot,
    cx: CallerCx,
    Path((text, id)): Path<(String, ArchiveId)>,
    Body(input): Body<RestoreBackup>,
) -> Result<Reply, ApiError> {
    let (slug, scope, platform) = (slug(&text)?, scope(&cx), slot.platform()?.clone());
    cx.perform(move || {
        Box::pin(async move {
            let tenant = tenants::get_by_slug(&platform.app, &slug).await?;
            let backup = stored(&platform, &tenant, id).await?;
            let key = match &input.into {
                Some(into) => {
                    require_free(&platform, &tenant, ("/into", into), None, &scope).await?;
                    format!("into {into}")
                }
                None => {
                    require_served_or_suspended(&tenant)?;
                    format!("in place of {}", tenant.id)
                }
            };
            let resume = tenant.status == TenantStatus::Active;
            let input = RestoreInput { backup: backup.id, into: input.into.clone(), resume };
            begin(&platform, &scope, tenant.id, NewJob::<Restore>::on_platform(input).unique(key)).await
        })
    })
    .await
}

async fn clone(
    slot: Slot,
    cx: CallerCx,
    Path(text): Path<String>,
    Body(input): Body<CloneBody>,
) -> Result<Reply, ApiError> {
    let (slug, scope, platform) = (slug(&text)?, scope(&cx), slot.platform()?.clone());
    cx.perform(move || {
        Box::pin(async move {
            let tenant = tenants::get_by_slug(&platform.app, &slug).await?;
            require_tables(&tenant)?;
            require_free(&platform, &tenant, ("/slug", &input.slug), Some(&input.name), &scope).await?;
            let input = CloneInput { tenant: tenant.id, into: input.slug.clone(), name: input.name.clone() };
            begin(&platform, &scope, tenant.id, NewJob::<CloneTenant>::on_platform(input)).await
        })
    })
    .await
}

/// Asks for the job, with the audit row of who has asked in one transaction.
async fn begin<K: JobKind<Scope = OnPlatform>>(
    platform: &Platform,
    scope: &PlatformScope,
    tenant: TenantId,
    new: NewJob<K>,
) -> Result<Reply, ApiError> {
    let tx = platform.app.begin().await.map_err(TenancyError::from)?;
    let enqueued = match enqueue(&tx, scope, new).await {
        Ok(enqueued) => enqueued,
        Err(error) => {
            // The reason is what the caller needs; a failed roll-back closes the connection.
            let _rolled_back = tx.rollback().await;
            return Err(error.into());
        }
    };
    tx.commit().await.map_err(TenancyError::from)?;
    let id = enqueued.id.uuid();
    Ok(Reply::accepted(id, format!("/platform/jobs/{id}")).concerning(tenant))
}

/// Returns a backup of the tenant that can be used.
async fn stored(platform: &Platform, tenant: &Tenant, id: ArchiveId) -> Result<Backup, ApiError> {
    let backup = registry::get(&platform.app, Some(tenant.id), id).await?;
    require_store(platform)?;
    match backup.state {
        BackupState::Stored => Ok(backup),
        other => Err(ArchiveError::State(other.to_string()).into()),
    }
}

/// Refuses a new tenant that could not be made, before there is a job.
async fn require_free(
    platform: &Platform,
    tenant: &Tenant,
    (pointer, into): (&str, &str),
    name: Option<&str>,
    scope: &PlatformScope,
) -> Result<(), ApiError> {
    let draft = TenantDraft {
        slug: into.to_owned(),
        name: name.unwrap_or("restored").to_owned(),
        time_zone: tenant.time_zone.name().to_owned(),
        currency: tenant.currency.code().to_owned(),
        locale: tenant.locale.clone(),
        ..TenantDraft::default()
    };
    let tenancy = platform.tenancy().map_err(|_| ArchiveError::NotConfigured)?;
    let checked = tenancy.check(draft, TenantId::new(scope.next_id())).map_err(|error| match error {
        TenancyError::Invalid(mut fields) => {
            for field in fields.iter_mut().filter(|field| field.pointer == "/slug") {
                field.pointer = pointer.to_owned();
            }
            TenancyError::Invalid(fields)
        }
        other => other,
    })?;
    match tenants::find_by_slug(&platform.app, &checked.slug).await? {
        Some(_) => Err(TenancyError::SlugTaken.into()),
        None => Ok(()),
    }
}

fn require_tables(tenant: &Tenant) -> Result<(), ApiError> {
    match tenant.status {
        TenantStatus::Purging | TenantStatus::Purged => Err(TenancyError::Gone.into()),
        _ => Ok(()),
    }
}

fn require_served_or_suspended(tenant: &Tenant) -> Result<(), ApiError> {
    match tenant.status {
        TenantStatus::Active | TenantStatus::Suspended => Ok(()),
        from => Err(TenancyError::RefusedTransition { from, allowed: from.leads_to() }.into()),
    }
}

fn require_store(platform: &Platform) -> Result<(), ApiError> {
    let archivist = archives::archivist(platform).map_err(|_| ArchiveError::NotConfigured)?;
    archivist.store()?;
    Ok(())
}
