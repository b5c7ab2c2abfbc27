//! The verification of the server's certificate.

use std::io;
use std::sync::{Arc, OnceLock};

use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use tokio_rustls::rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::server::ParsedCertificate;
use tokio_rustls::rustls::{
    CertificateError, DigitallySignedStruct, Error, OtherError, RootCertStore, SignatureScheme,
};

use super::certificate::Certificate;
use super::explain::V1;
use super::refusal::refusal;
use super::{PemSource, files};

/// A verifier of the server of one connection, which keeps its certificate.
#[derive(Debug)]
pub(super) struct Verifier {
    trust: Trust,
    provider: Arc<CryptoProvider>,
    leaf: OnceLock<CertificateDer<'static>>,
}

#[derive(Debug)]
enum Trust {
    /// Only servers whose certificate was signed by one of these CAs: other certificates from the server may fill gaps
    /// in the chain but never start one (CVE-2026-40243).
    Cas { roots: RootCertStore, host_name: bool },
    /// Everybody. Only for the connection that a CA's certificate is bootstrapped from.
    Everybody,
}

// ===== impl Verifier =====

impl Verifier {
    /// Creates a verifier that trusts servers with certificates of these CAs, and checks their names if configured.
    pub(super) fn new(
        ca_cert: &PemSource,
        host_name: bool,
        provider: Arc<CryptoProvider>,
    ) -> io::Result<Self> {
        let mut roots = RootCertStore::empty();
        for ca in files::certificates(ca_cert)? {
            roots.add(ca).map_err(|_| {
                refusal(format!(
                    "a certificate in {ca_cert} is none of a CA, or damaged: openssl x509 -text shows it"
                ))
            })?;
        }
        Ok(Self { trust: Trust::Cas { roots, host_name }, provider, leaf: OnceLock::new() })
    }

    /// Creates a verifier that trusts every server.
    pub(super) fn trusting_everybody(provider: Arc<CryptoProvider>) -> Self {
        Self { trust: Trust::Everybody, provider, leaf: OnceLock::new() }
    }

    /// Returns the server's certificate, if it was received.
    pub(super) fn leaf(&self) -> Option<&[u8]> {
        self.leaf.get().map(|leaf| &**leaf)
    }

    pub(super) fn provider(&self) -> Arc<CryptoProvider> {
        Arc::clone(&self.provider)
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        // There is one handshake for each verifier.
        let _ = self.leaf.set(end_entity.clone().into_owned());
        if Certificate::read(end_entity).is_some_and(|leaf| leaf.is_version_1()) {
            return Err(CertificateError::Other(OtherError(Arc::new(Version1))).into());
        }
        if let Trust::Cas { roots, host_name } = &self.trust {
            let certificate = ParsedCertificate::try_from(end_entity)?;
            let algorithms = self.provider.signature_verification_algorithms.all;
            verify_server_cert_signed_by_trust_anchor(&certificate, roots, intermediates, now, algorithms)?;
            if *host_name {
                verify_server_name(&certificate, server_name)?;
            }
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// The error for a certificate of version 1, instead of webpki's, which is not helpful.
#[derive(Debug, thiserror::Error)]
#[error("{}", V1)]
struct Version1;
