//! Braces: the module `orthodontics`, as a team outside of ClinicX would write it.
//!
//! The crate owns the tables `orthodontic_brackets` and `orthodontic_visits` of the tenants that have the module.
//! It knows no HTTP: the program `clinic` beside it serves its operations.
//!
//! Entry points: [`bracket::bond`], [`bracket::remove`], [`bracket::list`], [`visit::record`], [`visit::list`];
//! [`MODULE`], which a program hands in.

pub mod bracket;
pub mod event;
pub mod migrations;
pub mod permission;
mod trace;
pub mod visit;

use clinicx_tenancy::Module;
use clinicx_types::module::ModuleFacts;

/// The module's name.
pub const NAME: &str = "orthodontics";

/// Its tables, rights and events.
pub const MODULE: Module = Module {
    name: NAME,
    migrations: migrations::MIGRATIONS,
    facts: ModuleFacts {
        permissions: permission::RULES,
        events: event::ALL,
        flags: &[],
        configurations: &[],
    },
};

clinicx_types::typed_id! {
    /// Names a bracket that is or was bonded to a tooth.
    BracketId,
    /// Names a visit at which braces were looked after.
    VisitId,
}
