//! Destroying a tenant's keys makes what was sealed unreadable, wherever a copy of it lies.

use clinicx_core::{patient, sealed};
use clinicx_keys::{FieldCipher, KeyError, Keyring, derived, local::LocalProvider};
use clinicx_tenancy::{PlatformScope, Purge};
use clinicx_testing::{TestDatabase, TestTenant, database};
use serde_json::json;
use sqlx::{Connection, Executor, Row};
use uuid::Uuid;

/// A sealed identifier and sealed notes, as a copy of the schema holds them.
struct Copied {
    identifier: (Uuid, Vec<u8>),
    notes: (Uuid, Vec<u8>),
}

impl Copied {
    fn open(&self, tenant: &TestTenant, cipher: &FieldCipher) -> [Option<String>; 2] {
        let [identifier, notes] = [sealed::COLUMNS[0].field, sealed::COLUMNS[1].field];
        let open = |field, (row, value): &(Uuid, Vec<u8>)| {
            cipher.open_text(tenant.tenant.id, field, *row, value).ok()
        };
        [open(identifier, &self.identifier), open(notes, &self.notes)]
    }
}

/// Copies the tenant's tables to where no purge finds them, and reads the copy.
async fn copy(database: &TestDatabase, tenant: &TestTenant) -> Copied {
    let mut superuser = database.superuser().await;
    let schema = tenant.tenant.database_schema.quoted();
    for statement in [
        "CREATE SCHEMA kept_elsewhere".to_owned(),
        format!("CREATE TABLE kept_elsewhere.patients AS TABLE {schema}.patients"),
        format!("CREATE TABLE kept_elsewhere.patient_identifiers AS TABLE {schema}.patient_identifiers"),
    ] {
        superuser.execute(sqlx::AssertSqlSafe(statement)).await.unwrap();
    }
    let row = sqlx::query(
        "SELECT i.id AS identifier_id, i.value, p.id, p.notes
         FROM kept_elsewhere.patient_identifiers AS i JOIN kept_elsewhere.patients AS p ON p.id = i.patient_id",
    )
    .fetch_one(&mut superuser)
    .await
    .unwrap();
    superuser.close().await.unwrap();
    Copied {
        identifier: (row.get("identifier_id"), row.get("value")),
        notes: (row.get("id"), row.get("notes")),
    }
}

#[tokio::test]
async fn a_copy_from_before_the_purge_opens_with_nothing_that_is_left() {
    let database = TestDatabase::create().await;
    let tenant = TestTenant::builder().database(&database).modules(&[]).create().await;
    let input = json!({
        "family_name": "Haddad", "given_name": "Layla", "notes": "afraid of needles",
        "identifiers": [{"system": "passport", "value": "A 012"}],
    });
    let tx = tenant.connection.begin().await.unwrap();
    patient::create(&tx, &tenant.scope, &tenant.cipher, serde_json::from_value(input).unwrap())
        .await
        .unwrap();
    tx.commit().await.unwrap();
    let copied = copy(&database, &tenant).await;
    let clear = [Some("A 012".to_owned()), Some("afraid of needles".to_owned())];
    assert_eq!(copied.open(&tenant, &tenant.cipher), clear);

    let keyring = database.keyring().await;
    keyring.cipher(tenant.tenant.id).await.unwrap();
    let (slug, by) = (&tenant.tenant.slug, PlatformScope::system("test"));
    tenant.tenancy.archive(slug, None, &by).await.unwrap();
    let purge = Purge::Now { confirm: Some(slug.to_string()) };
    tenant.tenancy.purge(slug, None, &purge, &by, Vec::new()).await.unwrap();

    // The master key is still there, and nothing that it could unwrap.
    let mut superuser = database.superuser().await;
    let keys =
        sqlx::query("SELECT state, wrapped_key, destroyed_at IS NOT NULL AS dated FROM public.tenant_keys");
    let rows = keys.fetch_all(&mut superuser).await.unwrap();
    superuser.close().await.unwrap();
    let states: Vec<(String, Option<Vec<u8>>, bool)> =
        rows.iter().map(|row| (row.get("state"), row.get("wrapped_key"), row.get("dated"))).collect();
    assert_eq!(states, [("destroyed".to_owned(), None, true)]);
    let fresh = Keyring::new(tenant.tenancy.app().clone(), database::keys());
    assert_eq!(fresh.cipher(tenant.tenant.id).await.unwrap_err(), KeyError::Missing);
    // Nor does the process that had unwrapped it go on.
    assert_eq!(keyring.refreshed(tenant.tenant.id).await.unwrap_err(), KeyError::Missing);
    // What can be derived from the master key is not the key.
    let local = LocalProvider::new(LocalProvider::FILE, [7; 32]);
    let key = derived::data_key(&local, tenant.tenant.id, sealed::COLUMNS[0].field).unwrap();
    let guess = FieldCipher::new(tenant.tenant.id, 1, key);
    assert_eq!(copied.open(&tenant, &guess), [None, None]);
}
