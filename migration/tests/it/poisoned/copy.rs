//! COPY, which no function can run, and the superuser's mistakes.

use std::{collections::BTreeMap, time::Instant};

use clinicx_migration::system::SystemRole;
use clinicx_testing::TestDatabase;
use futures_util::TryStreamExt;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

use super::{ATTACKERS, Report, State, World, rows::Table};

/// Who may begin to copy.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Rights {
    /// Only each tenant's own role.
    Own,
    /// Everybody.
    All,
}

/// COPY out of and into every table of each second tenant of a pair, as the first.
pub(super) async fn nothing_passes(world: &World, pairs: &[(usize, usize)], rights: Rights) {
    let begun = Instant::now();
    let states: Vec<State> = pairs.iter().map(|(a, b)| world.pair(*a, *b).swap_remove(0)).collect();
    let mut report = Report::default();
    let tasks: Vec<_> = states
        .chunks(states.len().div_ceil(ATTACKERS))
        .map(|states| {
            let (database, tables, states) = (world.database.clone(), world.tables.clone(), states.to_vec());
            tokio::spawn(async move {
                let mut connection = database.login(SystemRole::App).await;
                let mut report = Report::default();
                for state in &states {
                    let poison = format!("SELECT probe.poison({})", state.sql());
                    connection.execute(AssertSqlSafe(poison)).await.unwrap();
                    for table in &tables {
                        out(&database, &mut connection, (state, table, rights), &mut report).await;
                        into(&mut connection, state, table, &mut report).await;
                    }
                }
                report
            })
        })
        .collect();
    for task in tasks {
        report.merge(task.await.unwrap());
    }
    report.expect_nothing("COPY", begun);
}

async fn out(
    database: &TestDatabase,
    connection: &mut PgConnection,
    (state, table, rights): (&State, &Table, Rights),
    report: &mut Report,
) {
    let place = format!("\"{}\".\"{}\"", state.target, table.name);
    let statement = format!("COPY {place} TO STDOUT");
    let out = if rights == Rights::All {
        copy_out(connection, &statement).await
    } else {
        // The driver leaves the answer to a refused COPY TO half read.
        let mut fresh = database.login(SystemRole::App).await;
        let poison = format!("SELECT probe.poison({})", state.sql());
        fresh.execute(AssertSqlSafe(poison)).await.unwrap();
        let out = copy_out(&mut fresh, &statement).await;
        fresh.close_hard().await.unwrap();
        out
    };
    note(state, "COPY TO", &place, out.map(|text| text.len()), report);
}

async fn into(connection: &mut PgConnection, state: &State, table: &Table, report: &mut Report) {
    let place = format!("\"{}\".\"{}\"", state.target, table.name);
    let end = copy_in(connection, &format!("COPY {place} ({}) FROM STDIN", table.columns), "x\n").await;
    note(state, "COPY FROM", &place, end, report);
}

fn note(state: &State, what: &str, place: &str, end: Result<usize, String>, report: &mut Report) {
    let (end, reached) = match end {
        Ok(0) => ("0 rows".to_owned(), vec![]),
        // Denied; or refused as such because row-level security is on.
        Err(code) if code == "42501" || (code == "0A000" && what == "COPY FROM") => (code, vec![]),
        end => (format!("{end:?}"), vec![format!("{what} {place}: {end:?}")]),
    };
    report.add(&format!("{state:?}"), 1, BTreeMap::from([(end, 1)]), reached);
}

fn code(error: &sqlx::Error) -> String {
    let answer = error.as_database_error().and_then(|error| error.code());
    answer.map_or_else(|| format!("{error:?}"), |code| code.into_owned())
}

async fn copy_out(connection: &mut PgConnection, statement: &str) -> Result<Vec<u8>, String> {
    let stream = connection.copy_out_raw(statement).await.map_err(|error| code(&error))?;
    let parts: Vec<_> = stream.try_collect().await.map_err(|error| code(&error))?;
    Ok(parts.concat())
}

/// Returns how many rows were taken.
async fn copy_in(connection: &mut PgConnection, statement: &str, rows: &str) -> Result<usize, String> {
    let mut copy = connection.copy_in_raw(statement).await.map_err(|error| code(&error))?;
    copy.send(rows.as_bytes()).await.map_err(|error| code(&error))?;
    copy.finish().await.map(|rows| usize::try_from(rows).unwrap()).map_err(|error| code(&error))
}

/// A superuser who restores or backfills into the wrong schema is stopped by the CHECK of every table.
pub(super) async fn superuser_is_stopped(
    world: &World,
    superuser: &mut PgConnection,
    pairs: &[(usize, usize)],
) {
    let begun = Instant::now();
    let mut report = Report::default();
    for (a, b) in pairs {
        let (source, target, id) = (world.schema(*a), world.schema(*b), world.id(*a));
        let (tried, reached): (i64, Vec<String>) =
            sqlx::query_as("SELECT tried, reached FROM probe.misplace($1, $2, $3::uuid)")
                .bind(target)
                .bind(source)
                .bind(&id)
                .fetch_one(&mut *superuser)
                .await
                .unwrap();
        report.add(
            target,
            tried,
            BTreeMap::from([("23514".to_owned(), u64::try_from(tried).unwrap())]),
            reached,
        );
    }
    report.expect_nothing("a superuser's rows with the wrong tenant", begun);

    let begun = Instant::now();
    let mut report = Report::default();
    for table in &world.tables {
        let (name, columns) = (&table.name, &table.all_columns);
        for a in 0..super::TENANTS {
            // What a dump of one tenant holds, loaded into each of the others.
            let source = world.schema(a);
            let dump = format!("COPY (SELECT tenant_id, {columns} FROM \"{source}\".\"{name}\") TO STDOUT");
            let dump = String::from_utf8(copy_out(superuser, &dump).await.unwrap()).unwrap();
            assert!(dump.contains(&world.id(a)));
            for (_, b) in pairs.iter().filter(|(of, _)| *of == a) {
                let load =
                    format!("COPY \"{}\".\"{name}\" (tenant_id, {columns}) FROM STDIN", world.schema(*b));
                let end = copy_in(superuser, &load, &dump).await;
                let reached =
                    if end == Err("23514".to_owned()) { vec![] } else { vec![format!("{end:?}: {load}")] };
                report.add(source, 1, BTreeMap::from([(format!("{end:?}"), 1)]), reached);
            }
        }
    }
    report.expect_nothing("a superuser's load of another tenant's dump", begun);
}
