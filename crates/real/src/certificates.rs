//! A certificate authority of one test, with a server's and a client's certificate, as PEM files made by `openssl`.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// Paths of PEM files that live as long as their server.
#[derive(Debug, Clone)]
pub struct Certificates {
    /// The authority's certificate: what a client trusts.
    pub ca: PathBuf,
    /// A client's certificate, `CN=client`.
    pub client: PathBuf,
    /// Its key, PKCS #8, without a password.
    pub client_key: PathBuf,
    /// Key and certificate of the server, for 127.0.0.1 and localhost.
    pub(crate) server: PathBuf,
}

impl Certificates {
    pub(crate) fn create(folder: &Path) -> Certificates {
        let file = |name: &str| folder.join(name);
        let (ca, client, server) = (file("ca.pem"), file("client.pem"), file("server.pem"));
        let (client_key, server_key) = (file("client.key"), file("server.key"));
        certify("headwater-tests", &ca, &file("ca.key"), &["-addext", "keyUsage=critical,keyCertSign,cRLSign"]);
        let (by, by_key) = (ca.display().to_string(), file("ca.key").display().to_string());
        let signed = ["-CA", &by, "-CAkey", &by_key, "-addext", "basicConstraints=critical,CA:FALSE", "-addext"];
        certify("client", &client, &client_key, &[&signed[..], &["extendedKeyUsage=clientAuth"]].concat());
        let names = "subjectAltName=IP:127.0.0.1,DNS:localhost";
        certify("127.0.0.1", &server, &server_key, &[&signed[..], &[names]].concat());
        // Kafka reads both from one file.
        let both = [fs::read(&server_key), fs::read(&server)].map(|pem| pem.expect("openssl wrote it")).concat();
        fs::write(&server, both).expect("a file of ours");
        Certificates { ca, client, client_key, server }
    }
}

fn certify(name: &str, certificate: &Path, key: &Path, more: &[&str]) {
    let mut openssl = Command::new("openssl");
    openssl.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]);
    openssl.arg("-subj").arg(format!("/CN={name}")).arg("-out").arg(certificate).arg("-keyout").arg(key).args(more);
    let output = openssl.output().expect("openssl is installed");
    assert!(output.status.success(), "{openssl:?}: {}", String::from_utf8_lossy(&output.stderr));
}
