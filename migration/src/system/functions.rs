//! The functions of `public` that migrations have made, put back as they should be.
//!
//! A migration that replaces one of them puts its own text here.

use super::{
    audit, registry,
    roles::{
        RoleNames,
        SystemRole::{App, Backup, Control, Migrator},
    },
    script::SystemScript,
    sealed_audit, truncate_guard,
};

/// Writes what puts back a function that was dropped or changed by hand, with its rights; run as the owner role.
pub(super) fn restore(names: &RoleNames) -> String {
    let mut script = SystemScript::new(names);
    script.grant_execute("set_current_tenant(uuid)", &[App, Control, Migrator, Backup]);
    script.sql("GRANT EXECUTE ON FUNCTION tenant_id_of(text) TO PUBLIC");
    script.sql(sealed_audit::GRANT_TENANT_AUDIT_LOGS);
    let functions = [
        registry::SET_CURRENT_TENANT,
        audit::TENANT_ID_OF,
        truncate_guard::REFUSE_TRUNCATE,
        sealed_audit::TENANT_AUDIT_LOGS,
    ];
    let mut statements: Vec<String> =
        functions.map(|text| text.replacen("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION", 1)).into();
    statements.extend(script.into_statements());
    statements.join(";\n")
}
