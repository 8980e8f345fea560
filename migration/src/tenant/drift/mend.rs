//! The SQL that brings a schema back to what its migrations make.
//!
//! It is offered and not run: what takes something away says so, because rows may go with it.

use super::describe::{Description, Facts, Thing};

/// Writes how a thing is made that is missing.
pub(super) fn make(all: &Description, thing: &Thing, facts: &Facts) -> String {
    let (table, name) = (quoted(&thing.relation), quoted(&thing.name));
    let definition = facts.get("definition").map(String::as_str).unwrap_or_default();
    match thing.kind.as_str() {
        "table" => whole_table(all, &thing.relation),
        "column" => format!("ALTER TABLE {table} ADD COLUMN {}", column(&thing.name, facts)),
        "constraint" => format!("ALTER TABLE {table} ADD CONSTRAINT {name} {definition}"),
        "index" | "trigger" => definition.to_owned(),
        "policy" => policy(thing, facts),
        "grant" => grant("GRANT", "TO", &table, &thing.name),
        "column_grant" => column_grant("GRANT", "TO", &table, &thing.name),
        "schema_grant" => grant("GRANT", "TO", "SCHEMA {role}", &thing.name),
        _ => by_migration(thing),
    }
}

/// Writes how a thing is taken away that no migration makes.
pub(super) fn take(thing: &Thing) -> String {
    let (relation, name) = (quoted(&thing.relation), quoted(&thing.name));
    match thing.kind.as_str() {
        "table" => format!("DROP TABLE {relation} -- its rows are lost"),
        "view" => format!("DROP VIEW {relation}"),
        "materialised view" => format!("DROP MATERIALIZED VIEW {relation}"),
        "foreign table" => format!("DROP FOREIGN TABLE {relation}"),
        "sequence" => format!("DROP SEQUENCE {relation}"),
        "column" => format!("ALTER TABLE {relation} DROP COLUMN {name} -- its values are lost"),
        "constraint" => format!("ALTER TABLE {relation} DROP CONSTRAINT {name}"),
        "index" => format!("DROP INDEX {name}"),
        "policy" => format!("DROP POLICY {name} ON {relation}"),
        "trigger" => format!("DROP TRIGGER {name} ON {relation}"),
        "rule" => format!("DROP RULE {name} ON {relation}"),
        "grant" => grant("REVOKE", "FROM", &relation, &thing.name),
        "column_grant" => column_grant("REVOKE", "FROM", &relation, &thing.name),
        "schema_grant" => grant("REVOKE", "FROM", "SCHEMA {role}", &thing.name),
        "routine" => format!("DROP ROUTINE {}", routine(&thing.name)),
        "type" => format!("DROP TYPE {name}"),
        "statistics" => format!("DROP STATISTICS {name}"),
        "default_privileges" => {
            let (role, objects) = thing.name.split_once(' ').unwrap_or((&thing.name, "r"));
            let objects = match objects {
                "S" => "SEQUENCES",
                "f" => "FUNCTIONS",
                "T" => "TYPES",
                _ => "TABLES",
            };
            format!(
                "ALTER DEFAULT PRIVILEGES FOR ROLE {} IN SCHEMA {{role}} REVOKE ALL ON {objects} FROM PUBLIC \
                 -- and from whom else it names",
                quoted(role)
            )
        }
        _ => by_migration(thing),
    }
}

/// Writes how a thing gets back what it should be in one aspect.
pub(super) fn change(thing: &Thing, aspect: &str, expected: &Facts) -> String {
    let (table, name) = (quoted(&thing.relation), quoted(&thing.name));
    let wanted = expected.get(aspect).map(String::as_str);
    let is_on = wanted == Some("true");
    let column = format!("ALTER TABLE {table} ALTER COLUMN {name}");
    match (thing.kind.as_str(), aspect, wanted) {
        ("schema", "owner", Some(owner)) => format!("ALTER SCHEMA {{role}} OWNER TO {}", quoted(owner)),
        ("table" | "view" | "materialised view" | "foreign table" | "sequence", "owner", Some(owner)) => {
            format!("ALTER TABLE {table} OWNER TO {}", quoted(owner))
        }
        ("table", "persistence", _) => format!("ALTER TABLE {table} SET LOGGED"),
        ("table", "row_security", _) => {
            format!("ALTER TABLE {table} {} ROW LEVEL SECURITY", if is_on { "ENABLE" } else { "DISABLE" })
        }
        ("table", "forced_row_security", _) => {
            format!("ALTER TABLE {table} {}FORCE ROW LEVEL SECURITY", if is_on { "" } else { "NO " })
        }
        ("column", "type", Some(wanted)) => format!("{column} TYPE {wanted} USING {name}::{wanted}"),
        ("column", "not_null", _) => format!("{column} {} NOT NULL", if is_on { "SET" } else { "DROP" }),
        ("column", "default", Some(wanted)) => format!("{column} SET DEFAULT {wanted}"),
        ("column", "default", None) => format!("{column} DROP DEFAULT"),
        ("column", "collation", _) => {
            let kind = expected.get("type").map(String::as_str).unwrap_or("text");
            let collation = quoted(wanted.unwrap_or("default"));
            format!("{column} TYPE {kind} COLLATE {collation}")
        }
        ("column", "identity", None) => format!("{column} DROP IDENTITY"),
        ("constraint", "validated", _) => format!("ALTER TABLE {table} VALIDATE CONSTRAINT {name}"),
        ("constraint", "enforced", _) => {
            format!(
                "ALTER TABLE {table} ENABLE TRIGGER ALL -- as a superuser; then look for rows that break {name}"
            )
        }
        ("constraint", "definition", Some(definition)) => {
            format!("ALTER TABLE {table} DROP CONSTRAINT {name}, ADD CONSTRAINT {name} {definition}")
        }
        ("index", "valid", _) => format!("REINDEX INDEX {name}"),
        ("index", _, _) => remade(&take(thing), expected),
        ("trigger", "enabled", _) => format!("ALTER TABLE {table} ENABLE TRIGGER {name}"),
        ("trigger", _, _) => remade(&take(thing), expected),
        ("policy", _, _) => format!("{}; {}", take(thing), policy(thing, expected)),
        ("grant" | "column_grant" | "schema_grant", "grantable", _) => {
            take(thing).replacen("REVOKE ", "REVOKE GRANT OPTION FOR ", 1)
        }
        _ => by_migration(thing),
    }
}

fn remade(drop: &str, expected: &Facts) -> String {
    format!("{drop}; {}", expected.get("definition").map(String::as_str).unwrap_or_default())
}

/// Writes a table with everything that belongs to it, in an order in which it can be made.
fn whole_table(all: &Description, relation: &str) -> String {
    let of = |kind: &'static str| {
        all.iter().filter(move |(thing, _)| thing.kind == kind && thing.relation == relation)
    };
    let columns: Vec<String> = of("column").map(|(thing, facts)| column(&thing.name, facts)).collect();
    let mut statements = vec![format!("CREATE TABLE {} ({})", quoted(relation), columns.join(", "))];
    for kind in ["constraint", "index", "policy", "trigger", "grant", "column_grant"] {
        statements.extend(of(kind).map(|(thing, facts)| make(all, thing, facts)));
    }
    let table = Thing { kind: "table".to_owned(), relation: relation.to_owned(), name: String::new() };
    let facts = all.get(&table);
    for aspect in ["row_security", "forced_row_security"] {
        if let Some(facts) = facts.filter(|facts| facts.get(aspect).is_some_and(|on| on == "true")) {
            statements.push(change(&table, aspect, facts));
        }
    }
    statements.join("; ")
}

fn column(name: &str, facts: &Facts) -> String {
    let mut text = format!("{} {}", quoted(name), facts.get("type").map(String::as_str).unwrap_or("text"));
    if let Some(collation) = facts.get("collation") {
        text.push_str(&format!(" COLLATE {}", quoted(collation)));
    }
    if let Some(default) = facts.get("default") {
        text.push_str(&format!(" DEFAULT {default}"));
    }
    if let Some(generated) = facts.get("generated") {
        text.push_str(&format!(" GENERATED ALWAYS AS ({generated}) STORED"));
    }
    if facts.get("not_null").is_some_and(|is| is == "true") {
        text.push_str(" NOT NULL");
    }
    text
}

fn policy(thing: &Thing, facts: &Facts) -> String {
    let fact = |name: &str| facts.get(name).map(String::as_str);
    let kind = if fact("permissive") == Some("false") { "RESTRICTIVE" } else { "PERMISSIVE" };
    let command = match fact("command") {
        Some("r") => "SELECT",
        Some("a") => "INSERT",
        Some("w") => "UPDATE",
        Some("d") => "DELETE",
        _ => "ALL",
    };
    let mut text = format!(
        "CREATE POLICY {} ON {} AS {kind} FOR {command} TO {}",
        quoted(&thing.name),
        quoted(&thing.relation),
        fact("roles").unwrap_or("PUBLIC")
    );
    for (word, name) in [("USING", "using"), ("WITH CHECK", "check")] {
        if let Some(expression) = fact(name) {
            text.push_str(&format!(" {word} ({expression})"));
        }
    }
    text
}

/// Writes a right that is named `grantee PRIVILEGE`.
fn grant(verb: &str, word: &str, on: &str, name: &str) -> String {
    let (grantee, privilege) = name.split_once(' ').unwrap_or((name, "ALL"));
    format!("{verb} {privilege} ON {on} {word} {}", role(grantee))
}

/// Writes a right that is named `grantee PRIVILEGE column`.
fn column_grant(verb: &str, word: &str, table: &str, name: &str) -> String {
    let mut parts = name.splitn(3, ' ');
    let mut part = || parts.next().unwrap_or_default();
    let (grantee, privilege, column) = (part(), part(), part());
    format!("{verb} {privilege} ({}) ON {table} {word} {}", quoted(column), role(grantee))
}

fn role(name: &str) -> String {
    if name == "PUBLIC" { name.to_owned() } else { quoted(name) }
}

fn routine(name: &str) -> String {
    let (name, arguments) = name.split_once('(').unwrap_or((name, ")"));
    format!("{}({arguments}", quoted(name))
}

fn by_migration(thing: &Thing) -> String {
    format!("-- no statement brings this {} back; restore the tenant, or write a migration", thing.kind)
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
