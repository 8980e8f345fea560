//! After the move: taking it back, and archiving and dropping the old rows, of the named clinic alone.

use std::os::unix::fs::PermissionsExt;

use clinicx_adoption::{AdoptionError, State, Until, cleaning::EmptyTables};
use clinicx_tenancy::{PlatformScope, TenantStatus, registry};
use sha2::{Digest, Sha256};
use sqlx::{Connection, Executor, PgConnection};

use crate::support::{Legacy, OTHER, TABLES, adopt};

const WRITE: &str =
    "UPDATE \"Old Data\".\"Patients\" SET \"LastName\" = 'Danach' WHERE \"TenantId\" = $1 AND \"No\" = 30";

#[tokio::test(flavor = "multi_thread")]
async fn a_switch_is_taken_back_and_made_again() {
    let legacy = Legacy::create(1, 200).await;
    let adopter = legacy.adopter(legacy.mapping(&[])).await;
    let clinic = &adopter.mapping.tenants[0];
    let by = PlatformScope::system("test");
    adopt(&adopter, clinic, Until::Switched).await;
    let mut writer = PgConnection::connect_with(&legacy.owner).await.unwrap();
    let refused = sqlx::query(WRITE).bind(&clinic.legacy).execute(&mut writer).await.unwrap_err();
    assert_eq!(refused.as_database_error().unwrap().code().as_deref(), Some("55000"));

    let status = adopter.revert(clinic, &by).await.unwrap();
    assert_eq!(status.state, State::Reverted);
    let tenant = registry::get_by_slug(adopter.tenancy.app(), &clinic.slug).await.unwrap();
    assert_eq!(tenant.status, TenantStatus::Suspended);
    sqlx::query(WRITE).bind(&clinic.legacy).execute(&mut writer).await.unwrap();
    let refused = adopter.clean_up(clinic, legacy.folder(), EmptyTables::Keep, &by).await.unwrap_err();
    assert!(matches!(refused, AdoptionError::WrongState { state: State::Reverted, .. }), "{refused}");

    let again = adopt(&adopter, clinic, Until::Switched).await;
    assert!(again.verified.iter().all(clinicx_adoption::Verified::agrees), "{:?}", again.verified);
    let tenant = registry::get_by_slug(adopter.tenancy.app(), &clinic.slug).await.unwrap();
    assert_eq!(tenant.status, TenantStatus::Active);
    let mut superuser = legacy.superuser().await;
    let sql =
        format!("SELECT count(*) FROM {}.patients WHERE family_name = 'Danach'", tenant.database_schema);
    let danach: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).fetch_one(&mut superuser).await.unwrap();
    assert_eq!(danach, 1, "what was changed meanwhile came along");
}

#[tokio::test(flavor = "multi_thread")]
async fn old_rows_are_archived_and_dropped_of_the_named_clinic_alone() {
    let legacy = Legacy::create(2, 200).await;
    let adopter = legacy.adopter(legacy.mapping(&[])).await;
    let [first, second] = adopter.mapping.tenants.as_slice() else { panic!("two clinics") };
    let by = PlatformScope::system("test");
    adopt(&adopter, first, Until::Switched).await;
    let (other, second_before) = (legacy.digest(OTHER).await, legacy.digest(&second.legacy).await);
    let all: i64 = legacy.all_rows(&first.legacy).await;

    // A table that no mapping knows refers to a row: nothing is dropped.
    let mut superuser = legacy.superuser().await;
    superuser
        .execute(
            "CREATE TABLE \"Old Data\".\"Letters\" (patient bigint REFERENCES \"Old Data\".\"Patients\"); \
             INSERT INTO \"Old Data\".\"Letters\" SELECT max(\"PatientID\") FROM \"Old Data\".\"Patients\" \
             WHERE \"TenantId\" LIKE 'Clinic''1%'",
        )
        .await
        .unwrap();
    let refused = adopter.clean_up(first, legacy.folder(), EmptyTables::Drop, &by).await.unwrap_err();
    assert!(matches!(refused, AdoptionError::NotDropped(_)), "{refused}");
    assert_eq!(legacy.all_rows(&first.legacy).await, all);
    superuser.execute("DROP TABLE \"Old Data\".\"Letters\"").await.unwrap();

    let cleaned = adopter.clean_up(first, legacy.folder(), EmptyTables::Drop, &by).await.unwrap();
    assert_eq!(legacy.all_rows(&first.legacy).await, 0);
    assert_eq!(legacy.digest(OTHER).await, other);
    assert_eq!(legacy.digest(&second.legacy).await, second_before);
    assert_eq!(i64::try_from(cleaned.tables.iter().map(|table| table.rows).sum::<u64>()).unwrap(), all);
    assert_eq!(
        (cleaned.dropped_tables.len(), cleaned.gate_taken_away),
        (0, true),
        "the gate stood before one clinic"
    );
    for table in &cleaned.tables {
        let path = cleaned.archive.join(&table.file);
        let bytes = std::fs::read(&path).unwrap();
        let hash: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hash, table.sha256);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
    assert!(cleaned.archive.join("manifest.json").is_file());
    // A process that died between dropping and writing that down: the archive is the one that there is.
    superuser
        .execute("UPDATE public.adoptions SET state = 'cleaning' WHERE state = 'cleaned'")
        .await
        .unwrap();
    let again = adopter.clean_up(first, legacy.folder(), EmptyTables::Drop, &by).await.unwrap();
    assert_eq!((&again.archive, &again.tables), (&cleaned.archive, &cleaned.tables));
    let refused = adopter.revert(first, &by).await.unwrap_err();
    assert!(matches!(refused, AdoptionError::WrongState { state: State::Cleaned, .. }), "{refused}");

    adopt(&adopter, second, Until::Switched).await;
    let mut owner = PgConnection::connect_with(&legacy.owner).await.unwrap();
    let others = "DELETE FROM \"Old Data\".\"Appointments\" WHERE \"TenantId\" = 'other'";
    owner.execute(others).await.unwrap();
    let cleaned = adopter.clean_up(second, legacy.folder(), EmptyTables::Drop, &by).await.unwrap();
    assert_eq!(cleaned.dropped_tables, ["\"Old Data\".\"Appointments\""], "the one that is empty");
    let left: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM pg_namespace WHERE nspname = 'clinicx_adoption' \
         UNION ALL SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'clinicx%' ORDER BY 1 DESC LIMIT 1",
    )
    .fetch_one(&mut owner)
    .await
    .unwrap();
    assert_eq!(left, 0, "nothing is left of the gate");
    assert_eq!(TABLES.len(), 5);
}
