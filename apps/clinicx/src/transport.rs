//! HTTP/1.1 on TCP: actix's, with a deadline for the head of every request.
//!
//! actix-http's own deadline (`client_request_timeout`) holds for the first request of a connection alone: whoever has
//! got one answer could keep the connection with half a head for ever. Here the stream under it keeps the time: from the
//! first byte after an answer on, the next head has to be complete within the same deadline.

use std::{
    cell::Cell,
    io,
    net::{SocketAddr, TcpListener},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
    time::Duration,
};

use actix_http::{HttpService, Protocol, error::DispatchError};
use actix_server::{Server, ServerBuilder};
use actix_service::{IntoServiceFactory, ServiceFactoryExt, fn_service, map_config};
use actix_web::{
    App,
    dev::{AppConfig, Service},
};
use clinicx_web::Kit;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpSocket, TcpStream},
    time::{Instant, Sleep, sleep_until},
};

/// How long an idle connection is kept for a further request.
const KEEP_ALIVE: Duration = Duration::from_secs(75);
/// How many connections may wait to be accepted.
const BACKLOG: u32 = 1024;
/// What a client is given beyond actix's own deadline, whose 408 is the better end.
const GRACE: Duration = Duration::from_secs(1);

/// Listens on an address, which connections that have just ended there don't hold up.
///
/// # Errors
/// The address is in use or is not this machine's.
pub(crate) fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)?.into_std()
}

/// Serves a kit on a listener; `head` is how long the head of a request may take.
///
/// # Errors
/// The listener can't be used.
pub(crate) fn server(
    builder: ServerBuilder,
    listener: TcpListener,
    kit: &Kit,
    head: Duration,
) -> io::Result<Server> {
    let local = listener.local_addr()?;
    let stopping = builder.graceful_shutdown_signal();
    let kit = kit.clone();
    let builder = builder.listen("clinicx", listener, move || {
        let stopping = stopping.clone();
        let app = App::new().configure(kit.configure()).wrap_fn(|request, service| {
            let place = request.conn_data::<Place>().cloned();
            place.iter().for_each(Place::answering);
            let answer = service.call(request);
            async move {
                let answer = answer.await;
                place.iter().for_each(Place::answered);
                answer
            }
        });
        let app = app.into_factory().map_err(|error: actix_web::Error| error.error_response());
        let http = HttpService::build()
            .graceful_shutdown_signal(move || {
                let stopping = stopping.clone();
                async move { stopping.notified().await }
            })
            .keep_alive(KEEP_ALIVE)
            .client_request_timeout(head)
            .local_addr(local)
            .on_connect_ext(|stream: &TimedStream, data| {
                data.insert(stream.place.clone());
            })
            .finish(map_config(app, |()| AppConfig::default()));
        fn_service(move |stream: TcpStream| async move {
            let peer = stream.peer_addr().ok();
            // Without it an answer of two writes waits for the client's acknowledgement of the first.
            let _ = stream.set_nodelay(true);
            Ok::<_, DispatchError>((TimedStream::new(stream, head + GRACE), Protocol::Http1, peer))
        })
        .and_then(http)
    })?;
    Ok(builder.run())
}

/// Where a connection stands between its requests; the stream and the requests of a connection share it.
#[derive(Clone, Debug)]
struct Place(Rc<Cell<Phase>>);

#[derive(Clone, Copy, Debug)]
enum Phase {
    /// Before the first request, which actix times, and while an answer is made: its body has deadlines of its own.
    /// Bytes that come meanwhile are of that body, or of the next head.
    Answering { more: bool },
    /// Nothing of the next head has come.
    Between,
    /// Some of the next head has come, or may have; it has to be complete at this time.
    Arriving { due: Instant },
}

impl Place {
    fn answering(&self) {
        self.0.set(Phase::Answering { more: false });
    }

    fn answered(&self) {
        self.0.set(match self.0.get() {
            Phase::Answering { more: true } => Phase::Arriving { due: Instant::now() + KEEP_ALIVE },
            _ => Phase::Between,
        });
    }

    fn read(&self, limit: Duration) {
        match self.0.get() {
            Phase::Answering { .. } => self.0.set(Phase::Answering { more: true }),
            Phase::Between => self.0.set(Phase::Arriving { due: Instant::now() + limit }),
            Phase::Arriving { .. } => {}
        }
    }
}

/// A connection that ends when a head takes too long.
struct TimedStream {
    stream: TcpStream,
    place: Place,
    limit: Duration,
    alarm: Pin<Box<Sleep>>,
}

impl TimedStream {
    fn new(stream: TcpStream, limit: Duration) -> Self {
        let place = Place(Rc::new(Cell::new(Phase::Answering { more: false })));
        Self { stream, place, limit, alarm: Box::pin(sleep_until(Instant::now() + limit)) }
    }

    /// Is ready when the head that is arriving has taken too long.
    fn poll_late(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Phase::Arriving { due } = self.place.0.get() else { return Poll::Pending };
        if self.alarm.deadline() != due {
            self.alarm.as_mut().reset(due);
        }
        self.alarm.as_mut().poll(cx)
    }
}

impl AsyncRead for TimedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.poll_late(cx).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        let before = buffer.filled().len();
        let read = ready!(Pin::new(&mut self.stream).poll_read(cx, buffer));
        if buffer.filled().len() > before {
            self.place.read(self.limit);
        }
        Poll::Ready(read)
    }
}

impl AsyncWrite for TimedStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
