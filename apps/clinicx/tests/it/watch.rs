//! How operators see the tenants: over HTTP, on the command line, and by metrics.

use clinicx::{watch, wiring::Platform};
use clinicx_tenancy::PlatformScope;
use reqwest::Client;
use serde_json::{Value, json};
use sqlx::{Connection, Executor, PgConnection};

use crate::{
    command::on_an_empty_database,
    support::{Api, Clinic, OPERATOR, configuration, start},
};

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_sees_how_each_tenant_is() {
    let config = configuration("health").await;
    let url = config.database.url.clone().unwrap();
    let mut database = PgConnection::connect(url.expose()).await.unwrap();
    let api = Api { base: start(config.clone()).await, token: None, client: Client::new() };
    let operator = api.login(json!({"email": OPERATOR.0, "password": OPERATOR.1})).await;
    let busy = Clinic::made_by(&operator, json!({"name": "Busy"})).await;
    let quiet = Clinic::made_by(&operator, json!({"name": "Quiet"})).await;
    busy.patient("Watched").await;
    busy.admin.get("/patients/00000000-0000-7000-8000-000000000000").await.expect(404);

    let unseen = operator.get("/platform/health/tenants?q=quiet").await.expect(200);
    let unseen = &unseen["items"][0];
    assert_eq!((&unseen["size_bytes"], &unseen["seen_at"]), (&Value::Null, &Value::Null));
    assert_eq!((&unseen["migrations_behind"], &unseen["served"]), (&json!(0), &json!(true)));
    assert_eq!(unseen["schema_version"], unseen["target_version"]);

    let platform = Platform::open(&config).await.unwrap();
    let by = PlatformScope::system("test");
    let watched = watch::look(&platform, &by).await.unwrap();
    assert_eq!((watched.tenants, watched.alerts), (2, 0));
    // The counts of this process; those of the service are written down within its own time.
    let started = std::time::Instant::now();
    let seen = loop {
        let seen = operator.get(&format!("/platform/health/tenants/{}", busy.slug)).await.expect(200);
        if seen["requests"].as_i64().unwrap() >= 2 {
            break seen;
        }
        assert!(started.elapsed() < std::time::Duration::from_secs(60), "nothing was counted: {seen}");
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    };
    assert!(seen["size_bytes"].as_i64().unwrap() > 0 && seen["rows"].as_i64().is_some(), "{seen}");
    assert_eq!((&seen["errors"], &seen["error_rate"]), (&json!(0), &json!(0.0)));
    assert_eq!((&seen["hours"][0]["refused"], seen["days"].as_array().unwrap().len()), (&json!(1), 1));
    assert_eq!((&seen["last_backup_at"], &seen["alerts"]), (&Value::Null, &json!([])));
    assert!(seen["last_activity_at"].is_string(), "{seen}");

    // As if the quiet one were behind: the program no longer serves it.
    let behind = format!(
        "UPDATE public.tenant_modules SET schema_version = schema_version - 1 \
         WHERE tenant_id = '{}' AND module = 'core'",
        quiet.tenant["id"].as_str().unwrap()
    );
    database.execute(sqlx::AssertSqlSafe(behind)).await.unwrap();
    assert_eq!(watch::look(&platform, &by).await.unwrap().alerts, 1);
    platform.close().await;
    let alerts = operator.get("/platform/alerts?open=true&count=true").await.expect(200);
    assert_eq!((&alerts["total"], &alerts["items"][0]["tenant"]), (&json!(1), &json!(quiet.slug)));
    assert_eq!(
        (&alerts["items"][0]["code"], &alerts["items"][0]["severity"], &alerts["items"][0]["value"]),
        (&json!("tenant_behind"), &json!("critical"), &json!(1.0))
    );
    let seen = operator.get("/platform/health/tenants?limit=1").await.expect(200);
    assert_eq!((seen["items"].as_array().unwrap().len(), seen["next_cursor"].is_string()), (1, true));
    for (query, expected) in [
        (format!("tenant={}", quiet.slug), 1),
        (format!("tenant={}", busy.slug), 0),
        ("code=error_rate".to_owned(), 0),
        ("open=false".to_owned(), 0),
    ] {
        let found = operator.get(&format!("/platform/alerts?{query}")).await.expect(200);
        assert_eq!(found["items"].as_array().unwrap().len(), expected, "{query}");
    }
    operator.get("/platform/alerts?code=weather").await.expect_problem(422, "invalid");
    operator.get("/platform/alerts?tenant=nobody-has-this").await.expect_problem(404, "not_found");
    operator.get("/platform/health/tenants/nobody-has-this").await.expect_problem(404, "not_found");
    operator.get("/platform/health/tenants/Not-A-Slug").await.expect_problem(404, "not_found");
    busy.admin.get("/platform/health/tenants").await.expect_problem(403, "permission_denied");

    let metrics = operator.get("//metrics").await.text;
    assert!(
        metrics.contains("clinicx_alerts_open{code=\"tenant_behind\",severity=\"critical\"}"),
        "{metrics}"
    );
    assert!(!metrics.contains(&quiet.slug) && !metrics.contains(&busy.slug), "a tenant is a label");

    let program = on_an_empty_database().await.with("CLINICX_DATABASE__URL", url.expose());
    let shown = program.run(&["fleet", "health", "--look", "--json"]).json();
    let one = shown.as_array().unwrap().iter().find(|one| one["slug"] == quiet.slug).unwrap();
    assert_eq!((&one["alerts"], &one["migrations_behind"]), (&json!(["tenant_behind"]), &json!(1)));
    let alerts = program.run(&["fleet", "alerts"]);
    assert!(alerts.expect(0).stdout.contains("tenant_behind"), "{}", alerts.stdout);
}
