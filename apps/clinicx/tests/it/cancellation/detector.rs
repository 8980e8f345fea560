//! What the sweeps look for is found when it is there.

use clinicx_persistence::ApplyMode;
use sqlx::{AssertSqlSafe, Executor};

use super::{
    World,
    clinic::{Manner, Thing},
    paths::path,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_looked_for_is_found_when_it_is_there() {
    let world = World::open(ApplyMode::Session, 2, 2).await;
    let (clinic, other) = (&world.clinics[0], &world.clinics[1]);
    let mut ledger = world.ledger(clinic).await;
    let mut superuser = world.database.superuser().await;
    let schema = clinic.target.schema.as_str();
    assert!(clinic.is_itself().await && other.is_itself().await);
    assert_eq!((ledger.left_in_transaction().await, ledger.contradictions().await), (0, 0));

    let mut mistaken = clinic.clone();
    mistaken.db = other.db.clone();
    assert!(mistaken.mistaken().await.is_some(), "a statement that runs as another tenant");

    superuser.execute("BEGIN").await.unwrap();
    superuser.execute("SELECT 1").await.unwrap();
    assert_eq!(ledger.left_in_transaction().await, 1);
    superuser.execute("ROLLBACK").await.unwrap();

    let booking = path("book_appointment");
    clinic.call(booking, Thing::default()).run(booking, Manner::Plain).await.unwrap();
    // A write without its event, one without its audit row, a change without either, one without its history.
    let harms = [
        format!("DELETE FROM {schema}.outbox WHERE event_type = 'room.created'"),
        "DELETE FROM public.audit_logs WHERE action = 'service.created'".to_owned(),
        format!("UPDATE {schema}.staff SET version = version + 1"),
        format!("DELETE FROM {schema}.appointment_events"),
    ];
    let mut found = ledger.contradictions().await;
    assert_eq!(found, 0);
    for harm in harms {
        let before = found;
        superuser.execute(AssertSqlSafe(harm.clone())).await.unwrap();
        found = ledger.contradictions().await;
        assert!(found > before, "{harm}");
    }
    world.cluster.close().await;
    ledger.close().await;
}
