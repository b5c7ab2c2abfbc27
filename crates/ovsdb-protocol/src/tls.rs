//! TLS as Open vSwitch does it: both sides show a certificate, and each trusts one CA that was made for the purpose.
//!
//! What is not done matters as much: no certificate of the system's is trusted, the names in certificates do not
//! count unless told so, because those that `ovs-pki` makes name no hosts, and nothing is resumed, so that every
//! connection is verified by what the files hold at its time.

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
/// Files are read at every attempt to connect: whoever replaces one need not tell us. A connection that is established
/// stays. In place of a file there may be its content, and in place of all of this a configuration of rustls.
#[derive(Clone, Debug, Default)]
pub struct TlsConfig {
    /// Our private key. Where everybody may read its file, that is logged, but no reason to refuse it: Open vSwitch's
    /// own programs do not, and they share the file.
    pub private_key: Option<PemSource>,
    /// The certificate of our key, with the intermediate ones after it, if there are any.
    pub certificate: Option<PemSource>,
    /// The certificates of the CAs of which one must have signed the server's. There is no way to do without.
    pub ca_cert: Option<PemSource>,
    /// Whether to take the CA's certificate from the server, unverified, and write it to `ca_cert`, where that file
    /// does not exist. Whoever is in the way at that moment is trusted for ever after.
    pub bootstrap: bool,
    /// Whether the server's certificate must name the host or address of the endpoint. Certificates that `ovs-pki`
    /// makes by default do not.
    pub verify_host_name: bool,
    /// What connections are made by, in place of all of the above.
    #[cfg(feature = "tls")]
    pub client_config: Option<Arc<ClientConfig>>,
}

#[cfg(feature = "tls")]
impl From<Arc<ClientConfig>> for TlsConfig {
    /// Connects by this configuration of rustls, which decides alone whom to trust and what to show.
    fn from(client_config: Arc<ClientConfig>) -> Self {
        Self { client_config: Some(client_config), ..Self::default() }
    }
}

impl PartialEq for TlsConfig {
    /// Compares what is configured, not what files hold. Configurations of rustls are equal where they are the same one.
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
    /// Explains why it cannot connect.
    #[expect(clippy::unused_async, reason = "as with the feature")]
    pub(crate) async fn dial(
        &self,
        _: &str,
        _: std::net::SocketAddr,
        _: crate::endpoint::DialTimeouts,
    ) -> Result<crate::endpoint::Stream, crate::Error> {
        let why = "ssl: endpoints are not supported, as this program was built without the feature tls";
        Err(std::io::Error::new(std::io::ErrorKind::Unsupported, why).into())
    }
}
