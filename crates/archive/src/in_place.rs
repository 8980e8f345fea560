//! Puts a tenant back to what a backup holds, and keeps what it was.

use clinicx_keys::{archive::cipher_of, store};
use clinicx_tenancy::{PlatformScope, TenancyError, Tenant, TenantStatus, registry as tenants};
use clinicx_types::{
    id::TenantId,
    name::{ModuleName, TenantSlug},
};
use serde_json::json;

use crate::{
    Archivist,
    error::{ArchiveError, Refusal},
    registry::Backup,
    restore::Target,
    rewrite::Transfer,
    watch::Watch,
};

/// The most characters of a tenant's slug that the one has which keeps what it was.
const SLUG_LETTERS: usize = 24;

/// A tenant that was put back.
#[derive(Clone, Debug)]
pub struct PutBack {
    /// The tenant; it is suspended.
    pub tenant: Tenant,
    /// The archived tenant that has everything as it was before.
    pub kept: Tenant,
    /// How many rows the tenant has now.
    pub rows: u64,
}

impl Target {
    /// Makes the one that keeps what a tenant is before it is put back, with this id.
    pub fn keeping(tenant: &Tenant, id: TenantId) -> Self {
        let slug: String = tenant.slug.as_str().chars().take(SLUG_LETTERS).collect();
        let digits = id.uuid().simple().to_string();
        let tail = digits.get(digits.len() - 8..).unwrap_or_default();
        Self { id, slug: format!("{}-kept-{tail}", slug.trim_end_matches('-')), name: None }
    }
}

impl Archivist {
    /// Puts a suspended tenant back to what one of its backups holds; it stays suspended, and keeps its id, its slug,
    /// its members and its data keys.
    ///
    /// What it was is first copied into `kept`, an archived tenant: who is content purges it, who is not takes it into
    /// service. Whoever begins again after a crash says the same `kept`, and it is not made twice. The tables are then
    /// made anew and filled in one transaction: until it commits, the tenant is what it was. Writes audit rows.
    ///
    /// # Errors
    /// As [`Archivist::restore_into`]; [`ArchiveError::Unknown`] when the backup is another tenant's;
    /// [`TenancyError::RefusedTransition`] when the tenant is not suspended.
    #[tracing::instrument(name = "archive.put_back", skip_all, fields(archive.id = %backup.id, tenant.id = %tenant.id), err(level = "debug"))]
    pub async fn put_back(
        &self,
        backup: &Backup,
        tenant: &Tenant,
        kept: &Target,
        by: &PlatformScope,
        watch: &Watch<'_>,
    ) -> Result<PutBack, ArchiveError> {
        if backup.tenant_id != tenant.id {
            return Err(ArchiveError::Unknown);
        }
        let opened = self.checked(backup, watch).await?;
        let plan = self.recorded(&opened.manifest)?;
        let tenant = self.suspended(&tenant.slug).await?;
        let kept = self.keep(&tenant, kept, by, watch).await?;
        let providers = self.tenancy().keys();
        let opening = cipher_of(providers, tenant.id, &opened.manifest.stored_keys()?).await?;
        // A key that was changed and destroyed since does not come back: what it sealed is sealed under today's.
        let present: Vec<_> = store::load(self.control(), tenant.id).await?;
        let present: Vec<_> = present.into_iter().filter(|row| row.sealing).map(|row| row.key).collect();
        let sealing = cipher_of(providers, tenant.id, &present).await?;
        let modules = opened.manifest.tenant.modules.iter().map(|name| ModuleName::parse(name));
        let modules = modules.collect::<Result<_, _>>().map_err(|_| Refusal::Manifest)?;
        let transfer = Transfer {
            from: tenant.id,
            to: tenant.id,
            ciphers: Some((opening, sealing.clone())),
            takes_all: true,
        };
        let mut source = self.source(backup.place(), &opened)?;
        let creation = self.tenancy().begin_replacement(&tenant, modules, &plan, sealing).await?;
        let creation = self.complete(creation, &transfer, &mut source, watch).await?;
        let rows = opened.manifest.rows();
        let after = json!({
            "archive": backup.id, "rows": rows, "taken_at": opened.manifest.taken_at, "kept": kept.slug,
        });
        let tenant = creation.finish("tenant.put_back", after, Vec::new(), by).await?;
        Ok(PutBack { tenant, kept, rows })
    }

    async fn suspended(&self, slug: &TenantSlug) -> Result<Tenant, ArchiveError> {
        let tenant = tenants::get_by_slug(self.control(), slug).await?;
        match tenant.status {
            TenantStatus::Suspended => Ok(tenant),
            from => Err(TenancyError::RefusedTransition { from, allowed: from.leads_to() }.into()),
        }
    }

    /// Copies what the tenant is into an archived one, unless that was done.
    async fn keep(
        &self,
        tenant: &Tenant,
        kept: &Target,
        by: &PlatformScope,
        watch: &Watch<'_>,
    ) -> Result<Tenant, ArchiveError> {
        let made = match tenants::find_by_id(self.control(), kept.id).await? {
            // It may have been served again since, and hold what the copy does not.
            Some(made) if made.created_at < tenant.updated_at => {
                return Err(ArchiveError::State("older than the tenant's suspension".to_owned()));
            }
            Some(made) => made,
            None => self.clone_tenant(tenant, kept, by, watch).await?.tenant,
        };
        match made.status {
            TenantStatus::Archived => Ok(made),
            _ => Ok(self.tenancy().archive(&made.slug, None, by).await?),
        }
    }
}
