//! Copies a tenant into a new one, without an archive in between.

use clinicx_tenancy::{PlatformScope, Tenant};
use serde_json::json;

use crate::{
    Archivist, Restored, Target,
    error::ArchiveError,
    restore::{Source, members},
    snapshot::Snapshot,
    watch::Watch,
};

impl Archivist {
    /// Makes a new tenant of what another has at this moment, in one snapshot and one transaction, with its members;
    /// what is sealed is sealed anew under the new tenant's key. Writes an audit row for each of the two.
    ///
    /// # Errors
    /// [`ArchiveError::Tenancy`] when the slug is taken or wrong, or somebody changes the tenant's tables for long;
    /// [`ArchiveError::NotConfigured`], [`ArchiveError::Stopped`], [`ArchiveError::Different`],
    /// [`ArchiveError::Database`].
    #[tracing::instrument(name = "archive.clone", skip_all, fields(tenant.id = %tenant.id, tenant.slug = into.slug), err(level = "debug"))]
    pub async fn clone_tenant(
        &self,
        tenant: &Tenant,
        into: &Target,
        by: &PlatformScope,
        watch: &Watch<'_>,
    ) -> Result<Restored, ArchiveError> {
        let mut snapshot = Snapshot::take(self.login()?, &tenant.database_schema).await?;
        let made = async {
            let (manifest, _) = snapshot.describe(tenant.id).await?;
            let new = self.describe(&manifest, into)?;
            let rows = std::sync::atomic::AtomicU64::new(0);
            let count = |progress: crate::watch::Progress| {
                rows.store(progress.rows, std::sync::atomic::Ordering::Relaxed);
                watch.say(progress);
            };
            let watch = watch.clone().telling(&count);
            let mut source = Source::Live(&mut snapshot);
            let creation = self.make(new, &manifest, &mut source, by, &watch).await?;
            let rows = rows.load(std::sync::atomic::Ordering::Relaxed);
            let after = json!({ "source_tenant": tenant.id, "rows": rows, "taken_at": manifest.taken_at });
            let mut also = members(&manifest, creation.tenant().id);
            also.push(copied(tenant, &creation.tenant().slug, by));
            let tenant = creation.finish("tenant.cloned_from", after, also, by).await?;
            Ok(Restored { tenant, rows })
        };
        let made = made.await;
        snapshot.close().await;
        made
    }
}

/// Tells the tenant that was copied of it.
fn copied(tenant: &Tenant, into: &clinicx_types::name::TenantSlug, by: &PlatformScope) -> sea_orm::Statement {
    let action = clinicx_tenancy::audit::Action {
        name: "tenant.cloned",
        entity: "tenant",
        entity_id: Some(tenant.id.uuid()),
        tenant_id: Some(tenant.id),
        before: None,
        after: Some(json!({ "into": into })),
    };
    clinicx_tenancy::audit::statement(by, action)
}
