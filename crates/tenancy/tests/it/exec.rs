//! Queries and scripts that operators run in tenants by hand: what they reach, and what they do not.

use std::time::Duration;

use clinicx_tenancy::exec::{self, ExecError, Query, Ran, Rows, Script, Terms, Trial, Wanted};
use clinicx_testing::TestTenant;
use futures_util::future::join_all;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Row};

const WANTED: Wanted = Wanted { rows: 100, limit: Duration::from_secs(20) };

async fn read(tenant: &TestTenant, text: &str) -> Result<Rows, ExecError> {
    exec::query(&tenant.connection, &Query::parse(text).unwrap(), WANTED).await
}

fn terms(trial: Trial) -> Terms {
    Terms { why: json!({"reason": "a test"}), limit: Duration::from_secs(20), trial }
}

async fn change(tenant: &TestTenant, text: &str, trial: Trial) -> Result<Vec<Ran>, ExecError> {
    Script::parse(text).unwrap().run(&tenant.connection, &tenant.scope, &terms(trial)).await
}

/// Writes a row that a test can find again; all tenants have it under the same id.
fn planted(text: &str) -> String {
    format!(
        "INSERT INTO outbox (id, event_type, aggregate, aggregate_id, payload, created_at) \
         VALUES ('00000000-0000-7000-8000-000000000001', 'test.planted', 'test', \
                 '00000000-0000-7000-8000-000000000002', '{{\"text\": \"{text}\"}}', now())"
    )
}

/// Counts what a superuser sees of a tenant's outbox and of its audit.
async fn counted(tenant: &TestTenant) -> (i64, i64) {
    let mut superuser = tenant.database.superuser().await;
    let schema = tenant.tenant.database_schema.quoted();
    let text = format!(
        "SELECT (SELECT count(*) FROM {schema}.outbox), \
                (SELECT count(*) FROM public.audit_logs WHERE tenant_id = '{}')",
        tenant.tenant.id
    );
    let row = sqlx::query(AssertSqlSafe(text)).fetch_one(&mut superuser).await.unwrap();
    (row.get(0), row.get(1))
}

#[tokio::test]
async fn a_query_reads_as_the_tenants_role_whatever_it_brings_back() {
    let tenant = TestTenant::create().await;
    let rows = read(&tenant, "SELECT current_user, current_setting('transaction_read_only')").await.unwrap();
    let schema = tenant.tenant.database_schema.as_str();
    assert_eq!(rows.columns, ["current_user", "current_setting"]);
    assert_eq!(rows.rows, [[json!(schema), json!("on")]]);

    let text = "SELECT 1 AS n, 2 AS n, 9007199254740993 AS big, 12.50 AS money, true AS yes, NULL AS nothing, \
                'x' AS text, '{\"a\": 1}'::jsonb AS json, ARRAY[1, 2] AS many, '2020-02-02'::date AS day, \
                '2020-02-02T02:02:02Z'::timestamptz AS at, '\\x00ff'::bytea AS bytes, 'NaN'::float8 AS nan -- end";
    let rows = read(&tenant, text).await.unwrap();
    assert_eq!(&rows.columns[..3], ["n", "n", "big"]);
    let values = &rows.rows[0];
    assert_eq!(values[..4], [json!(1), json!(2), json!(9_007_199_254_740_993_i64), json!("12.50")]);
    assert_eq!(values[4..8], [json!(true), Value::Null, json!("x"), json!({"a": 1})]);
    assert_eq!(values[8..10], [json!([1, 2]), json!("2020-02-02")]);
    assert!(values[10].as_str().unwrap().starts_with("2020-02-02T"), "{values:?}");
    assert_eq!(values[11..], [json!("\\x00ff"), json!("NaN")]);

    let wanted = Wanted { rows: 2, ..WANTED };
    let query = Query::parse("VALUES (1), (2), (3)").unwrap();
    let cut = exec::query(&tenant.connection, &query, wanted).await.unwrap();
    assert_eq!((cut.rows.len(), cut.is_cut), (2, true));
    let whole =
        exec::query(&tenant.connection, &Query::parse("VALUES (1), (2)").unwrap(), wanted).await.unwrap();
    assert_eq!((whole.rows.len(), whole.is_cut), (2, false));
    let none = read(&tenant, "TABLE outbox;").await.unwrap();
    assert!(none.rows.is_empty() && none.columns.contains(&"event_type".to_owned()), "{none:?}");
    let plan = read(&tenant, "EXPLAIN SELECT * FROM outbox").await.unwrap();
    assert!(plan.rows[0][0].as_str().unwrap().contains("outbox"), "{plan:?}");
    let plan = read(&tenant, "EXPLAIN (FORMAT JSON) SELECT * FROM outbox").await.unwrap();
    assert!(plan.rows[0][0].is_array() || plan.rows[0][0].is_string(), "{plan:?}");
    assert_eq!(read(&tenant, "SELECT").await.unwrap().columns, Vec::<String>::new());
}

#[tokio::test]
async fn no_query_changes_anything_or_leaves_the_tenant() {
    let tenant = TestTenant::create().await;
    let other = tenant.another().await;
    for one in [&tenant, &other] {
        change(one, &planted("here"), Trial::No).await.unwrap();
    }
    let before = (counted(&tenant).await, counted(&other).await);
    let theirs = other.tenant.database_schema.quoted();
    let role = other.tenant.database_schema.as_str();
    for text in [
        "WITH gone AS (DELETE FROM outbox RETURNING 1) SELECT 1",
        "EXPLAIN ANALYZE DELETE FROM outbox",
        "EXPLAIN ANALYZE SELECT * INTO copied FROM outbox",
        "SELECT * INTO copied FROM outbox",
        "SELECT * INTO TEMP copied FROM outbox",
        "SELECT id FROM outbox FOR UPDATE",
        "SELECT 1) AS q ON true; DELETE FROM outbox; SELECT (1",
        "SELECT set_config('role', 'none', false)",
        "SELECT set_config('app.current_tenant', '', true)",
        "SELECT set_config('transaction_read_only', 'off', true)",
        "SELECT query_to_xml('DELETE FROM outbox', true, false, '')",
        "SELECT query_to_xml('SET ROLE NONE', true, false, '')",
        "SELECT query_to_xml('COMMIT', true, false, '')",
        "SELECT query_to_xml('COPY outbox TO PROGRAM ''id''', true, false, '')",
        &format!("SELECT query_to_xml('SET ROLE {role}', true, false, '')"),
        &format!("SELECT * FROM {theirs}.outbox"),
        &format!("SELECT query_to_xml('SELECT * FROM {theirs}.outbox', true, false, '')"),
        "SELECT * FROM public.users",
        "SELECT * FROM public.audit_logs",
        "SELECT pg_read_file('/etc/hostname')",
        "SELECT lo_create(0)",
        "SELECT pg_notify('x', 'y')",
        "SELECT pg_advisory_lock(1)",
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()",
        "SELECT pg_reload_conf()",
    ] {
        // A text that is no single query is refused before it is sent.
        let Ok(query) = Query::parse(text) else { continue };
        let refused = exec::query(&tenant.connection, &query, WANTED).await;
        assert!(matches!(refused, Err(ExecError::Database { .. })), "{text}: {refused:?}");
        let next = read(&other, "SELECT current_user").await.unwrap();
        assert_eq!(next.rows, [[json!(role)]], "after {text}");
    }
    assert_eq!((counted(&tenant).await, counted(&other).await), before);
}

#[tokio::test]
async fn what_the_database_says_holds_no_value_of_a_row() {
    let tenant = TestTenant::create().await;
    change(&tenant, &planted("Secret Name"), Trial::No).await.unwrap();
    let failed =
        read(&tenant, "SELECT (payload ->> 'text')::integer FROM outbox WHERE payload ? 'text'").await;
    let failed = failed.unwrap_err();
    assert_eq!(failed.sqlstate(), Some("22P02"));
    assert!(!failed.to_string().contains("Secret"), "{failed}");
    let failed = read(&tenant, "SELECT nothing FROM outbox").await.unwrap_err();
    assert_eq!(
        (failed.sqlstate(), failed.to_string().contains("nothing")),
        (Some("42703"), true),
        "{failed}"
    );
}

#[tokio::test]
async fn what_takes_too_long_is_ended() {
    let tenant = TestTenant::create().await;
    let wanted = Wanted { rows: 1, limit: Duration::from_millis(200) };
    let query = Query::parse("SELECT pg_sleep(60)").unwrap();
    let late = exec::query(&tenant.connection, &query, wanted).await;
    assert_eq!(late, Err(ExecError::TooLong));
    let script = Script::parse(&format!("{}; SELECT pg_sleep(60)", planted("late"))).unwrap();
    let terms = Terms { limit: Duration::from_millis(200), ..terms(Trial::No) };
    let late = script.run(&tenant.connection, &tenant.scope, &terms).await;
    assert_eq!(late, Err(ExecError::TooLong));
    assert_eq!(read(&tenant, "SELECT count(*) FROM outbox").await.unwrap().rows, [[json!(0)]]);
}

#[tokio::test]
async fn nobodys_rows_come_under_another_name() {
    let first = TestTenant::create().await;
    let tenants = [first.another().await, first.another().await, first.another().await, first];
    for tenant in &tenants {
        change(tenant, &planted(tenant.tenant.slug.as_str()), Trial::No).await.unwrap();
    }
    // One pool of a few connections for all of them, each of which serves everybody in turn.
    let cluster = tenants[0].cluster.clone();
    let query = Query::parse(
        "SELECT payload ->> 'text', current_user FROM outbox WHERE id = '00000000-0000-7000-8000-000000000001'",
    )
    .unwrap();
    let ask = |turn: usize| {
        let tenant = &tenants[turn % tenants.len()].tenant;
        let (connection, query) = (cluster.tenant(tenant.target()), &query);
        async move { (tenant, exec::query(&connection, query, WANTED).await.unwrap()) }
    };
    for round in 0..20 {
        for (tenant, rows) in join_all((0..16).map(|turn| ask(turn + round))).await {
            let expected = [json!(tenant.slug.as_str()), json!(tenant.database_schema.as_str())];
            assert_eq!(rows.rows, [expected]);
        }
    }
}

#[tokio::test]
async fn a_script_is_kept_whole_with_its_audit_or_not_at_all() {
    let tenant = TestTenant::create().await;
    let other = tenant.another().await;
    let (before, beside) = (counted(&tenant).await, counted(&other).await);
    let text = format!("{}; UPDATE outbox SET aggregate = 'changed'; SELECT 1;", planted("x"));

    let tried = change(&tenant, &text, Trial::Yes).await.unwrap();
    assert_eq!(tried[1], Ran { command: "UPDATE".to_owned(), rows: 1 });
    assert_eq!(counted(&tenant).await, before, "a trial leaves nothing");
    let broken = format!("{}; UPDATE outbox SET nothing = 1", planted("x"));
    assert_eq!(change(&tenant, &broken, Trial::No).await.unwrap_err().sqlstate(), Some("42703"));
    assert_eq!(counted(&tenant).await, before, "all or nothing");

    let ran = change(&tenant, &text, Trial::No).await.unwrap();
    assert_eq!(ran, tried);
    // The planted row, the event, and the row of the audit.
    assert_eq!(counted(&tenant).await, (before.0 + 2, before.1 + 1));
    assert_eq!(counted(&other).await, beside);
    let mut superuser = tenant.database.superuser().await;
    let row = sqlx::query(
        "SELECT actor_job, database_role::text, after FROM public.audit_logs \
         WHERE tenant_id = $1 AND action = 'tenant.script_run'",
    )
    .bind(tenant.tenant.id.uuid())
    .fetch_one(&mut superuser)
    .await
    .unwrap();
    let after: Value = row.get(2);
    assert_eq!(after["sha256"], Script::parse(&text).unwrap().digest());
    assert_eq!((&after["why"]["reason"], &after["statements"][1]["rows"]), (&json!("a test"), &json!(1)));
    assert!(!after.to_string().contains("planted"), "the text is not kept: {after}");
    assert_eq!(row.get::<String, _>(1), tenant.tenant.database_schema.as_str());
}

#[tokio::test]
async fn a_script_stays_behind_the_fences() {
    let tenant = TestTenant::create().await;
    let other = tenant.another().await;
    change(&other, &planted("theirs"), Trial::No).await.unwrap();
    let before = (counted(&tenant).await, counted(&other).await);
    let theirs = other.tenant.database_schema.quoted();
    for text in [
        format!("DELETE FROM {theirs}.outbox"),
        format!("INSERT INTO outbox SELECT * FROM {theirs}.outbox"),
        "DELETE FROM public.audit_logs".to_owned(),
        "UPDATE public.tenants SET status = 'archived'".to_owned(),
        "SELECT set_config('role', 'none', false); SELECT 1".to_owned(),
        "SELECT query_to_xml('RESET ROLE', true, false, ''); SELECT 1".to_owned(),
        format!("UPDATE outbox SET tenant_id = '{}'; {}", other.tenant.id, planted("x")),
        format!("{}; UPDATE outbox SET tenant_id = '{}'", planted("x"), other.tenant.id),
    ] {
        let refused = change(&tenant, &text, Trial::No).await;
        // A row that is not there can be given to nobody.
        let changes_nothing = text.starts_with("UPDATE outbox SET tenant_id");
        assert!(refused.is_err() || changes_nothing, "{text}: {refused:?}");
    }
    assert_eq!(counted(&other).await, before.1);
    assert_eq!(read(&other, "SELECT count(*) FROM outbox").await.unwrap().rows.len(), 1);
}
