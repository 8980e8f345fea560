//! Rows for tables of which nothing is known but what the catalog says: types, keys, rules.

use std::collections::HashMap;

use rand::{Rng as _, RngExt as _, SeedableRng, rngs::StdRng, seq::IndexedRandom};
use sqlx::{AssertSqlSafe, Executor, PgConnection};

/// How often a row is tried that its table's rules refuse.
const ATTEMPTS: usize = 5_000;

/// A table of a tenant, and a row that it takes and does not have.
#[derive(Debug, Clone)]
pub(super) struct Table {
    pub(super) name: String,
    /// The columns of the row; `tenant_id` is left to its default.
    pub(super) columns: String,
    /// Their values as SQL expressions.
    pub(super) values: String,
    /// Every column that can be written, for copies between tenants.
    pub(super) all_columns: String,
}

#[derive(Debug, Clone)]
struct Column {
    name: String,
    kind: String,
    required: bool,
    defaulted: bool,
    /// The keys that it may refer to.
    keys: Option<Vec<String>>,
    /// Texts in the rules of its table that name it, `\n` between them.
    rules: String,
}

/// Puts rows into every table of a schema, and finds one more for each.
pub(super) async fn fill(connection: &mut PgConnection, schema: &str) -> Vec<Table> {
    connection.execute(AssertSqlSafe(format!("SET search_path TO {schema}, pg_temp"))).await.unwrap();
    let mut random = StdRng::seed_from_u64(20);
    let mut tables = Vec::new();
    for (name, referred) in in_order(connection, schema).await {
        let columns = columns(connection, schema, &name).await;
        let rows: i64 = sqlx::query_scalar(AssertSqlSafe(format!("SELECT count(*) FROM \"{name}\"")))
            .fetch_one(&mut *connection)
            .await
            .unwrap();
        // What others refer to has two, so that a row that may refer to each only once finds another.
        for _ in rows..if referred { 2 } else { 1 } {
            solve(connection, &mut random, &name, &columns, Keep::Yes).await;
        }
        let chosen = solve(connection, &mut random, &name, &columns, Keep::No).await;
        let quoted = |names: Vec<&str>| names.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>();
        let writable = columns.iter().map(|column| column.name.as_str()).collect();
        tables.push(Table {
            columns: quoted(chosen.iter().map(|(name, _)| name.as_str()).collect()).join(", "),
            values: chosen.into_iter().map(|(_, value)| value).collect::<Vec<_>>().join(", "),
            all_columns: quoted(writable).join(", "),
            name,
        });
    }
    tables
}

/// Lists the tables, each after those that it refers to, and whether others refer to it.
async fn in_order(connection: &mut PgConnection, schema: &str) -> Vec<(String, bool)> {
    let mut left: Vec<String> =
        sqlx::query_scalar("SELECT tablename::text FROM pg_tables WHERE schemaname = $1 ORDER BY 1")
            .bind(schema)
            .fetch_all(&mut *connection)
            .await
            .unwrap();
    let edges: Vec<(String, String)> = sqlx::query_as(
        "SELECT DISTINCT c.relname::text, o.relname::text FROM pg_constraint AS k
         JOIN pg_class AS c ON c.oid = k.conrelid JOIN pg_class AS o ON o.oid = k.confrelid
         WHERE k.contype = 'f' AND c.oid <> o.oid AND c.relnamespace = $1::text::regnamespace",
    )
    .bind(schema)
    .fetch_all(connection)
    .await
    .unwrap();
    let mut ordered = Vec::new();
    while !left.is_empty() {
        let waits = |table: &String| edges.iter().any(|(from, to)| from == table && left.contains(to));
        let (ready, waiting): (Vec<_>, Vec<_>) = left.iter().cloned().partition(|table| !waits(table));
        assert!(!ready.is_empty(), "these refer to each other: {waiting:?}");
        let referred = |table: &String| edges.iter().any(|(_, to)| to == table);
        ordered.extend(ready.into_iter().map(|table| (table.clone(), referred(&table))));
        left = waiting;
    }
    ordered
}

async fn columns(connection: &mut PgConnection, schema: &str, table: &str) -> Vec<Column> {
    type Row = (String, String, bool, bool, Option<String>, Option<String>, String);
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT a.attname::text AS name, format_type(a.atttypid, a.atttypmod) AS kind,
                a.attnotnull AS required, a.atthasdef AS defaulted,
                o.relname::text AS target_table, oa.attname::text AS target_column,
                COALESCE((SELECT string_agg(pg_get_constraintdef(k.oid), E'\\n') FROM pg_constraint AS k
                          WHERE k.conrelid = a.attrelid AND k.contype = 'c' AND a.attnum = ANY (k.conkey)), '') AS rules
         FROM pg_attribute AS a
         LEFT JOIN pg_constraint AS f ON f.conrelid = a.attrelid AND f.contype = 'f' AND a.attnum = ANY (f.conkey)
         LEFT JOIN pg_class AS o ON o.oid = f.confrelid
         LEFT JOIN pg_attribute AS oa ON oa.attrelid = f.confrelid
             AND oa.attnum = f.confkey[array_position(f.conkey, a.attnum)]
         WHERE a.attrelid = ($1 || '.' || quote_ident($2))::regclass AND a.attnum > 0 AND NOT a.attisdropped
             AND a.attgenerated = '' AND a.attname <> 'tenant_id'
         ORDER BY a.attnum",
    )
    .bind(schema)
    .bind(table)
    .fetch_all(&mut *connection)
    .await
    .unwrap();
    let mut columns = Vec::new();
    for (name, kind, required, defaulted, target, key, rules) in rows {
        let keys = match target.zip(key).filter(|(target, _)| target != table) {
            Some((target, key)) => {
                let keys = format!("SELECT \"{key}\"::text FROM \"{target}\" ORDER BY 1");
                Some(sqlx::query_scalar(AssertSqlSafe(keys)).fetch_all(&mut *connection).await.unwrap())
            }
            None => None,
        };
        columns.push(Column { name, kind, required, defaulted, keys, rules });
    }
    columns
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Keep {
    Yes,
    No,
}

/// Finds values that the table takes: the plainest first, then others for the columns of each rule that says no.
async fn solve(
    connection: &mut PgConnection,
    random: &mut StdRng,
    table: &str,
    columns: &[Column],
    keep: Keep,
) -> Vec<(String, String)> {
    let day = random.random_range(0..9_000);
    let mut chosen: HashMap<&str, String> = columns
        .iter()
        .filter(|column| column.required && (!column.defaulted || column.name == "id"))
        .map(|column| (column.name.as_str(), value(random, day, column)))
        .collect();
    // A table of one row takes no second one.
    let makes_room = match columns.iter().any(|column| column.name == "singleton") {
        true => format!("DELETE FROM \"{table}\"; "),
        false => String::new(),
    };
    let mut last = String::new();
    for _ in 0..ATTEMPTS {
        let names: Vec<&str> = columns
            .iter()
            .map(|column| column.name.as_str())
            .filter(|name| chosen.contains_key(name))
            .collect();
        let row: Vec<(String, String)> =
            names.iter().map(|name| ((*name).to_owned(), chosen[name].clone())).collect();
        let list = names.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", ");
        let values = row.iter().map(|(_, value)| value.as_str()).collect::<Vec<_>>().join(", ");
        let insert = format!("INSERT INTO \"{table}\" ({list}) VALUES ({values})");
        let attempt = match keep {
            Keep::Yes => format!("{makes_room}{insert}"),
            Keep::No => format!("BEGIN; {makes_room}{insert}; ROLLBACK"),
        };
        let Err(error) = connection.execute(AssertSqlSafe(attempt)).await else { return row };
        connection.execute("ROLLBACK").await.unwrap();
        let error = error.as_database_error().unwrap();
        last = format!("{error}: {insert}");
        let blamed = blamed(connection, table, error.constraint()).await;
        // Without a constraint it was the value of a generated column.
        let is_blamed = |column: &&Column| blamed.is_empty() || blamed.contains(&column.name);
        for column in columns.iter().filter(is_blamed) {
            match random.random_range(0..4) {
                0 if !column.required || column.defaulted => drop(chosen.remove(column.name.as_str())),
                _ => drop(chosen.insert(&column.name, value(random, day, column))),
            }
        }
    }
    panic!("no row for {table} was found: {last}");
}

/// Names the columns of the constraint that said no, one of an index's expressions included.
async fn blamed(connection: &mut PgConnection, table: &str, constraint: Option<&str>) -> Vec<String> {
    sqlx::query_scalar(
        "SELECT a.attname::text FROM pg_attribute AS a
         WHERE a.attrelid = quote_ident($1)::regclass AND a.attnum > 0 AND a.attgenerated = ''
             AND (EXISTS (SELECT FROM pg_constraint AS k
                          WHERE k.conrelid = a.attrelid AND k.conname = $2 AND a.attnum = ANY (k.conkey))
                 OR EXISTS (SELECT FROM pg_class AS c JOIN pg_depend AS d ON d.objid = c.oid
                            WHERE c.relname = $2 AND d.refobjid = a.attrelid AND d.refobjsubid = a.attnum))",
    )
    .bind(table)
    .bind(constraint)
    .fetch_all(connection)
    .await
    .unwrap()
}

/// Makes up a value for a column; times are of one day, since rules compare them.
fn value(random: &mut StdRng, day: u32, column: &Column) -> String {
    if let Some(keys) = &column.keys {
        return format!("'{}'", keys.choose(random).unwrap());
    }
    // What a rule compares with stands in it between quotes.
    let (patterns, mut literals): (Vec<&str>, Vec<&str>) =
        column.rules.split('\'').skip(1).step_by(2).partition(|text| text.contains('^'));
    // Beside other literals, what fits a pattern has to be among them: a tooth of FDI.
    if !patterns.is_empty() && !literals.is_empty() {
        literals.push("11");
    }
    let literal = literals.choose(random).map(|text| format!("'{text}'"));
    let minutes = 60 * random.random_range(0..2);
    let kind = column.kind.as_str();
    match kind {
        "uuid" => format!("'{}'", uuid(random)),
        "boolean" => random.random_bool(0.5).to_string(),
        "bytea" => format!("'\\x{}'", hex(random, 32)),
        "jsonb" => "'{}'".to_owned(),
        "inet" => "'192.0.2.1'".to_owned(),
        "date" => format!("'2001-01-01'::date + {day} + {minutes}"),
        "text[]" => match literal {
            Some(literal) => format!("ARRAY[{literal}]"),
            None => "'{}'".to_owned(),
        },
        _ if kind.starts_with("timestamp") => {
            format!("'2001-01-01'::timestamptz + interval '{day} days {minutes} min'")
        }
        _ if kind.starts_with("time") => format!("time '00:00' + interval '{minutes} min'"),
        _ if kind.ends_with("range") => format!("'empty'::{kind}"),
        _ if kind.ends_with("[]") => "'{}'".to_owned(),
        _ if kind.contains("int") || kind.starts_with("numeric") => {
            [0, 1, 2, 7].choose(random).map(i32::to_string).unwrap()
        }
        _ => literal.unwrap_or_else(|| {
            let free = hex(random, 4);
            let limit =
                kind.split(['(', ')']).nth(1).and_then(|limit| limit.parse().ok()).unwrap_or(usize::MAX);
            let texts = [free.as_str(), "EUR", "USD", "DE", "#00aa11", "11", "aa"];
            let fitting: Vec<&str> = texts.into_iter().filter(|text| text.len() <= limit).collect();
            fitting.choose(random).map(|text| format!("'{text}'")).unwrap()
        }),
    }
}

fn uuid(random: &mut StdRng) -> sqlx::types::Uuid {
    sqlx::types::Uuid::from_u128((u128::from(random.next_u64()) << 64) | u128::from(random.next_u64()))
}

fn hex(random: &mut StdRng, bytes: usize) -> String {
    (0..bytes).map(|_| format!("{:02x}", random.random::<u8>())).collect()
}
