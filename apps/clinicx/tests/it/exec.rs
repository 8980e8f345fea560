//! `clinicx tenant exec` and `clinicx fleet exec`, as they are typed.

use std::fs;

use serde_json::{Value, json};
use sqlx::{Connection, PgConnection, Row};

use crate::{
    command::{create_tenant, on_an_empty_database, run},
    program::Program,
    support::configuration,
};

/// Three tenants, of which one is suspended, and a superuser's connection.
async fn fleet(slugs: [&str; 3]) -> (Program, PgConnection) {
    let config = configuration("exec").await;
    let url = config.database.url.clone().unwrap();
    let database = PgConnection::connect(url.expose()).await.unwrap();
    let program = on_an_empty_database().await.with("CLINICX_DATABASE__URL", url.expose());
    program.run(&["migrate", "system"]).expect(0);
    for slug in slugs {
        run(&program, &create_tenant(slug, &["--module", "billing"])).expect(0);
    }
    program.run(&["tenant", "suspend", slugs[2]]).expect(0);
    (program, database)
}

/// Counts the audit rows of an action, and what they tell.
async fn audited(database: &mut PgConnection, action: &str) -> Vec<(String, Value)> {
    let rows = sqlx::query(
        "SELECT t.slug::text, a.after FROM public.audit_logs AS a JOIN public.tenants AS t ON t.id = a.tenant_id \
         WHERE a.action = $1 ORDER BY t.slug, a.recorded_at",
    )
    .bind(action)
    .fetch_all(database)
    .await
    .unwrap();
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_is_answered_by_all_and_its_results_are_joined() {
    let (program, mut database) = fleet(["exec-a", "exec-b", "exec-c"]).await;
    let query = "SELECT current_user::text AS tenant, n FROM generate_series(1, 3) AS n";
    let all = program.run(&["fleet", "exec", query, "--reason", "a look", "--json"]).json();
    assert_eq!(all["columns"], json!(["tenant", "tenant_2", "n"]));
    let rows = all["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 6, "{all}");
    for row in rows {
        let schema = format!("tenant_{}", row["tenant"].as_str().unwrap().replace('-', "_"));
        assert_eq!(row["tenant_2"], schema);
    }
    assert_eq!((&rows[0]["tenant"], &rows[5]["tenant"]), (&json!("exec-a"), &json!("exec-b")));
    let seen = audited(&mut database, "tenant.query_run").await;
    assert_eq!(seen.iter().map(|(slug, _)| slug.as_str()).collect::<Vec<_>>(), ["exec-a", "exec-b"]);
    assert_eq!((&seen[0].1["result"]["rows"], &seen[0].1["why"]["reason"]), (&json!(3), &json!("a look")));
    assert!(!seen[0].1.to_string().contains("generate_series"), "the text is not kept: {seen:?}");

    let table = program.run(&["tenant", "exec", "exec-a", query, "--limit", "2"]);
    assert!(table.expect(0).stdout.contains("2 rows of 1 tenants; 1 have more rows"), "{}", table.stdout);
    let csv = program.run(&["fleet", "exec", "SELECT 'a,b' AS x", "--csv"]);
    assert_eq!(csv.expect(0).stdout, "tenant,x\nexec-a,\"a,b\"\nexec-b,\"a,b\"");

    // One fails, and the others' results stand beside it.
    let some = ["fleet", "exec", "--tenant", "exec-c", "--tenant", "exec-b", "SELECT 1 AS one", "--json"];
    let some = program.run(&some);
    let some: Value = serde_json::from_str(&some.expect(3).stdout).unwrap();
    assert_eq!(some["rows"], json!([{"tenant": "exec-b", "one": 1}]));
    assert_eq!(some["tenants"][1]["error"], "the tenant is suspended");
    let narrow = ["fleet", "exec", query, "--limit-total", "2", "--concurrency", "1", "--json"];
    let narrow = program.run(&narrow);
    let narrow: Value = serde_json::from_str(&narrow.expect(3).stdout).unwrap();
    assert_eq!(narrow["rows"].as_array().unwrap().len(), 2);
    assert!(narrow["tenants"][1]["error"].as_str().unwrap().starts_with("not asked"), "{narrow}");

    let late = program.run(&["tenant", "exec", "exec-a", "SELECT pg_sleep(60)", "--timeout", "300ms"]);
    assert!(late.expect(1).stdout.contains("it took longer than it may"), "{}", late.stdout);
    let broken = program.run(&["tenant", "exec", "exec-a", "SELECT nothing FROM rooms"]);
    assert!(broken.expect(1).stdout.contains("nothing"), "{}", broken.stdout);
    for wrong in [
        &["SELECT 1; COMMIT"][..],
        &["RESET ROLE"],
        &["COPY rooms TO PROGRAM 'id'"],
        &["DELETE FROM rooms"],
        &[""],
        &[],
        &["SELECT 1", "--timeout", "soon"],
        &["SELECT 1", "--limit", "0"],
        &["SELECT 1", "--concurrency", "17"],
        &["SELECT 1", "--csv", "--json"],
        &["SELECT 1", "--script", "x.sql"],
        &["SELECT 1", "--dry-run"],
    ] {
        program.run(&[&["fleet", "exec"], wrong].concat()).expect(2);
    }
    assert!(program.run(&["tenant", "exec", "nobody-knows", "SELECT 1"]).refusal(1).contains("tenant list"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_is_confirmed_and_leaves_its_rows_in_the_audit() {
    let (program, mut database) = fleet(["script-a", "script-b", "script-c"]).await;
    let file = program.folder().join("change.sql");
    let text = "-- all of them\nUPDATE billing_settings SET updated_at = updated_at; \
                INSERT INTO outbox (id, event_type, aggregate, aggregate_id, payload, created_at) VALUES \
                (gen_random_uuid(), 'test.planted', 'test', gen_random_uuid(), '{}', now());";
    fs::write(&file, text).unwrap();
    let file = file.to_str().unwrap();
    let asked = program.run(&["fleet", "exec", "--script", file]);
    assert!(asked.refusal(2).contains("the data of 2 tenants"), "{}", asked.stderr);
    let tried = program.run(&["fleet", "exec", "--script", file, "--dry-run", "--json"]).json();
    assert_eq!(tried[1]["statements"][1], json!({"command": "INSERT", "rows": 1}));
    let planted = "SELECT count(*) AS n FROM outbox WHERE event_type = 'test.planted'";
    let none = program.run(&["fleet", "exec", planted, "--json"]).json();
    assert_eq!((&none["rows"][0]["n"], &none["rows"][1]["n"]), (&json!(0), &json!(0)));
    assert_eq!(audited(&mut database, "tenant.script_tried").await.len(), 2);

    let done = program.run(&["fleet", "exec", "--script", file, "--yes", "--reason", "mending"]);
    assert!(done.expect(0).stdout.contains("2 statements run in 2 tenants, 0 not"), "{}", done.stdout);
    let both = program.run(&["fleet", "exec", planted, "--json"]).json();
    assert_eq!((&both["rows"][0]["n"], &both["rows"][1]["n"]), (&json!(1), &json!(1)));
    let seen = audited(&mut database, "tenant.script_run").await;
    assert_eq!((seen.len(), &seen[0].1["why"]["reason"]), (2, &json!("mending")));
    assert_eq!(seen[0].1["sha256"].as_str().unwrap().len(), 64);

    fs::write(file, "UPDATE rooms SET name = 'x'; DROP TABLE rooms").unwrap();
    let refused = program.run(&["tenant", "exec", "script-a", "--script", file, "--yes"]);
    assert!(refused.refusal(2).contains("statement 2 of the script begins with DROP"), "{}", refused.stderr);
    fs::write(file, "DELETE FROM nothing").unwrap();
    let failed = program.run(&["fleet", "exec", "--script", file, "--yes", "--json"]);
    let failed: Value = serde_json::from_str(&failed.expect(1).stdout).unwrap();
    assert_eq!(failed[0]["sqlstate"], "42P01");
}
