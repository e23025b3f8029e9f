//! Trusting a server's certificate because it is itself one of those in `ca_file`.
//!
//! A certificate that a server has signed for itself usually says that it is an authority, and authorities are not accepted for
//! servers (`CaUsedAsEndEntity`). Whoever names that very certificate means the server: whoever holds its key is trusted.

use rustls::{
    CertificateError, DigitallySignedStruct, Error, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_name,
    },
    pki_types::{CertificateDer, ServerName, UnixTime},
    server::ParsedCertificate,
};
use std::sync::Arc;

/// A verifier that asks `authorities` first.
#[derive(Debug)]
pub(crate) struct Pinned {
    pub(crate) authorities: Arc<WebPkiServerVerifier>,
    /// What `ca_file` holds.
    pub(crate) certificates: Vec<CertificateDer<'static>>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let judged = self.authorities.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        match &judged {
            // The time is judged before everything else about a certificate: with any other objection it is good.
            Err(Error::InvalidCertificate(objection))
                if !is_about_time(objection) && self.certificates.iter().any(|known| known == end_entity) => {}
            _ => return judged,
        }
        match verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name) {
            // It names no server at all, as older tools make them.
            Err(Error::InvalidCertificate(CertificateError::NotValidForNameContext { presented, .. }))
                if presented.is_empty() => {}
            named => named?,
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.authorities.verify_tls12_signature(message, cert, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.authorities.verify_tls13_signature(message, cert, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.authorities.supported_verify_schemes()
    }
}

fn is_about_time(objection: &CertificateError) -> bool {
    use CertificateError::{BadEncoding, Expired, ExpiredContext, NotValidYet, NotValidYetContext, Revoked};
    matches!(
        objection,
        Expired | ExpiredContext { .. } | NotValidYet | NotValidYetContext { .. } | Revoked | BadEncoding
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Trust;
    use headwater_contracts::Tls;
    use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, KeyPair};

    /// A certificate signed by itself: for `names`, as an authority or not, and with this many days left.
    fn certificate(names: &[&str], is_ca: bool, expired: bool) -> rcgen::Certificate {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name.push(DnType::CommonName, "api7");
        if is_ca {
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        }
        if expired {
            params.not_after = rcgen::date_time_ymd(2020, 1, 1);
        }
        params.self_signed(&KeyPair::generate().unwrap()).unwrap()
    }

    /// What a client that was told `trusted` says of a server with `shown`.
    fn judge(trusted: &rcgen::Certificate, shown: &rcgen::Certificate) -> Result<(), String> {
        let file = std::env::temp_dir().join(format!("headwater-net-{:?}.pem", std::thread::current().id()));
        std::fs::write(&file, trusted.pem()).unwrap();
        let trust = Trust::new(&Tls { ca_file: Some(file.clone()), ..Tls::default() }).unwrap();
        std::fs::remove_file(file).unwrap();
        let name = ServerName::try_from("127.0.0.1").unwrap();
        trust
            .verifier
            .verify_server_cert(shown.der(), &[], &name, &[], UnixTime::now())
            .map(drop)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn a_certificate_that_is_in_the_file_byte_for_byte_is_trusted() {
        for is_ca in [true, false] {
            for names in [&["127.0.0.1"][..], &[]] {
                let own = certificate(names, is_ca, false);
                assert_eq!(judge(&own, &own), Ok(()), "{names:?} {is_ca}");
            }
        }
    }

    #[test]
    fn another_certificate_name_or_time_is_not() {
        let own = certificate(&["127.0.0.1"], true, false);
        assert!(judge(&own, &certificate(&["127.0.0.1"], true, false)).unwrap_err().contains("CaUsedAsEndEntity"));
        let elsewhere = certificate(&["elsewhere.example"], true, false);
        assert!(judge(&elsewhere, &elsewhere).unwrap_err().contains("not valid for name"));
        let old = certificate(&["127.0.0.1"], true, true);
        assert!(judge(&old, &old).unwrap_err().contains("expired"));
    }
}
