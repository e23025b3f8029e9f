//! TLS, with certificates made here.

use crate::receiver::{Receiver, ServerTls};
use headwater_contracts::{Sink, SinkError};
use headwater_sink_otlp::Protocol;
use headwater_testkit::sink_suite::event;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::{
    RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::WebPkiClientVerifier,
};
use serde_json::{Value as Json, json};
use std::{fs, net::SocketAddr, path::Path, sync::Arc};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

/// axum's listener, with TLS.
pub(crate) struct Listener {
    tcp: TcpListener,
    acceptor: TlsAcceptor,
}

impl Listener {
    pub(crate) fn new(tcp: TcpListener, tls: &ServerTls) -> Self {
        let pem = |text: &str| CertificateDer::pem_slice_iter(text.as_bytes()).map(Result::unwrap).collect::<Vec<_>>();
        let builder = match &tls.client_ca {
            None => ServerConfig::builder().with_no_client_auth(),
            Some(ca) => {
                let mut roots = RootCertStore::empty();
                roots.add_parsable_certificates(pem(ca));
                ServerConfig::builder()
                    .with_client_cert_verifier(WebPkiClientVerifier::builder(Arc::new(roots)).build().unwrap())
            }
        };
        let key = PrivateKeyDer::from_pem_slice(tls.key.as_bytes()).unwrap();
        let config = builder.with_single_cert(pem(&tls.cert), key).unwrap();
        Self { tcp, acceptor: TlsAcceptor::from(Arc::new(config)) }
    }
}

impl axum::serve::Listener for Listener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let (stream, address) = self.tcp.accept().await.unwrap();
            if let Ok(stream) = self.acceptor.accept(stream).await {
                return (stream, address);
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<Self::Addr> {
        self.tcp.local_addr()
    }
}

struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// A certificate and its key, PEM.
    fn issue(&self, name: &str) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let cert = CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, &self.0).unwrap();
        (cert.pem(), key.serialize_pem())
    }

    fn server(&self, client_ca: Option<&Self>) -> ServerTls {
        let (cert, key) = self.issue("localhost");
        ServerTls { cert, key, client_ca: client_ca.map(|ca| ca.0.pem()) }
    }
}

fn file(folder: &Path, name: &str, text: &str) -> Json {
    let path = folder.join(name);
    fs::write(&path, text).unwrap();
    path.to_str().unwrap().into()
}

async fn deliver(receiver: &Receiver, tls: Json) -> Result<(), SinkError> {
    let mut sink = receiver.config(json!({"tls": tls, "timeout": "60s"})).sink().unwrap();
    sink.deliver(&[event("e", "text", true)]).await.map(|delivery| assert!(delivery.rejected.is_empty()))
}

#[tokio::test]
async fn a_receiver_is_trusted_by_its_authority_or_not_at_all() {
    let (ours, folder) = (Authority::new(), tempfile::tempdir().unwrap());
    let ca = file(folder.path(), "ca.pem", &ours.0.pem());
    let foreign = file(folder.path(), "foreign.pem", &Authority::new().0.pem());
    for protocol in [Protocol::Grpc, Protocol::Http] {
        let receiver = Receiver::with_tls(protocol, Some(ours.server(None)));
        deliver(&receiver, json!({"ca_file": ca})).await.unwrap();
        deliver(&receiver, json!({"verify": false})).await.unwrap();
        assert_eq!(receiver.records().len(), 2);
        match deliver(&receiver, json!({"ca_file": foreign})).await {
            Err(SinkError::Retry { reason, .. }) => assert!(reason.contains("certificate"), "{protocol:?}: {reason}"),
            other => panic!("{protocol:?}: {other:?}"),
        }
        assert_eq!(receiver.records().len(), 2);
    }
}

#[tokio::test]
async fn a_receiver_that_asks_who_we_are_is_told() {
    let (servers, clients, folder) = (Authority::new(), Authority::new(), tempfile::tempdir().unwrap());
    let ca = file(folder.path(), "ca.pem", &servers.0.pem());
    let (cert, key) = clients.issue("headwater");
    let (cert, key) = (file(folder.path(), "cert.pem", &cert), file(folder.path(), "key.pem", &key));
    for protocol in [Protocol::Grpc, Protocol::Http] {
        let receiver = Receiver::with_tls(protocol, Some(servers.server(Some(&clients))));
        assert!(matches!(deliver(&receiver, json!({"ca_file": ca})).await, Err(SinkError::Retry { .. })));
        deliver(&receiver, json!({"ca_file": ca, "cert_file": cert, "key_file": key})).await.unwrap();
        deliver(&receiver, json!({"verify": false, "cert_file": cert, "key_file": key})).await.unwrap();
        assert_eq!(receiver.records().len(), 2);
    }
}
