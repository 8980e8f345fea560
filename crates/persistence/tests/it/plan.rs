//! Statements that were prepared before their table was changed.

use clinicx_persistence::{Failure, FailureKind, SystemConnection, SystemExecutor, TenantConnection};
use futures_util::TryStreamExt;
use sea_orm::{ConnectionTrait, DbErr, EntityTrait, FromQueryResult, StreamTrait};

use crate::{
    entity::note,
    support::{MODES, World, run, sql},
};

const TYPES: [&str; 2] = ["varchar(80)", "text"];

async fn change(world: &World, body: &str) {
    let schema = world.tenants[0].schema.as_str();
    let text = format!("ALTER TABLE {schema}.notes ALTER COLUMN body TYPE {body}");
    run(&mut world.superuser().await, &text).await;
}

async fn read(db: &TenantConnection) -> Result<(), DbErr> {
    let tx = db.begin_read_only().await?;
    match note::Entity::find().one(&tx).await {
        Ok(_) => tx.commit().await,
        Err(error) => {
            tx.rollback().await?;
            Err(error)
        }
    }
}

/// As a write with a key runs: behind a savepoint, and both are rolled back.
async fn write(db: &TenantConnection) -> Result<(), DbErr> {
    let tx = db.begin().await?;
    let point = tx.savepoint().await?;
    match note::Entity::find().one(&point).await {
        Ok(_) => {
            point.commit().await?;
            tx.commit().await
        }
        Err(error) => {
            point.rollback().await?;
            tx.rollback().await?;
            Err(error)
        }
    }
}

async fn stream(db: &impl StreamTrait) -> Result<(), DbErr> {
    let mut rows = Box::pin(db.stream_raw(sql("SELECT body FROM notes")).await?);
    while rows.try_next().await?.is_some() {}
    Ok(())
}

async fn stream_in_transaction(db: &TenantConnection) -> Result<(), DbErr> {
    let tx = db.begin().await?;
    let outcome = stream(&tx).await;
    tx.rollback().await?;
    outcome
}

fn is_retry(outcome: Result<(), DbErr>) -> bool {
    outcome.is_err_and(|error| Failure::of(&error).kind == FailureKind::Retry)
}

#[tokio::test(flavor = "multi_thread")]
async fn another_try_of_a_transaction_succeeds() {
    for mode in MODES {
        let world = World::new(1).await;
        let cluster = world.cluster(mode, 1).await;
        let db = world.tenant(&cluster, 0);
        read(&db).await.unwrap();
        change(&world, TYPES[0]).await;
        assert!(is_retry(read(&db).await), "{mode:?}");
        read(&db).await.unwrap();

        change(&world, TYPES[1]).await;
        assert!(is_retry(write(&db).await), "{mode:?}");
        write(&db).await.unwrap();

        stream(&db).await.unwrap();
        change(&world, TYPES[0]).await;
        assert!(is_retry(stream_in_transaction(&db).await), "{mode:?}");
        stream_in_transaction(&db).await.unwrap();
        change(&world, TYPES[1]).await;
        assert!(is_retry(stream(&db).await), "{mode:?}");
        stream(&db).await.unwrap();
        assert_eq!((cluster.stats().discarded, cluster.stats().opened), (0, 1), "the connection is kept");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_can_go_on_behind_its_savepoint() {
    for mode in MODES {
        let world = World::new(1).await;
        let cluster = world.cluster(mode, 1).await;
        let db = world.tenant(&cluster, 0);
        read(&db).await.unwrap();
        change(&world, TYPES[0]).await;
        let tx = db.begin().await.unwrap();
        let point = tx.savepoint().await.unwrap();
        let failed = Failure::of(&note::Entity::find().one(&point).await.unwrap_err());
        assert_eq!((failed.kind, failed.sqlstate.as_deref()), (FailureKind::Retry, Some("0A000")));
        point.rollback().await.unwrap();
        assert!(note::Entity::find().one(&tx).await.unwrap().is_some());
        tx.commit().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_server_does_not_support_is_not_tried_again() {
    let world = World::new(1).await;
    let cluster = world.cluster(MODES[0], 1).await;
    let db = world.tenant(&cluster, 0);
    let refused = db.execute_raw(sql("SELECT count(*) FROM notes FOR UPDATE")).await.unwrap_err();
    let refused = Failure::of(&refused);
    assert_eq!((refused.kind, refused.sqlstate.as_deref()), (FailureKind::Internal, Some("0A000")));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_system_schema_is_no_exception() {
    #[derive(FromQueryResult)]
    struct Row {
        name: String,
    }
    let world = World::new(0).await;
    let table = format!("plans_of_{}", world.login);
    let mut superuser = world.superuser().await;
    let script = format!(
        "CREATE TABLE public.{table} (name text); GRANT SELECT ON public.{table} TO {}; \
         INSERT INTO public.{table} VALUES ('x')",
        world.login
    );
    run(&mut superuser, &script).await;
    let db = SystemConnection::connect(world.system_options(2)).await.unwrap();
    let question = format!("SELECT name FROM {table}");
    let read = async || {
        let tx = db.begin().await.unwrap();
        let row = tx.query_one::<Row>(sql(&question)).await;
        tx.rollback().await.unwrap();
        row.map(|row| assert_eq!(row.unwrap().name, "x"))
    };
    read().await.unwrap();
    run(&mut superuser, &format!("ALTER TABLE public.{table} ALTER COLUMN name TYPE varchar(9)")).await;
    assert!(is_retry(read().await));
    read().await.unwrap();
}
