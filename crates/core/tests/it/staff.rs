//! Staff: made, changed, listed, removed.

use async_trait::async_trait;
use clinicx_core::{
    CoreError,
    staff::{self, Accounts, NoAccounts, Revision, StaffFilter, StaffMember, UpdateStaff},
};
use clinicx_types::{
    id::{TenantId, UserId},
    page::PageRequest,
    permission::Role,
};
use serde_json::json;

use crate::practice::{Practice, code, wrong_field};

/// A clinic to which every account belongs but one.
struct Everybody;

const STRANGER: &str = "0197a000-0000-7000-8000-00000000000f";

#[async_trait]
impl Accounts for Everybody {
    async fn is_member(&self, _: TenantId, user: UserId) -> Result<bool, CoreError> {
        Ok(user.to_string() != STRANGER)
    }
}

fn at(made: &StaffMember, expected: Option<i64>) -> Revision {
    Revision { id: made.id, expected }
}

fn patch(body: serde_json::Value) -> UpdateStaff {
    serde_json::from_value(body).unwrap()
}

#[tokio::test]
async fn a_member_of_staff_is_made_changed_and_removed() {
    let practice = Practice::open().await;
    let scope = &practice.scope;
    let body =
        json!({ "family_name": " Haddad ", "given_name": "Layla", "roles": ["dentist", "owner", "dentist"] });
    let made = practice.staff_with(body).await.unwrap();
    assert_eq!((made.version, made.family_name.as_str(), made.active), (1, "Haddad", true));
    assert_eq!(made.roles, [Role::Owner, Role::Dentist]);
    assert_eq!(staff::get(&practice.tenant.connection, scope, made.id).await.unwrap(), made);

    let change = json!({ "colour": "#FF8800", "specialty": "Endodontics", "active": false });
    let changed = practice
        .write(async |tx| staff::update(tx, scope, &Everybody, at(&made, Some(1)), patch(change)).await)
        .await;
    let changed = changed.unwrap();
    assert_eq!((changed.version, changed.colour.as_deref(), changed.active), (2, Some("#ff8800"), false));
    let cleared = practice
        .write(async |tx| {
            staff::update(tx, scope, &Everybody, at(&made, None), patch(json!({ "colour": null }))).await
        })
        .await
        .unwrap();
    assert_eq!(
        (cleared.version, cleared.colour, cleared.specialty.as_deref()),
        (3, None, Some("Endodontics"))
    );
    let same = practice
        .write(async |tx| staff::update(tx, scope, &Everybody, at(&made, Some(3)), patch(json!({}))).await)
        .await;
    assert_eq!(same.unwrap().version, 3);

    let stale = practice
        .write(async |tx| staff::update(tx, scope, &Everybody, at(&made, Some(1)), patch(json!({}))).await)
        .await;
    assert_eq!(code(stale), "version_mismatch");
    practice.write(async |tx| staff::delete(tx, scope, made.id, Some(3)).await).await.unwrap();
    assert_eq!(code(staff::get(&practice.tenant.connection, scope, made.id).await), "not_found");
    assert_eq!(
        code(practice.write(async |tx| staff::delete(tx, scope, made.id, None).await).await),
        "not_found"
    );

    let (audit, events) = practice.trail(made.id.uuid()).await;
    assert_eq!(audit, ["staff.created", "staff.updated", "staff.updated", "staff.deleted"]);
    assert_eq!(events, audit);
}

#[tokio::test]
async fn no_name_of_staff_stands_in_the_audit() {
    let practice = Practice::open().await;
    let scope = &practice.scope;
    let body = json!({
        "family_name": "Geheimrat", "given_name": "Geheime", "licence_number": "Geheim-7", "roles": ["dentist"],
    });
    let made = practice.staff_with(body).await.unwrap();
    let change =
        json!({ "family_name": "Geheimer", "given_name": "Geheimste", "licence_number": "Geheim-8" });
    practice
        .write(async |tx| staff::update(tx, scope, &Everybody, at(&made, None), patch(change)).await)
        .await
        .unwrap();
    practice.write(async |tx| staff::delete(tx, scope, made.id, None).await).await.unwrap();
    let rows: Vec<String> = sqlx::query_scalar(
        "SELECT to_jsonb(a)::text FROM public.audit_logs AS a WHERE tenant_id = $1 AND entity = 'staff'",
    )
    .bind(scope.tenant_id.uuid())
    .fetch_all(&mut practice.tenant.database.superuser().await)
    .await
    .unwrap();
    assert_eq!(rows.len(), 3);
    for row in rows {
        assert!(!row.contains("Geheim") && row.contains("\"family_name\": \"***\""), "{row}");
    }
}

#[tokio::test]
async fn what_is_wrong_about_staff_is_refused() {
    let practice = Practice::open().await;
    let check = async |body: serde_json::Value, pointer: &str, code: &str| {
        let found = wrong_field(practice.staff_with(body).await);
        assert_eq!(found, (pointer.to_owned(), code.to_owned()));
    };
    check(json!({ "family_name": " ", "given_name": "A", "roles": ["nurse"] }), "/family_name", "blank")
        .await;
    check(json!({ "family_name": "A", "given_name": "A", "roles": [] }), "/roles", "too_short").await;
    check(
        json!({ "family_name": "A", "given_name": "A", "roles": ["nurse"], "colour": "red" }),
        "/colour",
        "malformed_colour",
    )
    .await;
    for unreadable in [
        json!({ "family_name": "A", "given_name": "A", "roles": ["wizard"] }),
        json!({ "family_name": "A", "given_name": "A", "roles": ["nurse"], "surprise": 1 }),
        json!({ "family_name": "A", "roles": ["nurse"] }),
    ] {
        assert!(serde_json::from_value::<staff::CreateStaff>(unreadable).is_err());
    }
    assert!(serde_json::from_value::<UpdateStaff>(json!({ "family_name": null })).is_err());
}

#[tokio::test]
async fn an_account_belongs_to_one_person() {
    let practice = Practice::open().await;
    let body = json!({
        "family_name": "A", "given_name": "A", "roles": ["nurse"], "user_id": "0197a000-0000-7000-8000-000000000001"
    });
    let create = async |body: &serde_json::Value| {
        let input = serde_json::from_value(body.clone()).unwrap();
        practice.write(async |tx| staff::create(tx, &practice.scope, &Everybody, input).await).await
    };
    let made = create(&body).await.unwrap();
    assert_eq!(code(create(&body).await), "user_taken");
    let scope = &practice.scope;
    let update = async |accounts: &dyn Accounts, change: serde_json::Value| {
        practice
            .write(async |tx| staff::update(tx, scope, accounts, at(&made, None), patch(change)).await)
            .await
    };
    // Who is no member any more keeps what was noted; nobody new is noted.
    let kept = json!({ "user_id": body["user_id"], "given_name": "B" });
    assert_eq!(update(&NoAccounts, kept).await.unwrap().user_id, made.user_id);
    let stranger = json!({ "user_id": STRANGER });
    let wrong = ("/user_id".to_owned(), "not_a_member".to_owned());
    assert_eq!(wrong_field(update(&Everybody, stranger).await), wrong);
    assert_eq!(update(&NoAccounts, json!({ "user_id": null })).await.unwrap().user_id, None);
    let mut other = body.clone();
    other["user_id"] = json!(STRANGER);
    assert_eq!(wrong_field(create(&other).await), wrong);
    assert_eq!(wrong_field(practice.staff_with(body).await), wrong);
}

#[tokio::test]
async fn staff_are_listed_by_name_page_by_page_and_filtered() {
    let practice = Practice::open().await;
    for (family_name, role) in [("B", "nurse"), ("A", "dentist"), ("C", "dentist"), ("A", "nurse")] {
        let body = json!({ "family_name": family_name, "given_name": "X", "roles": [role] });
        practice.staff_with(body).await.unwrap();
    }
    let (db, scope) = (&practice.tenant.connection, &practice.scope);
    let mut page = PageRequest::first(3).unwrap();
    page.count = true;
    let first = staff::list(db, scope, &StaffFilter::default(), &page).await.unwrap();
    assert_eq!(first.items.iter().map(|one| one.family_name.as_str()).collect::<Vec<_>>(), ["A", "A", "B"]);
    assert_eq!(first.total, Some(4));
    page.after = first.next;
    let second = staff::list(db, scope, &StaffFilter::default(), &page).await.unwrap();
    assert_eq!(second.items.iter().map(|one| one.family_name.as_str()).collect::<Vec<_>>(), ["C"]);
    assert_eq!(second.next, None);
    let nurses = StaffFilter { role: Some(Role::Nurse), active: Some(true) };
    let nurses = staff::list(db, scope, &nurses, &PageRequest::default()).await.unwrap();
    assert_eq!(nurses.items.len(), 2);
    let inactive = StaffFilter { active: Some(false), role: None };
    assert!(staff::list(db, scope, &inactive, &PageRequest::default()).await.unwrap().items.is_empty());
}

#[tokio::test]
async fn who_is_referred_to_is_not_removed() {
    let practice = Practice::open().await;
    let (patient, staff, scope) = (practice.patient().await, practice.staff().await, &practice.scope);
    let body = json!({ "patient_id": patient, "staff_id": staff, "start": "2026-06-02T08:00:00Z", "duration_minutes": 30 });
    practice.book(body).await.unwrap();
    let refused = practice.write(async |tx| staff::delete(tx, scope, staff, None).await).await;
    assert_eq!(code(refused), "in_use");
    assert!(staff::find(&practice.tenant.connection, scope, staff).await.unwrap().is_some());
}
