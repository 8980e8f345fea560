//! Rooms: made, changed, listed, removed.

use clinicx_core::room::{self, RoomFilter, UpdateRoom, entity::RoomKind};
use clinicx_types::page::PageRequest;
use serde_json::json;

use crate::practice::{Practice, code, wrong_field};

fn patch(body: serde_json::Value) -> UpdateRoom {
    serde_json::from_value(body).unwrap()
}

#[tokio::test]
async fn chairs_are_in_rooms_and_rooms_in_sites() {
    let practice = Practice::open().await;
    let scope = &practice.scope;
    let site = json!({ "name": "Harbour", "kind": "site", "time_zone": "Asia/Damascus" });
    let site = practice.room_with(site).await.unwrap();
    assert_eq!(
        (site.version, site.kind, site.time_zone.as_deref()),
        (1, RoomKind::Site, Some("Asia/Damascus"))
    );
    let inner =
        practice.room_with(json!({ "name": "1", "kind": "room", "parent_id": site.id })).await.unwrap();
    let chair =
        practice.room_with(json!({ "name": "1a", "kind": "chair", "parent_id": inner.id })).await.unwrap();
    practice.room_with(json!({ "name": "1b", "kind": "chair", "parent_id": site.id })).await.unwrap();
    let check = async |body: serde_json::Value, pointer: &str, code: &str| {
        let found = wrong_field(practice.room_with(body).await);
        assert_eq!(found, (pointer.to_owned(), code.to_owned()));
    };
    check(json!({ "name": "2", "kind": "room", "parent_id": inner.id }), "/parent_id", "wrong_kind").await;
    check(json!({ "name": "2", "kind": "site", "parent_id": site.id }), "/parent_id", "wrong_kind").await;
    check(json!({ "name": "2", "kind": "chair", "parent_id": chair.id }), "/parent_id", "wrong_kind").await;
    let nothing = "0197a000-0000-7000-8000-000000000001";
    check(json!({ "name": "2", "kind": "room", "parent_id": nothing }), "/parent_id", "not_found").await;
    check(json!({ "name": "2", "kind": "room", "time_zone": "UTC" }), "/time_zone", "only_on_sites").await;
    check(
        json!({ "name": "2", "kind": "site", "time_zone": "Mars/Base" }),
        "/time_zone",
        "unknown_time_zone",
    )
    .await;
    assert!(serde_json::from_value::<room::CreateRoom>(json!({ "name": "2", "kind": "cellar" })).is_err());

    let moved = practice
        .write(async |tx| {
            room::update(tx, scope, chair.id, Some(1), patch(json!({ "parent_id": site.id }))).await
        })
        .await
        .unwrap();
    assert_eq!((moved.version, moved.parent_id), (2, Some(site.id)));
    let wrong = practice
        .write(async |tx| {
            room::update(tx, scope, inner.id, None, patch(json!({ "parent_id": chair.id }))).await
        })
        .await;
    assert_eq!(wrong_field(wrong).1, "wrong_kind");
    assert_eq!(code(practice.write(async |tx| room::delete(tx, scope, site.id, None).await).await), "in_use");
    practice.write(async |tx| room::delete(tx, scope, chair.id, Some(2)).await).await.unwrap();
    let (audit, events) = practice.trail(chair.id.uuid()).await;
    assert_eq!(audit, ["room.created", "room.updated", "room.deleted"]);
    assert_eq!(events, audit);

    let filter = RoomFilter { parent_id: Some(site.id), kind: Some(RoomKind::Chair), active: Some(true) };
    let found =
        room::list(&practice.tenant.connection, scope, &filter, &PageRequest::default()).await.unwrap();
    assert_eq!(found.items.iter().map(|one| one.name.as_str()).collect::<Vec<_>>(), ["1b"]);
}

#[tokio::test]
async fn rooms_are_listed_by_name_page_by_page() {
    let practice = Practice::open().await;
    for name in ["c", "a", "b", "a"] {
        practice.room_with(json!({ "name": name, "kind": "room" })).await.unwrap();
    }
    let mut page = PageRequest::first(1).unwrap();
    let mut names = Vec::new();
    loop {
        let found =
            room::list(&practice.tenant.connection, &practice.scope, &RoomFilter::default(), &page).await;
        let found = found.unwrap();
        names.extend(found.items.into_iter().map(|one| one.name));
        page.after = found.next;
        if page.after.is_none() {
            break;
        }
    }
    assert_eq!(names, ["a", "a", "b", "c"]);
}
