//! The structure of the system schema and of every tenant's schema, as ordered lists of migrations.
//!
//! [`system`] is a sea-orm-migration migrator for the schema `public`. [`tenant`] holds one list for each module;
//! a list is rendered to SQL for one tenant, and that script both creates a new schema and brings an old one
//! forward. [`fence`] checks that what stands in the database is what the lists promise.
//!
//! **Invariant:** a tenant's table is only made through [`tenant::script::Script`], which puts the four
//! fences around it. Imports no entity: a migration never changes once it has been released.

pub mod failure;
pub mod fence;
pub mod mend;
pub mod owner;
mod predicate;
pub mod system;
pub mod tenant;

pub use failure::DatabaseFailure;
