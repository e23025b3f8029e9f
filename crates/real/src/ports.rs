//! Ports to tell a server before it listens.

use std::{
    hash::{BuildHasher, Hasher, RandomState},
    net::{TcpListener, UdpSocket},
    sync::{LazyLock, Mutex, PoisonError},
};

/// Below the ports that Linux gives to connections by itself (`ip_local_port_range`): a server that restarts finds its own free.
const RANGE: std::ops::Range<u16> = 20_000..32_768;

/// Where the next search begins. No process begins where another does, and none is given a port twice before all are.
static NEXT: LazyLock<Mutex<u16>> = LazyLock::new(|| {
    let [high, low, ..] = RandomState::new().build_hasher().finish().to_be_bytes();
    Mutex::new(RANGE.start + u16::from_be_bytes([high, low]) % (RANGE.end - RANGE.start))
});

/// Ports of 127.0.0.1 that nobody listens on, for TCP and UDP, and that the system gives to nobody by itself.
pub fn free_ports(count: usize) -> Vec<u16> {
    let mut next = NEXT.lock().unwrap_or_else(PoisonError::into_inner);
    let mut ports = Vec::new();
    for _ in RANGE {
        if ports.len() == count {
            return ports;
        }
        let port = *next;
        *next = if port + 1 == RANGE.end { RANGE.start } else { port + 1 };
        if TcpListener::bind(("127.0.0.1", port)).is_ok() && UdpSocket::bind(("127.0.0.1", port)).is_ok() {
            ports.push(port);
        }
    }
    panic!("{count} free ports")
}

/// One such port.
pub fn free_port() -> u16 {
    free_ports(1)[0]
}
