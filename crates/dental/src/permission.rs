//! The rights of the module `dental` and the roles that have them.

use clinicx_types::permission::{
    Permission, PermissionRule,
    Role::{self, Accountant, Assistant, Dentist, Doctor, Hygienist, Nurse, Receptionist},
};

/// See dental charts and treatments.
pub const DENTAL_CHART_READ: Permission = Permission("dental_chart.read");
/// Chart findings and teeth.
pub const DENTAL_CHART_WRITE: Permission = Permission("dental_chart.write");
/// Plan and perform treatments.
pub const TREATMENT_WRITE: Permission = Permission("treatment.write");
/// Say that a treatment should never have been there.
pub const TREATMENT_VOID: Permission = Permission("treatment.void");
/// Send work to laboratories and take it back.
pub const LAB_CASE_WRITE: Permission = Permission("lab_case.write");
/// See the catalogue of procedures.
pub const PROCEDURE_CODE_READ: Permission = Permission("procedure_code.read");
/// Change the catalogue of procedures and their prices.
pub const PROCEDURE_CODE_WRITE: Permission = Permission("procedure_code.write");

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
    PermissionRule {
        permission: TREATMENT_VOID,
        roles: &[Dentist, Doctor],
        description: "Say that a treatment should never have been there",
    },
    PermissionRule {
        permission: LAB_CASE_WRITE,
        roles: AT_THE_CHAIR,
        description: "Send work to laboratories and take it back",
    },
    PermissionRule {
        permission: PROCEDURE_CODE_READ,
        roles: &[Dentist, Doctor, Hygienist, Assistant, Nurse, Receptionist, Accountant],
        description: "See the catalogue of procedures",
    },
    PermissionRule {
        permission: PROCEDURE_CODE_WRITE,
        roles: &[],
        description: "Change the catalogue of procedures and their prices",
    },
];
