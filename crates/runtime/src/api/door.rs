//! The door of the HTTP API: how many may come in at once, and how long they may take. Whoever reaches the API must not be able to
//! take the descriptors and the memory that reading needs.

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use std::{io, pin::pin, sync::Arc, time::Duration};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::JoinSet,
    time::{sleep, timeout},
};

/// Longest head of a request, bytes.
const HEAD_MAX: usize = 32 << 10;

/// What clients may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Connections at once; who comes later waits in the queue of the system.
    pub(super) connections: usize,
    /// Time for the head of a request, and for a connection to be idle.
    pub(super) head: Duration,
    /// Time for a connection, whatever it does: an answer that nobody takes ends with it.
    pub(super) connection: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { connections: 64, head: Duration::from_secs(10), connection: Duration::from_mins(1) }
    }
}

/// Serves until dropped.
pub(super) async fn serve(listener: TcpListener, app: Router, limits: Limits) -> io::Result<()> {
    let places = Arc::new(Semaphore::new(limits.connections));
    let mut clients = JoinSet::new();
    loop {
        let place = places.clone().acquire_owned().await.map_err(io::Error::other)?;
        while clients.try_join_next().is_some() {}
        match listener.accept().await {
            Ok((stream, _)) => {
                let app = app.clone();
                clients.spawn(async move {
                    client(stream, app, limits).await;
                    drop(place);
                });
            }
            // The client has gone already, or there are no descriptors left.
            Err(_) => sleep(Duration::from_secs(1)).await,
        }
    }
}

/// Serves one connection.
async fn client(stream: TcpStream, app: Router, limits: Limits) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .max_buf_size(HEAD_MAX)
        .header_read_timeout(limits.head)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(app));
    let mut connection = pin!(connection);
    // A client that breaks off is its own business.
    if timeout(limits.connection, connection.as_mut()).await.is_err() {
        connection.as_mut().graceful_shutdown();
        let _ = timeout(limits.head, connection).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    /// Serves `ok`, and says where.
    async fn served(limits: Limits) -> (std::net::SocketAddr, JoinSet<io::Result<()>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut server = JoinSet::new();
        server.spawn(serve(listener, Router::new().route("/", get(|| async { "ok" })), limits));
        (address, server)
    }

    async fn answer(address: std::net::SocketAddr, request: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        String::from_utf8(answer).unwrap()
    }

    const WHOLE: &str = "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";

    #[tokio::test]
    async fn half_requests_are_shown_out_and_whole_ones_are_answered() {
        let head = Duration::from_millis(20);
        let (address, _server) = served(Limits { connections: 2, head, ..Limits::default() }).await;
        let mut held = Vec::new();
        for _ in 0..20 {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nX-slow: ").await.unwrap();
            held.push(stream);
        }
        // The places of those before it come free by themselves.
        assert!(answer(address, WHOLE).await.ends_with("ok"));
        for mut stream in held {
            let _ = stream.read_to_end(&mut Vec::new()).await;
        }
    }

    #[tokio::test]
    async fn an_idle_connection_ends_and_so_does_one_that_is_never_idle() {
        let short = Duration::from_millis(20);
        let (address, _server) = served(Limits { head: short, ..Limits::default() }).await;
        assert!(answer(address, &WHOLE.replace("close", "keep-alive")).await.ends_with("ok"));

        let (address, _server) = served(Limits { connection: short, ..Limits::default() }).await;
        assert_eq!(answer(address, "GET / HTTP/1.1\r\nHost: ").await, "");
    }

    #[tokio::test]
    async fn more_than_there_are_places_for_wait_outside() {
        let (address, _server) = served(Limits { connections: 1, ..Limits::default() }).await;
        let mut first = TcpStream::connect(address).await.unwrap();
        first.write_all(WHOLE.replace("close", "keep-alive").as_bytes()).await.unwrap();
        first.read_u8().await.unwrap();
        // The only place is taken now, for as long as the first stays.
        let mut second = TcpStream::connect(address).await.unwrap();
        second.write_all(WHOLE.as_bytes()).await.unwrap();
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        assert!(second.try_read(&mut [0]).is_err(), "it waits");
        drop(first);
        assert_eq!(second.read_u8().await.unwrap(), b'H');
    }
}
