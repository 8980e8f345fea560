//! The system schema `public`: roles, registry, audit, users, and the migrator that brings them forward.
//!
//! Two logins take part. An administrator's creates or repairs the roles and what only a superuser can
//! ([`roles`]); then every table is made by the owner role, which the migrator's login becomes too.
//! Entry points: [`migrate`], [`pending`].

mod accounts;
mod adoptions;
mod audit;
mod backups;
mod fleet_migrations;
pub(crate) mod functions;
mod idempotency;
mod identity;
mod jobs;
mod maintenance;
mod migrator;
mod oidc;
mod registry;
pub mod roles;
pub mod script;
mod sealed_audit;
mod tenant_keys;
mod truncate_guard;
mod unset_flags;
mod watching;

pub use migrator::{LEDGER, Report, SystemMigrationError, SystemMigrator, migrate, pending};
pub use roles::{RoleNames, SystemRole};

use script::SystemScript;

/// One step forward of the system schema.
#[derive(Clone, Copy)]
pub struct SystemMigration {
    /// Its name in `system_migrations`: `m<number>_<what it does>`; never changed.
    pub name: &'static str,
    /// Writes what it does.
    pub up: fn(&mut SystemScript<'_>),
    /// Why it can't be undone; the system schema only ever moves forward.
    pub irreversible: &'static str,
}

/// Every migration, oldest first; only ever appended to.
const LIST: &[SystemMigration] = &[
    registry::MIGRATION,
    audit::MIGRATION,
    idempotency::MIGRATION,
    identity::MIGRATION,
    sealed_audit::MIGRATION,
    tenant_keys::MIGRATION,
    truncate_guard::MIGRATION,
    oidc::MIGRATION,
    accounts::MIGRATION,
    idempotency::SCOPE,
    unset_flags::MIGRATION,
    tenant_keys::DESTRUCTION,
    jobs::MIGRATION,
    fleet_migrations::MIGRATION,
    adoptions::MIGRATION,
    backups::MIGRATION,
    watching::MIGRATION,
    maintenance::MIGRATION,
    audit::BACKUP_READS,
];
