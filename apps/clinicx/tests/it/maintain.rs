//! `clinicx fleet maintain` and `clinicx tenant maintain`, and the job of the same.

use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

use crate::{
    command::{create_tenant, on_an_empty_database, run},
    support::configuration,
};

#[tokio::test(flavor = "multi_thread")]
async fn tables_are_kept_up_from_the_command_line() {
    let config = configuration("maintain").await;
    let url = config.database.url.clone().unwrap();
    let mut database = PgConnection::connect(url.expose()).await.unwrap();
    let program = on_an_empty_database().await.with("CLINICX_DATABASE__URL", url.expose());
    program.run(&["migrate", "system"]).expect(0);
    for slug in ["upkeep-a", "upkeep-b"] {
        run(&program, &create_tenant(slug, &[])).expect(0);
        let schema = slug.replace('-', "_");
        let load = format!(
            "INSERT INTO tenant_{schema}.outbox \
                 (id, tenant_id, event_type, aggregate, aggregate_id, payload, created_at) \
             SELECT gen_random_uuid(), t.id, 'test.loaded', 'test', gen_random_uuid(), '{{}}', now() \
             FROM generate_series(1, 2000), public.tenants AS t WHERE t.slug = '{slug}'"
        );
        database.execute(AssertSqlSafe(load)).await.unwrap();
    }
    database.execute("SELECT pg_stat_force_next_flush()").await.unwrap();
    let report = program.run(&["fleet", "maintain", "--dry-run", "--json"]).json();
    assert_eq!((&report["summary"]["left"], &report["summary"]["done"]), (&json!(2), &json!(0)));
    let first = &report["items"][0];
    assert_eq!(
        (&first["tenant"], &first["task"], &first["object"], &first["state"]),
        (&json!("upkeep-a"), &json!("analyze"), &json!("outbox"), &json!("due"))
    );
    let nothing = program.run(&["fleet", "maintain", "--only", "reindex", "--json"]).json();
    assert_eq!(nothing["items"], json!([]));
    let one = program.run(&["tenant", "maintain", "upkeep-b", "--json"]).json();
    assert_eq!((&one["summary"]["tenants"], &one["items"][0]["state"]), (&json!(1), &json!("done")));
    let rest = program.run(&["fleet", "maintain", "--window", "1h", "--pause", "1ms", "--concurrency", "4"]);
    assert!(
        rest.expect(0).stdout.contains("2 of 2 tenants had their turn: 1 statements done"),
        "{}",
        rest.stdout
    );
    let none = program.run(&["fleet", "maintain"]);
    assert!(none.expect(0).stdout.contains("0 statements done, 0 failed, 0 left"), "{}", none.stdout);
    let rows: Vec<Value> = sqlx::query_scalar(
        "SELECT after FROM public.audit_logs WHERE action = 'fleet.maintained' ORDER BY recorded_at",
    )
    .fetch_all(&mut database)
    .await
    .unwrap();
    assert_eq!((rows.len(), &rows[1]["done"], &rows[2]["done"]), (4, &json!(1), &json!(1)), "{rows:?}");
    for wrong in [&["--only", "dust"][..], &["--concurrency", "17"], &["--window", "soon"]] {
        program.run(&[&["fleet", "maintain"], wrong].concat()).expect(2);
    }
    assert!(program.run(&["tenant", "maintain", "nobody-knows"]).refusal(1).contains("tenant list"));
}
