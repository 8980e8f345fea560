//! The rights of the module `dental` and the roles that have them.

use clinicx_types::permission::{
    Permission, PermissionRule,
    Role::{self, Assistant, Dentist, Doctor, Hygienist, Nurse, Receptionist},
};

/// See dental charts and treatments.
pub const DENTAL_CHART_READ: Permission = Permission("dental_chart.read");
/// Chart findings and teeth.
pub const DENTAL_CHART_WRITE: Permission = Permission("dental_chart.write");
/// Plan and perform treatments.
pub const TREATMENT_WRITE: Permission = Permission("treatment.write");

const AT_THE_CHAIR: &[Role] = &[Dentist, Doctor, Hygienist, Assistant];

/// The module's lines of the permission table.
pub const RULES: &[PermissionRule] = &[
    PermissionRule {
        permission: DENTAL_CHART_READ,
        roles: &[Dentist, Doctor, Hygienist, Assistant, Nurse, Receptionist],
        description: "See dental charts and treatments",
    },
    PermissionRule {
        permission: DENTAL_CHART_WRITE,
        roles: AT_THE_CHAIR,
        description: "Chart findings and teeth",
    },
    PermissionRule {
        permission: TREATMENT_WRITE,
        roles: &[Dentist, Doctor, Hygienist],
        description: "Plan and perform treatments",
    },
];
