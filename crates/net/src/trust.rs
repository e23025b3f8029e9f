//! TLS towards a server: whom to trust, and who we are. rustls with ring.

use crate::{anyone::believe_anyone, pinned::Pinned};
use headwater_contracts::{ConfigError, Pem, Tls};
use rustls::{
    RootCertStore,
    client::{WebPkiServerVerifier, danger::ServerCertVerifier},
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use std::sync::Arc;

/// What a client needs.
pub struct Trust {
    /// Judges the server's certificate.
    pub verifier: Arc<dyn ServerCertVerifier>,
    /// The client certificate chain and its key.
    pub identity: Option<(Pem, Pem)>,
}

impl Trust {
    /// Reads the files. `Err` names the option, below `tls`.
    pub fn new(tls: &Tls) -> Result<Self, ConfigError> {
        let provider = Arc::new(ring::default_provider());
        let verifier: Arc<dyn ServerCertVerifier> = if tls.verify == Some(false) {
            tracing::warn!("`tls.verify: false`: anyone on the way to the endpoint can read and forge what is sent");
            believe_anyone(provider)
        } else {
            let certificates = certificates(tls)?;
            let roots = Arc::new(roots(tls, &certificates)?);
            let authorities =
                WebPkiServerVerifier::builder_with_provider(roots, provider).build().map_err(|error| {
                    let problem = format!("no certificate authority to trust: {error}; name yours in `ca_file`");
                    ConfigError::new("tls", problem)
                })?;
            Arc::new(Pinned { authorities, certificates })
        };
        Ok(Self { verifier, identity: tls.identity()? })
    }

    /// TLS 1.2 or newer, for one of `protocols` by their names in ALPN (RFC 7301), if any. `Err` if the client certificate and
    /// its key do not fit.
    pub fn client_config(self, protocols: &[&str]) -> Result<rustls::ClientConfig, ConfigError> {
        let builder = rustls::ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| ConfigError::new("tls", error.to_string()))?
            .dangerous()
            .with_custom_certificate_verifier(self.verifier);
        let mut config = match self.identity {
            None => builder.with_no_client_auth(),
            Some((cert, key)) => {
                let chain =
                    CertificateDer::pem_slice_iter(&cert).collect::<Result<_, _>>().map_err(Tls::no_identity)?;
                let key = PrivateKeyDer::from_pem_slice(&key).map_err(Tls::no_identity)?;
                builder.with_client_auth_cert(chain, key).map_err(Tls::no_identity)?
            }
        };
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        Ok(config)
    }
}

/// What `ca_file` holds.
fn certificates(tls: &Tls) -> Result<Vec<CertificateDer<'static>>, ConfigError> {
    let Some(pem) = tls.authorities()? else { return Ok(Vec::new()) };
    CertificateDer::pem_slice_iter(&pem).collect::<Result<_, _>>().map_err(|_| tls.no_authority())
}

/// The system's authorities, and `certificates`.
fn roots(tls: &Tls, certificates: &[CertificateDer<'static>]) -> Result<RootCertStore, ConfigError> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let (taken, _) = roots.add_parsable_certificates(certificates.iter().cloned());
    if tls.ca_file.is_some() && taken == 0 {
        return Err(tls.no_authority());
    }
    Ok(roots)
}
