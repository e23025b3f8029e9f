//! How a stream to the receiver is opened.

use crate::{address::Address, stream::Connection};
use rustls::{ClientConfig, ProtocolVersion, pki_types::ServerName};
use socket2::{SockRef, TcpKeepalive};
use std::{
    io::{self, ErrorKind},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;

/// How long a server may take, after a handshake of TLS 1.3, to refuse our certificate.
const OBJECTION: Duration = Duration::from_secs(1);

/// A receiver that is written to as a stream.
pub(crate) enum Receiver {
    Tcp(Address),
    Tls(Address, ServerName<'static>, Arc<ClientConfig>),
    Unix(PathBuf),
}

impl Receiver {
    pub(crate) async fn connect(&self) -> io::Result<Connection> {
        self.open().await.map_err(|error| self.hint(error))
    }

    /// Says what may be behind it that a receiver closes a connection at its beginning: over TLS most often our certificate.
    pub(crate) fn hint(&self, error: io::Error) -> io::Error {
        let closed = [ErrorKind::UnexpectedEof, ErrorKind::ConnectionReset, ErrorKind::BrokenPipe];
        if !matches!(self, Self::Tls(..)) || !closed.contains(&error.kind()) {
            return error;
        }
        let hint = "the receiver has closed the connection at its beginning: does it want a client certificate \
                    (`tls.cert_file` and `tls.key_file`), or another one? Its log says";
        io::Error::new(error.kind(), hint)
    }

    async fn open(&self) -> io::Result<Connection> {
        match self {
            Self::Unix(path) => {
                let stream = UnixStream::connect(path).await?;
                let probe = SockRef::from(&stream).try_clone()?;
                Ok(Connection::new(probe, stream))
            }
            Self::Tcp(address) => {
                let stream = tcp(address).await?;
                let probe = SockRef::from(&stream).try_clone()?;
                Ok(Connection::new(probe, stream))
            }
            Self::Tls(address, name, config) => {
                let stream = tcp(address).await?;
                let probe = SockRef::from(&stream).try_clone()?;
                let stream = TlsConnector::from(config.clone()).connect(name.clone(), stream).await?;
                let (socket, session) = stream.get_ref();
                // In TLS 1.3 our side of the handshake is over before the server has looked at our certificate, or
                // missed one. What it says next, a session ticket or an alert, tells; one that has no tickets says nothing.
                if session.protocol_version() == Some(ProtocolVersion::TLSv1_3)
                    && let Ok(said) = tokio::time::timeout(OBJECTION, socket.peek(&mut [0])).await
                {
                    said?;
                }
                let mut connection = Connection::new(probe, stream);
                connection.check().await?;
                Ok(connection)
            }
        }
    }
}

async fn tcp(address: &Address) -> io::Result<TcpStream> {
    let stream = TcpStream::connect((address.host.as_str(), address.port)).await?;
    stream.set_nodelay(true)?;
    // A receiver that vanished without a word is noticed while nothing is sent, too.
    let keepalive = TcpKeepalive::new().with_time(Duration::from_mins(1)).with_interval(Duration::from_secs(10));
    SockRef::from(&stream).set_tcp_keepalive(&keepalive)?;
    Ok(stream)
}
