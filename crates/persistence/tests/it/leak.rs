//! What happens to the next tenant when a statement, transaction or stream does not run to its end.

use std::time::Duration;

use clinicx_persistence::{Cluster, Failure, FailureKind, TenantConnection};
use futures_util::TryStreamExt;
use sea_orm::{ConnectionTrait, EntityTrait, PaginatorTrait, StreamTrait, TransactionTrait};
use tokio::time::timeout;

use crate::{
    entity::note,
    support::{MODES, World, expected, sql, who},
};

const SHORT: Duration = Duration::from_millis(30);

/// Two tenants on one connection: what the first leaves behind, the second would get.
struct Pair {
    world: World,
    cluster: Cluster,
    a: TenantConnection,
    b: TenantConnection,
}

async fn pairs() -> Vec<Pair> {
    let mut pairs = Vec::new();
    for mode in MODES {
        let world = World::new(2).await;
        let cluster = world.cluster(mode, 1).await;
        let (a, b) = (world.tenant(&cluster, 0), world.tenant(&cluster, 1));
        who(&a).await.unwrap();
        pairs.push(Pair { world, cluster, a, b });
    }
    pairs
}

impl Pair {
    async fn check(&self, discarded: u64) {
        assert_eq!(who(&self.b).await.unwrap(), expected(&self.world.tenants[1]));
        assert_eq!(self.cluster.stats().discarded, discarded);
        let backends = self.world.backends(&mut self.world.superuser().await).await;
        assert_eq!(backends.idle_in_transaction, 0);
        assert!(backends.all <= 2, "{backends:?}");
        assert_eq!(who(&self.a).await.unwrap(), expected(&self.world.tenants[0]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_statement_ends_its_backend() {
    for pair in pairs().await {
        let started = std::time::Instant::now();
        assert!(timeout(SHORT, pair.a.execute_raw(sql("SELECT pg_sleep(5)"))).await.is_err());
        pair.check(1).await;
        assert!(started.elapsed() < Duration::from_secs(2), "the backend was not told to end");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_follows_a_cancelled_statement_in_its_transaction() {
    for pair in pairs().await {
        let tx = pair.a.begin().await.unwrap();
        tx.execute_raw(sql("DELETE FROM lines")).await.unwrap();
        assert!(timeout(SHORT, tx.execute_raw(sql("SELECT pg_sleep(5)"))).await.is_err());
        let refused = tx.execute_raw(sql("SELECT 1")).await.unwrap_err();
        assert_eq!(Failure::of(&refused).kind, FailureKind::Unavailable);
        assert!(tx.savepoint().await.is_err());
        assert!(tx.commit().await.is_err());
        pair.check(1).await;
        assert!(crate::entity::line::Entity::find().count(&pair.a).await.unwrap() > 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_transaction_is_rolled_back() {
    for pair in pairs().await {
        {
            let tx = pair.a.begin().await.unwrap();
            tx.execute_raw(sql("DELETE FROM lines")).await.unwrap();
        }
        pair.check(1).await;
        assert!(crate::entity::line::Entity::find().count(&pair.a).await.unwrap() > 0);
        let tx = pair.a.begin().await.unwrap();
        let inner = tx.savepoint().await.unwrap();
        drop(tx);
        assert!(inner.execute_raw(sql("SELECT 1")).await.is_err(), "a savepoint outlived its transaction");
        assert!(inner.commit().await.is_err());
        pair.check(2).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_in_a_transaction_leaves_nothing() {
    for pair in pairs().await {
        let db = pair.a.clone();
        let task = tokio::spawn(async move {
            let tx = db.begin().await.unwrap();
            tx.execute_raw(sql("DELETE FROM lines")).await.unwrap();
            std::panic::resume_unwind(Box::new("on purpose"));
        });
        assert!(task.await.unwrap_err().is_panic());
        pair.check(1).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_is_dropped_early_leaves_nothing() {
    for pair in pairs().await {
        {
            let mut rows = note::Entity::find().stream(&pair.a).await.unwrap();
            rows.try_next().await.unwrap();
        }
        pair.check(1).await;
        let tx = pair.a.begin().await.unwrap();
        {
            let mut rows = note::Entity::find().stream(&tx).await.unwrap();
            rows.try_next().await.unwrap();
            assert!(tx.execute_raw(sql("SELECT 1")).await.is_err(), "refused, or it would wait for ever");
        }
        assert!(tx.execute_raw(sql("SELECT 1")).await.is_err());
        assert!(tx.commit().await.is_err());
        pair.check(2).await;
        {
            let _never_polled = pair.a.stream_raw(sql("SELECT 1")).await.unwrap();
        }
        pair.check(3).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_aborted_task_leaves_nothing() {
    for pair in pairs().await {
        let db = pair.a.clone();
        let task = tokio::spawn(async move { db.execute_raw(sql("SELECT pg_sleep(5)")).await });
        tokio::time::sleep(SHORT).await;
        task.abort();
        assert!(task.await.unwrap_err().is_cancelled());
        pair.check(1).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_of_the_database_keeps_the_connection() {
    for pair in pairs().await {
        for text in
            ["SELECT 1/0", "SELECT nothing", "INSERT INTO notes (number) VALUES (1)", "SELECT pg_sleep(x"]
        {
            assert!(pair.a.execute_raw(sql(text)).await.is_err(), "{text}");
            assert!(pair.a.stream_raw(sql(text)).await.unwrap().try_next().await.is_err(), "{text}");
        }
        pair.check(0).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_after_an_error_is_an_error() {
    for pair in pairs().await {
        let tx = pair.a.begin().await.unwrap();
        tx.execute_raw(sql("DELETE FROM lines")).await.unwrap();
        assert!(tx.execute_raw(sql("SELECT 1/0")).await.is_err());
        let refused = Failure::of(&tx.commit().await.unwrap_err());
        assert_eq!(refused.sqlstate.as_deref(), Some("25P02"));
        assert!(crate::entity::line::Entity::find().count(&pair.a).await.unwrap() > 0);
        pair.check(0).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_savepoint_outlives_an_error_inside_it() {
    for pair in pairs().await {
        let tx = pair.a.begin().await.unwrap();
        let inner = tx.savepoint().await.unwrap();
        assert!(inner.execute_raw(sql("SELECT 1/0")).await.is_err());
        assert!(inner.commit().await.is_err());
        tx.execute_raw(sql("DELETE FROM lines")).await.unwrap();
        let inner = TransactionTrait::begin(&tx).await.unwrap();
        assert!(tx.savepoint().await.is_err(), "beside another");
        drop(inner);
        tx.commit().await.unwrap();
        assert_eq!(crate::entity::line::Entity::find().count(&pair.a).await.unwrap(), 0);
        pair.check(0).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_with_an_open_savepoint_is_refused() {
    for pair in pairs().await {
        let tx = pair.a.begin().await.unwrap();
        let inner = tx.savepoint().await.unwrap();
        assert!(tx.commit().await.is_err());
        assert!(inner.commit().await.is_err());
        pair.check(1).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_would_change_the_session_is_refused() {
    for pair in pairs().await {
        let tx = pair.a.begin().await.unwrap();
        for text in [
            "BEGIN",
            "COMMIT",
            "ROLLBACK",
            "SET search_path TO public",
            "SET LOCAL ROLE NONE",
            "RESET ROLE",
            "/* x */ DISCARD ALL",
            "DO $$ BEGIN NULL; END $$",
            "PREPARE TRANSACTION 'x'",
            "LISTEN x",
        ] {
            assert!(pair.a.execute_raw(sql(text)).await.is_err(), "{text}");
            assert!(tx.execute_raw(sql(text)).await.is_err(), "{text}");
        }
        assert!(pair.a.execute_unprepared("SELECT 1").await.is_err());
        assert!(tx.execute_unprepared("SELECT 1").await.is_err());
        assert!(tx.execute_raw(sql("SELECT 1; COMMIT")).await.is_err(), "two statements in one");
        tx.rollback().await.unwrap();
        pair.check(0).await;
    }
}

/// Code in a table's expression runs with the writes of whoever is served, and may set what the service sets.
#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_makes_the_connection_somebody_elses_is_rolled_back() {
    for pair in pairs().await {
        let (mine, other) = (&pair.world.tenants[0], &pair.world.tenants[1]);
        let (schema, theirs, id) = (mine.schema.as_str(), other.schema.as_str(), other.tenant_id);
        let planted = format!(
            "CREATE FUNCTION public.{schema}_planted(text) RETURNS boolean LANGUAGE plpgsql AS $f$ BEGIN
                 CASE $1
                     WHEN 'path' THEN EXECUTE 'SET search_path TO {theirs}, pg_temp';
                     WHEN 'tenant' THEN EXECUTE 'SET app.current_tenant TO ''{id}''';
                     WHEN 'role' THEN EXECUTE 'RESET ROLE; SET ROLE {theirs}';
                     WHEN 'all' THEN EXECUTE 'SET search_path TO {theirs}, pg_temp; SET app.current_tenant TO ''{id}'';
                         RESET ROLE; SET ROLE {theirs}';
                     ELSE NULL;
                 END CASE;
                 RETURN true; END $f$;
             ALTER TABLE {schema}.notes ADD CHECK (public.{schema}_planted(body))"
        );
        crate::support::run(&mut pair.world.superuser().await, &planted).await;
        let write = |body: &str| sql(&format!("UPDATE notes SET body = '{body}' WHERE number = 30"));
        for (number, body) in (1..).zip(["path", "tenant", "role", "all"]) {
            let tx = pair.a.begin().await.unwrap();
            tx.execute_raw(write(body)).await.unwrap();
            let refused = tx.commit().await.unwrap_err();
            assert_eq!(Failure::of(&refused).kind, FailureKind::Internal, "{body}: {refused:?}");
            pair.check(number).await;
        }
        let tx = pair.a.begin().await.unwrap();
        tx.execute_raw(write(schema)).await.unwrap();
        tx.commit().await.unwrap();
        pair.check(4).await;
    }
}
