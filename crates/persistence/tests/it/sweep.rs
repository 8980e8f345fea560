//! Each database path, dropped at each of its awaits.

use std::{future::Future, pin::Pin};

use clinicx_persistence::TenantConnection;
use futures_util::TryStreamExt;
use sea_orm::{ActiveModelTrait, ConnectionTrait, DbErr, EntityTrait, Set};
use uuid::Uuid;

use crate::{
    entity::note,
    support::{CancelAt, MODES, World, expected, sql, who},
};

type Work = Pin<Box<dyn Future<Output = Result<Option<Uuid>, DbErr>> + Send>>;
/// Something that a tenant does; it returns the row that it has written.
type Path = fn(TenantConnection, i32) -> Work;

fn insert(db: &TenantConnection, number: i32) -> note::ActiveModel {
    use clinicx_persistence::TenantScoped;
    note::ActiveModel {
        id: Set(Uuid::now_v7()),
        tenant_id: Set(db.target().tenant_id.uuid()),
        number: Set(number),
        body: Set(db.target().schema.as_str().to_owned()),
    }
}

const PATHS: [(&str, Path); 7] = [
    ("a read", |db, _| Box::pin(async move { note::Entity::find().all(&db).await.map(|_| None) })),
    ("a write", |db, number| {
        Box::pin(async move { insert(&db, number).insert(&db).await.map(|note| Some(note.id)) })
    }),
    ("a stream", |db, _| {
        Box::pin(async move {
            let text = "SELECT g, repeat('x', 2000) FROM generate_series(1, 40) AS g";
            let mut rows = sea_orm::StreamTrait::stream_raw(&db, sql(text)).await?;
            while rows.try_next().await?.is_some() {}
            Ok(None)
        })
    }),
    ("a transaction", |db, number| {
        Box::pin(async move {
            let tx = db.begin().await?;
            let note = insert(&db, number).insert(&tx).await?;
            tx.execute_raw(sql("SELECT id FROM notes WHERE number = 1 FOR UPDATE")).await?;
            tx.commit().await?;
            Ok(Some(note.id))
        })
    }),
    ("a nested transaction", |db, number| {
        Box::pin(async move {
            let tx = db.begin().await?;
            let dropped = tx.savepoint().await?;
            insert(&db, number).insert(&dropped).await?;
            drop(dropped);
            let inner = tx.savepoint().await?;
            let note = insert(&db, number).insert(&inner).await?;
            inner.commit().await?;
            tx.commit().await?;
            Ok(Some(note.id))
        })
    }),
    ("a rollback", |db, number| {
        Box::pin(async move {
            let tx = db.begin().await?;
            insert(&db, number).insert(&tx).await?;
            tx.rollback().await?;
            Ok(None)
        })
    }),
    ("an error", |db, _| {
        Box::pin(async move {
            assert!(db.execute_raw(sql("SELECT 1/0")).await.is_err());
            let tx = db.begin().await?;
            assert!(tx.execute_raw(sql("SELECT 1/0")).await.is_err());
            assert!(tx.commit().await.is_err());
            Ok(None)
        })
    }),
];

#[tokio::test(flavor = "multi_thread")]
async fn no_path_leaves_anything_wherever_it_is_dropped() {
    for mode in MODES {
        let world = World::new(2).await;
        let cluster = world.cluster(mode, 1).await;
        let (a, b) = (world.tenant(&cluster, 0), world.tenant(&cluster, 1));
        let mut superuser = world.superuser().await;
        let (mut cancelled, mut number, mut written) = (0, 1000, Vec::new());
        // An await whose answer is there at once is passed over, so that one round may see too few places.
        for _ in 0..50 {
            for (name, path) in PATHS {
                for poll in 1.. {
                    // The other tenant was the last, so that the path begins by applying its own.
                    assert_eq!(who(&b).await.unwrap(), expected(&world.tenants[1]));
                    number += 1;
                    let ended = CancelAt::poll(poll, path(a.clone(), number)).await;
                    assert_eq!(
                        who(&b).await.unwrap(),
                        expected(&world.tenants[1]),
                        "{mode:?}, {name}, poll {poll}"
                    );
                    let backends = world.backends(&mut superuser).await;
                    assert_eq!(backends.idle_in_transaction, 0, "{mode:?}, {name}, poll {poll}");
                    assert!(backends.all <= 2, "{mode:?}, {name}, poll {poll}: {backends:?}");
                    match ended {
                        Some(done) => {
                            written.extend(done.unwrap());
                            break;
                        }
                        None => cancelled += 1,
                    }
                }
            }
            if cancelled > 20 {
                break;
            }
        }
        for id in written {
            assert!(
                note::Entity::find_by_id(id).one(&a).await.unwrap().is_some(),
                "lost an acknowledged write"
            );
        }
        assert!(cancelled > 20, "{cancelled} places in {mode:?}");
    }
}
