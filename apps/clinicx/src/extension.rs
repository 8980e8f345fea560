//! Modules from outside: what a program adds to its clinics that is built on this one. `docs/extending.md` builds one.

use clinicx_jobs::JobSet;
use clinicx_keys::sealed::SealedColumn;
use clinicx_tenancy::Module;
use clinicx_web::HttpModule;

use crate::wiring::{Platform, Slot};

/// A module that this program does not bring itself.
#[derive(Clone, Copy, Debug)]
pub struct Extension {
    /// Its tables, rights and events.
    pub module: Module,
    /// Its operations; the slot holds the platform that serves them.
    pub routes: fn(&Slot) -> Vec<HttpModule>,
    /// The columns whose values are sealed; `clinicx keys rotate` seals them anew.
    pub sealed_columns: &'static [SealedColumn],
    /// Adds its kinds of background work, and what of it is repeated; [`no_jobs`] adds none.
    pub jobs: fn(&Platform, JobSet) -> anyhow::Result<JobSet>,
}

/// Adds no background work.
///
/// # Errors
/// None.
pub fn no_jobs(_: &Platform, jobs: JobSet) -> anyhow::Result<JobSet> {
    Ok(jobs)
}

/// Everything that a program adds.
#[derive(Clone, Debug, Default)]
pub struct Extensions(Vec<Extension>);

impl Extensions {
    /// Adds these; whether they fit together is found out when they are first used.
    pub fn new(extensions: impl IntoIterator<Item = Extension>) -> Self {
        Self(extensions.into_iter().collect())
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Extension> {
        self.0.iter()
    }
}
