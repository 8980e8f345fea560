//! `clinicx tenant backup` and its like: backups and clones of tenants.

use std::sync::{Mutex, PoisonError};

use clinicx_archive::{
    ArchiveId, Archivist, Backup, BackupState, Progress, Target, Watch,
    registry::{self, BackupFilter, Reason},
};
use clinicx_tenancy::{Left, PlatformScope, Tenant, TenantStatus, registry as tenants};
use clinicx_types::{
    id::TenantId,
    name::TenantSlug,
    page::{MAX_LIMIT, PageRequest},
};
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::{Failed, Outcome, Output, output::Bar};
use crate::{archives, routes::platform_tenants::TenantBody, said::said, wiring::Platform};

/// Shows how far the work has come, and stops it on Ctrl-C.
struct Shown<'a> {
    output: &'a Output,
    stop: CancellationToken,
    bar: Mutex<(Option<Bar>, u64)>,
}

impl<'a> Shown<'a> {
    fn new(output: &'a Output) -> Self {
        let stop = CancellationToken::new();
        let token = stop.clone();
        tokio::spawn(async move {
            if tokio::signal::ctrl_c().await.is_ok() {
                token.cancel();
            }
        });
        Self { output, stop, bar: Mutex::new((None, 0)) }
    }

    fn note(&self, progress: Progress) {
        let mut shown = self.bar.lock().unwrap_or_else(PoisonError::into_inner);
        let (bar, done) = &mut *shown;
        let length = usize::try_from(progress.of_tables).unwrap_or(usize::MAX);
        let bar = bar.get_or_insert_with(|| self.output.bar(length, "tables"));
        while *done < progress.tables {
            bar.step();
            *done += 1;
        }
    }

    fn finish(&self) {
        if let Some(bar) = &self.bar.lock().unwrap_or_else(PoisonError::into_inner).0 {
            bar.finish();
        }
    }
}

/// Runs a piece of work on archives where it can be watched.
async fn watched<T, E>(output: &Output, work: impl AsyncFnOnce(&Watch<'_>) -> Result<T, E>) -> Result<T, E> {
    let shown = Shown::new(output);
    let said = |progress| shown.note(progress);
    let done = work(&Watch::stopped_by(shown.stop.clone()).telling(&said)).await;
    shown.finish();
    done
}

/// Backs a tenant up.
pub(super) async fn back_up(
    platform: &Platform,
    slug: &TenantSlug,
    by: &PlatformScope,
    output: &Output,
) -> Result<Outcome, Failed> {
    let archivist = archivist(platform)?;
    let tenant = tenants::get_by_slug(&platform.app, slug).await.map_err(said)?;
    let made =
        watched(output, async |watch| archivist.back_up(&tenant, Reason::Demand, by, watch).await).await;
    output.one(&made.map_err(said)?);
    Ok(Outcome::Done)
}

/// Lists a tenant's backups.
pub(super) async fn list(platform: &Platform, slug: &TenantSlug, output: &Output) -> Result<Outcome, Failed> {
    let tenant = tenants::get_by_slug(&platform.app, slug).await.map_err(said)?;
    let filter = BackupFilter { tenant: Some(tenant.id), state: None };
    let mut page = PageRequest::first(MAX_LIMIT).unwrap_or_default();
    let mut backups = Vec::new();
    loop {
        let found = registry::list(&platform.app, filter, &page).await.map_err(said)?;
        backups.extend(found.items);
        match found.next {
            Some(next) => page.after = Some(next),
            None => break,
        }
    }
    let columns =
        ["id", "state", "taken_at", "schema_version", "rows", "stored_bytes", "verification", "verified_at"];
    output.many(&backups, &columns);
    Ok(Outcome::Done)
}

/// Proves a backup of a tenant: the one that is named, or the newest.
pub(super) async fn verify(
    platform: &Platform,
    (slug, id): (&TenantSlug, Option<ArchiveId>),
    by: &PlatformScope,
    output: &Output,
) -> Result<Outcome, Failed> {
    let archivist = archivist(platform)?;
    let backup = find(platform, slug, id).await?;
    let seen = watched(output, async |watch| archivist.verify(&backup, by, watch).await).await;
    seen.map_err(said)?;
    output.one(&registry::get(&platform.app, None, backup.id).await.map_err(said)?);
    Ok(Outcome::Done)
}

/// Makes a new tenant of a backup.
pub(super) async fn restore(
    platform: &Platform,
    (slug, id): (&TenantSlug, Option<ArchiveId>),
    into: &TenantSlug,
    by: &PlatformScope,
    output: &Output,
) -> Result<Outcome, Failed> {
    let archivist = archivist(platform)?;
    let backup = find(platform, slug, id).await?;
    let target = Target::new(into.as_str(), by);
    let made = watched(output, async |watch| archivist.restore_into(&backup, &target, by, watch).await).await;
    show(&made.map_err(said)?.tenant, output);
    Ok(Outcome::Done)
}

/// A tenant that was put back, and the archived one that has everything as it was before.
#[derive(Serialize)]
struct PutBackBody {
    #[serde(flatten)]
    tenant: TenantBody,
    rows: u64,
    kept: String,
}

/// Puts a tenant back to a backup. It is suspended meanwhile, and served again when it was before.
pub(super) async fn put_back(
    platform: &Platform,
    (slug, id): (&TenantSlug, Option<ArchiveId>),
    by: &PlatformScope,
    output: &Output,
) -> Result<Outcome, Failed> {
    let archivist = archivist(platform)?;
    let backup = find(platform, slug, id).await?;
    let mut tenant = tenants::get_by_slug(&platform.app, slug).await.map_err(said)?;
    let tenancy = archivist.tenancy();
    let was_served = tenant.status == TenantStatus::Active;
    if was_served {
        tenant = tenancy.suspend(slug, None, by).await.map_err(said)?;
    }
    let kept = Target::keeping(&tenant, TenantId::new(by.next_id()));
    let done =
        watched(output, async |watch| archivist.put_back(&backup, &tenant, &kept, by, watch).await).await;
    // Whatever came of it, the tenant is whole: as it was, or as the backup is.
    if was_served {
        tenant = tenancy.resume(slug, None, by).await.map_err(said)?;
    }
    let done = done.map_err(said)?;
    let tenant = if was_served { tenant } else { done.tenant };
    output.one(&PutBackBody {
        tenant: TenantBody::from(&tenant),
        rows: done.rows,
        kept: done.kept.slug.to_string(),
    });
    Ok(Outcome::Done)
}

/// Copies a tenant into a new one.
pub(super) async fn clone(
    platform: &Platform,
    (slug, into): (&TenantSlug, &TenantSlug),
    name: Option<String>,
    by: &PlatformScope,
    output: &Output,
) -> Result<Outcome, Failed> {
    let archivist = archivist(platform)?;
    let tenant = tenants::get_by_slug(&platform.app, slug).await.map_err(said)?;
    let target = Target { name, ..Target::new(into.as_str(), by) };
    let made = watched(output, async |watch| archivist.clone_tenant(&tenant, &target, by, watch).await).await;
    show(&made.map_err(said)?.tenant, output);
    Ok(Outcome::Done)
}

/// A purged tenant, what is left of it in the database, and how many of its backups are kept.
#[derive(Serialize)]
struct Purged {
    #[serde(flatten)]
    tenant: TenantBody,
    left: Left,
    backups: usize,
}

/// Proves that of a purged tenant nothing is left but what was to be kept.
///
/// # Errors
/// Something is left.
pub(super) async fn prove_end(
    platform: &Platform,
    tenant: &Tenant,
    output: &Output,
) -> Result<Outcome, Failed> {
    let left = platform.tenancy()?.left_of(tenant).await.map_err(said)?;
    let stored = registry::of_tenant(&platform.app, tenant.id, BackupState::Stored).await.map_err(said)?;
    output.one(&Purged { tenant: TenantBody::from(tenant), left, backups: stored.len() });
    match left.is_nothing() {
        true => Ok(Outcome::Done),
        false => Err(Failed::message(format!("something of {} is left in the database", tenant.slug))),
    }
}

/// Returns the backup that is named, or the newest that is stored.
async fn find(platform: &Platform, slug: &TenantSlug, id: Option<ArchiveId>) -> Result<Backup, Failed> {
    let tenant = tenants::get_by_slug(&platform.app, slug).await.map_err(said)?;
    if let Some(id) = id {
        return Ok(registry::get(&platform.app, Some(tenant.id), id).await.map_err(said)?);
    }
    let stored = registry::of_tenant(&platform.app, tenant.id, BackupState::Stored).await.map_err(said)?;
    stored.into_iter().next().ok_or_else(|| {
        Failed::message(format!("{slug} has no backup; `clinicx tenant backup {slug}` makes one"))
    })
}

/// Returns the hand on archives, once everything that it needs is configured.
pub(super) fn archivist(platform: &Platform) -> Result<Archivist, Failed> {
    if platform.config.archive.folder.is_none() {
        return Err(Failed::message(
            "archive.folder is not configured; it is the folder that holds the archives of tenants",
        ));
    }
    if platform.logins.backup.is_none() {
        return Err(Failed::message(
            "database.backup_url is not configured; it reads tenants for their backups",
        ));
    }
    Ok(archives::archivist(platform)?)
}

fn show(tenant: &Tenant, output: &Output) {
    output.one(&TenantBody::from(tenant));
}
