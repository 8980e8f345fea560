//! Connections that don't come to the end of a request's head, the first and every further one.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, sleep, timeout},
};

use crate::support::{configuration, start};

/// How long a head may take here.
const HEAD: Duration = Duration::from_millis(500);
/// When a test gives up waiting.
const PATIENCE: Duration = Duration::from_secs(20);
const WHOLE: &[u8] = b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n";

async fn service() -> String {
    let mut config = configuration("heads").await;
    config.http.header_timeout = HEAD;
    start(config).await.strip_prefix("http://").unwrap().to_owned()
}

/// Sends bytes and returns the head of the answer.
async fn ask(connection: &mut TcpStream, request: &[u8]) -> String {
    connection.write_all(request).await.unwrap();
    answer(connection).await
}

async fn answer(connection: &mut TcpStream) -> String {
    let mut buffer = [0; 4096];
    let read = timeout(PATIENCE, connection.read(&mut buffer)).await.expect("an answer").unwrap();
    String::from_utf8_lossy(&buffer[..read]).lines().next().unwrap_or_default().to_owned()
}

/// Waits until the service has closed the connection.
async fn closed(mut connection: TcpStream) -> Duration {
    let begun = Instant::now();
    let end = timeout(PATIENCE, connection.read_to_end(&mut Vec::new())).await;
    assert!(end.is_ok(), "the connection is still open after {PATIENCE:?}");
    begun.elapsed()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_has_to_be_complete_in_time_on_every_request_of_a_connection() {
    let address = service().await;
    // The first is told so.
    let mut first = TcpStream::connect(&address).await.unwrap();
    assert!(ask(&mut first, b"GET /heal").await.contains(" 408 "));
    // Half a head after an answer.
    let mut second = TcpStream::connect(&address).await.unwrap();
    assert!(ask(&mut second, WHOLE).await.contains(" 200 "));
    second.write_all(b"G").await.unwrap();
    assert!(closed(second).await >= HEAD);
    // A byte now and then wins no time.
    let mut dripping = TcpStream::connect(&address).await.unwrap();
    assert!(ask(&mut dripping, WHOLE).await.contains(" 200 "));
    let begun = Instant::now();
    while dripping.write_all(b"G").await.is_ok() {
        assert!(begun.elapsed() < PATIENCE, "the connection is still open");
        sleep(HEAD / 5).await;
    }
    // A head that comes in pieces, but in time, is answered.
    let mut pieces = TcpStream::connect(&address).await.unwrap();
    for _ in 0..3 {
        let (half, rest) = WHOLE.split_at(10);
        pieces.write_all(half).await.unwrap();
        sleep(HEAD / 5).await;
        assert!(ask(&mut pieces, rest).await.contains(" 200 "));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_connection_and_a_body_have_longer_than_a_head() {
    let address = service().await;
    let mut connection = TcpStream::connect(&address).await.unwrap();
    assert!(ask(&mut connection, WHOLE).await.contains(" 200 "));
    // Idle for longer than a head may take; then a body that comes later than one.
    for _ in 0..2 {
        sleep(3 * HEAD).await;
        let body = r#"{"email":"nobody@nowhere.example","password":"is not right"}"#;
        let head = format!(
            "POST /api/v1/auth/login HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        connection.write_all(head.as_bytes()).await.unwrap();
        sleep(3 * HEAD).await;
        assert!(ask(&mut connection, body.as_bytes()).await.contains(" 401 "));
    }
    sleep(3 * HEAD).await;
    assert!(ask(&mut connection, WHOLE).await.contains(" 200 "));
}
