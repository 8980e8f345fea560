//! The limits of a pool.

use std::{collections::HashSet, time::Duration};

use clinicx_persistence::{ApplyMode, Cluster, Failure, FailureKind, PoolOptions};
use clinicx_types::name::DatabaseName;
use sea_orm::{ConnectionTrait, EntityTrait};

use crate::{
    entity::note,
    support::{CancelAt, MODES, World, all_have_gone, eventually, expected, pool, run, sql, who},
};

async fn cluster(world: &World, mode: ApplyMode, pool: PoolOptions) -> Cluster {
    Cluster::connect(world.cluster_options(mode, pool)).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_served_the_tenant_is_preferred() {
    for mode in MODES {
        let world = World::new(3).await;
        let cluster = world.cluster(mode, 2).await;
        let (a, b, c) = (world.tenant(&cluster, 0), world.tenant(&cluster, 1), world.tenant(&cluster, 2));
        let (tx_a, tx_b) = (a.begin().await.unwrap(), b.begin().await.unwrap());
        tx_a.commit().await.unwrap();
        tx_b.commit().await.unwrap();
        let before = cluster.stats();
        for _ in 0..5 {
            who(&a).await.unwrap();
            who(&b).await.unwrap();
        }
        let after = cluster.stats();
        assert_eq!((after.tag_hits - before.tag_hits, after.switches - before.switches), (10, 0), "{mode:?}");
        // The connection that was idle for longer is the one to switch.
        who(&c).await.unwrap();
        who(&b).await.unwrap();
        assert_eq!(cluster.stats().switches - after.switches, 1, "{mode:?}");
        assert_eq!(cluster.stats().opened, 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_comes_back_to_the_connection_that_knows_it() {
    for mode in MODES {
        let world = World::new(7).await;
        let cluster = world.cluster(mode, 3).await;
        let tenants: Vec<_> = (0..7).map(|index| world.tenant(&cluster, index)).collect();
        let mut open = Vec::new();
        for tenant in &tenants[..3] {
            open.push(tenant.begin().await.unwrap());
        }
        for tx in open {
            tx.rollback().await.unwrap();
        }
        let backend = async |index: usize| -> i32 {
            let row = tenants[index].query_one_raw(sql("SELECT pg_backend_pid() AS pid")).await.unwrap();
            row.unwrap().try_get("", "pid").unwrap()
        };
        let mut first = Vec::new();
        for index in 0..7 {
            first.push(backend(index).await);
        }
        assert_eq!(first.iter().collect::<HashSet<_>>().len(), 3, "{mode:?}");
        // Whatever the order in which they come.
        for round in 0..7 {
            for step in 0..7 {
                let index = (round + step * (round % 6 + 1)) % 7;
                assert_eq!(backend(index).await, first[index], "{mode:?}, round {round}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_version_of_the_schema_is_applied_anew() {
    let world = World::new(1).await;
    let cluster = world.cluster(ApplyMode::Session, 1).await;
    let mut target = world.tenants[0].clone();
    note::Entity::find().one(&cluster.tenant(target.clone())).await.unwrap();
    target.schema_version.core += 1;
    let before = cluster.stats().switches;
    note::Entity::find().one(&cluster.tenant(target)).await.unwrap();
    assert_eq!(cluster.stats().switches, before + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_is_retired_after_so_many_tenants() {
    for mode in MODES {
        let world = World::new(7).await;
        let cluster = cluster(&world, mode, PoolOptions { max_tenants_per_connection: 3, ..pool(1) }).await;
        for round in 0..2 {
            for (index, tenant) in world.tenants.iter().enumerate() {
                let db = world.tenant(&cluster, index);
                assert_eq!(who(&db).await.unwrap(), expected(tenant), "round {round}");
                assert_eq!(who(&db).await.unwrap(), expected(tenant), "round {round}");
            }
        }
        let stats = cluster.stats();
        assert_eq!((stats.retired, stats.discarded, stats.opened), (4, 0, 5), "{mode:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_end_by_age_and_idleness_above_the_minimum() {
    let world = World::new(1).await;
    let options = PoolOptions { min_connections: 2, idle_timeout: Duration::from_millis(80), ..pool(5) };
    let idle = cluster(&world, ApplyMode::Session, options).await;
    let db = world.tenant(&idle, 0);
    let mut open = Vec::new();
    for _ in 0..5 {
        open.push(db.begin().await.unwrap());
    }
    assert_eq!(idle.stats().in_use, 5);
    for tx in open {
        tx.rollback().await.unwrap();
    }
    eventually("idle ones are closed", || async { idle.stats().idle == 2 && idle.stats().closing == 0 })
        .await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(idle.stats().idle, 2);
    idle.close().await;

    let options = PoolOptions { min_connections: 2, max_lifetime: Duration::from_millis(150), ..pool(3) };
    let aged = cluster(&world, ApplyMode::Session, options).await;
    eventually("old ones are replaced", || async { aged.stats().retired >= 4 && aged.stats().opened >= 6 })
        .await;
    assert_eq!(who(&world.tenant(&aged, 0)).await.unwrap(), expected(&world.tenants[0]));
    aged.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_tenant_gets_no_more_than_its_share() {
    let world = World::new(2).await;
    let options = PoolOptions { tenant_share: 0.5, acquire_timeout: Duration::from_millis(300), ..pool(4) };
    let cluster = cluster(&world, ApplyMode::Session, options).await;
    let (a, b) = (world.tenant(&cluster, 0), world.tenant(&cluster, 1));
    let first = a.begin().await.unwrap();
    let second = world.tenant(&cluster, 0).begin().await.unwrap();
    let refused = Failure::of(&a.begin().await.unwrap_err());
    assert_eq!(refused.kind, FailureKind::Unavailable);
    let (third, fourth) = (b.begin().await.unwrap(), b.begin().await.unwrap());
    assert_eq!(cluster.stats().acquire_timeouts, 1);
    assert_eq!(cluster.stats().in_use, 4);
    first.rollback().await.unwrap();
    a.begin().await.unwrap().rollback().await.unwrap();
    for tx in [second, third, fourth] {
        tx.rollback().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn waiting_ends_in_time_and_is_first_come_first_served() {
    let world = World::new(2).await;
    let options = PoolOptions { acquire_timeout: Duration::from_millis(300), ..pool(1) };
    let cluster = cluster(&world, ApplyMode::Session, options).await;
    let holder = world.tenant(&cluster, 0).begin().await.unwrap();
    let started = std::time::Instant::now();
    let refused = Failure::of(&who(&world.tenant(&cluster, 1)).await.unwrap_err());
    assert_eq!(refused.kind, FailureKind::Unavailable);
    assert!((250..5000).contains(&started.elapsed().as_millis()));
    let order = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let mut waiters = Vec::new();
    for index in 0..4_u64 {
        let (db, order) = (world.tenant(&cluster, 1), std::sync::Arc::clone(&order));
        waiters.push(tokio::spawn(async move {
            let tx = db.begin().await.unwrap();
            order.lock().unwrap().push(index);
            tx.rollback().await.unwrap();
        }));
        eventually("it waits", || async { cluster.stats().waiting == index + 1 }).await;
    }
    holder.rollback().await.unwrap();
    for waiter in waiters {
        waiter.await.unwrap();
    }
    assert_eq!(*order.lock().unwrap(), [0, 1, 2, 3]);
    assert_eq!(cluster.stats().waiting, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn closing_waits_for_what_runs_and_takes_nothing_new() {
    for mode in MODES {
        let world = World::new(1).await;
        let cluster = world.cluster(mode, 3).await;
        let db = world.tenant(&cluster, 0);
        let tx = db.begin().await.unwrap();
        let closing = tokio::spawn({
            let cluster = cluster.clone();
            async move { cluster.close().await }
        });
        let refused = || async { who(&db).await.is_err() };
        eventually("new work is refused", refused).await;
        assert!(!closing.is_finished());
        tx.execute_raw(sql("DELETE FROM lines")).await.unwrap();
        tx.commit().await.unwrap();
        closing.await.unwrap();
        all_have_gone(&world).await;
        cluster.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_gives_up_while_a_connection_is_opened_leaves_it_to_the_next() {
    let world = World::new(1).await;
    let cluster = world.cluster(ApplyMode::Session, 2).await;
    let db = world.tenant(&cluster, 0);
    let first = db.begin().await.unwrap();
    assert!(CancelAt::poll(1, db.begin()).await.is_none());
    eventually("it is opened all the same", || async { cluster.stats().idle == 1 }).await;
    assert_eq!((cluster.stats().opened, cluster.stats().discarded), (2, 0));
    first.rollback().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn after_connections_were_lost_one_caller_at_most_sees_it() {
    for mode in MODES {
        let world = World::new(1).await;
        let cluster = world.cluster(mode, 4).await;
        let db = world.tenant(&cluster, 0);
        let mut open = Vec::new();
        for _ in 0..4 {
            open.push(db.begin().await.unwrap());
        }
        for tx in open {
            tx.rollback().await.unwrap();
        }
        let text = format!(
            "SELECT pg_terminate_backend(pid, 1000) FROM pg_stat_activity WHERE usename = '{}'",
            world.login
        );
        run(&mut world.superuser().await, &text).await;
        let mut failures = Vec::new();
        for _ in 0..8 {
            failures.extend(who(&db).await.err().map(|error| Failure::of(&error).kind));
        }
        assert!(failures.len() <= 1, "{failures:?}");
        assert!(failures.iter().all(|kind| *kind == FailureKind::Unavailable), "{failures:?}");
        // The reaper's connection was lost too.
        // An answer that is there at once leaves nothing to break off: then it is tried again.
        let mut broken_off = false;
        for _ in 0..1000 {
            broken_off = CancelAt::poll(1, who(&db)).await.is_none();
            if broken_off {
                break;
            }
        }
        assert!(broken_off);
        eventually("the reaper works again", || async { cluster.stats().closing == 0 }).await;
        cluster.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tenants_of_other_databases_share_the_pool() {
    let world = World::new(2).await;
    let mut superuser = world.superuser().await;
    let name = format!("other_of_{}", world.login);
    run(&mut superuser, &format!("CREATE DATABASE {name} STRATEGY file_copy")).await;
    let mut other = world.tenants[0].clone();
    let schema = other.schema.as_str().to_owned();
    let mut inside = world.superuser_in(&name).await;
    let script = format!(
        "CREATE SCHEMA {schema}; GRANT USAGE ON SCHEMA {schema} TO {schema};
         CREATE TABLE {schema}.notes (number integer, body text); GRANT SELECT ON {schema}.notes TO {schema};
         INSERT INTO {schema}.notes VALUES (1, 'elsewhere')"
    );
    run(&mut inside, &script).await;
    other.database = Some(DatabaseName::parse(&name).unwrap());
    for mode in MODES {
        let cluster = world.cluster(mode, 1).await;
        let (here, there) = (world.tenant(&cluster, 0), cluster.tenant(other.clone()));
        for _ in 0..3 {
            assert_eq!(who(&here).await.unwrap().canary, schema);
            assert_eq!(who(&there).await.unwrap().canary, "elsewhere");
            assert!(world.backends(&mut superuser).await.all <= 2);
        }
        cluster.close().await;
    }
    drop(inside);
    run(&mut superuser, &format!("DROP DATABASE {name} WITH (FORCE)")).await;
}

/// One URL of a superuser serves for everything in development.
#[tokio::test(flavor = "multi_thread")]
async fn a_superuser_becomes_the_login() {
    for mode in MODES {
        let world = World::new(2).await;
        let mut options = world.cluster_options(mode, pool(1));
        options.connect = world.server().superuser_url("postgres").parse().unwrap();
        options.session_authorization = Some(clinicx_types::name::RoleName::parse(&world.login).unwrap());
        let cluster = Cluster::connect(options).await.unwrap();
        for (index, tenant) in world.tenants.iter().enumerate() {
            let db = world.tenant(&cluster, index);
            assert_eq!(who(&db).await.unwrap(), expected(tenant));
            let row = db.query_one_raw(sql("SELECT session_user::text AS login")).await.unwrap().unwrap();
            assert_eq!(row.try_get::<String>("", "login").unwrap(), world.login);
            let slow = db.execute_raw(sql("SELECT pg_sleep(5)"));
            assert!(tokio::time::timeout(Duration::from_millis(20), slow).await.is_err());
        }
        cluster.close().await;
        assert_eq!(cluster.stats().discarded, 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn citus_is_refused_in_session_mode() {
    let world = World::new(0).await;
    let mut options = world.cluster_options(ApplyMode::Session, pool(1));
    options.kind = clinicx_persistence::ClusterKind::Citus;
    assert!(matches!(
        Cluster::connect(options).await,
        Err(clinicx_persistence::ConnectError::CitusInSessionMode)
    ));
}
