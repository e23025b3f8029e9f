//! How a stream to the receiver is opened.

use crate::{address::Address, stream::Connection, tls};
use headwater_contracts::{ConfigError, Tls};
use headwater_sink_kit::{Names, TlsFiles};
use rustls::{ClientConfig, ProtocolVersion, pki_types::ServerName};
use socket2::{SockRef, TcpKeepalive};
use std::{
    io::{self, ErrorKind},
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;

/// How long a server may take, after a handshake of TLS 1.3, to refuse our certificate.
const OBJECTION: Duration = Duration::from_secs(1);

/// A receiver that is written to as a stream.
pub(crate) enum Receiver {
    Tcp(Address),
    Tls(Address, Secure),
    Unix(PathBuf),
}

/// How a receiver is spoken to over TLS.
pub(crate) struct Secure {
    name: ServerName<'static>,
    now: Mutex<(TlsFiles, Arc<ClientConfig>)>,
}

impl Secure {
    /// Towards the server of this name. Reads the files of the options.
    pub(crate) fn new(name: ServerName<'static>, options: &Tls) -> Result<Self, ConfigError> {
        let now = (TlsFiles::of(options), tls::client(options)?);
        Ok(Self { name, now: Mutex::new(now) })
    }

    /// What the next connection is to be opened with: certificates and keys as they are now. Those that cannot be used, as while
    /// they are being replaced, leave it as it was.
    fn config(&self) -> Arc<ClientConfig> {
        let (files, config) = &mut *self.now.lock().unwrap_or_else(PoisonError::into_inner);
        if files.have_changed() {
            match tls::client(files.tls()) {
                Ok(changed) => {
                    tracing::info!("the certificates of `tls` have changed, and are used from now on");
                    *config = changed;
                }
                Err(error) => tracing::warn!("the changed certificates are not used: `{}`: {error}", error.field),
            }
        }
        config.clone()
    }
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
            Self::Tls(address, secure) => {
                let config = secure.config();
                let stream = tcp(address).await?;
                let probe = SockRef::from(&stream).try_clone()?;
                let stream = TlsConnector::from(config).connect(secure.name.clone(), stream).await?;
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
    let mut found = Names::default().look_up(&address.host).await?;
    for one in &mut found {
        one.set_port(address.port);
    }
    let stream = TcpStream::connect(&found[..]).await?;
    stream.set_nodelay(true)?;
    // A receiver that vanished without a word is noticed while nothing is sent, too.
    let keepalive = TcpKeepalive::new().with_time(Duration::from_mins(1)).with_interval(Duration::from_secs(10));
    SockRef::from(&stream).set_tcp_keepalive(&keepalive)?;
    Ok(stream)
}
