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
    sealed_audit, tenant_keys, truncate_guard,
};

/// The functions that migrations have made, as they are today.
const MIGRATED: [&str; 5] = [
    registry::SET_CURRENT_TENANT,
    audit::TENANT_ID_OF,
    truncate_guard::REFUSE_TRUNCATE,
    sealed_audit::TENANT_AUDIT_LOGS,
    tenant_keys::DESTROY_TENANT_KEY,
];

/// Writes what puts back a function that was dropped or changed by hand, with its rights; run as the owner role.
pub(super) fn restore(names: &RoleNames) -> String {
    let mut script = SystemScript::new(names);
    script.grant_execute("set_current_tenant(uuid)", &[App, Control, Migrator, Backup]);
    script.grant_execute("destroy_tenant_key(uuid, integer)", &[Control]);
    script.sql("GRANT EXECUTE ON FUNCTION tenant_id_of(text) TO PUBLIC");
    script.sql(sealed_audit::GRANT_TENANT_AUDIT_LOGS);
    let mut statements: Vec<String> =
        MIGRATED.map(|text| text.replacen("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION", 1)).into();
    statements.extend(script.into_statements());
    statements.join(";\n")
}

/// Returns schema, name and text of every function of the system, as PostgreSQL keeps the text.
pub(crate) fn texts(names: &RoleNames) -> Vec<[String; 3]> {
    let mut script = MIGRATED.join("\n");
    script.push_str(&names.script());
    let written = script.split("CREATE FUNCTION ").flat_map(|part| part.split("CREATE OR REPLACE FUNCTION "));
    written.filter_map(text).collect()
}

/// Reads a function's schema, name and text from what follows `CREATE FUNCTION`.
fn text(written: &str) -> Option<[String; 3]> {
    let (name, rest) = written.split_once('(')?;
    let (schema, name) = name.split_once('.').unwrap_or(("public", name));
    let is_name = |name: &str| name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    let (_, rest) = rest.split_once("AS $fn$")?;
    let (text, _) = rest.split_once("$fn$")?;
    (is_name(schema) && is_name(name)).then(|| [schema, name, text].map(str::to_owned))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_function_has_one_text() {
        let texts = texts(&RoleNames::default());
        let mut names: Vec<String> =
            texts.iter().map(|[schema, name, _]| format!("{schema}.{name}")).collect();
        names.sort();
        names.dedup();
        assert_eq!((names.len(), texts.len()), (15, 15), "{names:?}");
        for [_, name, text] in &texts {
            assert!(text.starts_with("\nDECLARE") || text.starts_with("\nBEGIN"), "{name}: {text}");
            assert!(text.ends_with("END\n") && !text.contains("{app}"), "{name}: {text}");
        }
    }
}
