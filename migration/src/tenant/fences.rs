//! Puts the fences up around everything in a tenant's schema, however it came there.
//!
//! [`super::script::Script`] gives each table the fences of the day it was written; this brings all of them to those of
//! today, and mends what was torn by hand: rights, row-level security and its policy, the CHECK, the guard against
//! TRUNCATE, the column that says whose a row is. It runs after the migrations of each tenant, also when none are pending, and does nothing to what is right.

use clinicx_types::sabotage::{Bug, planted};

use crate::predicate::{self, Terms};

use super::{fleet, script::ScriptTarget};

const SCRIPT: &str = include_str!("fences.sql");
/// What is written when something was mended that no migration has touched: it was torn by hand.
const RECORD: &str = "    IF v_mended > 0 THEN
        INSERT INTO public.audit_logs (tenant_id, actor_kind, actor_job, action, entity, entity_id, after)
        VALUES (v_id::uuid, 'system', '{job}', 'tenant.fences_mended', 'tenant', v_id::uuid,
                pg_catalog.jsonb_build_object('statements', v_mended));
    END IF;
";
/// The script's own names for a tenant.
const TERMS: Terms = Terms { id: "v_id", role: "v_role", owner: "v_owner" };

/// Writes the statement that puts the fences up after migrations, which have an audit row of their own; nothing on a
/// cluster without a role per tenant, which has no triggers either.
pub fn statement(target: &ScriptTarget) -> Option<String> {
    write(target, "")
}

/// As [`statement`], with an audit row that the tenant sees when anything had to be mended.
pub fn mending_statement(target: &ScriptTarget) -> Option<String> {
    write(target, &RECORD.replace("{job}", fleet::JOB))
}

fn write(target: &ScriptTarget, record: &str) -> Option<String> {
    let role = target.role.as_ref()?;
    let script = match planted(Bug::RowSecurityNotForced) {
        true => SCRIPT
            .replace(", FORCE ROW LEVEL SECURITY", "")
            .replace(" OR NOT v_table.relforcerowsecurity", ""),
        false => SCRIPT.to_owned(),
    };
    Some(
        predicate::fill(&script, &TERMS)
            .replace("{record}", record)
            .replace("{schema}", &target.schema.literal())
            .replace("{role}", &format!("'{}'", role.as_str()))
            .replace("{tenant_id}", &target.tenant_id.to_string()),
    )
}

/// Tells whether a statement can't have touched the fences: it adds columns or an index, or changes rows.
///
/// A column `version` decides about rights. What is not known here has touched them.
pub(super) fn are_untouched_by(statement: &str) -> bool {
    const HARMLESS: &[&str] =
        &["CREATE INDEX ", "CREATE UNIQUE INDEX ", "UPDATE ", "INSERT INTO ", "SELECT ", "COMMENT ON "];
    if HARMLESS.iter().any(|beginning| statement.starts_with(beginning)) {
        return true;
    }
    let Some((_, what)) = statement.strip_prefix("ALTER TABLE ").and_then(|rest| rest.split_once(' ')) else {
        return false;
    };
    let adds = what.starts_with("ADD COLUMN ") || what.starts_with("ADD CONSTRAINT ");
    let more = ["DROP ", "RENAME ", "OWNER ", " SECURITY", "version", "ATTACH ", "TRIGGER ", "SET SCHEMA"];
    adds && !more.iter().any(|word| what.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_to_be_harmless_touches_the_fences() {
        for harmless in [
            "ALTER TABLE patients ADD COLUMN nickname text, ADD COLUMN pronouns text",
            "ALTER TABLE \"invoices\" ADD CONSTRAINT \"ck_x\" CHECK (a > 0)",
            "CREATE INDEX ix_a ON a (b)",
            "UPDATE a SET b = 1",
        ] {
            assert!(are_untouched_by(harmless), "{harmless}");
        }
        for other in [
            "ALTER TABLE patients ADD COLUMN version bigint",
            "ALTER TABLE patients DISABLE ROW LEVEL SECURITY",
            "ALTER TABLE patients ADD COLUMN a text, DISABLE ROW LEVEL SECURITY",
            "ALTER TABLE patients ADD COLUMN a text, OWNER TO postgres",
            "CREATE TABLE a (b int)",
            "GRANT SELECT ON a TO b",
            "DROP POLICY p ON a",
            "DO $$ BEGIN END $$",
        ] {
            assert!(!are_untouched_by(other), "{other}");
        }
    }
}
