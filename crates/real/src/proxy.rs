//! A network between a client and a server that can fail.

use std::{
    io::{ErrorKind, Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU8, Ordering},
    },
    thread,
    time::Duration,
};

/// How often a connection looks whether something has changed.
const TICK: Duration = Duration::from_millis(10);

/// What the network does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Network {
    /// It works.
    Open,
    /// Nothing passes, either way; connections stay. What was sent meanwhile arrives when it works again.
    Cut,
    /// What clients send arrives, and what the server answers does not.
    Mute,
}

/// A TCP proxy on 127.0.0.1 in front of one server. Ends with the test.
pub struct Proxy {
    port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    upstream: u16,
    network: AtomicU8,
    over: AtomicBool,
    /// Client and server.
    connections: Mutex<Vec<[TcpStream; 2]>>,
}

impl Proxy {
    /// Listens on a free port for the server at `upstream`, which need not run yet.
    pub fn start(upstream: u16) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let shared = Arc::new(Shared {
            upstream,
            network: AtomicU8::new(Network::Open as u8),
            over: AtomicBool::new(false),
            connections: Mutex::default(),
        });
        let accepting = shared.clone();
        thread::spawn(move || {
            for client in listener.incoming() {
                if accepting.over.load(Ordering::SeqCst) {
                    return;
                }
                if let Ok(client) = client {
                    accepting.connect(client);
                }
            }
        });
        Proxy { port, shared }
    }

    /// Where clients connect to.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Changes the network.
    pub fn set(&self, network: Network) {
        self.shared.network.store(network as u8, Ordering::SeqCst);
    }

    /// Closes all connections; what was on its way is lost.
    pub fn reset(&self) {
        let mut connections = self.shared.connections.lock().expect("no test panicked here");
        for connection in connections.drain(..).flatten() {
            let _ = connection.shutdown(Shutdown::Both);
        }
    }

    /// Tells clients that the server has said its last word, while what they send goes on arriving.
    pub fn half_close(&self) {
        for [client, _] in self.shared.connections.lock().expect("no test panicked here").iter() {
            let _ = client.shutdown(Shutdown::Write);
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::SeqCst);
        self.reset();
        // Wakes the thread that accepts.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

impl Shared {
    /// A client whose server does not listen is hung up on.
    fn connect(self: &Arc<Self>, client: TcpStream) {
        let Ok(server) = TcpStream::connect(("127.0.0.1", self.upstream)) else { return };
        let copies = || Some([client.try_clone().ok()?, server.try_clone().ok()?]);
        let (Some(for_reset), Some([client_out, server_out])) = (copies(), copies()) else { return };
        self.connections.lock().expect("no test panicked here").push(for_reset);
        for (from, to, muted) in [(client, server_out, false), (server, client_out, true)] {
            let shared = self.clone();
            thread::spawn(move || shared.pump(from, to, muted));
        }
    }

    /// Carries one direction, to its end; a half-closed connection stays one.
    fn pump(&self, mut from: TcpStream, mut to: TcpStream, answers: bool) {
        let mut buffer = vec![0; 64 << 10];
        let ticks = from.set_read_timeout(Some(TICK)).and_then(|()| from.set_nodelay(true)).is_ok();
        while ticks && self.passes(answers) {
            let read = match from.read(&mut buffer) {
                Ok(0) => {
                    let _ = to.shutdown(Shutdown::Write);
                    return;
                }
                Ok(read) => read,
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => continue,
                Err(_) => break,
            };
            if !self.passes(answers) || to.write_all(&buffer[..read]).is_err() {
                break;
            }
        }
        let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
    }

    /// Waits until the network lets this direction pass. `false` if the test is over.
    fn passes(&self, answers: bool) -> bool {
        loop {
            let network = self.network.load(Ordering::SeqCst);
            let held = network == Network::Cut as u8 || (answers && network == Network::Mute as u8);
            if self.over.load(Ordering::SeqCst) || !held {
                return !self.over.load(Ordering::SeqCst);
            }
            thread::sleep(TICK);
        }
    }
}
