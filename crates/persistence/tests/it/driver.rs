//! What is relied on of the driver beyond its documentation.

use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, Row};

use crate::support::World;

async fn name(pg: &mut PgConnection) -> String {
    let row = pg.fetch_one("SELECT current_setting('application_name')").await.unwrap();
    row.get(0)
}

/// A batch that opens no transaction is acknowledged to its end when, and only when, it answers `BeginFailed`.
#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_leaves_no_transaction_open_says_so_after_all_of_it_was_acknowledged() {
    let world = World::new(0).await;
    let mut pg = PgConnection::connect_with(&world.options()).await.unwrap();
    let batch =
        async |pg: &mut PgConnection, sql: &str| pg.begin_with(AssertSqlSafe(sql.to_owned())).await.map(drop);

    let done = batch(&mut pg, "SET lock_timeout TO 7; SET application_name TO 'first'").await;
    assert!(matches!(done, Err(sqlx::Error::BeginFailed)), "{done:?}");
    assert_eq!(name(&mut pg).await, "first");
    assert!(!pg.is_in_transaction());

    for failing in [
        "SET application_name TO 'second'; SET ROLE nobody_of_this_name",
        "SET ROLE nobody_of_this_name; SET application_name TO 'second'",
    ] {
        let failed = batch(&mut pg, failing).await;
        assert!(matches!(failed, Err(sqlx::Error::Database(_))), "{failed:?}");
        assert_eq!(name(&mut pg).await, "first", "nothing of it is left");
    }

    let open = batch(&mut pg, "BEGIN; SET application_name TO 'third'").await;
    assert!(open.is_ok(), "an open transaction is told apart: {open:?}");
    assert_eq!(name(&mut pg).await, "first", "dropping it rolls back");

    // Nothing is left behind that would come before the next statement.
    let again = batch(&mut pg, "SET application_name TO 'fourth'").await;
    assert!(matches!(again, Err(sqlx::Error::BeginFailed)), "{again:?}");
    assert_eq!(name(&mut pg).await, "fourth");

    let killed =
        batch(&mut pg, "SET application_name TO 'x'; SELECT pg_terminate_backend(pg_backend_pid())").await;
    assert!(matches!(killed, Err(sqlx::Error::Database(_) | sqlx::Error::Io(_))), "{killed:?}");
}
