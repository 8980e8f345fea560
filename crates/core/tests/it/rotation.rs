//! Changing a tenant's key: every sealed value follows, also what was in clear before there was a seal for it.

use clinicx_core::{
    appointment::{self, Action, TransitionInput},
    patient, sealed,
};
use clinicx_keys::{FieldCipher, Keyring};
use clinicx_tenancy::{PlatformScope, TenancyError};
use clinicx_testing::TestTenant;
use clinicx_types::error::DomainError;
use serde_json::json;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

use crate::practice::Practice;

/// Runs statements on the tenant's tables as a superuser, whom nothing stops.
async fn with_hand(tenant: &TestTenant, statements: &[&str]) -> PgConnection {
    let mut superuser = tenant.database.superuser().await;
    let path = format!("SET search_path TO {}", tenant.tenant.database_schema.quoted());
    for statement in std::iter::once(path.as_str()).chain(statements.iter().copied()) {
        superuser.execute(AssertSqlSafe(statement)).await.unwrap();
    }
    superuser
}

/// Changes the key and seals everything anew; returns the cipher after it.
async fn rotate(tenant: &TestTenant) -> (clinicx_tenancy::Resealed, FieldCipher) {
    let by = PlatformScope::system("test");
    tenant.tenancy.begin_key_change(&tenant.tenant, &by).await.unwrap();
    let done = tenant.tenancy.reseal(&tenant.tenant, sealed::COLUMNS, &by, || ()).await.unwrap();
    let keyring = Keyring::new(tenant.tenancy.app().clone(), tenant.tenancy.keys().clone());
    (done, keyring.cipher(tenant.tenant.id).await.unwrap().lasting())
}

#[tokio::test]
async fn words_of_appointments_are_sealed_and_follow_a_change_of_keys() {
    let practice = Practice::open().await;
    let tenant = &practice.tenant;
    let (staff, patient) = (practice.staff().await, practice.patient().await);
    let body = |start: &str| {
        json!({ "patient_id": patient, "staff_id": staff, "start": start, "duration_minutes": 30,
                "reason": "toothache", "comment": "afraid of needles" })
    };
    let new = practice.book(body("2026-06-02T09:00:00Z")).await.unwrap();
    let old = practice.book(body("2026-06-02T11:00:00Z")).await.unwrap();
    let why: TransitionInput = serde_json::from_value(json!({ "reason": "gone abroad" })).unwrap();
    let new = practice
        .write(async |tx| {
            let revision = (new.id, Some(new.version));
            appointment::transition(tx, &practice.scope, &tenant.cipher, revision, (Action::Cancel, why))
                .await
        })
        .await
        .unwrap();
    assert_eq!(new.cancellation_reason.as_deref(), Some("gone abroad"));

    // Nothing stands in clear, neither in the rows nor in the history.
    let clear = "SELECT count(*) FROM (SELECT to_jsonb(a)::text AS row FROM appointments AS a
                 UNION ALL SELECT to_jsonb(e)::text FROM appointment_events AS e) AS r
                 WHERE row ~ 'toothache|needles|abroad'";
    let mut superuser = with_hand(tenant, &[]).await;
    let count: i64 = sqlx::query_scalar(clear).fetch_one(&mut superuser).await.unwrap();
    assert_eq!(count, 0);
    superuser.close().await.unwrap();

    // One appointment and its history as they were before there were sealed columns.
    let as_before = format!(
        "UPDATE appointments SET reason = 'old reason', reason_sealed = NULL WHERE id = '{}'",
        old.id
    );
    let history =
        format!("UPDATE appointment_events SET reason = 'old step' WHERE appointment_id = '{}'", old.id);
    with_hand(tenant, &[&as_before, &history]).await.close().await.unwrap();
    assert_eq!(practice.get(&old).await.reason.as_deref(), Some("old reason"));

    let (done, cipher) = rotate(tenant).await;
    assert_eq!((done.version, done.unreadable, done.complete), (2, 0, true));
    // Two comments, one sealed and one clear reason, the cancellation and its step, the clear step.
    assert_eq!(done.values, 7);
    let by = PlatformScope::system("test");
    let again = tenant.tenancy.reseal(&tenant.tenant, sealed::COLUMNS, &by, || ()).await.unwrap();
    assert_eq!((again.values, again.complete), (0, true));
    let left = "SELECT (SELECT count(*) FROM appointments WHERE reason IS NOT NULL)
                     + (SELECT count(*) FROM appointment_events WHERE reason IS NOT NULL)
                     + (SELECT count(*) FROM appointments WHERE get_byte(reason_sealed, 2) <> 2)";
    let mut superuser = with_hand(tenant, &[]).await;
    let left: i64 = sqlx::query_scalar(left).fetch_one(&mut superuser).await.unwrap();
    assert_eq!(left, 0);
    superuser.close().await.unwrap();

    let (db, scope) = (&tenant.connection, &practice.scope);
    let read = appointment::get(db, scope, &cipher, old.id).await.unwrap();
    assert_eq!(read.reason.as_deref(), Some("old reason"));
    assert_eq!((read.version, read.updated_at), (old.version, old.updated_at));
    let page = clinicx_types::page::PageRequest::default();
    let steps = appointment::history(db, scope, &cipher, old.id, &page).await.unwrap();
    assert_eq!(steps.items[0].reason.as_deref(), Some("old step"));
    assert_eq!(appointment::get(db, scope, &cipher, new.id).await.unwrap(), new);
    // A cipher from before the change says that a new one is needed, and nothing of a defect.
    let error = appointment::get(db, scope, &tenant.cipher, old.id).await.unwrap_err();
    assert_eq!(error.code(), "try_again");
}

#[tokio::test]
async fn a_value_that_does_not_open_stays_and_keeps_the_old_key_in_use() {
    let tenant = TestTenant::builder().modules(&[]).create().await;
    let mut made = Vec::new();
    for notes in ["first", "second"] {
        let tx = tenant.connection.begin().await.unwrap();
        let input = json!({ "family_name": "Doe", "given_name": "Jo", "notes": notes });
        let input = serde_json::from_value(input).unwrap();
        made.push(patient::create(&tx, &tenant.scope, &tenant.cipher, input).await.unwrap());
        tx.commit().await.unwrap();
    }
    let damage = format!("UPDATE patients SET notes = notes || '\\x00' WHERE id = '{}'", made[0].id);
    with_hand(&tenant, &[&damage]).await.close().await.unwrap();
    let (done, cipher) = rotate(&tenant).await;
    assert_eq!((done.values, done.unreadable, done.complete), (1, 1, false));
    let read = patient::get(&tenant.connection, &tenant.scope, &cipher, made[1].id).await.unwrap();
    assert_eq!((read.notes.as_deref(), read.version), (Some("second"), 1));

    // The old key goes only when nothing is under it, and not at once.
    let by = PlatformScope::system("test");
    let destroy = async || tenant.tenancy.destroy_key(&tenant.tenant, 1, sealed::COLUMNS, &by).await;
    assert_eq!(destroy().await.unwrap_err(), TenancyError::KeyInUse);
    let long_ago = format!(
        "UPDATE public.tenant_keys SET retired_at = now() - interval '1 hour' WHERE tenant_id = '{}' AND version = 1",
        tenant.tenant.id
    );
    with_hand(&tenant, &[&long_ago]).await.close().await.unwrap();
    assert_eq!(destroy().await.unwrap_err(), TenancyError::KeyInUse, "a damaged value is still under it");
    let undamage = format!(
        "UPDATE patients SET notes = substr(notes, 1, length(notes) - 1) WHERE id = '{}'",
        made[0].id
    );
    with_hand(&tenant, &[&undamage]).await.close().await.unwrap();
    let done = tenant.tenancy.reseal(&tenant.tenant, sealed::COLUMNS, &by, || ()).await.unwrap();
    assert_eq!((done.values, done.complete), (1, true));
    destroy().await.unwrap();
    let states: Vec<String> = tenant
        .tenancy
        .key_versions(tenant.tenant.id)
        .await
        .unwrap()
        .into_iter()
        .map(|key| key.state)
        .collect();
    assert_eq!(states, ["destroyed", "active"]);
    assert_eq!(destroy().await.unwrap_err(), TenancyError::KeyInUse, "it is gone");
    let active = tenant.tenancy.destroy_key(&tenant.tenant, 2, sealed::COLUMNS, &by).await;
    assert_eq!(active.unwrap_err(), TenancyError::KeyInUse);
}
