//! TLS towards the receiver: RFC 5425, on rustls with ring.

use headwater_contracts::{ConfigError, Tls};
use headwater_sink_kit::believe_anyone;
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
};
use std::{path::Path, sync::Arc};

/// A client configuration: TLS 1.2 or newer; the system's authorities and those of `ca_file`.
pub(crate) fn client(tls: &Tls) -> Result<Arc<ClientConfig>, ConfigError> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| ConfigError::new("tls", format!("TLS cannot be used: {error}")))?;
    let builder = if tls.verify == Some(false) {
        tracing::warn!("`tls.verify: false`: anyone on the way to the receiver can read the events and take them away");
        builder.dangerous().with_custom_certificate_verifier(believe_anyone(provider))
    } else {
        builder.with_root_certificates(authorities(tls.ca_file.as_deref())?)
    };
    let config = match (&tls.cert_file, &tls.key_file) {
        (Some(cert), Some(key)) => {
            let chain = certificates("tls.cert_file", cert)?;
            let key = PrivateKeyDer::from_pem_file(key).map_err(|error| {
                ConfigError::new("tls.key_file", format!("`{}` holds no usable PEM key: {error}", key.display()))
            })?;
            builder.with_client_auth_cert(chain, key).map_err(|error| {
                ConfigError::new("tls.cert_file", format!("no usable client certificate and key: {error}"))
            })?
        }
        (None, None) => builder.with_no_client_auth(),
        (Some(_), None) => return Err(ConfigError::new("tls.cert_file", "a client certificate needs its `key_file`")),
        (None, Some(_)) => return Err(ConfigError::new("tls.key_file", "a client key needs its `cert_file`")),
    };
    Ok(Arc::new(config))
}

/// The name or address that the server's certificate must be for.
pub(crate) fn server_name(host: &str) -> Result<ServerName<'static>, ConfigError> {
    ServerName::try_from(host.to_owned())
        .map_err(|_| ConfigError::new("address", format!("`{host}` is no name that a certificate could be for")))
}

fn authorities(ca_file: Option<&Path>) -> Result<RootCertStore, ConfigError> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if let Some(path) = ca_file {
        for certificate in certificates("tls.ca_file", path)? {
            roots.add(certificate).map_err(|error| {
                ConfigError::new("tls.ca_file", format!("`{}` holds no usable authority: {error}", path.display()))
            })?;
        }
    }
    if roots.is_empty() {
        let problem = "the system has no certificate authorities: name one with `ca_file`";
        return Err(ConfigError::new("tls", problem));
    }
    Ok(roots)
}

fn certificates(field: &str, path: &Path) -> Result<Vec<CertificateDer<'static>>, ConfigError> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    match read {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        Ok(_) => Err(ConfigError::new(field, format!("`{}` holds no PEM certificate", path.display()))),
        Err(error) => Err(ConfigError::new(field, format!("cannot read `{}`: {error}", path.display()))),
    }
}
