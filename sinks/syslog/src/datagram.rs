//! Datagrams: one message each.

use crate::address::Address;
use bytes::Bytes;
use std::{
    io::{self, ErrorKind},
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};
use tokio::{
    net::{UdpSocket, UnixDatagram, lookup_host},
    time::timeout,
};

/// A receiver that is sent datagrams.
pub(crate) enum Mailbox {
    Udp(Address),
    Unix(PathBuf),
}

/// An open socket, and what has been begun on it.
pub(crate) struct Mailer {
    socket: Socket,
    unfinished: Option<Messages>,
}

enum Socket {
    Udp(UdpSocket),
    Unix(UnixDatagram),
}

/// Messages on their way.
struct Messages {
    all: Vec<Bytes>,
    sent: usize,
    /// Positions of those that the operating system finds too long.
    too_long: Vec<usize>,
}

impl Mailbox {
    pub(crate) async fn open(&self) -> io::Result<Mailer> {
        let socket = match self {
            Self::Unix(path) => {
                let socket = UnixDatagram::unbound()?;
                socket.connect(path)?;
                Socket::Unix(socket)
            }
            Self::Udp(address) => {
                let mut failure = io::Error::new(ErrorKind::NotFound, "the name has no address");
                let mut connected = None;
                for to in lookup_host((address.host.as_str(), address.port)).await? {
                    match udp(to).await {
                        Ok(socket) => {
                            connected = Some(socket);
                            break;
                        }
                        Err(error) => failure = error,
                    }
                }
                Socket::Udp(connected.ok_or(failure)?)
            }
        };
        Ok(Mailer { socket, unfinished: None })
    }
}

async fn udp(to: SocketAddr) -> io::Result<UdpSocket> {
    let any = if to.is_ipv4() { (Ipv4Addr::UNSPECIFIED, 0).into() } else { (Ipv6Addr::UNSPECIFIED, 0).into() };
    let socket = UdpSocket::bind::<SocketAddr>(any).await?;
    socket.connect(to).await?;
    Ok(socket)
}

impl Socket {
    async fn send(&self, message: &[u8]) -> io::Result<usize> {
        match self {
            Self::Udp(socket) => socket.send(message).await,
            Self::Unix(socket) => socket.send(message).await,
        }
    }
}

impl Mailer {
    /// Fails if the receiver's host has answered that nobody takes what was sent (UDP to a closed port).
    pub(crate) fn check(&self) -> io::Result<()> {
        let refused = match &self.socket {
            Socket::Udp(socket) => socket.take_error()?,
            Socket::Unix(socket) => socket.take_error()?,
        };
        refused.map_or(Ok(()), Err)
    }

    /// Sends each message as a datagram; answers with the positions of those that are too long for one. Fails if a unix
    /// socket's reader makes no room for `patience`. After a drop or such a failure, the same messages go on where they were.
    pub(crate) async fn send(&mut self, messages: Vec<Bytes>, patience: Duration) -> io::Result<Vec<usize>> {
        let fresh = self.unfinished.take().filter(|unfinished| unfinished.all == messages);
        let going = self.unfinished.insert(fresh.unwrap_or(Messages { all: messages, sent: 0, too_long: Vec::new() }));
        while let Some(message) = going.all.get(going.sent) {
            match timeout(patience, self.socket.send(message)).await {
                Ok(Ok(_)) => {}
                Ok(Err(error)) if is_too_long(&error) => going.too_long.push(going.sent),
                Ok(Err(error)) => return Err(error),
                Err(_) => {
                    let problem = format!("the reader of the socket has made no room for {patience:?}");
                    return Err(io::Error::new(ErrorKind::TimedOut, problem));
                }
            }
            going.sent += 1;
        }
        let too_long = std::mem::take(&mut going.too_long);
        self.unfinished = None;
        Ok(too_long)
    }
}

/// `EMSGSIZE`, which the standard library has no stable name for.
fn is_too_long(error: &io::Error) -> bool {
    const EMSGSIZE: i32 = if cfg!(target_os = "linux") { 90 } else { 40 };
    error.raw_os_error() == Some(EMSGSIZE)
}
