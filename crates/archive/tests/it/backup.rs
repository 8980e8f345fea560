//! Backups: what they hold, what is noted of them, and that they are one snapshot.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use clinicx_archive::{ArchiveError, BackupState, Target, Watch, check, registry};
use clinicx_tenancy::PlatformScope;
use clinicx_testing::database::keys;
use clinicx_types::{error::DomainError, page::PageRequest};
use tokio_util::sync::CancellationToken;

use crate::support::Clinic;

#[tokio::test]
async fn a_backup_names_what_it_holds_and_leaves_its_rows() {
    let clinic = Clinic::open().await;
    let backup = clinic.back_up().await;
    assert_eq!((backup.state, backup.tenant_id), (BackupState::Stored, clinic.tenant.tenant.id));
    assert_eq!(clinic.store().list(clinic.tenant.tenant.id).await.unwrap(), [backup.id]);
    let opened =
        check::check(clinic.store().as_ref(), backup.place(), &keys(), &Watch::default()).await.unwrap();
    let manifest = &opened.manifest;
    let rows =
        |table: &str| manifest.tables.iter().find(|entry| entry.table.name.as_str() == table).unwrap().rows;
    assert_eq!((rows("patients"), rows("invoices"), rows("staff"), rows("dental_charts")), (7, 2, 1, 0));
    assert_eq!(backup.rows, i64::try_from(manifest.rows()).ok());
    assert_eq!(manifest.schema_version, clinic.tenant.tenant.schema_version.to_string());
    assert!(manifest.tables.iter().all(|entry| entry.file.is_some() == (entry.rows > 0)));
    assert!(manifest.tables.iter().all(|entry| entry.table.name.as_str() != "schema_migrations"));
    assert_eq!(manifest.lsn, backup.lsn.clone().unwrap());
    let actions = clinic.actions(&clinic.tenant.tenant).await;
    assert_eq!(actions, ["tenant.created", "tenant.backup_began", "tenant.backed_up"]);
    let page = PageRequest::default();
    let list = registry::list(clinic.tenant.tenancy.app(), Default::default(), &page).await.unwrap();
    assert!(list.items.contains(&backup));
}

#[tokio::test]
async fn nothing_in_the_store_can_be_read_without_the_key() {
    let clinic = Clinic::open().await;
    let backup = clinic.back_up().await;
    let folder = clinic.folder.path().join(backup.tenant_id.to_string()).join(backup.id.to_string());
    let mut files = 0;
    for file in std::fs::read_dir(folder).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        for word in ["Haddad", "Layla", "needles", "Check-up", "Crown"] {
            assert!(!bytes.windows(word.len()).any(|window| window == word.as_bytes()), "{word}");
        }
        files += 1;
    }
    assert!(files > 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_while_others_write_is_one_snapshot() {
    let clinic = Arc::new(Clinic::empty().await);
    let (goes_on, writer) = (Arc::new(AtomicBool::new(true)), Arc::clone(&clinic));
    let flag = Arc::clone(&goes_on);
    let writing = tokio::spawn(async move {
        let mut pairs = 0;
        while flag.load(Ordering::Relaxed) {
            let tx = writer.tenant.connection.begin().await.unwrap();
            for name in ["Left", "Right"] {
                let body = serde_json::json!({ "family_name": name, "given_name": "A", "notes": "x" });
                let input = serde_json::from_value(body).unwrap();
                clinicx_core::patient::create(&tx, &writer.scope, &writer.tenant.cipher, input)
                    .await
                    .unwrap();
            }
            tx.commit().await.unwrap();
            pairs += 1;
        }
        pairs
    });
    let mut seen = Vec::new();
    for number in 0..4 {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let backup = clinic.back_up().await;
        let into = format!("{}{number}", clinic.tenant.tenant.slug);
        let archivist = clinic.archivist();
        let restored = archivist
            .restore_into(&backup, &Target::new(&into, &clinic.by), &clinic.by, &Watch::default())
            .await;
        seen.push(pairs(&clinic, &restored.unwrap().tenant).await);
    }
    goes_on.store(false, Ordering::Relaxed);
    let written: i64 = writing.await.unwrap();
    assert!(seen.iter().all(|(left, right, tokens)| left == right && *tokens >= 2 * left), "{seen:?}");
    assert!(seen.is_sorted() && seen[0].0 < seen[3].0 && seen[3].0 <= written, "{seen:?} of {written}");
}

/// How many patients there are of both halves, and how many words by which they are found: other tables.
async fn pairs(clinic: &Clinic, tenant: &clinicx_tenancy::Tenant) -> (i64, i64, i64) {
    let mut superuser = clinic.tenant.database.superuser().await;
    let schema = tenant.database_schema.quoted();
    let count = |name: &str| format!("(SELECT count(*) FROM {schema}.patients WHERE family_name = '{name}')");
    let sql = format!(
        "SELECT {}, {}, (SELECT count(*) FROM {schema}.patient_search_tokens)",
        count("Left"),
        count("Right")
    );
    sqlx::query_as(sqlx::AssertSqlSafe(sql)).fetch_one(&mut superuser).await.unwrap()
}

#[tokio::test]
async fn a_backup_that_is_stopped_leaves_nothing_but_a_note() {
    let clinic = Clinic::open().await;
    let stop = CancellationToken::new();
    let after = |progress: clinicx_archive::Progress| {
        if progress.tables == 3 {
            stop.cancel();
        }
    };
    let watch = Watch::stopped_by(stop.clone()).telling(&after);
    let archivist = clinic.archivist();
    let tenant = &clinic.tenant.tenant;
    let stopped = archivist.back_up(tenant, registry::Reason::Demand, &clinic.by, &watch).await.unwrap_err();
    assert!(matches!(stopped, ArchiveError::Stopped), "{stopped:?}");
    assert!(clinic.store().list(tenant.id).await.unwrap().is_empty());
    let failed =
        registry::of_tenant(clinic.tenant.tenancy.app(), tenant.id, BackupState::Failed).await.unwrap();
    assert_eq!(failed.len(), 1);
    archivist.verify(&failed[0], &clinic.by, &Watch::default()).await.unwrap_err();
    clinic.back_up().await;
}

#[tokio::test]
async fn another_tenants_backup_is_unknown() {
    let clinic = Clinic::open().await;
    let other = Clinic::of(clinic.tenant.another().await, Arc::clone(&clinic.folder));
    let backup = clinic.back_up().await;
    let app = clinic.tenant.tenancy.app();
    let unknown = registry::get(app, Some(other.tenant.tenant.id), backup.id).await.unwrap_err();
    assert_eq!(unknown.code(), "not_found");
    let random = clinicx_archive::ArchiveId::new(PlatformScope::system("test").next_id());
    let random = registry::get(app, Some(other.tenant.tenant.id), random).await.unwrap_err();
    assert_eq!(random.to_string(), unknown.to_string());
}
