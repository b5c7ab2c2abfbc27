//! Connections over TLS: from an address to a verified stream.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::client::Resumption;
use tokio_rustls::rustls::crypto::{CryptoProvider, aws_lc_rs};
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};

use super::certificate::Certificate;
use super::explain::{explain, explain_io};
use super::files::{self, Identity};
use super::refusal::refusal;
use super::stream::TolerantStream;
use super::verifier::Verifier;
use super::{PemSource, TlsConfig};
use crate::transport::{DialTimeouts, Stream, dial_tcp};
use crate::error::Error;
use crate::jsonrpc::InactivityTimeout;

impl TlsConfig {
    /// Connects; both sides verify each other.
    pub(crate) async fn dial(
        &self,
        host: &str,
        address: SocketAddr,
        timeouts: DialTimeouts,
    ) -> Result<Stream, Error> {
        if let Some(ready) = &self.client_config {
            let stream = self.handshake(host, address, timeouts, Arc::clone(ready), || None).await?;
            return Ok(Box::pin(TolerantStream::new(stream, self.clone())));
        }
        let ca_cert = self.ca_cert.as_ref().ok_or_else(|| {
            refusal("ssl: endpoints need the certificate of a CA to verify the server by (--ca-cert)")
        })?;
        let identity = files::identity(self)?;
        if let (true, Some(file)) = (self.bootstrap, ca_cert.file())
            && !file.exists()
        {
            let unverified = Arc::new(Verifier::trusting_everybody(provider()));
            let config = self.client_config(&identity, &unverified)?;
            let unverified = self.handshake(host, address, timeouts, config, || unverified.leaf()).await?;
            let chain = unverified.get_ref().1.peer_certificates().unwrap_or_default();
            files::write_ca_cert(file, sent_ca(chain)?)?;
            // That connection could be to anyone. From here on the certificate counts, whichever process wrote it.
        }
        let verifier = Arc::new(Verifier::new(ca_cert, self.verify_host_name, provider())?);
        let config = self.client_config(&identity, &verifier)?;
        let stream = self.handshake(host, address, timeouts, config, || verifier.leaf()).await?;
        Ok(Box::pin(TolerantStream::new(stream, self.clone())))
    }

    /// Connects and performs the handshake. `leaf` is set to the server's certificate, if it was received.
    async fn handshake<'a>(
        &self,
        host: &str,
        address: SocketAddr,
        timeouts: DialTimeouts,
        config: Arc<ClientConfig>,
        leaf: impl FnOnce() -> Option<&'a [u8]>,
    ) -> Result<TlsStream<TcpStream>, Error> {
        let name = server_name(host)?;
        let stream = dial_tcp(address, timeouts).await?;
        let connecting = TlsConnector::from(config).connect(name, stream);
        match timeout(timeouts.handshake, connecting).await {
            Ok(Ok(stream)) => Ok(stream),
            Ok(Err(error)) => Err(explain_io(error, self, leaf()).into()),
            // The kernel has accepted the connection, and the server itself sends nothing.
            Err(_) => Err(InactivityTimeout(timeouts.handshake).into()),
        }
    }

    fn client_config(
        &self,
        identity: &Option<Identity>,
        verifier: &Arc<Verifier>,
    ) -> io::Result<Arc<ClientConfig>> {
        let builder = ClientConfig::builder_with_provider(verifier.provider())
            .with_safe_default_protocol_versions()
            .map_err(|error| refusal(explain(&error, self, None)))?
            .dangerous()
            .with_custom_certificate_verifier(Arc::clone(verifier) as Arc<_>);
        let mut config = match identity {
            None => builder.with_no_client_auth(),
            Some(Identity { chain, key }) => {
                builder.with_client_auth_cert(chain.clone(), key.clone_key()).map_err(|error| {
                    let certificate = described(self.certificate.as_ref());
                    refusal(format!(
                        "the client certificate{certificate} cannot be used: {}",
                        explain(&error, self, None)
                    ))
                })?
            }
        };
        // A resumed session is not verified again.
        config.resumption = Resumption::disabled();
        Ok(Arc::new(config))
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

fn described(source: Option<&PemSource>) -> String {
    source.map_or_else(String::new, |source| format!(" {source}"))
}

/// Returns the name for SNI and, if configured, for verification.
fn server_name(host: &str) -> io::Result<ServerName<'static>> {
    // The zone of an IPv6 address has only a local meaning.
    let host = if host.contains(':') { host.split('%').next().unwrap_or_default() } else { host };
    ServerName::try_from(host.to_owned()).map_err(|_| refusal(format!("\"{host}\" is not a valid host name")))
}

/// Returns the CA's certificate among those that an unverified server sent: the last one, which must be self-signed.
fn sent_ca<'a>(chain: &'a [CertificateDer<'static>]) -> io::Result<&'a CertificateDer<'static>> {
    let last = chain.last().ok_or_else(|| refusal("the server sent no certificate"))?;
    match Certificate::read(last) {
        Some(certificate) if certificate.is_self_issued() => Ok(last),
        _ => Err(refusal(
            "the server did not send the certificate of its CA to bootstrap from: ovsdb-server does with --peer-ca-cert",
        )),
    }
}
