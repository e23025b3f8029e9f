//! A syslog receiver of every kind, which keeps what it gets and can be broken.

use crate::{certificates::Certificates, parser::frames};
use serde_json::{Value, json};
use std::{
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    net::{TcpListener, UdpSocket, UnixDatagram, UnixListener},
    task::JoinHandle,
};
use tokio_rustls::TlsAcceptor;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Octets,
    Lines,
    Tls,
    Udp,
    UnixStream,
    UnixDatagram,
}

pub(crate) const KINDS: [Kind; 6] =
    [Kind::Octets, Kind::Lines, Kind::Tls, Kind::Udp, Kind::UnixStream, Kind::UnixDatagram];

pub(crate) struct Receiver {
    kind: Kind,
    dir: TempDir,
    certificates: Certificates,
    address: String,
    got: Arc<Mutex<Got>>,
    tasks: Arc<Mutex<Vec<JoinHandle<()>>>>,
}

#[derive(Default)]
struct Got {
    /// Streams by connection; each datagram is one that has ended.
    streams: Vec<Vec<u8>>,
}

impl Receiver {
    /// Not listening yet.
    pub(crate) fn new(kind: Kind) -> Self {
        Self {
            kind,
            dir: tempfile::tempdir().unwrap(),
            certificates: Certificates::new(),
            address: format!("127.0.0.1:{}", headwater_real::free_port()),
            got: Arc::default(),
            tasks: Arc::default(),
        }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("log")
    }

    /// The sink's options.
    pub(crate) fn options(&self) -> Value {
        let mut options = match self.kind {
            Kind::Octets => json!({"mode": "tcp", "address": self.address}),
            Kind::Lines => json!({"mode": "tcp", "address": self.address, "framing": "newline"}),
            Kind::Tls => json!({"mode": "tls", "address": self.address, "tls": self.certificates.mutual()}),
            Kind::Udp => json!({"mode": "udp", "address": self.address}),
            Kind::UnixStream => json!({"mode": "unix", "path": self.path(), "unix_mode": "stream"}),
            Kind::UnixDatagram => json!({"mode": "unix", "path": self.path()}),
        };
        options["max_length"] = json!(60_000);
        options
    }

    /// Begins to listen.
    pub(crate) async fn up(&self) {
        let (got, tasks) = (self.got.clone(), self.tasks.clone());
        let task = match self.kind {
            Kind::Octets | Kind::Lines => {
                let listener = TcpListener::bind(&self.address).await.unwrap();
                tokio::spawn(async move {
                    while let Ok((stream, _)) = listener.accept().await {
                        keep(&tasks, tokio::spawn(read(stream, got.clone())));
                    }
                })
            }
            Kind::Tls => {
                let listener = TcpListener::bind(&self.address).await.unwrap();
                let acceptor = TlsAcceptor::from(self.certificates.server());
                tokio::spawn(async move {
                    while let Ok((stream, _)) = listener.accept().await {
                        let (acceptor, got) = (acceptor.clone(), got.clone());
                        let connection = async move {
                            if let Ok(stream) = acceptor.accept(stream).await {
                                read(stream, got).await;
                            }
                        };
                        keep(&tasks, tokio::spawn(connection));
                    }
                })
            }
            Kind::UnixStream => {
                let listener = UnixListener::bind(self.path()).unwrap();
                tokio::spawn(async move {
                    while let Ok((stream, _)) = listener.accept().await {
                        keep(&tasks, tokio::spawn(read(stream, got.clone())));
                    }
                })
            }
            Kind::Udp => {
                let socket = UdpSocket::bind(&self.address).await.unwrap();
                tokio::spawn(async move {
                    let mut space = vec![0; 1 << 16];
                    // An error is a reader's own: the sender's address refused an answer that was never sent.
                    while let Ok(length) = socket.recv(&mut space).await {
                        got.lock().unwrap().streams.push(space[..length].to_vec());
                    }
                })
            }
            Kind::UnixDatagram => {
                let socket = UnixDatagram::bind(self.path()).unwrap();
                tokio::spawn(async move {
                    let mut space = vec![0; 1 << 18];
                    while let Ok(length) = socket.recv(&mut space).await {
                        got.lock().unwrap().streams.push(space[..length].to_vec());
                    }
                })
            }
        };
        keep(&self.tasks, task);
    }

    /// Closes everything.
    pub(crate) async fn down(&self) {
        loop {
            let tasks = std::mem::take(&mut *self.tasks.lock().unwrap());
            if tasks.is_empty() {
                break;
            }
            for task in tasks {
                task.abort();
                let _ = task.await;
            }
        }
        let _ = std::fs::remove_file(self.path());
    }

    /// The messages of each connection so far, once no more come.
    pub(crate) async fn connections(&self) -> Vec<Vec<Vec<u8>>> {
        let size = || self.got.lock().unwrap().streams.iter().map(Vec::len).sum::<usize>();
        let (mut before, mut quiet) = (size(), 0);
        while quiet < 5 {
            tokio::time::sleep(Duration::from_millis(10)).await;
            quiet = if size() == before { quiet + 1 } else { 0 };
            before = size();
        }
        let got = self.got.lock().unwrap();
        let messages = |stream: &Vec<u8>| match self.kind {
            Kind::Udp | Kind::UnixDatagram => vec![stream.clone()],
            kind => {
                let (mut messages, rest) = frames(kind == Kind::Lines, stream);
                if !rest.is_empty() {
                    messages.push(b"torn".to_vec());
                }
                messages
            }
        };
        got.streams.iter().map(messages).collect()
    }

    pub(crate) async fn messages(&self) -> Vec<Vec<u8>> {
        self.connections().await.into_iter().flatten().collect()
    }
}

fn keep(tasks: &Mutex<Vec<JoinHandle<()>>>, task: JoinHandle<()>) {
    tasks.lock().unwrap().push(task);
}

async fn read(mut stream: impl AsyncRead + Unpin, got: Arc<Mutex<Got>>) {
    let index = {
        let mut got = got.lock().unwrap();
        got.streams.push(Vec::new());
        got.streams.len() - 1
    };
    let mut space = vec![0; 1 << 16];
    while let Ok(length @ 1..) = stream.read(&mut space).await {
        got.lock().unwrap().streams[index].extend_from_slice(&space[..length]);
    }
}
