//! The rights of the module `orthodontics` and the roles that have them; owners and administrators have all.

use clinicx_types::permission::{
    Permission, PermissionRule,
    Role::{Assistant, Dentist, Hygienist},
};

/// See brackets and visits.
pub const ORTHODONTICS_READ: Permission = Permission("orthodontics.read");
/// Bond and remove brackets, record visits.
pub const ORTHODONTICS_WRITE: Permission = Permission("orthodontics.write");

/// The module's lines of the permission table.
pub const RULES: &[PermissionRule] = &[
    PermissionRule {
        permission: ORTHODONTICS_READ,
        roles: &[Dentist, Hygienist, Assistant],
        description: "See brackets and visits",
    },
    PermissionRule {
        permission: ORTHODONTICS_WRITE,
        roles: &[Dentist],
        description: "Bond and remove brackets, record visits",
    },
];
