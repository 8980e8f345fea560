//! A tenant that is fenced in the database gets an error, whatever a connection remembers.

use clinicx_persistence::{ApplyMode, Failure, FailureKind, TenantConnection};
use sea_orm::{ActiveModelTrait, ConnectionTrait, EntityTrait, Set};
use uuid::Uuid;

use crate::{
    entity::note,
    support::{MODES, World, expected, run, sql, target, who},
};

async fn failure(db: &TenantConnection) -> FailureKind {
    Failure::of(&note::Entity::find().all(db).await.unwrap_err()).kind
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fenced_tenant_is_refused_on_a_connection_that_still_has_its_tag() {
    for mode in MODES {
        let world = World::new(2).await;
        let cluster = world.cluster(mode, 1).await;
        let (a, b) = (world.tenant(&cluster, 0), world.tenant(&cluster, 1));
        note::Entity::find().all(&a).await.unwrap();
        let schema = world.tenants[0].schema.as_str();
        let mut superuser = world.superuser().await;
        run(&mut superuser, &format!("REVOKE USAGE ON SCHEMA {schema} FROM {schema}")).await;
        let before = cluster.stats();
        assert_eq!(failure(&a).await, FailureKind::Fenced, "{mode:?}");
        assert_eq!(cluster.stats().tag_hits, before.tag_hits + 1);
        assert_eq!(who(&b).await.unwrap(), expected(&world.tenants[1]));
        run(&mut superuser, &format!("GRANT USAGE ON SCHEMA {schema} TO {schema}")).await;
        assert_eq!(who(&a).await.unwrap(), expected(&world.tenants[0]));
        assert_eq!(cluster.stats().discarded, 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_without_a_role_or_membership_is_refused() {
    for mode in MODES {
        let world = World::new(2).await;
        let cluster = world.cluster(mode, 1).await;
        let nobody = cluster.tenant(target("tenant_that_never_was"));
        assert_eq!(failure(&nobody).await, FailureKind::Fenced, "{mode:?}");
        let (login, schema) = (&world.login, world.tenants[0].schema.as_str());
        run(&mut world.superuser().await, &format!("REVOKE {schema} FROM {login}")).await;
        assert_eq!(failure(&world.tenant(&cluster, 0)).await, FailureKind::Fenced, "{mode:?}");
        assert!(world.tenant(&cluster, 0).begin().await.is_err());
        assert_eq!(who(&world.tenant(&cluster, 1)).await.unwrap(), expected(&world.tenants[1]));
        // A storm of refused requests would otherwise be a storm of connections.
        assert_eq!(cluster.stats().discarded, 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_that_is_not_the_schemas_sees_nothing() {
    let world = World::new(1).await;
    let cluster = world.cluster(ApplyMode::Session, 1).await;
    let mut other = world.tenants[0].clone();
    other.tenant_id = target("tenant_x").tenant_id;
    let db = cluster.tenant(other);
    assert!(note::Entity::find().all(&db).await.unwrap().is_empty());
    assert_eq!(who(&world.tenant(&cluster, 0)).await.unwrap(), expected(&world.tenants[0]));
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_are_told_apart_without_any_value() {
    let world = World::new(1).await;
    let cluster = world.cluster(ApplyMode::Session, 1).await;
    let db = world.tenant(&cluster, 0);
    let note = |number: i32| note::ActiveModel {
        id: Set(Uuid::now_v7()),
        tenant_id: Set(world.tenants[0].tenant_id.uuid()),
        number: Set(number),
        body: Set("a secret".to_owned()),
    };
    let taken = Failure::of(&note(1).insert(&db).await.unwrap_err());
    assert_eq!(taken.kind, FailureKind::Unique);
    assert!(taken.broke("notes_number_key"));
    assert!(!format!("{taken:?} {taken}").contains("secret"));
    let text = "INSERT INTO lines (id, note_id) VALUES (gen_random_uuid(), gen_random_uuid())";
    let kind = async |text: &str| Failure::of(&db.execute_raw(sql(text)).await.unwrap_err()).kind;
    assert_eq!(kind(text).await, FailureKind::ForeignKey);
    assert_eq!(kind("INSERT INTO notes (id, number) VALUES (NULL, 1)").await, FailureKind::InvalidValue);
    assert_eq!(kind("SELECT 'x'::integer").await, FailureKind::InvalidValue);
    assert_eq!(kind("SELECT nothing FROM notes").await, FailureKind::Internal);
}

#[tokio::test(flavor = "multi_thread")]
async fn time_limits_are_kept_by_the_server() {
    for mode in MODES {
        let world = World::new(1).await;
        let mut options = world.cluster_options(mode, crate::support::pool(2));
        options.timeouts.statement = std::time::Duration::from_millis(80);
        options.timeouts.lock = std::time::Duration::from_millis(40);
        options.timeouts.idle_in_transaction = std::time::Duration::from_millis(150);
        let cluster = clinicx_persistence::Cluster::connect(options).await.unwrap();
        let db = world.tenant(&cluster, 0);
        let slow = db.execute_raw(sql("SELECT pg_sleep(3)")).await.unwrap_err();
        assert_eq!(Failure::of(&slow).kind, FailureKind::Timeout);
        let holder = db.begin().await.unwrap();
        holder.execute_raw(sql("SELECT id FROM notes FOR UPDATE")).await.unwrap();
        let locked = db.execute_raw(sql("UPDATE notes SET body = body")).await.unwrap_err();
        assert_eq!(Failure::of(&locked).kind, FailureKind::Unavailable);
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        assert!(holder.commit().await.is_err(), "it was idle for too long");
        who(&db).await.unwrap();
    }
}
