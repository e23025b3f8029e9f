//! TLS towards a receiver: whom to trust, and who we are. rustls with ring.

use crate::believe_anyone;
use headwater_contracts::{ConfigError, Tls};
use rustls::{
    RootCertStore,
    client::{WebPkiServerVerifier, danger::ServerCertVerifier},
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use std::{fs, path::Path, sync::Arc};

/// What a client needs.
pub struct Trust {
    /// Judges the server's certificate.
    pub verifier: Arc<dyn ServerCertVerifier>,
    /// The client certificate chain and its key, PEM.
    pub identity: Option<(Vec<u8>, Vec<u8>)>,
}

impl Trust {
    /// Reads the files. `Err` names the option, below `tls`.
    pub fn new(tls: &Tls) -> Result<Self, ConfigError> {
        let provider = Arc::new(ring::default_provider());
        let verifier: Arc<dyn ServerCertVerifier> = if tls.verify == Some(false) {
            tracing::warn!("`tls.verify: false`: anyone on the way to the endpoint can read and forge what is sent");
            believe_anyone(provider)
        } else {
            let roots = Arc::new(roots(tls)?);
            WebPkiServerVerifier::builder_with_provider(roots, provider).build().map_err(|error| {
                let problem = format!("no certificate authority to trust: {error}; name yours in `ca_file`");
                ConfigError::new("tls", problem)
            })?
        };
        let identity = match (&tls.cert_file, &tls.key_file) {
            (Some(cert), Some(key)) => Some((read("cert_file", cert)?, read("key_file", key)?)),
            (None, None) => None,
            (Some(_), None) => {
                return Err(ConfigError::new("tls.cert_file", "a client certificate needs its `key_file`"));
            }
            (None, Some(_)) => return Err(ConfigError::new("tls.key_file", "a client key needs its `cert_file`")),
        };
        Ok(Self { verifier, identity })
    }

    /// For HTTP/1.1. `Err` if the client certificate and its key do not fit.
    pub fn client_config(self) -> Result<rustls::ClientConfig, ConfigError> {
        let unfit =
            |error: String| ConfigError::new("tls.cert_file", format!("no usable client certificate and key: {error}"));
        let builder = rustls::ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| ConfigError::new("tls", error.to_string()))?
            .dangerous()
            .with_custom_certificate_verifier(self.verifier);
        let mut config = match self.identity {
            None => builder.with_no_client_auth(),
            Some((cert, key)) => {
                let chain = CertificateDer::pem_slice_iter(&cert).collect::<Result<_, _>>();
                let chain = chain.map_err(|error| unfit(error.to_string()))?;
                let key = PrivateKeyDer::from_pem_slice(&key).map_err(|error| unfit(error.to_string()))?;
                builder.with_client_auth_cert(chain, key).map_err(|error| unfit(error.to_string()))?
            }
        };
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(config)
    }
}

/// The system's authorities, and those of `ca_file`.
fn roots(tls: &Tls) -> Result<RootCertStore, ConfigError> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if let Some(path) = &tls.ca_file {
        let pem = read("ca_file", path)?;
        let none = || ConfigError::new("tls.ca_file", format!("`{}` holds no PEM certificate", path.display()));
        let authorities = CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>().map_err(|_| none())?;
        if roots.add_parsable_certificates(authorities).0 == 0 {
            return Err(none());
        }
    }
    Ok(roots)
}

fn read(option: &str, path: &Path) -> Result<Vec<u8>, ConfigError> {
    fs::read(path).map_err(|error| {
        ConfigError::new(format!("tls.{option}"), format!("cannot read `{}`: {error}", path.display()))
    })
}
