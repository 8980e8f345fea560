//! Everything that SeaORM does with a connection, in both modes.

use clinicx_persistence::{TenantConnection, TenantScoped};
use futures_util::TryStreamExt;
use sea_orm::{
    ActiveModelTrait, ColumnTrait, DbErr, EntityTrait, IntoActiveModel, LoaderTrait, PaginatorTrait,
    QueryFilter, QueryOrder, QuerySelect, Set, TransactionError, TransactionTrait, sea_query::OnConflict,
};
use uuid::Uuid;

use crate::{
    entity::{line, note},
    support::{MODES, NOTES, World, sql},
};

fn new_note(db: &impl TenantScoped, number: i32) -> note::ActiveModel {
    note::ActiveModel {
        id: Set(Uuid::now_v7()),
        tenant_id: Set(db.target().tenant_id.uuid()),
        number: Set(number),
        body: Set("new".to_owned()),
    }
}

async fn read_everything(db: &impl TenantScoped) {
    let all = u64::from(NOTES.unsigned_abs());
    assert_eq!(note::Entity::find().count(db).await.unwrap(), all);
    let one = note::Entity::find().one(db).await.unwrap().unwrap();
    assert_eq!(note::Entity::find_by_id(one.id).one(db).await.unwrap(), Some(one.clone()));
    assert_eq!(note::Entity::find_by_id(Uuid::nil()).one(db).await.unwrap(), None);
    let pages = note::Entity::find().order_by_asc(note::Column::Number).paginate(db, 7);
    assert_eq!(pages.num_pages().await.unwrap(), all.div_ceil(7));
    assert_eq!(pages.fetch_page(1).await.unwrap().len(), 7);
    let some = note::Entity::find().limit(5).all(db).await.unwrap();
    let lines = some.load_many(line::Entity, db).await.unwrap();
    assert!(lines.iter().all(|lines| lines.len() == 1));
    let related = note::Entity::find().find_with_related(line::Entity).all(db).await.unwrap();
    assert_eq!(related.len(), some.len() * 6);
    let mut stream = note::Entity::find().stream(db).await.unwrap();
    let mut streamed = 0;
    while stream.try_next().await.unwrap().is_some() {
        streamed += 1;
    }
    assert_eq!(streamed, all);
    let mut empty = Box::pin(db.stream_raw(sql("SELECT 1 WHERE false")).await.unwrap());
    assert!(empty.try_next().await.unwrap().is_none());
}

async fn write_everything(db: &impl TenantScoped, from: i32) {
    let one = new_note(db, from).insert(db).await.unwrap();
    let mut change = one.clone().into_active_model();
    change.body = Set("changed".to_owned());
    assert_eq!(change.update(db).await.unwrap().body, "changed");
    let many: Vec<_> = (1..4).map(|index| new_note(db, from + index)).collect();
    note::Entity::insert_many(many).exec(db).await.unwrap();
    let again = note::Entity::insert(new_note(db, from))
        .on_conflict(OnConflict::column(note::Column::Number).update_column(note::Column::Body).to_owned())
        .exec_with_returning(db)
        .await
        .unwrap();
    assert_eq!(again.id, one.id);
    let updated = note::Entity::update_many()
        .col_expr(note::Column::Body, "many".into())
        .filter(note::Column::Number.gte(from))
        .exec(db)
        .await
        .unwrap();
    assert_eq!(updated.rows_affected, 4);
    note::Entity::delete_by_id(one.id).exec(db).await.unwrap();
    let deleted = note::Entity::delete_many().filter(note::Column::Number.gte(from)).exec(db).await.unwrap();
    assert_eq!(deleted.rows_affected, 3);
}

async fn nest(db: &TenantConnection) {
    let note = new_note(db, 500).insert(db).await.unwrap();
    let exists = async |db: &clinicx_persistence::TenantTransaction| {
        note::Entity::find_by_id(note.id).one(db).await.unwrap().is_some()
    };
    let tx = db.begin().await.unwrap();
    let inner = tx.savepoint().await.unwrap();
    note::Entity::delete_by_id(note.id).exec(&inner).await.unwrap();
    inner.rollback().await.unwrap();
    assert!(exists(&tx).await, "rolled back");
    let inner = tx.savepoint().await.unwrap();
    note::Entity::delete_by_id(note.id).exec(&inner).await.unwrap();
    let innermost = inner.savepoint().await.unwrap();
    drop(inner);
    assert!(exists(&tx).await, "dropped");
    drop(innermost);
    let inner = TransactionTrait::begin(&tx).await.unwrap();
    note::Entity::delete_by_id(note.id).exec(&inner).await.unwrap();
    inner.commit().await.unwrap();
    assert!(!exists(&tx).await, "released");
    tx.commit().await.unwrap();
    assert_eq!(note::Entity::find_by_id(note.id).one(db).await.unwrap(), None);
}

async fn call_back(db: &TenantConnection) {
    let refused: Result<(), TransactionError<DbErr>> = db
        .transaction(|tx| {
            Box::pin(async move {
                note::Entity::delete_many().exec(tx).await.unwrap_err();
                Err(DbErr::Custom("no".to_owned()))
            })
        })
        .await;
    assert!(matches!(refused, Err(TransactionError::Transaction(DbErr::Custom(_)))));
    let count = db
        .transaction::<_, u64, DbErr>(|tx| {
            Box::pin(async move {
                new_note(tx, 600).insert(tx).await?;
                note::Entity::delete_many().filter(note::Column::Number.eq(600)).exec(tx).await?;
                note::Entity::find().count(tx).await
            })
        })
        .await
        .unwrap();
    assert_eq!(count, u64::from(NOTES.unsigned_abs()));
}

#[tokio::test(flavor = "multi_thread")]
async fn seaorm_works_on_connections_and_transactions() {
    for mode in MODES {
        let world = World::new(2).await;
        let cluster = world.cluster(mode, 4).await;
        for index in 0..2 {
            let db = world.tenant(&cluster, index);
            read_everything(&db).await;
            write_everything(&db, 100).await;
            let tx = db.begin().await.unwrap();
            read_everything(&tx).await;
            write_everything(&tx, 200).await;
            tx.commit().await.unwrap();
            nest(&db).await;
            call_back(&db).await;
        }
        let stats = cluster.stats();
        assert_eq!((stats.discarded, stats.in_use, stats.waiting), (0, 0, 0), "{mode:?}");
        cluster.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_in_one_read_only_transaction_agree() {
    for mode in MODES {
        let world = World::new(1).await;
        let cluster = world.cluster(mode, 3).await;
        let db = world.tenant(&cluster, 0);
        let reads = db.begin_read_only().await.unwrap();
        let before = note::Entity::find().count(&reads).await.unwrap();
        new_note(&db, 700).insert(&db).await.unwrap();
        assert_eq!(note::Entity::find().count(&reads).await.unwrap(), before);
        assert!(new_note(&reads, 701).insert(&reads).await.is_err(), "a write in a read-only transaction");
        reads.rollback().await.unwrap();
        assert_eq!(note::Entity::find().count(&db).await.unwrap(), before + 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_survives_a_change_of_its_table() {
    for mode in MODES {
        let world = World::new(1).await;
        let cluster = world.cluster(mode, 1).await;
        let db = world.tenant(&cluster, 0);
        assert!(note::Entity::find().one(&db).await.unwrap().is_some());
        let mut superuser = world.superuser().await;
        let schema = world.tenants[0].schema.as_str();
        crate::support::run(
            &mut superuser,
            &format!("ALTER TABLE {schema}.notes ALTER COLUMN body TYPE varchar(80)"),
        )
        .await;
        assert!(note::Entity::find().one(&db).await.unwrap().is_some(), "{mode:?}");
        assert_eq!(cluster.stats().discarded, 0);
    }
}
