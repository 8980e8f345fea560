//! Rows in batches.

use std::time::{Duration, Instant};

use clinicx_audit::{AuditError, AuditWriter, Entry, Release, WriterOptions};
use clinicx_migration::system::SystemRole;
use clinicx_persistence::Actor;
use clinicx_testing::TestDatabase;
use clinicx_types::id::{RequestId, TenantId, UserId};
use sqlx::Executor;
use uuid::Uuid;

/// How long a test waits for rows that can be written.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) fn entry(request: Uuid, tenant: Option<TenantId>) -> Entry {
    Entry {
        tenant_id: tenant,
        actor: Actor::User(UserId::new(Uuid::from_u128(1))),
        session_id: None,
        break_glass_id: None,
        action: "patient.listed".into(),
        entity: "patient",
        entity_id: None,
        patient_id: None,
        patient_ids: Some(vec![Uuid::from_u128(7), Uuid::from_u128(8)]),
        request_id: RequestId::new(request),
        source: Some("2001:db8::1".parse().unwrap()),
        after: Some(serde_json::json!({"operation": "list_patients"})),
    }
}

async fn count(database: &TestDatabase) -> i64 {
    let mut superuser = database.superuser().await;
    sqlx::query_scalar("SELECT count(*) FROM audit_logs WHERE action = 'patient.listed'")
        .fetch_one(&mut superuser)
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_many_tenants_share_commits_and_are_there_when_their_waiters_go_on() {
    let database = TestDatabase::create().await;
    let app = database.system(SystemRole::App).await;
    let writer = AuditWriter::start(app.clone(), WriterOptions::default());
    let writes = (0..500_u128).map(|number| {
        let (writer, database) = (writer.clone(), database.clone());
        tokio::spawn(async move {
            let request = Uuid::from_u128(number + 1);
            let tenant = TenantId::new(Uuid::from_u128(number % 7 + 1));
            writer.write(entry(request, Some(tenant))).await.unwrap();
            if number % 50 == 0 {
                let mut superuser = database.superuser().await;
                let row: (Uuid, Vec<Uuid>, String, String) = sqlx::query_as(
                    "SELECT tenant_id, patient_ids, host(source_address), database_role FROM audit_logs
                     WHERE request_id = $1",
                )
                .bind(request)
                .fetch_one(&mut superuser)
                .await
                .unwrap();
                let patients = vec![Uuid::from_u128(7), Uuid::from_u128(8)];
                let expected = (tenant.uuid(), patients, "2001:db8::1".to_owned(), "clinicx_app".to_owned());
                assert_eq!(row, expected);
            }
        })
    });
    for write in writes.collect::<Vec<_>>() {
        write.await.unwrap();
    }
    let mut superuser = database.superuser().await;
    let commits: i64 = sqlx::query_scalar("SELECT count(DISTINCT transaction_id::text) FROM audit_logs")
        .fetch_one(&mut superuser)
        .await
        .unwrap();
    assert_eq!(count(&database).await, 500);
    assert!(commits < 250, "500 rows took {commits} commits");
    assert_eq!(writer.close(PATIENCE).await, 0);
    assert!(matches!(writer.write(entry(Uuid::from_u128(9), None)).await, Err(AuditError::Closed)));
}

#[tokio::test(flavor = "multi_thread")]
async fn closing_writes_what_waits() {
    let database = TestDatabase::create().await;
    let app = database.system(SystemRole::App).await;
    let options = WriterOptions { release: Release::AtOnce, ..WriterOptions::default() };
    let writer = AuditWriter::start(app, options);
    for number in 0..300 {
        writer.write(entry(Uuid::from_u128(number + 1), None)).await.unwrap();
    }
    assert_eq!(writer.close(PATIENCE).await, 0);
    assert_eq!(count(&database).await, 300);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_database_nobody_is_told_that_a_row_was_left() {
    let database = TestDatabase::create().await;
    let app = database.system(SystemRole::App).await;
    let mut superuser = database.superuser().await;
    let writer = AuditWriter::start(app, WriterOptions::default());
    let revoke = "REVOKE INSERT (actor_kind) ON audit_logs FROM PUBLIC";
    superuser.execute(revoke).await.unwrap();
    assert!(matches!(writer.write(entry(Uuid::from_u128(1), None)).await, Err(AuditError::Database(_))));
    superuser.execute("GRANT INSERT (actor_kind) ON audit_logs TO PUBLIC").await.unwrap();
    writer.write(entry(Uuid::from_u128(2), None)).await.unwrap();
    assert_eq!(count(&database).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_were_given_at_once_are_still_owed_their_rows_when_the_database_comes_back() {
    let database = TestDatabase::create().await;
    let app = database.system(SystemRole::App).await;
    let mut superuser = database.superuser().await;
    let options = WriterOptions { release: Release::AtOnce, ..WriterOptions::default() };
    let writer = AuditWriter::start(app, options);
    superuser.execute("REVOKE INSERT (actor_kind) ON audit_logs FROM PUBLIC").await.unwrap();
    writer.write(entry(Uuid::from_u128(1), None)).await.unwrap();
    let begun = Instant::now();
    while writer.write(entry(Uuid::from_u128(2), None)).await.is_ok() {
        assert!(begun.elapsed() < Duration::from_secs(10), "reads go on without rows");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    superuser.execute("GRANT INSERT (actor_kind) ON audit_logs TO PUBLIC").await.unwrap();
    let begun = Instant::now();
    while writer.write(entry(Uuid::from_u128(3), None)).await.is_err() {
        assert!(begun.elapsed() < Duration::from_secs(10), "reads do not come back");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(writer.close(PATIENCE).await, 0);
    let first: i64 = sqlx::query_scalar("SELECT count(*) FROM audit_logs WHERE request_id = $1")
        .bind(Uuid::from_u128(1))
        .fetch_one(&mut superuser)
        .await
        .unwrap();
    assert_eq!(first, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn closing_ends_while_rows_are_owed_and_says_how_many_are_lost() {
    let database = TestDatabase::create().await;
    let app = database.system(SystemRole::App).await;
    let mut superuser = database.superuser().await;
    let options = WriterOptions { release: Release::AtOnce, batch: 3, ..WriterOptions::default() };
    let writer = AuditWriter::start(app, options);
    superuser.execute("BEGIN; LOCK TABLE audit_logs IN ACCESS EXCLUSIVE MODE").await.unwrap();
    for number in 0..10 {
        writer.write(entry(Uuid::from_u128(number + 1), None)).await.unwrap();
    }
    let begun = Instant::now();
    let lost = tokio::time::timeout(PATIENCE, writer.close(Duration::from_millis(300))).await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    assert_eq!(lost, 10);
    superuser.execute("ROLLBACK").await.unwrap();
    assert_eq!(writer.close(PATIENCE).await, 0, "they are lost once");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_read_is_answered_at_once_while_one_of_the_writers_still_owes() {
    let database = TestDatabase::create().await;
    let app = database.system(SystemRole::App).await;
    let mut superuser = database.superuser().await;
    let options = WriterOptions { release: Release::AtOnce, batch: 1, ..WriterOptions::default() };
    let writer = AuditWriter::start(app, options);
    // One writer's row can be written again before the other's.
    let refuse = |action: &str| {
        format!(
            "ALTER TABLE audit_logs DROP CONSTRAINT IF EXISTS refused;
             ALTER TABLE audit_logs ADD CONSTRAINT refused CHECK (action NOT IN ({action})) NOT VALID"
        )
    };
    superuser.execute(sqlx::AssertSqlSafe(refuse("'patient.first', 'patient.second'"))).await.unwrap();
    let named = |action: &'static str, number: u128| Entry {
        action: action.into(),
        ..entry(Uuid::from_u128(number), None)
    };
    writer.write(named("patient.first", 1)).await.unwrap();
    writer.write(named("patient.second", 2)).await.unwrap();
    let begun = Instant::now();
    while writer.write(named("patient.third", 3)).await.is_ok() {
        assert!(begun.elapsed() < Duration::from_secs(10), "reads go on without rows");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // By now both may have tried, and the second is given the time to.
    tokio::time::sleep(Duration::from_millis(300)).await;
    superuser.execute(sqlx::AssertSqlSafe(refuse("'patient.second'"))).await.unwrap();
    let begun = Instant::now();
    loop {
        let first: i64 = sqlx::query_scalar("SELECT count(*) FROM audit_logs WHERE action = 'patient.first'")
            .fetch_one(&mut superuser)
            .await
            .unwrap();
        if first == 1 {
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(10), "the first is not written");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(matches!(writer.write(named("patient.third", 4)).await, Err(AuditError::Overloaded)));
    superuser.execute("ALTER TABLE audit_logs DROP CONSTRAINT refused").await.unwrap();
    assert_eq!(writer.close(PATIENCE).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_refuses() {
    let database = TestDatabase::create().await;
    let app = database.system(SystemRole::App).await;
    let mut superuser = database.superuser().await;
    let writer = AuditWriter::start(app, WriterOptions { queue: 4, batch: 1, ..WriterOptions::default() });
    superuser.execute("BEGIN; LOCK TABLE audit_logs IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let writes: Vec<_> = (0..50)
        .map(|number| {
            let writer = writer.clone();
            tokio::spawn(async move { writer.write(entry(Uuid::from_u128(number + 1), None)).await })
        })
        .collect();
    let begun = Instant::now();
    while writes.iter().filter(|write| write.is_finished()).count() < 44 {
        assert!(begun.elapsed() < Duration::from_secs(10), "nobody was refused");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    superuser.execute("ROLLBACK").await.unwrap();
    let mut refused = 0;
    for write in writes {
        match write.await.unwrap() {
            Ok(()) => {}
            Err(AuditError::Overloaded) => refused += 1,
            Err(other) => panic!("{other:?}"),
        }
    }
    assert!((44..=46).contains(&refused), "{refused}");
    assert_eq!(count(&database).await, 50 - refused);
}
