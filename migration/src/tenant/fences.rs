//! Puts the fences up around everything in a tenant's schema, however it came there.
//!
//! [`super::script::Script`] gives each table the fences of the day it was written; this brings all of them to those of
//! today, and mends what was torn by hand: rights, row-level security and its policy, the CHECK, the guard against
//! TRUNCATE, the column that says whose a row is. It runs after the migrations of each tenant, also when none are pending, and does nothing to what is right.

use clinicx_types::sabotage::{Bug, planted};

use crate::predicate::{self, Terms};

use super::script::ScriptTarget;

const SCRIPT: &str = include_str!("fences.sql");
/// The script's own names for a tenant.
const TERMS: Terms = Terms { id: "v_id", role: "v_role", owner: "v_owner" };

/// Writes the statement that puts the fences up; nothing on a cluster without a role per tenant, which has no triggers
/// either.
pub fn statement(target: &ScriptTarget) -> Option<String> {
    let role = target.role.as_ref()?;
    let script = match planted(Bug::RowSecurityNotForced) {
        true => SCRIPT
            .replace(", FORCE ROW LEVEL SECURITY", "")
            .replace(" OR NOT v_table.relforcerowsecurity", ""),
        false => SCRIPT.to_owned(),
    };
    Some(
        predicate::fill(&script, &TERMS)
            .replace("{schema}", &target.schema.literal())
            .replace("{role}", &format!("'{}'", role.as_str()))
            .replace("{tenant_id}", &target.tenant_id.to_string()),
    )
}
