//! Writes migrations down as SQL text for one tenant.

use clinicx_types::{id::TenantId, name::SchemaName, uuid::Uuid};
use sha2::{Digest, Sha256};

use super::{
    Down, TenantMigration, fences, ledger,
    plan::{Plan, PlannedMigration},
    script::{Script, ScriptTarget},
};

/// The tenant for whom a migration is written when its checksum is taken.
const PLACEHOLDER: Uuid = Uuid::from_u128(0x0000_0000_0000_7000_8000_0000_0000_0000);

/// Writes the whole plan for a new, empty schema: the ledger, every migration, the fences, the ledger's rows.
///
/// The script is one batch for a transaction whose search path is the schema ([`settings`]); the same tenant and
/// the same plan always give the same text.
pub fn whole(plan: &Plan, target: &ScriptTarget) -> String {
    let mut script = Script::new(target.clone());
    ledger::create(&mut script);
    for planned in plan.migrations() {
        (planned.migration.up)(&mut script);
    }
    let mut statements = script.into_statements();
    statements.extend(fences::statement(target));
    let rows: Vec<_> = plan.migrations().iter().map(|planned| (planned, None)).collect();
    statements.extend(ledger::insert(target, &rows, ledger::Origin::Applied));
    batch(statements)
}

/// Writes one migration.
pub fn one(planned: &PlannedMigration, target: &ScriptTarget) -> String {
    batch(statements(planned, target))
}

/// Writes one migration as the statements that it is.
pub(super) fn statements(planned: &PlannedMigration, target: &ScriptTarget) -> Vec<String> {
    let mut script = Script::new(target.clone());
    (planned.migration.up)(&mut script);
    script.into_statements()
}

/// Writes how one migration is undone; nothing when it can't be.
pub fn undo(planned: &PlannedMigration, target: &ScriptTarget) -> Option<String> {
    let Down::Script(down) = planned.migration.down else { return None };
    let mut script = Script::new(target.clone());
    down(&mut script);
    Some(batch(script.into_statements()))
}

/// Writes the settings of a transaction that changes this tenant's schema.
pub fn settings(target: &ScriptTarget) -> String {
    format!(
        "SET LOCAL search_path TO {}, pg_temp; SET LOCAL app.current_tenant TO '{}'",
        target.schema.quoted(),
        target.tenant_id
    )
}

/// Returns SHA-256 over a script for the placeholder tenant, as hexadecimal digits.
pub(super) fn checksum(script: Script) -> String {
    hex(&Sha256::digest(batch(script.into_statements()).as_bytes()))
}

/// Writes a migration for the placeholder tenant.
pub(super) fn for_nobody(migration: &TenantMigration) -> Script {
    let mut script = Script::new(placeholder());
    (migration.up)(&mut script);
    script
}

/// Writes bytes as hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn placeholder() -> ScriptTarget {
    #[expect(clippy::expect_used, reason = "a constant that fits the pattern")]
    let schema = SchemaName::parse("tenant_placeholder").expect("a schema name");
    ScriptTarget { tenant_id: TenantId::new(PLACEHOLDER), role: Some(schema.role()), schema }
}

fn batch(statements: Vec<String>) -> String {
    let mut text = String::new();
    for statement in statements {
        text.push_str(&statement);
        text.push_str(";\n");
    }
    text
}
