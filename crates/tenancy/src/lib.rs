//! The registry of tenants: how they come to be, where they live, in which state they are, and how they end.
//!
//! The crate owns the tables `tenants`, `tenant_modules` and `clusters` of the system schema, and the order of
//! steps that make a tenant's schema. **Invariant:** a tenant is either complete and in the registry, or not
//! there at all: its row, role, schema, tables and first administrator are one transaction. **Invariant:** a
//! tenant that is not active is fenced in the database, so that no process with an old cache writes to it.
//!
//! It also owns `system_configurations`, `feature_flags` and `feature_flag_overrides`: what an operator changes while
//! the service runs ([`Configurations`], [`FeatureFlags`]).
//!
//! It knows no module by name: the application gives it a [`ModuleRegistry`]. Entry points: [`Tenancy`] for what
//! an operator does, [`registry`] for reading, [`Resolver`] for the requests of a service.

pub mod audit;
mod closed;
pub mod configuration;
pub mod creation;
pub mod draft;
mod enabling;
pub mod error;
pub mod exec;
pub mod feature_flag;
mod kept;
pub mod left;
mod lifecycle;
pub mod limits;
pub mod module;
mod provisioning;
pub mod registry;
pub mod resolver;
pub mod rollout;
pub mod rotation;
pub mod scope;
pub mod service;
pub mod tenant;
pub mod watch;

pub use configuration::Configurations;
pub use creation::Creation;
pub use draft::{NewTenant, TenantDraft, TenantPatch};
pub use error::TenancyError;
pub use feature_flag::FeatureFlags;
pub use left::Left;
pub use lifecycle::Purge;
pub use limits::TenantLimits;
pub use module::{Module, ModuleError, ModuleRegistry};
pub use resolver::Resolver;
pub use rollout::{Pin, Rollout, RolloutPatch};
pub use rotation::{KeyChange, Resealed};
pub use scope::PlatformScope;
pub use service::{ClusterEntry, Tenancy, TenancyOptions};
pub use tenant::{Isolation, Tenant, TenantStatus};
