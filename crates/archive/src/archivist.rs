//! The operator's hand on archives.

use std::sync::Arc;

use clinicx_keys::sealed::SealedColumn;
use clinicx_persistence::SystemConnection;
use clinicx_tenancy::Tenancy;

use crate::{error::ArchiveError, snapshot::BackupLogin, store::Store};

/// How archives are made, and where they are kept.
#[derive(Clone, Debug)]
pub struct ArchivistOptions {
    /// Makes and registers tenants; wraps keys.
    pub tenancy: Tenancy,
    /// The login that reads everything; without it nothing can be backed up or cloned.
    pub backup: Option<BackupLogin>,
    /// Where archives are kept; without it there are no backups.
    pub store: Option<Arc<dyn Store>>,
    /// The columns whose values are sealed under a tenant's key.
    pub sealed: Vec<SealedColumn>,
    /// The tables whose rows do not go to another tenant: what was promised to the outside in the name of the old one.
    pub left_behind: &'static [&'static str],
}

/// Backs tenants up, verifies, restores, clones. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Archivist {
    options: Arc<ArchivistOptions>,
}

impl Archivist {
    /// Makes the hand; nothing is connected to before it is used.
    pub fn new(options: ArchivistOptions) -> Self {
        Self { options: Arc::new(options) }
    }

    /// Returns the operator's hand on tenants.
    pub fn tenancy(&self) -> &Tenancy {
        &self.options.tenancy
    }

    /// Returns where archives are kept.
    ///
    /// # Errors
    /// [`ArchiveError::NotConfigured`].
    pub fn store(&self) -> Result<&Arc<dyn Store>, ArchiveError> {
        self.options.store.as_ref().ok_or(ArchiveError::NotConfigured)
    }

    pub(crate) fn control(&self) -> &SystemConnection {
        self.options.tenancy.control()
    }

    pub(crate) fn login(&self) -> Result<&BackupLogin, ArchiveError> {
        self.options.backup.as_ref().ok_or(ArchiveError::NotConfigured)
    }

    pub(crate) fn sealed(&self) -> &[SealedColumn] {
        &self.options.sealed
    }

    pub(crate) fn stays_behind(&self, table: &str) -> bool {
        self.options.left_behind.contains(&table)
    }
}
