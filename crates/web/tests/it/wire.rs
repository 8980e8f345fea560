//! What only shows on a socket: lengths, closed connections, bodies that do not arrive.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use actix_web::{App, HttpServer, dev::ServerHandle, rt::task::JoinHandle};

use crate::module::Client;

/// Sends bytes and returns everything that comes back until the server closes.
async fn exchange(address: SocketAddr, request: &'static str) -> String {
    let talk = move || {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        // A server that has seen enough closes while the rest is on its way.
        let _ = stream.write_all(request.as_bytes());
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8(answer).unwrap()
    };
    tokio::task::spawn_blocking(talk).await.unwrap()
}

/// Serves the test's module on a port of its own.
fn serve() -> (SocketAddr, ServerHandle, JoinHandle<std::io::Result<()>>) {
    let kit = Client::new().into_kit();
    let server = HttpServer::new(move || App::new().configure(kit.configure()))
        .workers(1)
        .client_request_timeout(Duration::from_millis(500))
        .bind("127.0.0.1:0")
        .unwrap();
    let address = server.addrs()[0];
    let server = server.disable_signals().run();
    let handle = server.handle();
    (address, handle, actix_web::rt::spawn(server))
}

/// What does not become a request never reaches the kit: actix answers it from inside its reading of the
/// connection, without content, and closes. What does become one is answered by the kit, however odd it is.
#[actix_web::test]
async fn what_is_no_request_is_refused_and_the_connection_closed() {
    let (address, handle, running) = serve();
    let long = |bytes: usize| -> &'static str { "x".repeat(bytes).leak() };
    let header: &'static str = format!("GET / HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n", long(200_000)).leak();
    let target: &'static str = format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", long(70_000)).leak();
    for (request, status) in [
        ("RUBBISH\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nHost x\r\n\r\n", "400"),
        ("GET / HTTP/9.9\r\nHost: x\r\n\r\n", "400"),
        ("POST /api/v1/things HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", "400"),
        (
            "POST /api/v1/things HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n{}",
            "400",
        ),
        ("GET / HTTP/1.1\r\nHost: x\r\nX: a", "408"),
        (target, "400"),
        (header, "431"),
    ] {
        let shown = &request[..request.len().min(60)];
        let answer = exchange(address, request).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{shown:?}: {answer}");
        assert!(answer.ends_with("\r\n\r\n"), "{shown:?}: {answer}");
        assert!(!answer.contains("xxxx"), "nothing of it comes back: {shown:?}");
    }
    for (request, status) in [
        ("GET /%zz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "404"),
        ("BREW /api/v1/things HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "405"),
    ] {
        let answer = exchange(address, request).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{request:?}: {answer}");
        assert!(answer.contains("content-type: application/problem+json"), "{request:?}: {answer}");
    }
    handle.stop(true).await;
    running.await.unwrap().unwrap();
}

#[actix_web::test]
async fn what_goes_over_the_wire_is_right() {
    let (address, handle, running) = serve();
    let head = exchange(
        address,
        "HEAD /api/v1/things/00000000-0000-0000-0000-000000000001 HTTP/1.1\r\nHost: x\r\n\
         Authorization: Bearer doctor\r\nConnection: close\r\n\r\n",
    )
    .await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    assert!(head.ends_with("\r\n\r\n") && head.contains("content-length: "), "no body, its length: {head}");
    let known = exchange(
        address,
        "GET /api/v1/things/00000000-0000-0000-0000-000000000001 HTTP/1.1\r\nHost: x\r\n\
         Authorization: Bearer doctor\r\nIf-None-Match: \"3\"\r\nConnection: close\r\n\r\n",
    )
    .await;
    assert!(known.starts_with("HTTP/1.1 304") && known.ends_with("\r\n\r\n"), "{known}");
    let large = exchange(
        address,
        "POST /api/v1/things HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer doctor\r\n\
         Content-Type: application/json\r\nContent-Length: 100000000\r\n\r\n{",
    )
    .await;
    assert!(large.starts_with("HTTP/1.1 413") && large.contains("connection: close"), "{large}");
    let slow = exchange(
        address,
        "POST /api/v1/things HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer doctor\r\n\
         Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{",
    )
    .await;
    assert!(slow.starts_with("HTTP/1.1 408") && slow.contains("connection: close"), "{slow}");
    handle.stop(true).await;
    running.await.unwrap().unwrap();
}
