//! The throw-away server.

use clinicx_embedded_postgres::test_server::TestServer;
use sqlx::{Connection as _, PgConnection};

use crate::support::ask;

#[tokio::test]
async fn one_server_serves_every_runtime_of_the_process() {
    let server = TestServer::shared().unwrap();
    let mut connection = PgConnection::connect(&server.superuser_url("postgres")).await.unwrap();
    let one: i32 = sqlx::query_scalar("SELECT 1").fetch_one(&mut connection).await.unwrap();
    assert_eq!(one, 1);
    let other = std::thread::spawn(|| {
        tokio::runtime::Runtime::new().unwrap().block_on(async {
            let server = TestServer::shared().unwrap();
            PgConnection::connect(&server.superuser_url("postgres")).await.unwrap();
            server.folder().to_owned()
        })
    });
    assert_eq!(other.join().unwrap(), server.folder());
}

#[tokio::test]
async fn a_server_of_ones_own_is_gone_with_its_folder_when_it_is_dropped() {
    let server = TestServer::start().unwrap();
    let folder = server.folder().to_owned();
    assert!(folder.join("data").is_dir());
    let settings = ask(
        &server.superuser_url("postgres"),
        "SELECT string_agg(name || '=' || setting, ' ' ORDER BY name) FROM pg_settings \
         WHERE name IN ('fsync', 'full_page_writes', 'synchronous_commit', 'max_connections')",
    )
    .await;
    assert_eq!(settings, "fsync=off full_page_writes=off max_connections=600 synchronous_commit=off");
    drop(server);
    assert!(!folder.exists());
}
