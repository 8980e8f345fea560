//! What is refused before anything is done.

use clinicx_adoption::{AdoptionError, Until};
use clinicx_tenancy::{PlatformScope, TenantStatus, registry};
use sqlx::{AssertSqlSafe, Executor};

use crate::support::{Legacy, adopt, ensure};

#[tokio::test(flavor = "multi_thread")]
async fn a_reading_login_that_may_do_more_is_refused() {
    let legacy = Legacy::create(1, 60).await;
    let adopter = legacy.adopter(legacy.mapping(&[])).await;
    let clinic = &adopter.mapping.tenants[0];
    let by = PlatformScope::system("test");
    adopter.preview(clinic, &by, |_| {}).await.unwrap();
    let mut superuser = legacy.superuser().await;
    let reader = legacy.reader.get_username().to_owned();
    for (give, take, what) in [
        (
            "GRANT UPDATE ON \"Old Data\".\"Rooms\" TO {}",
            "REVOKE UPDATE ON \"Old Data\".\"Rooms\" FROM {}",
            "may change",
        ),
        (
            "GRANT INSERT (title) ON \"Old Data\".\"Rooms\" TO {}",
            "REVOKE INSERT (title) ON \"Old Data\".\"Rooms\" FROM {}",
            "may change",
        ),
        ("GRANT SELECT ON public.tenants TO {}", "REVOKE SELECT ON public.tenants FROM {}", "may read"),
        (
            "GRANT CREATE ON SCHEMA \"Old Data\" TO {}",
            "REVOKE CREATE ON SCHEMA \"Old Data\" FROM {}",
            "may create",
        ),
        ("GRANT pg_read_server_files TO {}", "REVOKE pg_read_server_files FROM {}", "is a member of"),
        ("ALTER ROLE {} BYPASSRLS", "ALTER ROLE {} NOBYPASSRLS", "is a superuser or"),
    ] {
        superuser.execute(AssertSqlSafe(give.replace("{}", &reader))).await.unwrap();
        let refused = adopter.preview(clinic, &by, |_| {}).await.unwrap_err();
        assert!(refused.to_string().contains(what), "{give}: {refused}");
        superuser.execute(AssertSqlSafe(take.replace("{}", &reader))).await.unwrap();
    }
    adopter.preview(clinic, &by, |_| {}).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expression_can_only_read() {
    let legacy = Legacy::create(1, 60).await;
    let by = PlatformScope::system("test");
    let evil = "(SELECT 1 FROM public.tenants LIMIT 1)::text";
    for (sql, code) in [
        (evil, "42501"),
        ("pg_catalog.set_config('role', 'clinicx_owner', false)", "42501"),
        (
            "pg_catalog.query_to_xml('DELETE FROM \\\"Old Data\\\".\\\"Rooms\\\"', true, true, '')::text",
            "0A000",
        ),
        ("pg_catalog.pg_read_file('/etc/passwd')", "42501"),
        ("(1 / 0)::text", "22012"),
    ] {
        let with = format!("name = {{ sql = \"{sql}\" }}");
        let adopter = legacy.adopter(legacy.mapping(&[("name = \"title\"", &with)])).await;
        let refused = adopter.preview(&adopter.mapping.tenants[0], &by, |_| {}).await.unwrap_err();
        let AdoptionError::Legacy(failure) = &refused else { panic!("{sql}: {refused:?}") };
        assert_eq!(failure.sqlstate(), Some(code), "{sql}: {failure}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_old_tables_have_not_is_named() {
    let legacy = Legacy::create(1, 60).await;
    let by = PlatformScope::system("test");
    for (from, to, what) in [
        (
            "\"LastName\"",
            "\"lastname\"",
            "tables.patients.columns.family_name names the column lastname, which is not there; did you mean LastName?",
        ),
        (
            "from = \"Rooms\"",
            "from = \"rooms\"",
            "tables.rooms.from names the table \"Old Data\".\"rooms\", which is not there",
        ),
    ] {
        let adopter = legacy.adopter(legacy.mapping(&[(from, to)])).await;
        let refused = adopter.preview(&adopter.mapping.tenants[0], &by, |_| {}).await.unwrap_err();
        assert_eq!(refused.to_string(), what);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mapping_that_says_stop_stops_before_anything_is_written() {
    let legacy = Legacy::create(1, 200).await;
    let stop = ("schema = \"Old Data\"", "schema = \"Old Data\"\nmisfits = \"stop\"");
    let adopter = legacy.adopter(legacy.mapping(&[stop])).await;
    let clinic = &adopter.mapping.tenants[0];
    let tenant = ensure(&adopter, clinic).await;
    let by = PlatformScope::system("test");
    let refused = adopter.adopt(clinic, Until::Switched, &by, |_| {}).await.unwrap_err();
    assert!(matches!(refused, AdoptionError::Misfits { rows } if rows > 0), "{refused}");
    let mut superuser = legacy.superuser().await;
    let sql = format!("SELECT count(*) FROM {}.staff", tenant.database_schema);
    let rows: i64 = sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(&mut superuser).await.unwrap();
    assert_eq!(rows, 0);
    let status = adopter.status(&tenant).await.unwrap().unwrap();
    assert!(status.error.unwrap().ends_with("the mapping says to stop"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_of_other_origin_and_a_second_runner_are_refused() {
    let legacy = Legacy::create(1, 60).await;
    let adopter = legacy.adopter(legacy.mapping(&[])).await;
    let clinic = &adopter.mapping.tenants[0];
    let by = PlatformScope::system("test");
    let tenant = ensure(&adopter, clinic).await;
    let turn = clinicx_adoption::legacy::take_turn(&legacy.reader, &clinic.legacy).await.unwrap();
    let refused = adopter.adopt(clinic, Until::Copied, &by, |_| {}).await.unwrap_err();
    assert!(matches!(refused, AdoptionError::Busy), "{refused}");
    drop(turn);
    adopter.tenancy.open_closed(&clinic.slug, &by, serde_json::json!({}), Vec::new()).await.unwrap();
    let mut refused = adopter.adopt(clinic, Until::Copied, &by, |_| {}).await.unwrap_err();
    if matches!(refused, AdoptionError::Busy) {
        // The server needs a moment to see that the turn is over.
        crate::support::a_moment(500).await;
        refused = adopter.adopt(clinic, Until::Copied, &by, |_| {}).await.unwrap_err();
    }
    assert!(matches!(refused, AdoptionError::NotAdopted), "{refused}");
    let now = registry::get_by_slug(adopter.tenancy.app(), &tenant.slug).await.unwrap();
    assert_eq!(now.status, TenantStatus::Active);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_gate_somebody_says_that_nobody_writes() {
    let legacy = Legacy::create(1, 120).await;
    let mut adopter = legacy.adopter(legacy.mapping(&[])).await;
    adopter.owner = None;
    let clinic = adopter.mapping.tenants[0].clone();
    ensure(&adopter, &clinic).await;
    let by = PlatformScope::system("test");
    let refused = adopter.adopt(&clinic, Until::Switched, &by, |_| {}).await.unwrap_err();
    assert!(matches!(refused, AdoptionError::NoGate), "{refused}");
    let adopted = adopt(&adopter, &clinic, Until::SwitchedUnwatched).await;
    assert_eq!(adopted.pause_ms, None);
    assert!(adopted.verified.iter().all(clinicx_adoption::Verified::agrees));
}
