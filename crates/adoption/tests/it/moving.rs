//! Clinics as they are found become tenants: everything is moved or named.
//!
//! `ADOPTION_TENANTS` and `ADOPTION_ROWS` set other numbers than 2 clinics of 600 rows.

use std::time::Instant;

use clinicx_adoption::{State, Until};
use clinicx_core::{
    appointment::{self, BookAppointment},
    patient::{self, PatientFilter, PatientSort},
};
use clinicx_keys::FieldCipher;
use clinicx_persistence::{TenantConnection, TenantScope};
use clinicx_tenancy::{PlatformScope, Tenant, TenantStatus, registry};
use clinicx_types::{page::PageRequest, permission::PermissionSet};
use sqlx::AssertSqlSafe;

use crate::support::{Legacy, OTHER, adopt, number};

#[tokio::test(flavor = "multi_thread")]
async fn every_row_is_moved_or_named_and_the_rest_is_left_alone() {
    let (clinics, rows) = (number("ADOPTION_TENANTS", 2), number("ADOPTION_ROWS", 600));
    let legacy = Legacy::create(clinics, rows).await;
    let adopter = legacy.adopter(legacy.mapping(&[])).await;
    let other = legacy.digest(OTHER).await;
    let started = Instant::now();
    let (mut moved, mut misfits, mut longest) = (0, 0, 0);
    for clinic in &adopter.mapping.tenants {
        let by = PlatformScope::system("test");
        let expected = adopter.preview(clinic, &by, |_| {}).await.unwrap();
        let adopted = adopt(&adopter, clinic, Until::Switched).await;
        assert_eq!(adopted.state, Some(State::Switched));
        assert_eq!(adopted.misfits, expected.misfits, "the dry run says what comes");
        for table in &adopted.verified {
            assert!(table.agrees(), "{table:?}");
        }
        let read: u64 = adopted.tables.iter().map(|table| table.read).sum();
        let fit: u64 = adopted.verified.iter().map(|table| table.found).sum();
        assert_eq!(i64::try_from(read).unwrap(), legacy.rows(&clinic.legacy).await);
        assert_eq!(read, fit + adopted.misfit_rows(), "{:?}", adopted.tables);
        let rules: Vec<(&str, &str, &str)> =
            adopted.misfits.iter().map(|one| (one.table, one.field.as_str(), one.rule.as_str())).collect();
        for rule in [
            ("staff", "roles/0", "malformed"),
            ("rooms", "kind", "unknown_value"),
            ("services", "code", "taken"),
            ("patients", "family_name", "missing"),
            ("patients", "given_name", "too_long"),
            ("patients", "gender", "unknown_value"),
            ("patients", "phones/0", "no_digit"),
            ("patients", "guarantor", "orphan"),
            ("appointments", "patient", "orphan"),
            ("appointments", "start", "missing"),
            ("appointments", "status", "unknown_value"),
            ("appointments", "", "overlaps"),
        ] {
            assert!(rules.contains(&rule), "{rule:?} is not among {rules:?}");
        }
        longest = longest.max(adopted.pause_ms.unwrap());
        (moved, misfits) = (moved + fit, misfits + adopted.misfit_rows());
    }
    println!(
        "{clinics} clinics of {rows} rows in {:.1?}: {moved} rows moved, {misfits} named, 0 different, \
         the longest pause {longest} ms",
        started.elapsed()
    );
    assert!(longest <= 2000);
    assert_eq!(legacy.digest(OTHER).await, other, "nobody touched what was not named");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_moved_is_read_and_kept_as_if_it_had_been_made_here() {
    let legacy = Legacy::create(1, 300).await;
    let adopter = legacy.adopter(legacy.mapping(&[])).await;
    let clinic = &adopter.mapping.tenants[0];
    adopt(&adopter, clinic, Until::Switched).await;
    let tenant = registry::get_by_slug(adopter.tenancy.app(), &clinic.slug).await.unwrap();
    assert_eq!(tenant.status, TenantStatus::Active);
    let cipher = adopter.keyring.cipher(tenant.id).await.unwrap().lasting();
    let connection = adopter.cluster.tenant(tenant.target());
    let scope = scope(&tenant);
    let found = |q: &str| {
        let (connection, scope, cipher, q) =
            (connection.clone(), scope.clone(), cipher.clone(), q.to_owned());
        async move { search(&connection, &scope, &cipher, &q).await }
    };
    // As people type them: another alef, no hamza, the last digits, the number of somebody else's card.
    let by_name = found("الخطيب 24").await;
    assert_eq!(by_name.len(), 1, "{by_name:?}");
    assert_eq!(found("فاطمه الخطيب 24").await, by_name);
    assert_eq!(found("100024").await, by_name, "by telephone");
    assert_eq!(found("n24").await, by_name, "by identifier");

    let id = by_name[0].parse().map(clinicx_core::PatientId::new).unwrap();
    let record = patient::get(&connection, &scope, &cipher, id).await.unwrap();
    assert_eq!(record.family_name, "الخطيب 24");
    assert_eq!(record.phones, ["+963944100024"]);
    assert_eq!(record.notes.as_deref(), Some("Notes of 24"));
    assert_eq!(record.identifiers[0].value, "N-24");
    assert_eq!(record.created_at.to_rfc3339(), "2020-01-01T08:24:00+00:00");

    // A slot that came along is taken.
    let sql = format!(
        "SELECT to_jsonb(a) FROM {}.appointments AS a WHERE status = 'booked' ORDER BY starts_at LIMIT 1",
        tenant.database_schema
    );
    let mut superuser = legacy.superuser().await;
    let old: serde_json::Value =
        sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(&mut superuser).await.unwrap();
    assert!(old["reason"].is_null(), "what people say is sealed");
    let text = |name: &str| old[name].as_str().unwrap().to_owned();
    let (patient, staff) = (text("patient_id").parse().unwrap(), text("staff_id").parse().unwrap());
    let mut again = BookAppointment::new(
        clinicx_core::PatientId::new(patient),
        clinicx_core::StaffId::new(staff),
        text("starts_at"),
    );
    again.duration_minutes = Some(10);
    let tx = connection.begin().await.unwrap();
    let refused = appointment::book(&tx, &scope, &cipher, again).await.unwrap_err();
    assert!(matches!(refused, clinicx_core::CoreError::SlotTaken { .. }), "{refused:?}");
    tx.rollback().await.unwrap();

    let trail: Vec<String> =
        sqlx::query_scalar("SELECT action FROM public.audit_logs WHERE tenant_id = $1 ORDER BY recorded_at")
            .bind(tenant.id.uuid())
            .fetch_all(&mut superuser)
            .await
            .unwrap();
    assert_eq!(trail, ["tenant.created", "tenant.adopted"]);
}

fn scope(tenant: &Tenant) -> TenantScope {
    let set = (tenant.time_zone, tenant.currency, tenant.locale.as_str());
    let permissions: PermissionSet =
        clinicx_core::FACTS.permissions.iter().map(|rule| rule.permission).collect();
    TenantScope::system(tenant.id, tenant.slug.clone(), set, "test", permissions)
}

async fn search(
    connection: &TenantConnection,
    scope: &TenantScope,
    cipher: &FieldCipher,
    q: &str,
) -> Vec<String> {
    let filter = PatientFilter { q: Some(q.to_owned()), exact: true, ..PatientFilter::default() };
    let page = PageRequest::first(10).unwrap();
    let found =
        patient::list(connection, scope, cipher, &filter, (&page, PatientSort::default())).await.unwrap();
    found.items.into_iter().map(|one| one.id.to_string()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn appointments_over_others_can_be_kept_as_overbooked() {
    let legacy = Legacy::create(1, 600).await;
    let mapping =
        legacy.mapping(&[("schema = \"Old Data\"", "schema = \"Old Data\"\noverlapping = \"overbook\"")]);
    let adopter = legacy.adopter(mapping).await;
    let clinic = &adopter.mapping.tenants[0];
    let adopted = adopt(&adopter, clinic, Until::Copied).await;
    assert!(adopted.misfits.iter().all(|one| one.rule != "overlaps"), "{:?}", adopted.misfits);
    let tenant = registry::get_by_slug(adopter.tenancy.app(), &clinic.slug).await.unwrap();
    assert_eq!(tenant.status, TenantStatus::Provisioning, "it answers nobody yet");
    let mut superuser = legacy.superuser().await;
    let sql = format!("SELECT count(*) FROM {}.appointments WHERE overbook", tenant.database_schema);
    let overbooked: i64 = sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(&mut superuser).await.unwrap();
    assert!(overbooked > 0);
    // Again nothing is to be done, and nothing is done.
    let again = adopt(&adopter, clinic, Until::Copied).await;
    assert!(again.tables.iter().all(|table| table.written == 0 && table.removed == 0), "{:?}", again.tables);
}
