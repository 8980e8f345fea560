//! What only shows on a socket: lengths, closed connections, bodies that do not arrive.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use actix_web::{App, HttpServer};

use crate::module::Client;

/// Sends bytes and returns everything that comes back until the server closes.
async fn exchange(address: SocketAddr, request: &'static str) -> String {
    let talk = move || {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    tokio::task::spawn_blocking(talk).await.unwrap()
}

#[actix_web::test]
async fn what_goes_over_the_wire_is_right() {
    let kit = Client::new().into_kit();
    let server = HttpServer::new(move || App::new().configure(kit.configure()))
        .workers(1)
        .bind("127.0.0.1:0")
        .unwrap();
    let address = server.addrs()[0];
    let server = server.disable_signals().run();
    let handle = server.handle();
    let running = actix_web::rt::spawn(server);
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
