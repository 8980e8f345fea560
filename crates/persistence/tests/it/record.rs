//! The rows that a change leaves.

use clinicx_persistence::{
    ApplyMode, Failure, FailureKind, TenantScope, TenantTarget,
    record::{Change, record},
};
use clinicx_types::{
    id::TenantId, module::EventType, money::Currency, name::TenantSlug, permission::PermissionSet,
};
use sea_orm::{DbErr, JsonValue};
use uuid::Uuid;

use crate::support::World;

fn scope(target: &TenantTarget) -> TenantScope {
    let slug = TenantSlug::parse("clinic").unwrap();
    let place = (chrono_tz::UTC, "SYP".parse::<Currency>().unwrap(), "ar-SY");
    TenantScope::system(target.tenant_id, slug, place, "test", PermissionSet::default())
}

fn change() -> Change {
    Change {
        event: EventType("patient.created"),
        aggregate: "patient",
        aggregate_id: Uuid::now_v7(),
        patient_id: None,
        before: None,
        after: None,
        payload: JsonValue::Null,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scope_of_another_tenant_is_refused_before_anything_is_written() {
    let world = World::new(2).await;
    let cluster = world.cluster(ApplyMode::Session, 1).await;
    let db = world.tenant(&cluster, 1);
    let tx = db.begin().await.unwrap();
    let refused = record(&tx, &scope(&world.tenants[0]), change()).await.unwrap_err();
    let DbErr::Custom(text) = &refused else { panic!("{refused:?}") };
    assert_eq!(text, "the scope and the transaction are of different tenants");
    assert_eq!(Failure::of(&refused).kind, FailureKind::Internal);
    let unknown = TenantTarget { tenant_id: TenantId::new(Uuid::nil()), ..world.tenants[1].clone() };
    assert!(matches!(record(&tx, &scope(&unknown), change()).await, Err(DbErr::Custom(_))));
    tx.commit().await.expect("the server has been asked for nothing that could have failed");
    // These tenants have no outbox, so that what is let through fails at the server.
    let tx = db.begin().await.unwrap();
    let own = record(&tx, &scope(&world.tenants[1]), change()).await.unwrap_err();
    assert_eq!(Failure::of(&own).kind, FailureKind::Fenced);
}
