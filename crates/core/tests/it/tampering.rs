//! What somebody with the database in his hands puts into a sealed column opens to nothing and tells nothing.

use clinicx_core::patient;
use clinicx_persistence::TenantScope;
use clinicx_testing::TestTenant;
use clinicx_types::error::DomainError;
use serde_json::json;
use sqlx::{AssertSqlSafe, Connection, Executor};

use crate::practice::CountedIds;

const WORDS: &str = "afraid of needles";

/// A clinic with two patients whose notes say the same; two clinics have the same ids.
struct Clinic {
    tenant: TestTenant,
    scope: TenantScope,
    patients: [patient::Patient; 2],
}

impl Clinic {
    async fn open() -> Self {
        let tenant = TestTenant::builder().modules(&[]).create().await;
        let scope = TenantScope { ids: CountedIds::from(1), ..tenant.scope.clone() };
        let register = async |number: &str| {
            let input = json!({
                "family_name": "Haddad", "given_name": "Layla", "notes": WORDS,
                "identifiers": [{"system": "passport", "value": number}],
            });
            let tx = tenant.connection.begin().await.unwrap();
            let input = serde_json::from_value(input).unwrap();
            let made = patient::create(&tx, &scope, &tenant.cipher, input).await.unwrap();
            tx.commit().await.unwrap();
            made
        };
        let patients = [register("A1").await, register("A2").await];
        Self { tenant, scope, patients }
    }

    fn table(&self, name: &str) -> String {
        format!("{}.{name}", self.tenant.tenant.database_schema.quoted())
    }

    /// Puts a value in the place of the first patient's notes, and reads the patient.
    async fn read_with(&self, value: &str) -> Result<patient::Patient, clinicx_core::CoreError> {
        let (table, id) = (self.table("patients"), self.patients[0].id);
        let mut superuser = self.tenant.database.superuser().await;
        let update = format!("UPDATE {table} AS p SET notes = {value} WHERE id = '{id}'");
        superuser.execute(AssertSqlSafe(update)).await.unwrap_or_else(|error| panic!("{value}: {error}"));
        superuser.close().await.unwrap();
        patient::get(&self.tenant.connection, &self.scope, &self.tenant.cipher, id).await
    }

    /// Keeps the first patient's notes as they are in a table beside.
    async fn keep(&self) -> String {
        let (kept, table) = (self.table("kept"), self.table("patients"));
        let mut superuser = self.tenant.database.superuser().await;
        let keep =
            format!("CREATE TABLE {kept} AS SELECT notes FROM {table} WHERE id = '{}'", self.patients[0].id);
        superuser.execute(AssertSqlSafe(keep)).await.unwrap();
        superuser.close().await.unwrap();
        format!("(SELECT notes FROM {kept})")
    }
}

#[tokio::test]
async fn what_was_put_into_a_sealed_column_by_hand_opens_to_nothing_and_tells_nothing() {
    let (mine, theirs) = (Clinic::open().await, Clinic::open().await);
    assert_eq!(mine.patients[0].id, theirs.patients[0].id, "the same ids in both clinics");
    let own = mine.keep().await;
    let [first, second] = &mine.patients;
    let cases = [
        ("another row", format!("(SELECT notes FROM {} WHERE id = '{}')", mine.table("patients"), second.id)),
        (
            "another column",
            format!(
                "(SELECT value FROM {} WHERE patient_id = '{}')",
                mine.table("patient_identifiers"),
                first.id
            ),
        ),
        (
            "another clinic, the same row",
            format!("(SELECT notes FROM {} WHERE id = '{}')", theirs.table("patients"), first.id),
        ),
        ("text in clear", format!("convert_to('{WORDS}', 'UTF8')")),
        ("text in clear behind a head", format!("'\\x010001'::bytea || convert_to('{WORDS}', 'UTF8')")),
        ("nothing", "''::bytea".to_owned()),
        ("its head alone", format!("substr({own}, 1, 3)")),
        ("no ciphertext", format!("substr({own}, 1, 15)")),
        ("a byte less", format!("substr({own}, 1, length({own}) - 1)")),
        ("a byte more", format!("{own} || '\\x00'::bytea")),
        ("another nonce", format!("set_byte({own}, 3, (get_byte({own}, 3) + 1) % 256)")),
        ("another letter", format!("set_byte({own}, 15, get_byte({own}, 15) # 32)")),
        ("another format", format!("set_byte({own}, 0, 0)")),
    ];
    for (case, value) in cases {
        let error = mine.read_with(&value).await.expect_err(case);
        assert_eq!(error.code(), "internal", "{case}");
        let told = format!("{error} {error:?} {}", error.detail());
        assert!(!told.contains("needles") && !told.contains("A1"), "{case}: {told}");
    }
    // A version that does not exist asks for newer keys, of which there are none.
    for version in [0, 2, 255] {
        let error = mine.read_with(&format!("set_byte({own}, 2, {version})")).await.unwrap_err();
        assert_eq!(error.code(), "try_again", "version {version}");
    }
    // Put back, it opens; nothing else was touched.
    assert_eq!(mine.read_with(&own).await.unwrap().notes.as_deref(), Some(WORDS));
    let (db, scope) = (&theirs.tenant.connection, &theirs.scope);
    let cipher = &theirs.tenant.cipher;
    assert_eq!(patient::get(db, scope, cipher, first.id).await.unwrap().notes.as_deref(), Some(WORDS));
}
