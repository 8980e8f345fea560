//! The connection to the system schema.

use clinicx_persistence::{ApplyMode, Failure, FailureKind, SystemConnection, SystemExecutor};
use sea_orm::{DbErr, FromQueryResult, raw_sql};

use crate::support::{CancelAt, World, eventually, run, sql};

#[derive(Debug, FromQueryResult, PartialEq, Eq)]
struct Row {
    id: i32,
    name: String,
}

async fn world() -> (World, String) {
    let world = World::new(1).await;
    let table = format!("things_of_{}", world.login);
    let script = format!(
        "CREATE TABLE public.{table} (id integer PRIMARY KEY, name text NOT NULL);
         GRANT SELECT, INSERT, UPDATE, DELETE ON public.{table} TO {}",
        world.login
    );
    run(&mut world.superuser().await, &script).await;
    (world, table)
}

async fn count(db: &impl SystemExecutor, table: &str) -> Result<i64, DbErr> {
    #[derive(FromQueryResult)]
    struct Count {
        count: i64,
    }
    let text = format!("SELECT count(*) AS count FROM {table}");
    Ok(db.query_one::<Count>(sql(&text)).await?.expect("a row").count)
}

#[tokio::test(flavor = "multi_thread")]
async fn statements_and_transactions_work() {
    let (world, table) = world().await;
    run(&mut world.superuser().await, &format!("ALTER TABLE {table} RENAME TO {table}_x")).await;
    run(&mut world.superuser().await, &format!("CREATE VIEW things AS SELECT * FROM {table}_x")).await;
    run(&mut world.superuser().await, &format!("GRANT ALL ON things TO {}", world.login)).await;
    let db = SystemConnection::connect(world.system_options(3)).await.unwrap();
    let (id, name) = (1, "one");
    let written = db.execute(raw_sql!(Postgres, "INSERT INTO things VALUES ({id}, {name})")).await.unwrap();
    assert_eq!(written, 1);
    let ids = vec![1, 2];
    let found: Option<Row> =
        db.query_one(raw_sql!(Postgres, "SELECT id, name FROM things WHERE id IN ({..ids})")).await.unwrap();
    assert_eq!(found, Some(Row { id: 1, name: "one".to_owned() }));
    let tx = db.begin().await.unwrap();
    tx.execute(sql("INSERT INTO things VALUES (2, 'two')")).await.unwrap();
    assert_eq!(tx.query_all::<Row>(sql("SELECT id, name FROM things")).await.unwrap().len(), 2);
    assert_eq!(count(&db, "things").await.unwrap(), 1);
    tx.commit().await.unwrap();
    assert_eq!(count(&db, "things").await.unwrap(), 2);
    {
        let tx = db.begin().await.unwrap();
        tx.execute(sql("DELETE FROM things")).await.unwrap();
    }
    assert_eq!(count(&db, "things").await.unwrap(), 2);
    let taken = db.execute(sql("INSERT INTO things VALUES (1, 'again')")).await.unwrap_err();
    assert_eq!(Failure::of(&taken).kind, FailureKind::Unique);
    let tx = db.begin().await.unwrap();
    tx.execute(sql("INSERT INTO things VALUES (1, 'again')")).await.unwrap_err();
    assert!(tx.commit().await.is_err());
    let reads = db.query_one::<Row>(sql("SELECT 1 AS other")).await;
    assert!(reads.is_err(), "a row that does not fit");
    run(&mut world.superuser().await, "DROP VIEW things").await;
    db.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn time_limits_are_kept_by_the_server() {
    use std::time::Duration;
    let (world, table) = world().await;
    let mut options = world.system_options(4);
    options.timeouts.statement = Duration::from_millis(400);
    options.timeouts.lock = Duration::from_millis(100);
    options.timeouts.idle_in_transaction = Duration::from_millis(300);
    let db = SystemConnection::connect(options).await.unwrap();
    let mut holder = world.superuser().await;
    run(&mut holder, &format!("BEGIN; LOCK TABLE public.{table}")).await;
    for _ in 0..4 {
        let locked = Failure::of(&count(&db, &table).await.unwrap_err());
        assert_eq!((locked.kind, locked.sqlstate.as_deref()), (FailureKind::Unavailable, Some("55P03")));
    }
    run(&mut holder, "ROLLBACK").await;
    let slow = Failure::of(&db.execute(sql("SELECT pg_sleep(5)")).await.unwrap_err());
    assert_eq!(slow.kind, FailureKind::Timeout);
    let longer = db.begin().await.unwrap();
    longer.execute(sql("SET LOCAL statement_timeout TO 5000")).await.unwrap();
    longer.execute(sql("SELECT pg_sleep(0.6)")).await.unwrap();
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert!(longer.commit().await.is_err(), "it was idle for too long");
    assert_eq!(count(&db, &table).await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_sees_no_tenant() {
    let (world, _) = world().await;
    let db = SystemConnection::connect(world.system_options(2)).await.unwrap();
    let bare = Failure::of(&count(&db, "notes").await.unwrap_err());
    assert_eq!(bare.kind, FailureKind::Fenced);
    let named = format!("{}.notes", world.tenants[0].schema);
    assert_eq!(Failure::of(&count(&db, &named).await.unwrap_err()).sqlstate.as_deref(), Some("42501"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_comes_back_changed_is_closed() {
    let (world, table) = world().await;
    let schema = world.tenants[0].schema.as_str();
    let db = SystemConnection::connect(world.system_options(2)).await.unwrap();
    for (index, text) in [
        "SELECT set_config('search_path', 'pg_temp', false)".to_owned(),
        format!("SELECT set_config('role', '{schema}', false)"),
    ]
    .into_iter()
    .enumerate()
    {
        db.execute(sql(&text)).await.unwrap();
        let closed = u64::try_from(index).unwrap() + 1;
        eventually("it is closed", || async { db.stats().discarded == closed }).await;
        assert_eq!(count(&db, &table).await.unwrap(), 0);
    }
    for text in ["BEGIN", "SET ROLE NONE", "SET search_path TO x", "DISCARD ALL", "DO $$ BEGIN NULL; END $$"]
    {
        assert!(db.execute(sql(text)).await.is_err(), "{text}");
    }
    let tx = db.begin().await.unwrap();
    tx.execute(sql("SET LOCAL lock_timeout TO 1000")).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(count(&db, &table).await.unwrap(), 0);
    assert_eq!(db.stats().discarded, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_path_leaves_anything_wherever_it_is_dropped() {
    let (world, table) = world().await;
    let db = SystemConnection::connect(world.system_options(2)).await.unwrap();
    let mut superuser = world.superuser().await;
    let other = world.cluster(ApplyMode::Session, 1).await;
    for poll in 1.. {
        let work = async {
            let tx = db.begin().await?;
            let text = format!("INSERT INTO {table} VALUES ({poll}, 'x')");
            tx.execute(sql(&text)).await?;
            count(&tx, &table).await?;
            tx.commit().await?;
            count(&db, &table).await
        };
        let ended = CancelAt::poll(poll, work).await;
        let seen = count(&db, &table).await.unwrap();
        assert_eq!(world.backends(&mut superuser).await.idle_in_transaction, 0, "poll {poll}");
        if let Some(before) = ended {
            assert_eq!(seen, before.unwrap());
            break;
        }
    }
    other.close().await;
    db.close().await;
}
