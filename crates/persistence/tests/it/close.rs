//! Closing a pool ends in time, whatever happens meanwhile.

use std::time::{Duration, Instant};

use clinicx_embedded_postgres::TestServer;
use clinicx_persistence::{ApplyMode, SystemConnection, SystemExecutor, SystemOptions, Timeouts};
use sea_orm::ConnectionTrait;

use crate::support::{World, all_have_gone, eventually, sql};

async fn close(db: &SystemConnection) -> Duration {
    let started = Instant::now();
    tokio::time::timeout(Duration::from_secs(30), db.close()).await.expect("closing ends");
    started.elapsed()
}

fn options(server: &TestServer) -> SystemOptions {
    SystemOptions {
        connect: server.superuser_url("postgres").parse().unwrap(),
        session_authorization: None,
        max_connections: 4,
        acquire_timeout: Duration::from_secs(2),
        timeouts: Timeouts::SYSTEM,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn closing_ends_while_the_server_is_away() {
    let server = TestServer::start().unwrap();
    let db = SystemConnection::connect(options(&server)).await.unwrap();
    let busy = SystemConnection::connect(options(&server)).await.unwrap();
    let open = db.begin().await.unwrap();
    let lost = busy.begin().await.unwrap();
    db.execute(sql("SELECT 1")).await.unwrap();
    drop(server);
    assert!(open.execute(sql("SELECT 1")).await.is_err(), "the server is away");
    drop(open);
    drop(lost);
    // One pool whose reaper has not noticed yet, and one whose reaper waits between two tries.
    eventually("a backend is waited for", || async { busy.stats().closing == 1 }).await;
    tokio::time::sleep(Duration::from_millis(700)).await;
    assert!(close(&db).await < Duration::from_secs(3));
    assert!(close(&busy).await < Duration::from_secs(3));
    assert_eq!((db.stats().closing, busy.stats().closing), (0, 0));
    assert!(db.execute(sql("SELECT 1")).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn closing_does_not_wait_for_ever_for_what_runs() {
    let world = World::new(1).await;
    let cluster = world.cluster(ApplyMode::Session, 2).await;
    let tx = world.tenant(&cluster, 0).begin().await.unwrap();
    let started = Instant::now();
    tokio::time::timeout(Duration::from_secs(30), cluster.close()).await.expect("closing ends");
    assert!(started.elapsed() > Duration::from_secs(4), "what runs is given time");
    assert!(world.tenant(&cluster, 0).begin().await.is_err());
    tx.execute_raw(sql("DELETE FROM lines")).await.unwrap();
    tx.commit().await.unwrap();
    all_have_gone(&world).await;
}
