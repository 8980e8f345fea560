//! Whether the service can serve, asked by many.

use std::time::Duration;

use reqwest::Client;
use sqlx::{ConnectOptions, Executor, PgConnection, postgres::PgConnectOptions};
use tokio::task::JoinSet;

use crate::support::{Api, configuration, start};

/// How many questions about readiness wait for a table that somebody has locked.
async fn waiting(database: &mut PgConnection) -> i64 {
    sqlx::query_scalar(
        "SELECT count(*) FROM pg_catalog.pg_stat_activity
         WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%FROM public.users) AS%'",
    )
    .fetch_one(database)
    .await
    .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn however_many_ask_one_question_is_put_to_the_database() {
    let config = configuration("readiness").await;
    let superuser: PgConnectOptions = config.database.url.as_ref().unwrap().expose().parse().unwrap();
    let (mut locker, mut watcher) = (superuser.connect().await.unwrap(), superuser.connect().await.unwrap());
    let api = Api { base: start(config).await, token: None, client: Client::new() };
    locker.execute("BEGIN; LOCK TABLE public.users IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let mut asking = JoinSet::new();
    for _ in 0..16 {
        let api = api.clone();
        asking.spawn(async move { api.get("//readyz").await.status.as_u16() });
    }
    let mut tick = tokio::time::interval(Duration::from_millis(50));
    while waiting(&mut watcher).await == 0 {
        tick.tick().await;
    }
    for _ in 0..10 {
        tick.tick().await;
        assert!(waiting(&mut watcher).await <= 1);
    }
    locker.execute("ROLLBACK").await.unwrap();
    assert_eq!(asking.join_all().await, [200; 16]);
}
