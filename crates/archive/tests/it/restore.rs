//! Restored and cloned tenants: equal to what was archived, behind the same fences, and living on.

use clinicx_archive::{ArchiveError, Target, Watch, registry};
use clinicx_tenancy::{Purge, TenancyError};
use clinicx_types::error::DomainError;
use sqlx::Executor;

use crate::support::{Clinic, find};

fn copy_of(clinic: &Clinic) -> String {
    let slug = clinic.tenant.tenant.slug.as_str();
    format!("r{}", &slug[1..])
}

/// Everything that a copy must be, whichever way it was made.
async fn is_a_copy(clinic: &Clinic, tenant: &clinicx_tenancy::Tenant) {
    let old = &clinic.tenant.tenant;
    assert_ne!(tenant.id, old.id);
    let contents = clinic.contents(&old.database_schema).await;
    assert_eq!(clinic.contents(&tenant.database_schema).await, contents);
    assert!(contents.iter().filter(|(_, rows, _)| *rows > 0).count() > 8, "{contents:?}");
    assert_eq!(clinic.structure(tenant).await, clinic.structure(old).await);
    assert_eq!((&tenant.modules, tenant.schema_version), (&old.modules, old.schema_version));
    clinic.has_no_gaps(tenant).await;
    let copy = clinic.in_tenant(tenant).await;
    // Sealed under the copy's own key, bound to the copy, and found through its own blind index.
    let found = find(&copy, "A Haddad 3").await;
    assert_eq!(found, (vec!["Haddad 3".to_owned()], Some("afraid of needles".to_owned())));
    assert!(find(&copy, "A Haddad 9").await.0.is_empty());
    let mixed = Clinic {
        tenant: clinicx_testing::TestTenant { cipher: clinic.tenant.cipher.clone(), ..copy.tenant.clone() },
        ..copy
    };
    let filter =
        clinicx_core::patient::PatientFilter { identifier: Some("A Haddad 3".into()), ..Default::default() };
    let (connection, cipher) = (&mixed.tenant.connection, &mixed.tenant.cipher);
    let order = (&Default::default(), clinicx_core::patient::PatientSort::Name);
    clinicx_core::patient::list(connection, &mixed.scope, cipher, &filter, order).await.unwrap_err();
}

#[tokio::test]
async fn a_restored_tenant_is_what_was_archived() {
    let clinic = Clinic::open().await;
    let backup = clinic.back_up().await;
    let into = copy_of(&clinic);
    let restored = clinic
        .archivist()
        .restore_into(&backup, &Target::new(&into, &clinic.by), &clinic.by, &Watch::default())
        .await
        .unwrap();
    assert_eq!(restored.tenant.slug.as_str(), into);
    is_a_copy(&clinic, &restored.tenant).await;
    assert_eq!(clinic.actions(&restored.tenant).await, ["tenant.restored_from_backup"]);
}

#[tokio::test]
async fn numbers_and_the_ledger_go_on_where_they_were() {
    let clinic = Clinic::open().await;
    let backup = clinic.back_up().await;
    let archivist = clinic.archivist();
    let restored = archivist
        .restore_into(&backup, &Target::new(copy_of(&clinic), &clinic.by), &clinic.by, &Watch::default())
        .await
        .unwrap();
    let copy = clinic.in_tenant(&restored.tenant).await;
    assert_eq!(copy.invoice().await, "INV-2026-00003");
    assert_eq!(clinic.invoice().await, "INV-2026-00003");
    assert_eq!(clinic.invoice().await, "INV-2026-00004");
    assert_eq!(copy.invoice().await, "INV-2026-00004");
}

#[tokio::test]
async fn a_clone_is_what_the_tenant_is() {
    let clinic = Clinic::open().await;
    let (archivist, into) = (clinic.archivist(), Target::new(copy_of(&clinic), &clinic.by));
    let into = Target { name: Some("A copy".to_owned()), ..into };
    let tenant = &clinic.tenant.tenant;
    let made = archivist.clone_tenant(tenant, &into, &clinic.by, &Watch::default()).await.unwrap();
    assert_eq!(made.tenant.name, "A copy");
    is_a_copy(&clinic, &made.tenant).await;
    assert!(clinic.actions(tenant).await.contains(&"tenant.cloned".to_owned()));
    assert_eq!(clinic.actions(&made.tenant).await, ["tenant.cloned_from"]);
    assert!(clinic.store().list(tenant.id).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_verification_proves_and_leaves_nothing() {
    let clinic = Clinic::open().await;
    let backup = clinic.back_up().await;
    let before = verifying(&clinic).await;
    let seen = clinic.archivist().verify(&backup, &clinic.by, &Watch::default()).await.unwrap();
    assert_eq!(i64::try_from(seen.rows).ok(), backup.rows);
    assert_eq!(verifying(&clinic).await, before);
    let app = clinic.tenant.tenancy.app();
    let proven = registry::get(app, None, backup.id).await.unwrap();
    assert_eq!(proven.verification.as_deref(), Some("passed"));
    let file = clinic.folder.path().join(backup.tenant_id.to_string()).join(backup.id.to_string());
    std::fs::remove_file(file.join("patients.rows")).unwrap();
    clinic.archivist().verify(&backup, &clinic.by, &Watch::default()).await.unwrap_err();
    let refused = registry::get(app, None, backup.id).await.unwrap();
    assert_eq!(refused.verification.as_deref(), Some("failed"));
    assert_eq!(
        refused.error.as_deref(),
        Some("the archive is refused: the file patients.rows is not what was written")
    );
}

/// Schemas and roles of verifications, of which others may run at the same time.
async fn verifying(clinic: &Clinic) -> i64 {
    let mut superuser = clinic.tenant.database.superuser().await;
    sqlx::query_scalar("SELECT count(*) FROM public.tenants WHERE slug LIKE 'verify-%'")
        .fetch_one(&mut superuser)
        .await
        .unwrap()
}

#[tokio::test]
async fn a_slug_that_is_taken_or_wrong_is_refused_and_nothing_is_made() {
    let clinic = Clinic::open().await;
    let backup = clinic.back_up().await;
    let archivist = clinic.archivist();
    let refusal = async |into: &str| {
        archivist
            .restore_into(&backup, &Target::new(into, &clinic.by), &clinic.by, &Watch::default())
            .await
            .unwrap_err()
            .code()
    };
    assert_eq!(refusal(clinic.tenant.tenant.slug.as_str()).await, "slug_taken");
    assert_eq!(refusal("No Slug").await, "invalid");
}

#[tokio::test]
async fn a_purged_tenant_comes_back_from_its_archive() {
    let clinic = Clinic::open().await;
    let backup = clinic.back_up().await;
    let contents = clinic.contents(&clinic.tenant.tenant.database_schema).await;
    let (slug, tenancy) = (&clinic.tenant.tenant.slug, &clinic.tenant.tenancy);
    tenancy.archive(slug, None, &clinic.by).await.unwrap();
    let purge = Purge::Now { confirm: Some(slug.to_string()) };
    tenancy.purge(slug, None, &purge, &clinic.by, Vec::new()).await.unwrap();
    let archivist = clinic.archivist();
    let restored = archivist
        .restore_into(&backup, &Target::new(copy_of(&clinic), &clinic.by), &clinic.by, &Watch::default())
        .await
        .unwrap();
    assert_eq!(clinic.contents(&restored.tenant.database_schema).await, contents);
    let copy = clinic.in_tenant(&restored.tenant).await;
    assert_eq!(find(&copy, "A Haddad 1").await.1.as_deref(), Some("afraid of needles"));
}

#[tokio::test]
async fn members_who_have_an_account_come_with_it() {
    let clinic = Clinic::open().await;
    let mut superuser = clinic.tenant.database.superuser().await;
    let (user, tenant) = (clinic.by.next_id(), clinic.tenant.tenant.id);
    let sql = format!(
        "INSERT INTO public.users (id, email, email_key, full_name) VALUES ('{user}', '{user}@x.example', '{user}@x.example', 'A'); \
         INSERT INTO public.memberships (user_id, tenant_id, roles) VALUES ('{user}', '{tenant}', '{{owner,dentist}}')"
    );
    superuser.execute(sqlx::AssertSqlSafe(sql)).await.unwrap();
    let backup = clinic.back_up().await;
    let archivist = clinic.archivist();
    let restored = archivist
        .restore_into(&backup, &Target::new(copy_of(&clinic), &clinic.by), &clinic.by, &Watch::default())
        .await
        .unwrap();
    let roles: Vec<String> =
        sqlx::query_scalar("SELECT roles FROM public.memberships WHERE user_id = $1 AND tenant_id = $2")
            .bind(user)
            .bind(restored.tenant.id.uuid())
            .fetch_one(&mut superuser)
            .await
            .unwrap();
    assert_eq!(roles, ["owner", "dentist"]);
}

#[tokio::test]
async fn an_older_archive_in_the_place_of_a_newer_one_is_refused() {
    let clinic = Clinic::open().await;
    let (old, new) = (clinic.back_up().await, clinic.back_up().await);
    let folder = clinic.folder.path().join(old.tenant_id.to_string());
    std::fs::remove_dir_all(folder.join(new.id.to_string())).unwrap();
    std::fs::rename(folder.join(old.id.to_string()), folder.join(new.id.to_string())).unwrap();
    let archivist = clinic.archivist();
    let refused = archivist.verify(&new, &clinic.by, &Watch::default()).await.unwrap_err();
    assert!(matches!(refused, ArchiveError::Refused(_)), "{refused:?}");
    let gone = archivist.verify(&old, &clinic.by, &Watch::default()).await.unwrap_err();
    assert!(matches!(gone, ArchiveError::Unknown), "{gone:?}");
}

#[tokio::test]
async fn a_table_that_is_locked_for_long_is_said_to_be_in_maintenance() {
    let clinic = Clinic::empty().await;
    let mut superuser = clinic.tenant.database.superuser().await;
    let table = format!("{}.patients", clinic.tenant.tenant.database_schema.quoted());
    let lock = format!("BEGIN; LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE");
    superuser.execute(sqlx::AssertSqlSafe(lock)).await.unwrap();
    let archivist = clinic.archivist();
    let tenant = &clinic.tenant.tenant;
    let busy = archivist.back_up(tenant, registry::Reason::Demand, &clinic.by, &Watch::default()).await;
    let busy = busy.unwrap_err();
    assert!(matches!(busy, ArchiveError::Tenancy(TenancyError::Maintenance)), "{busy:?}");
    superuser.execute("ROLLBACK").await.unwrap();
    clinic.back_up().await;
}
