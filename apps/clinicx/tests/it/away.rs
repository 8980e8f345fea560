//! The service while PostgreSQL is away.

use std::time::{Duration, Instant};

use clinicx::{config::Secret, server::Service};
use clinicx_embedded_postgres::TestServer;
use reqwest::Client;
use serde_json::json;

use crate::support::{Api, OPERATOR, configuration};

#[tokio::test(flavor = "multi_thread")]
async fn it_answers_503_and_ends_within_seconds() {
    let server = TestServer::start().unwrap();
    let mut config = configuration("away").await;
    config.database.url = Some(Secret::new(server.superuser_url("postgres")));
    clinicx::cli::migrate::system(&config).await.unwrap();
    let service = Service::start(&config).await.unwrap();
    let anonymous = Api { base: format!("http://{}", service.address()), token: None, client: Client::new() };
    let operator = anonymous.login(json!({"email": OPERATOR.0, "password": OPERATOR.1})).await;
    operator.get("/platform/tenants").await.expect(200);
    drop(server);
    operator.get("/platform/tenants").await.expect_problem(503, "unavailable");
    let log_in = anonymous.post("/auth/login", json!({"email": OPERATOR.0, "password": OPERATOR.1})).await;
    let problem = log_in.expect_problem(503, "unavailable");
    assert!(problem["detail"].as_str().unwrap().contains("temporarily unavailable"), "{problem}");
    let ready = anonymous.get("//readyz").await;
    assert_eq!((ready.status.as_u16(), ready.header("retry-after")), (503, "2"), "{}", ready.text);
    drop((anonymous, operator));
    let started = Instant::now();
    tokio::time::timeout(Duration::from_secs(60), service.stop()).await.expect("it ends");
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
}
