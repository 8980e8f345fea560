//! A storm of cancellations opens no more connections than allowed.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use sea_orm::ConnectionTrait;

use crate::support::{MODES, World, eventually, expected, pool, sql, who};

const WORKERS: u32 = 5;

#[tokio::test(flavor = "multi_thread")]
async fn connections_never_exceed_the_maximum() {
    for mode in MODES {
        let world = Arc::new(World::new(4).await);
        let mut options = world.cluster_options(mode, pool(WORKERS));
        options.pool.min_connections = 2;
        let cluster = clinicx_persistence::Cluster::connect(options).await.unwrap();
        let over = Arc::new(AtomicBool::new(false));
        let storm: Vec<_> = (0..24)
            .map(|index: usize| {
                let db = world.tenant(&cluster, index % 4);
                let over = Arc::clone(&over);
                tokio::spawn(async move {
                    while !over.load(Ordering::Relaxed) {
                        let pause = Duration::from_millis(rand::random_range(1..6));
                        let work = async {
                            let tx = db.begin().await?;
                            tx.execute_raw(sql("SELECT pg_sleep(0.004)")).await?;
                            tx.commit().await
                        };
                        let _ = tokio::time::timeout(pause, work).await;
                    }
                })
            })
            .collect();
        let mut superuser = world.superuser().await;
        let (mut most, mut samples) = (0, 0);
        let until = tokio::time::Instant::now() + Duration::from_millis(1500);
        while tokio::time::Instant::now() < until {
            most = most.max(world.backends(&mut superuser).await.all);
            samples += 1;
        }
        over.store(true, Ordering::Relaxed);
        for task in storm {
            task.await.unwrap();
        }
        assert!(most <= i64::from(WORKERS) + 1, "{most} connections in {mode:?}");
        assert!(samples > 50, "only {samples} samples");
        let stats = cluster.stats();
        assert!(stats.discarded > 20, "{stats:?}");
        for (index, tenant) in world.tenants.iter().enumerate() {
            assert_eq!(who(&world.tenant(&cluster, index)).await.unwrap(), expected(tenant));
        }
        let settled = || async { cluster.stats().closing == 0 && cluster.stats().in_use == 0 };
        eventually("everything is closed or idle", settled).await;
        assert_eq!(world.backends(&mut superuser).await.idle_in_transaction, 0);
    }
}
