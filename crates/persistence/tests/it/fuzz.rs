//! Thousands of cancellations at random moments.

use std::{
    collections::HashSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicI32, AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use clinicx_persistence::{ApplyMode, TenantConnection, TenantScoped};
use futures_util::TryStreamExt;
use sea_orm::{ActiveModelTrait, DbErr, EntityTrait, QuerySelect, Set};
use sqlx::{AssertSqlSafe, Executor, Row};
use uuid::Uuid;

use crate::{
    entity::note,
    support::{CancelAt, World, all_have_gone, expected, who},
};

const CANCELLATIONS: u32 = 3000;
const TENANTS: usize = 3;

struct Fuzz {
    number: AtomicI32,
    wrong_rows: AtomicU32,
    acknowledged: Mutex<HashSet<Uuid>>,
    rolled_back: Mutex<HashSet<Uuid>>,
}

impl Fuzz {
    fn note(&self, db: &TenantConnection) -> note::ActiveModel {
        note::ActiveModel {
            id: Set(Uuid::now_v7()),
            tenant_id: Set(db.target().tenant_id.uuid()),
            number: Set(self.number.fetch_add(1, Ordering::Relaxed)),
            body: Set(db.target().schema.as_str().to_owned()),
        }
    }

    fn look(&self, db: &TenantConnection, notes: &[note::Model]) {
        let wrong = notes.iter().any(|note| note.body != db.target().schema.as_str());
        self.wrong_rows.fetch_add(u32::from(wrong), Ordering::Relaxed);
    }

    async fn work(&self, db: &TenantConnection, kind: u32) -> Result<(), DbErr> {
        match kind % 5 {
            0 => self.look(db, &note::Entity::find().limit(20).all(db).await?),
            1 => {
                let note = self.note(db).insert(db).await?;
                self.acknowledged.lock().unwrap().insert(note.id);
            }
            2 => {
                let mut rows = note::Entity::find().limit(20).stream(db).await?;
                while let Some(note) = rows.try_next().await? {
                    self.look(db, &[note]);
                }
            }
            3 => {
                let tx = db.begin().await?;
                let inner = tx.savepoint().await?;
                let note = self.note(db).insert(&inner).await?;
                inner.commit().await?;
                self.look(db, &note::Entity::find().limit(20).all(&tx).await?);
                tx.commit().await?;
                self.acknowledged.lock().unwrap().insert(note.id);
            }
            _ => {
                let tx = db.begin().await?;
                let note = self.note(db).insert(&tx).await?;
                self.rolled_back.lock().unwrap().insert(note.id);
                tx.rollback().await?;
            }
        }
        Ok(())
    }
}

/// Lets a task run for a random while, which a timer with its milliseconds could not.
async fn cancel_at_random(fuzz: &Arc<Fuzz>, db: &TenantConnection, kind: u32) -> bool {
    let (fuzz, db) = (Arc::clone(fuzz), db.clone());
    if rand::random() {
        let poll = rand::random_range(1..20);
        return CancelAt::poll(poll, fuzz.work(&db, kind)).await.is_none();
    }
    let task = tokio::spawn(async move { fuzz.work(&db, kind).await });
    let until = Instant::now() + Duration::from_micros(rand::random_range(0..2500));
    while Instant::now() < until && !task.is_finished() {
        tokio::task::yield_now().await;
    }
    task.abort();
    task.await.is_err_and(|error| error.is_cancelled())
}

async fn fuzz(mode: ApplyMode) {
    let world = Arc::new(World::new(3).await);
    let cluster = world.cluster(mode, 4).await;
    let fuzz = Arc::new(Fuzz {
        number: AtomicI32::new(1000),
        wrong_rows: AtomicU32::new(0),
        acknowledged: Mutex::default(),
        rolled_back: Mutex::default(),
    });
    let (cancelled, round) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
    let tasks: Vec<_> = (0..4)
        .map(|_| {
            let (world, cluster, fuzz) = (Arc::clone(&world), cluster.clone(), Arc::clone(&fuzz));
            let (cancelled, round) = (Arc::clone(&cancelled), Arc::clone(&round));
            tokio::spawn(async move {
                while cancelled.load(Ordering::Relaxed) < CANCELLATIONS {
                    let round = round.fetch_add(1, Ordering::Relaxed);
                    let index = usize::try_from(round).unwrap() % TENANTS;
                    let db = world.tenant(&cluster, index);
                    if cancel_at_random(&fuzz, &db, round).await {
                        cancelled.fetch_add(1, Ordering::Relaxed);
                    }
                    assert_eq!(who(&db).await.unwrap(), expected(&world.tenants[index]), "{mode:?}");
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(fuzz.wrong_rows.load(Ordering::Relaxed), 0);
    cluster.close().await;
    all_have_gone(&world).await;
    let mut superuser = world.superuser().await;
    let stored = stored(&world, &mut superuser).await;
    let acknowledged = fuzz.acknowledged.lock().unwrap();
    assert!(acknowledged.is_subset(&stored), "lost acknowledged writes");
    assert!(fuzz.rolled_back.lock().unwrap().is_disjoint(&stored), "what was rolled back is there");
    assert!(acknowledged.len() > 100, "only {} writes", acknowledged.len());
}

/// Reads every tenant's rows, all of which must be its own.
async fn stored(world: &World, superuser: &mut sqlx::PgConnection) -> HashSet<Uuid> {
    let mut stored = HashSet::new();
    for tenant in &world.tenants {
        let schema = tenant.schema.as_str();
        let question = format!("SELECT id::text, body FROM {schema}.notes");
        for row in superuser.fetch_all(AssertSqlSafe(question)).await.unwrap() {
            assert_eq!(row.get::<String, _>(1), schema);
            stored.insert(row.get::<String, _>(0).parse().unwrap());
        }
    }
    stored
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_cancellations_in_session_mode_harm_nobody() {
    fuzz(ApplyMode::Session).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_cancellations_in_transaction_mode_harm_nobody() {
    fuzz(ApplyMode::Transaction).await;
}
