//! TLS as Open vSwitch uses it: both sides show a certificate, and each trusts one CA that was made for the purpose.
//!
//! Certificates of the system are not trusted. The names in certificates do not count unless configured, because those
//! from `ovs-pki` do not name hosts. Sessions are not resumed, so that every connection is verified against the present
//! files.

#[cfg(feature = "tls")]
mod certificate;
#[cfg(feature = "tls")]
mod dial;
#[cfg(feature = "tls")]
mod expiry;
#[cfg(feature = "tls")]
mod explain;
#[cfg(feature = "tls")]
mod files;
mod pem_source;
#[cfg(feature = "tls")]
mod refusal;
#[cfg(feature = "tls")]
mod stream;
#[cfg(feature = "tls")]
mod verifier;

#[cfg(feature = "tls")]
use std::sync::Arc;

#[cfg(feature = "tls")]
use tokio_rustls::rustls::ClientConfig;

#[cfg(feature = "tls")]
pub use expiry::Expiry;
pub use pem_source::PemSource;

/// The files and rules for `ssl:` endpoints, as the options of the same names of Open vSwitch's programs.
///
/// Files are read at every attempt to connect, so that replaced ones are noticed. Established connections stay. The content
/// of a file can be given instead of its path, and a configuration of rustls instead of everything else.
#[derive(Clone, Debug, Default)]
pub struct TlsConfig {
    /// The private key of the client. A file that everybody may read is logged, not refused: Open vSwitch's programs, which
    /// share it, do not refuse it either.
    pub private_key: Option<PemSource>,
    /// The certificate of the key, followed by intermediate ones if there are any.
    pub certificate: Option<PemSource>,
    /// The certificates of the CAs, one of which must have signed the server's. Required.
    pub ca_cert: Option<PemSource>,
    /// Whether to take the CA's certificate from the server, unverified, and write it to `ca_cert`, if that file does not
    /// exist. An attacker between client and server at that moment is trusted from then on.
    pub bootstrap: bool,
    /// Whether the server's certificate must name the host or address of the endpoint. Those that `ovs-pki` creates by
    /// default do not.
    pub verify_host_name: bool,
    /// The configuration of rustls, instead of all of the above.
    #[cfg(feature = "tls")]
    pub client_config: Option<Arc<ClientConfig>>,
}

#[cfg(feature = "tls")]
impl From<Arc<ClientConfig>> for TlsConfig {
    /// Creates a configuration from one of rustls, which alone determines trust and client certificates.
    fn from(client_config: Arc<ClientConfig>) -> Self {
        Self { client_config: Some(client_config), ..Self::default() }
    }
}

impl PartialEq for TlsConfig {
    /// Compares the configuration, not the content of files. Configurations of rustls are equal if they are the same object.
    fn eq(&self, other: &Self) -> bool {
        let Self { private_key, certificate, ca_cert, bootstrap, verify_host_name, .. } = self;
        #[cfg(feature = "tls")]
        let is_same =
            self.client_config.as_ref().map(Arc::as_ptr) == other.client_config.as_ref().map(Arc::as_ptr);
        #[cfg(not(feature = "tls"))]
        let is_same = true;
        is_same
            && *private_key == other.private_key
            && *certificate == other.certificate
            && *ca_cert == other.ca_cert
            && *bootstrap == other.bootstrap
            && *verify_host_name == other.verify_host_name
    }
}

impl Eq for TlsConfig {}

#[cfg(not(feature = "tls"))]
impl TlsConfig {
    /// Fails with the reason why it cannot connect.
    #[expect(clippy::unused_async, reason = "as with the feature")]
    pub(crate) async fn dial(
        &self,
        _: &str,
        _: std::net::SocketAddr,
        _: crate::transport::DialTimeouts,
    ) -> Result<crate::transport::Stream, crate::Error> {
        let why = "ssl: endpoints are not supported, as this program was built without the feature tls";
        Err(std::io::Error::new(std::io::ErrorKind::Unsupported, why).into())
    }
}
