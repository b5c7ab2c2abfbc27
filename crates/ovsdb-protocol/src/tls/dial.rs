//! From an address to a verified stream.

use std::io;
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::client::Resumption;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, Error};

use super::TlsConfig;
use super::certificate::Certificate;
use super::explain::{explain, explain_io};
use super::files::{self, Identity};
use super::stream::TolerantStream;
use super::verifier::Verifier;
use crate::endpoint::{Stream, dial_tcp};

impl TlsConfig {
    /// Connects, each side verifying the other.
    pub(crate) async fn dial(&self, host: &str, port: u16) -> io::Result<Stream> {
        let ca_cert = self.ca_cert.as_deref().ok_or_else(|| {
            refusal("ssl: endpoints need the certificate of a CA to verify the server by (--ca-cert)")
        })?;
        let identity = files::identity(self)?;
        let provider = Arc::new(ring::default_provider());
        if self.bootstrap && !ca_cert.exists() {
            let unverified = Verifier::of_everybody(Arc::clone(&provider));
            let unverified = self.handshake(host, port, &identity, unverified).await?;
            let chain = unverified.get_ref().1.peer_certificates().unwrap_or_default();
            files::write_ca_cert(ca_cert, sent_ca(chain)?)?;
            // That connection could be anyone's. From here on the certificate counts, whoever wrote it.
        }
        let verifier = Verifier::of(files::ca_certs(ca_cert)?, self.verify_host_name, provider)?;
        let stream = self.handshake(host, port, &identity, verifier).await?;
        Ok(Box::pin(TolerantStream::new(stream, self.clone())))
    }

    async fn handshake(
        &self,
        host: &str,
        port: u16,
        identity: &Option<Identity>,
        verifier: Verifier,
    ) -> io::Result<TlsStream<TcpStream>> {
        let verifier = Arc::new(verifier);
        let config = Self::client_config(identity, Arc::clone(&verifier)).map_err(|error| {
            let file =
                self.certificate.as_ref().map_or_else(String::new, |file| format!(" {}", file.display()));
            refusal(format!("our certificate{file} is of no use: {}", explain(&error, self, None)))
        })?;
        let name = server_name(host)?;
        let stream = dial_tcp(host, port).await?;
        let connecting = TlsConnector::from(Arc::new(config)).connect(name, stream);
        connecting.await.map_err(|error| explain_io(error, self, verifier.leaf()))
    }

    fn client_config(identity: &Option<Identity>, verifier: Arc<Verifier>) -> Result<ClientConfig, Error> {
        let builder = ClientConfig::builder_with_provider(verifier.provider())
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        let mut config = match identity {
            None => builder.with_no_client_auth(),
            Some(Identity { chain, key }) => builder.with_client_auth_cert(chain.clone(), key.clone_key())?,
        };
        // A resumed session is not verified again.
        config.resumption = Resumption::disabled();
        Ok(config)
    }
}

pub(super) fn refusal(text: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text.into())
}

/// The name for SNI and, where asked for, the name to verify.
fn server_name(host: &str) -> io::Result<ServerName<'static>> {
    // The zone of an IPv6 address is our own affair.
    let host = if host.contains(':') { host.split('%').next().unwrap_or_default() } else { host };
    ServerName::try_from(host.to_owned()).map_err(|_| refusal(format!("\"{host}\" is no host name")))
}

/// The CA's certificate among what an unverified server sent: the last one, which must be self-signed.
fn sent_ca<'a>(chain: &'a [CertificateDer<'static>]) -> io::Result<&'a CertificateDer<'static>> {
    let last = chain.last().ok_or_else(|| refusal("the server sent no certificate"))?;
    match Certificate::read(last) {
        Some(certificate) if certificate.is_self_issued() => Ok(last),
        _ => Err(refusal(
            "the server did not send the certificate of its CA to bootstrap from: ovsdb-server does with --peer-ca-cert",
        )),
    }
}
