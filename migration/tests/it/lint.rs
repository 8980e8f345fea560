//! No migration takes from the running program what it reads or writes.
//!
//! While a fleet is migrated the program of before serves tenants that are migrated already (expand and contract). So a
//! migration may add, and only one that says why ([`clinicx_migration::tenant::script::Script::contract`]) may take
//! away, once no program is running that needs it. An index on a table that is in use is built concurrently.

use std::collections::BTreeSet;

use clinicx_migration::tenant::{
    self, Down, ModuleMigrations, Plan, TenantMigration,
    plan::PlannedMigration,
    render,
    script::{Script, ScriptTarget},
};
use clinicx_types::{id::TenantId, name::SchemaName, uuid::Uuid};
use sqlparser::{
    ast::{
        AlterColumnOperation, AlterTable, AlterTableOperation, ColumnDef, ColumnOption, ObjectName,
        ObjectType, Statement, TableConstraint,
    },
    dialect::PostgreSqlDialect,
    parser::Parser,
};

/// The migrations from before the rule, by module: no program is older than they are.
const FROM_BEFORE: &[(&str, i32)] = &[("core", 22), ("billing", 22), ("dental", 18)];

/// Functions that give each row another value, for which PostgreSQL writes the whole table anew.
const VOLATILE: &[&str] = &["gen_random_uuid", "clock_timestamp", "random", "nextval"];

fn target() -> ScriptTarget {
    let schema = SchemaName::parse("tenant_lint").unwrap();
    ScriptTarget { tenant_id: TenantId::new(Uuid::nil()), role: Some(schema.role()), schema }
}

fn table_name(name: &ObjectName) -> String {
    name.to_string().rsplit('.').next().unwrap_or_default().trim_matches('"').to_owned()
}

/// Lists what is wrong with the migrations beyond those from before the rule.
fn lint(plan: &Plan, from_before: &[(&str, i32)]) -> Vec<String> {
    let mut known = BTreeSet::new();
    let mut found = Vec::new();
    for one in plan.migrations() {
        let is_old = from_before.iter().any(|(module, last)| *module == one.module && one.position <= *last);
        let (made, wrong) = judge(one, &known);
        known.extend(made);
        if !is_old && one.contracts.is_none() {
            found.extend(wrong.into_iter().map(|what| format!("{one:?}: {what}")));
        }
    }
    found
}

/// Returns the tables that a migration makes, and what it takes from programs that know the tables of before.
fn judge(one: &PlannedMigration, known: &BTreeSet<String>) -> (Vec<String>, Vec<String>) {
    let (mut made, mut wrong) = (Vec::new(), Vec::new());
    if one.outside.is_some() {
        return (made, wrong);
    }
    let script = render::one(one, &target());
    for text in script.split(";\n").map(str::trim).filter(|text| !text.is_empty()) {
        let Ok(statements) = Parser::parse_sql(&PostgreSqlDialect {}, text) else {
            if let Some(table) = unparsed(text).filter(|table| known.contains(table)) {
                wrong.push(format!("a statement on {table} that can't be judged: {text}"));
            }
            continue;
        };
        for statement in statements {
            match statement {
                Statement::CreateTable(table) => made.push(table_name(&table.name)),
                Statement::CreateIndex(index) if known.contains(&table_name(&index.table_name)) => {
                    wrong.push(format!("an index on {} that is not built concurrently", index.table_name));
                }
                Statement::Drop { object_type, names, .. } if object_type != ObjectType::Index => {
                    wrong.extend(names.iter().map(|name| format!("drops {name}")));
                }
                Statement::AlterTable(AlterTable { name, operations, .. })
                    if known.contains(&table_name(&name)) =>
                {
                    wrong.extend(operations.iter().filter_map(|operation| altered(&name, operation)));
                }
                _ => {}
            }
        }
    }
    (made, wrong)
}

/// Returns the table of an ALTER TABLE that the parser does not know; every other unknown statement is one of a table
/// that everybody knows.
fn unparsed(text: &str) -> Option<String> {
    let rest = text.strip_prefix("ALTER TABLE ")?;
    // What SeaQuery and the fences write, and the parser has no words for, takes nothing away.
    let harmless = ["EXCLUDE", "ROW LEVEL SECURITY"].iter().any(|word| rest.contains(word));
    let table = rest.split_whitespace().next()?.trim_matches('"').to_owned();
    (!harmless).then_some(table)
}

fn altered(table: &ObjectName, operation: &AlterTableOperation) -> Option<String> {
    use AlterTableOperation as Operation;
    match operation {
        Operation::AddColumn { column_def, .. } => added(table, column_def),
        Operation::DropColumn { column_names, .. } => Some(format!("drops {table}.{column_names:?}")),
        Operation::RenameColumn { old_column_name, .. } => Some(format!("renames {table}.{old_column_name}")),
        Operation::RenameTable { .. } => Some(format!("renames {table}")),
        Operation::AlterColumn { column_name, op } => match op {
            AlterColumnOperation::SetNotNull => Some(format!("makes {table}.{column_name} NOT NULL")),
            AlterColumnOperation::SetDataType { .. } => {
                Some(format!("changes the type of {table}.{column_name}"))
            }
            AlterColumnOperation::DropDefault => Some(format!("drops the default of {table}.{column_name}")),
            _ => None,
        },
        Operation::AddConstraint { constraint, .. } => match constraint {
            TableConstraint::Unique(_) | TableConstraint::PrimaryKey(_) => {
                Some(format!("an index on {table} that is not built concurrently: {constraint}"))
            }
            _ => None,
        },
        _ => None,
    }
}

fn added(table: &ObjectName, column: &ColumnDef) -> Option<String> {
    let options = || column.options.iter().map(|option| &option.option);
    let default = options().find_map(|option| match option {
        ColumnOption::Default(value) => Some(value.to_string()),
        ColumnOption::Generated { .. } => Some(String::new()),
        _ => None,
    });
    let name = &column.name;
    match default {
        None if options().any(|option| matches!(option, ColumnOption::NotNull)) => {
            Some(format!("adds {table}.{name} NOT NULL without a default"))
        }
        Some(default) if VOLATILE.iter().any(|function| default.contains(function)) => {
            Some(format!("adds {table}.{name} with a default for which the table is written anew"))
        }
        _ => None,
    }
}

#[test]
fn no_migration_takes_from_the_running_program_what_it_needs() {
    let plan = Plan::new([tenant::core::MIGRATIONS, tenant::billing::MIGRATIONS, tenant::dental::MIGRATIONS])
        .unwrap();
    let found = lint(&plan, FROM_BEFORE);
    assert_eq!(found, Vec::<String>::new(), "expand first, contract in a later release, and say why");
}

#[test]
fn migrations_from_before_the_rule_have_gone_nowhere() {
    let plan = Plan::new([tenant::core::MIGRATIONS, tenant::billing::MIGRATIONS, tenant::dental::MIGRATIONS])
        .unwrap();
    let counts = plan.counts();
    for (module, last) in FROM_BEFORE {
        assert!(counts[module] >= *last, "{module}");
    }
    // The rule bites: it finds what was done before it was there.
    assert!(lint(&plan, &[]).len() > 5);
}

const fn step(name: &'static str, up: fn(&mut Script)) -> TenantMigration {
    TenantMigration { name, up, down: Down::Irreversible("a test") }
}

const BASE: TenantMigration = step("m0001_create", |script| {
    script.sql("CREATE TABLE a (id uuid PRIMARY KEY, b text)");
    script.sql("CREATE INDEX ix_a__b ON a (b)");
});

/// Lints one further migration.
fn check(up: fn(&mut Script)) -> Vec<String> {
    let migrations: &'static [TenantMigration] = Box::leak(Box::new([BASE, step("m0002_step", up)]));
    let module = ModuleMigrations { module: "core", requires: &[], migrations, serves_from: None };
    lint(&Plan::new([module]).unwrap(), &[])
}

#[test]
fn what_takes_away_is_refused() {
    type Case = (fn(&mut Script), &'static str);
    let cases: &[Case] = &[
        (|script| script.sql("DROP TABLE a"), "drops a"),
        (|script| script.sql("ALTER TABLE a DROP COLUMN b"), "drops a."),
        (|script| script.sql("ALTER TABLE a ADD COLUMN c text, DROP COLUMN b"), "drops a."),
        (|script| script.sql("ALTER TABLE a RENAME COLUMN b TO c"), "renames a.b"),
        (|script| script.sql("ALTER TABLE a RENAME TO d"), "renames a"),
        (|script| script.sql("ALTER TABLE a ADD COLUMN c text NOT NULL"), "NOT NULL without a default"),
        (|script| script.sql("ALTER TABLE a ALTER COLUMN b SET NOT NULL"), "makes a.b NOT NULL"),
        (
            |script| script.sql("ALTER TABLE a ALTER COLUMN b TYPE bytea USING convert_to(b, 'UTF8')"),
            "changes the type",
        ),
        (|script| script.sql("ALTER TABLE a ALTER COLUMN b SET DATA TYPE varchar(9)"), "changes the type"),
        (|script| script.sql("ALTER TABLE a ALTER COLUMN b DROP DEFAULT"), "drops the default"),
        (|script| script.sql("ALTER TABLE a ADD COLUMN c uuid DEFAULT gen_random_uuid()"), "written anew"),
        (|script| script.sql("CREATE INDEX ix_a__c ON a (b)"), "not built concurrently"),
        (|script| script.sql("CREATE UNIQUE INDEX ux_a__c ON a (b)"), "not built concurrently"),
        (|script| script.add_constraint("a", "ux_a__b", "UNIQUE (b)"), "not built concurrently"),
        (|script| script.sql("ALTER TABLE a SET SOMETHING NOBODY KNOWS"), "can't be judged"),
    ];
    for (up, expected) in cases {
        let found = check(*up);
        assert!(found.len() == 1 && found[0].contains(expected), "{expected}: {found:?}");
    }
}

#[test]
fn what_adds_is_let_through() {
    let cases: &[fn(&mut Script)] = &[
        |script| script.sql("ALTER TABLE a ADD COLUMN c text"),
        |script| script.sql("ALTER TABLE a ADD COLUMN c text NOT NULL DEFAULT ''"),
        |script| script.sql("ALTER TABLE a ALTER COLUMN b DROP NOT NULL"),
        |script| script.add_constraint("a", "ck_a__b", "CHECK (b <> '')"),
        |script| {
            script.sql("CREATE TABLE d (id uuid PRIMARY KEY)");
            script.sql("CREATE INDEX ix_d__id ON d (id)");
            script.sql("ALTER TABLE d ADD COLUMN e text NOT NULL");
        },
        |script| {
            script.create_index_concurrently(tenant::outside::ConcurrentIndex {
                name: "ix_a__b2",
                table: "a",
                on: "(b)",
                is_unique: false,
            });
        },
        |script| {
            script.contract("the program of two releases ago was the last to read it");
            script.sql("ALTER TABLE a DROP COLUMN b");
        },
        |script| script.sql("DROP INDEX ix_a__b"),
    ];
    for (number, up) in cases.iter().enumerate() {
        assert_eq!(check(*up), Vec::<String>::new(), "case {number}");
    }
}
