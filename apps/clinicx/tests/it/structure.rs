//! What commands do to some tenants and not to others, and databases that are not for the demo.

use serde_json::{Value, json};
use sqlx::{Connection, Executor, PgConnection};

use crate::{
    command::{create_tenant, on_a_database, on_an_empty_database, run},
    support::configuration,
};

#[tokio::test(flavor = "multi_thread")]
async fn one_tenant_is_migrated_alone() {
    let program = on_a_database().await;
    for slug in ["alone-a", "alone-b"] {
        run(&program, &create_tenant(slug, &[])).expect(0);
    }
    let ran = program.run(&["migrate", "tenants", "--tenant", "alone-b", "--json"]).json();
    assert_eq!(ran.as_array().unwrap().len(), 1);
    assert_eq!(ran[0]["schema"], "tenant_alone_b");
    let dry = program.run(&["migrate", "tenants", "--tenant", "alone-a", "--dry-run", "--json"]).json();
    assert_eq!(dry["tenants"].as_array().unwrap().len(), 1);
    assert_eq!(dry["tenants"][0]["slug"], "alone-a");
    for extra in [&["--dry-run"][..], &[]] {
        let unknown = [&["migrate", "tenants", "--tenant", "nobody-knows"], extra].concat();
        assert!(program.run(&unknown).refusal(1).contains("nobody-knows"));
    }
    program.run(&["migrate", "tenants", "--tenant", "No Slug"]).expect(2);
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_that_stand_there_are_adopted() {
    let mut config = configuration("adoption").await;
    let url = config.database.url.take().unwrap();
    let mut database = PgConnection::connect(url.expose()).await.unwrap();
    let program = on_an_empty_database().await.with("CLINICX_DATABASE__URL", url.expose());
    program.run(&["migrate", "system"]).expect(0);
    run(&program, &create_tenant("adopted-one", &[])).expect(0);
    let version = program.run(&["tenant", "show", "adopted-one", "--json"]).json()["schema_version"].clone();
    let core = version.as_str().unwrap().split('.').nth(1).unwrap().to_owned();
    let claim = format!("core={core}");
    let adopt =
        |slug: &str, claim: &str| program.run(&["migrate", "baseline", slug, "--module", claim, "--json"]);

    let twice = adopt("adopted-one", &claim);
    twice.refusal(1);
    database.execute("DROP TABLE tenant_adopted_one.schema_migrations").await.unwrap();
    assert!(adopt("nobody-knows", &claim).refusal(1).contains("tenant"));
    adopt("adopted-one", "core").expect(2);
    adopt("adopted-one", "core=-1").expect(2);
    program.run(&["migrate", "baseline", "adopted-one"]).expect(2);
    adopt("adopted-one", "core=999").refusal(1);
    let open = "ALTER TABLE tenant_adopted_one.rooms NO FORCE ROW LEVEL SECURITY";
    database.execute(open).await.unwrap();
    assert!(adopt("adopted-one", &claim).refusal(1).contains("row_security_not_forced"));
    database.execute("ALTER TABLE tenant_adopted_one.rooms FORCE ROW LEVEL SECURITY").await.unwrap();
    assert_eq!(
        adopt("adopted-one", &claim).json(),
        json!({"slug": "adopted-one", "schema_version": version})
    );
    let ledger = || {
        let report: Value = serde_json::from_str(&program.run(&["doctor", "--json"]).stdout).unwrap();
        let checks = report["checks"].as_array().unwrap();
        checks.iter().find(|check| check["name"] == "tenants' migrations").unwrap().clone()
    };
    assert_eq!(
        (&ledger()["status"], &ledger()["finding"]),
        (&json!("ok"), &json!("those of this program in all 1"))
    );
    let altered =
        "UPDATE tenant_adopted_one.schema_migrations SET checksum = repeat('0', 64) WHERE position = 1";
    let checksum: String = sqlx::query_scalar(
        "SELECT checksum::text FROM tenant_adopted_one.schema_migrations WHERE position = 1",
    )
    .fetch_one(&mut database)
    .await
    .unwrap();
    database.execute(altered).await.unwrap();
    let found = ledger();
    assert_eq!(found["status"], "failed");
    let finding = found["finding"].as_str().unwrap();
    assert!(finding.contains("adopted-one: migration core/") && finding.contains("was changed"), "{finding}");
    sqlx::query("UPDATE tenant_adopted_one.schema_migrations SET checksum = $1 WHERE position = 1")
        .bind(checksum)
        .execute(&mut database)
        .await
        .unwrap();
    let fleet = program.run(&["migrate", "tenants", "--json"]).json();
    assert_eq!((&fleet[0]["applied"], &fleet[0]["schema_version"]), (&json!(0), &version));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_keeps_out_of_what_is_somebodys() {
    let program = on_a_database().await;
    run(&program, &create_tenant("somebodys", &[])).expect(0);
    let before = program.run(&["tenant", "list", "--json"]).json();
    let refused = program.run(&["dev", "--port", "0"]);
    assert!(refused.refusal(1).contains("somebodys"), "{}", refused.stderr);
    assert!(refused.stderr.contains("clinicx serve"), "{}", refused.stderr);
    assert_eq!(program.run(&["tenant", "list", "--json"]).json(), before);

    let program = on_an_empty_database().await.with("CLINICX_PROFILE", "production");
    let refused = program.run(&["dev", "--port", "0"]);
    assert!(refused.refusal(1).contains("production"), "{}", refused.stderr);
    let status = program.with("CLINICX_PROFILE", "development").run(&["migrate", "status", "--json"]).json();
    assert!(status["system_pending"].as_u64().unwrap() > 0, "the demo touched the database");
}
