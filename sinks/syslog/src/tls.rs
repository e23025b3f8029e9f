//! TLS towards the receiver: RFC 5425, on rustls with ring.

use headwater_contracts::{ConfigError, Tls};
use headwater_sink_kit::Trust;
use rustls::{ClientConfig, pki_types::ServerName};
use std::sync::Arc;

/// A client configuration: TLS 1.2 or newer; the system's authorities and those of `ca_file`.
pub(crate) fn client(tls: &Tls) -> Result<Arc<ClientConfig>, ConfigError> {
    Trust::new(tls)?.client_config(&[]).map(Arc::new)
}

/// The name or address that the server's certificate must be for.
pub(crate) fn server_name(host: &str) -> Result<ServerName<'static>, ConfigError> {
    ServerName::try_from(host.to_owned())
        .map_err(|_| ConfigError::new("address", format!("`{host}` is no name that a certificate could be for")))
}
