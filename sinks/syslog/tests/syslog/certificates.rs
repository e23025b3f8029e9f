//! An authority, a server and a client, made anew for each test.

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::{
    RootCertStore, ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::WebPkiClientVerifier,
};
use serde_json::{Value, json};
use std::{fs, path::PathBuf, sync::Arc};
use tempfile::TempDir;

pub(crate) struct Certificates(TempDir);

impl Certificates {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut authority = CertificateParams::new(Vec::new()).unwrap();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // OpenSSL takes a certificate with the name of its issuer for its own.
        authority.distinguished_name.push(DnType::CommonName, "authority");
        let key = KeyPair::generate().unwrap();
        fs::write(dir.path().join("ca.pem"), authority.self_signed(&key).unwrap().pem()).unwrap();
        let issuer = Issuer::new(authority, key);
        for (file, names) in
            [("server", ["localhost", "127.0.0.1"]), ("client", ["collector.example.com", "collector"])]
        {
            let key = KeyPair::generate().unwrap();
            let names: Vec<String> = names.map(str::to_owned).into();
            let mut certificate = CertificateParams::new(names).unwrap();
            certificate.distinguished_name.push(DnType::CommonName, file);
            let certificate = certificate.signed_by(&key, &issuer).unwrap();
            fs::write(dir.path().join(format!("{file}.pem")), certificate.pem()).unwrap();
            fs::write(dir.path().join(format!("{file}.key")), key.serialize_pem()).unwrap();
        }
        Self(dir)
    }

    pub(crate) fn path(&self, file: &str) -> PathBuf {
        self.0.path().join(file)
    }

    /// The sink's option `tls`, with the client's certificate.
    pub(crate) fn mutual(&self) -> Value {
        json!({"ca_file": self.path("ca.pem"), "cert_file": self.path("client.pem"), "key_file": self.path("client.key")})
    }

    /// A server that wants a client certificate of this authority.
    pub(crate) fn server(&self) -> Arc<ServerConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(self.path("ca.pem")).unwrap()).unwrap();
        let provider = Arc::new(ring::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider.clone()).build().unwrap();
        let chain = vec![CertificateDer::from_pem_file(self.path("server.pem")).unwrap()];
        let key = PrivateKeyDer::from_pem_file(self.path("server.key")).unwrap();
        let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        Arc::new(builder.with_client_cert_verifier(verifier).with_single_cert(chain, key).unwrap())
    }
}
