//! How a gap in the fences is closed: the command for each.

use crate::{
    fence::Gap,
    system::{RoleNames, SystemRole},
};

/// Mends roles, memberships and what only an administrator may give or take.
const SYSTEM: &str = "run `clinicx migrate system` with an administrator's login";
/// Mends rights, row-level security, CHECKs and guards of tenants' tables.
const TENANTS: &str = "run `clinicx migrate tenants`";

/// Returns the command that closes a gap: the program's own where it has one, else an SQL statement for an
/// administrator.
pub fn command(gap: &Gap, names: &RoleNames) -> String {
    let detail = gap.detail.as_deref().unwrap_or_default();
    let place = match &gap.relation {
        Some(relation) => format!("{}.{}", quoted(&gap.schema), quoted(relation)),
        None => quoted(&gap.schema),
    };
    let owner = names.of(SystemRole::Owner).quoted();
    if let Some(statement) = of_server(&gap.gap, &place, detail) {
        return sql(&statement);
    }
    if gap.schema.starts_with("tenant_") {
        return of_tenant(gap, &place, detail, &owner);
    }
    match gap.gap.as_str() {
        "grant" => match detail.split_once(' ') {
            Some((grantee, right)) => {
                sql(&format!("REVOKE {right} ON {place} FROM {} CASCADE", role(grantee)))
            }
            None => SYSTEM.to_owned(),
        },
        "column_grant" => {
            let mut parts = detail.splitn(3, ' ');
            match (parts.next(), parts.next(), parts.next()) {
                (Some(grantee), Some(right), Some(column)) => {
                    let column = quoted(column);
                    sql(&format!("REVOKE {right} ({column}) ON {place} FROM {} CASCADE", role(grantee)))
                }
                _ => SYSTEM.to_owned(),
            }
        }
        "trigger" => sql(&format!("DROP TRIGGER {} ON {place}", quoted(detail))),
        "rule" => sql(&format!("DROP RULE {} ON {place}", quoted(detail))),
        "policy" => sql(&format!("DROP POLICY {} ON {place}", quoted(detail))),
        "owner" => sql(&format!("ALTER TABLE {place} OWNER TO {owner}")),
        "function" => sql(&format!("DROP ROUTINE {place}({detail})")),
        "default_privileges" => default_privileges(detail, ""),
        _ => SYSTEM.to_owned(),
    }
}

/// Writes the statement for what is not the system's own, and which the program leaves alone.
fn of_server(gap: &str, place: &str, detail: &str) -> Option<String> {
    let (first, last) = detail.rsplit_once(' ').unwrap_or((detail, ""));
    Some(match gap {
        "setting_of_all_roles" => format!("ALTER ROLE ALL RESET {}", quoted(detail)),
        "database_setting" => {
            let (setting, database) = detail.split_once(' ')?;
            format!("ALTER DATABASE {} RESET {}", quoted(database), quoted(setting))
        }
        "server_setting" => {
            format!("ALTER SYSTEM SET {} = origin; SELECT pg_reload_conf()", quoted(detail))
        }
        "parameter_grant" => {
            format!("REVOKE ALL ON PARAMETER {} FROM {} CASCADE", quoted(first), role(last))
        }
        "server_function" => format!("REVOKE EXECUTE ON FUNCTION {first} FROM {} CASCADE", role(last)),
        "login_creates_roles" => format!("ALTER ROLE {} NOCREATEROLE", quoted(detail)),
        "role_bypasses_row_security" => format!("ALTER ROLE {} NOBYPASSRLS", quoted(detail)),
        "audit_default" => format!("ALTER TABLE {place} {}", audit_default(detail)),
        "definer_function" => format!("DROP ROUTINE {place}({detail})"),
        "function_in_reach" => {
            format!("REVOKE EXECUTE ON ROUTINE {place}{first} FROM {} CASCADE", role(last))
        }
        "extension_in_reach" if matches!(place, "\"pg_catalog\"" | "\"extensions\"") => {
            format!("DROP EXTENSION {}", quoted(first))
        }
        "extension_in_reach" => format!("REVOKE USAGE ON SCHEMA {place} FROM {} CASCADE", role(last)),
        "cast" => format!("DROP CAST ({detail})"),
        "operator" => format!("DROP OPERATOR {detail}"),
        "operator_class" => format!("DROP OPERATOR CLASS {detail}"),
        "login_replicates" => format!("ALTER ROLE {} NOREPLICATION", quoted(detail)),
        "member_of_server_role" => format!("REVOKE {} FROM {}", quoted(last), quoted(first)),
        "role_inherits" => format!("GRANT {} TO {} WITH INHERIT FALSE", quoted(last), quoted(first)),
        "unlogged" => format!("ALTER TABLE {place} SET LOGGED"),
        _ if gap.starts_with("code_in_") => return planted(gap, place, detail),
        "view_with_owners_rights" => format!("ALTER VIEW {place} SET (security_invoker = true)"),
        "materialised_view" => format!("DROP MATERIALIZED VIEW {place}"),
        "inherits" => format!("ALTER TABLE {place} NO INHERIT {detail}"),
        "is_inherited" => format!("ALTER TABLE {detail} NO INHERIT {place}"),
        "partition_of" => format!("ALTER TABLE {detail} DETACH PARTITION {place}"),
        "has_partition" => format!("ALTER TABLE {place} DETACH PARTITION {detail}"),
        _ => return None,
    })
}

/// Writes how code is taken out of a table: `detail` names what calls it, quoted where that is needed, and it.
fn planted(gap: &str, place: &str, detail: &str) -> Option<String> {
    let (name, _) = detail.split_once(" calls ")?;
    let schema = place.split_once("\".\"").map_or(place, |(schema, _)| schema).trim_matches('"');
    Some(match gap {
        "code_in_default" => format!("ALTER TABLE {place} ALTER {name} DROP DEFAULT"),
        "code_in_generated_column" => format!("ALTER TABLE {place} ALTER {name} DROP EXPRESSION"),
        "code_in_constraint" => format!("ALTER TABLE {place} DROP CONSTRAINT {name}"),
        "code_in_index" => format!("DROP INDEX {}.{name}", quoted(schema)),
        "code_in_statistics" => format!("DROP STATISTICS {}.{name}", quoted(schema)),
        "code_in_view" => format!("DROP VIEW {place}"),
        "code_in_column" => format!("ALTER TABLE {place} DROP COLUMN {name}"),
        "code_in_type" => format!("DROP TYPE {place}.{name}"),
        _ => format!("DROP TABLE {place}"),
    })
}

/// Writes how a column of the audit gets back what the migrations gave it.
fn audit_default(column: &str) -> String {
    let expression = match column {
        "id" => "gen_random_uuid()",
        "recorded_at" => "clock_timestamp()",
        "tenant_id" => return format!("ALTER {column} SET DEFAULT public.tenant_id_of(current_user::text)"),
        "database_role" => "current_user",
        "transaction_id" => "pg_current_xact_id()",
        _ => return format!("ALTER {} DROP DEFAULT", quoted(column)),
    };
    format!("ALTER {column} SET DEFAULT {expression}, ALTER {column} SET NOT NULL")
}

/// `detail` names the kind of objects, who makes them, and who would have rights to them.
fn default_privileges(detail: &str, place: &str) -> String {
    let mut parts = detail.splitn(3, ' ');
    let (Some(kind), Some(maker), Some(grantee)) = (parts.next(), parts.next(), parts.next()) else {
        return SYSTEM.to_owned();
    };
    let (maker, grantee) = (quoted(maker), role(grantee));
    sql(&format!("ALTER DEFAULT PRIVILEGES FOR ROLE {maker}{place} REVOKE ALL ON {kind} FROM {grantee}"))
}

fn of_tenant(gap: &Gap, place: &str, detail: &str, owner: &str) -> String {
    match gap.gap.as_str() {
        "role_attributes" | "role_member" | "role_is_member" => SYSTEM.to_owned(),
        "owner" => sql(&format!("ALTER TABLE {place} OWNER TO {owner}")),
        "schema_owner" => sql(&format!("ALTER SCHEMA {place} OWNER TO {owner}")),
        "schema_usage_missing" => sql(&format!("GRANT USAGE ON SCHEMA {place} TO {place}")),
        "schema_usage_left" => sql(&format!("REVOKE USAGE ON SCHEMA {place} FROM {place}")),
        "trigger" => sql(&format!("DROP TRIGGER {} ON {place}", quoted(detail))),
        "foreign_key_disabled" => sql(&format!("ALTER TABLE {place} ENABLE TRIGGER ALL")),
        "rule" => sql(&format!("DROP RULE {} ON {place}", quoted(detail))),
        "function" => sql(&format!("DROP ROUTINE {place}.{detail}")),
        "view_without_security_invoker" => sql(&format!("ALTER VIEW {place} SET (security_invoker)")),
        "default_privileges" => default_privileges(detail, &format!(" IN SCHEMA {}", quoted(&gap.schema))),
        "schema_missing" | "role_missing" => {
            "restore the tenant from a backup; its schema or role was dropped by hand".to_owned()
        }
        "primary_key_missing" | "tenant_id_column_missing" | "materialised_view_or_foreign_table" => sql(
            &format!("DROP TABLE {place}, or take it out of the tenant's schema; no migration made it so"),
        ),
        _ if gap.gap.starts_with("foreign_key_") => {
            format!("make {} on {place} again as the tenant's migrations do", quoted(detail))
        }
        _ => TENANTS.to_owned(),
    }
}

fn sql(statement: &str) -> String {
    format!("run as an administrator in psql: {statement}")
}

fn role(name: &str) -> String {
    if name == "PUBLIC" { name.to_owned() } else { quoted(name) }
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_gap_has_its_command() {
        let check =
            |schema: &str, relation: Option<&str>, gap: &str, detail: Option<&str>, expected: &str| {
                let gap = Gap {
                    schema: schema.to_owned(),
                    relation: relation.map(str::to_owned),
                    gap: gap.to_owned(),
                    detail: detail.map(str::to_owned),
                };
                let said = command(&gap, &RoleNames::default());
                assert!(said.ends_with(expected), "{said}");
            };
        let table = Some("outbox");
        check("tenant_a", table, "row_security_not_forced", None, TENANTS);
        check("tenant_a", table, "truncate_guard_missing", None, TENANTS);
        check("tenant_a", table, "grant", Some("PUBLIC SELECT"), TENANTS);
        check("tenant_a", table, "tenant_id_column", None, TENANTS);
        check("tenant_a", None, "function", Some("f(a integer)"), "DROP ROUTINE \"tenant_a\".f(a integer)");
        check(
            "tenant_a",
            table,
            "inherits",
            Some("spare.\"P\""),
            "ALTER TABLE \"tenant_a\".\"outbox\" NO INHERIT spare.\"P\"",
        );
        check(
            "tenant_a",
            None,
            "default_privileges",
            Some("TABLES clinicx_owner PUBLIC"),
            "FOR ROLE \"clinicx_owner\" IN SCHEMA \"tenant_a\" REVOKE ALL ON TABLES FROM PUBLIC",
        );
        check("tenant_a", None, "role_attributes", None, SYSTEM);
        check(
            "tenant_a",
            table,
            "code_in_index",
            Some("\"Ix\" calls function spare.f(text)"),
            "DROP INDEX \"tenant_a\".\"Ix\"",
        );
        check(
            "spare",
            Some("ex"),
            "function_in_reach",
            Some("(a text) PUBLIC"),
            "REVOKE EXECUTE ON ROUTINE \"spare\".\"ex\"(a text) FROM PUBLIC CASCADE",
        );
        check("extensions", None, "extension_in_reach", Some("dblink PUBLIC"), "DROP EXTENSION \"dblink\"");
        check("tenant_a", table, "trigger", Some("t"), "DROP TRIGGER \"t\" ON \"tenant_a\".\"outbox\"");
        check("public", None, "role_attributes", Some("clinicx_app"), SYSTEM);
        check("public", None, "role_setting", Some("clinicx_app role=x"), SYSTEM);
        check("public", None, "login_creates_roles", Some("helper"), "ALTER ROLE \"helper\" NOCREATEROLE");
        check("public", Some("f"), "function", Some("a integer"), "DROP ROUTINE \"public\".\"f\"(a integer)");
        check("pg_catalog", None, "everybody_may_set_config", None, SYSTEM);
        check(
            "public",
            Some("users"),
            "grant",
            Some("PUBLIC SELECT"),
            "REVOKE SELECT ON \"public\".\"users\" FROM PUBLIC CASCADE",
        );
        check(
            "public",
            Some("tenants"),
            "column_grant",
            Some("clinicx_control UPDATE status"),
            "REVOKE UPDATE (\"status\") ON \"public\".\"tenants\" FROM \"clinicx_control\" CASCADE",
        );
    }
}
