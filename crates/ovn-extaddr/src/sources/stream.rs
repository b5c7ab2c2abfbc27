//! Connections to an API: a Unix socket, or TLS to a server whose certificate is known.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ovsdb_protocol::rustls::client::danger::{
    HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier,
};
use ovsdb_protocol::rustls::crypto::{
    CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature,
};
use ovsdb_protocol::rustls::pki_types::pem::PemObject;
use ovsdb_protocol::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use ovsdb_protocol::rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::cms::{Place, TlsFiles};

/// The time that a connection with its handshake may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A connection.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// Connects.
///
/// # Errors
/// Nobody listens there, it takes longer than ten seconds, a file is invalid, or the server has another certificate.
pub(super) async fn connect(place: &Place) -> io::Result<Box<dyn Stream>> {
    let connecting = async {
        match place {
            Place::Unix(path) => Ok(Box::new(UnixStream::connect(path).await?) as Box<dyn Stream>),
            Place::Https { host, port, tls } => {
                // The files are read at each connection, since certificates are renewed.
                let config = client_config(tls)?;
                let name = ServerName::try_from(host.clone())
                    .map_err(|_| invalid(format!("\"{host}\" is not a host name")))?;
                let stream = TcpStream::connect((host.as_str(), *port)).await?;
                stream.set_nodelay(true)?;
                let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await;
                Ok(Box::new(stream.map_err(|error| explain(error, tls))?) as Box<dyn Stream>)
            }
        }
    };
    match timeout(CONNECT_TIMEOUT, connecting).await {
        Ok(connected) => connected,
        Err(_) => {
            Err(io::Error::new(io::ErrorKind::TimedOut, format!("no connection within {CONNECT_TIMEOUT:?}")))
        }
    }
}

fn client_config(files: &TlsFiles) -> io::Result<ClientConfig> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let pinned = certificates(&files.server_certificate)?.swap_remove(0);
    let chain = certificates(&files.certificate)?;
    let key = PrivateKeyDer::from_pem_file(&files.private_key).map_err(|error| {
        invalid(format!("cannot read the private key {}: {error}", files.private_key.display()))
    })?;
    ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| invalid(error.to_string()))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Pinned { certificate: pinned, provider }))
        .with_client_auth_cert(chain, key)
        .map_err(|error| {
            invalid(format!("the client certificate {} cannot be used: {error}", files.certificate.display()))
        })
}

/// Reads certificates, at least one.
fn certificates(file: &Path) -> io::Result<Vec<CertificateDer<'static>>> {
    let wrong = |why: String| invalid(format!("cannot read the certificate {}: {why}", file.display()));
    let read = CertificateDer::pem_file_iter(file).map_err(|error| wrong(error.to_string()))?;
    let read = read.collect::<Result<Vec<_>, _>>().map_err(|error| wrong(error.to_string()))?;
    if read.is_empty() { Err(wrong("there is none in it".to_owned())) } else { Ok(read) }
}

fn invalid(text: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text)
}

/// Explains the failure where rustls only names alerts.
fn explain(error: io::Error, files: &TlsFiles) -> io::Error {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
    match inner {
        Some(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure)) => {
            invalid(format!(
                "the server shows another certificate than {}: see whether it is the right server, or its certificate was renewed",
                files.server_certificate.display()
            ))
        }
        _ => error,
    }
}

/// A verifier that trusts one certificate, whatever its names and dates: CMSes create theirs, and clients store them.
#[derive(Debug)]
struct Pinned {
    certificate: CertificateDer<'static>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match *end_entity == self.certificate {
            true => Ok(ServerCertVerified::assertion()),
            false => Err(CertificateError::ApplicationVerificationFailure.into()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
