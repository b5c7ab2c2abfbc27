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
#[cfg(feature = "tls")]
mod stream;
#[cfg(feature = "tls")]
mod verifier;

use std::path::PathBuf;

#[cfg(feature = "tls")]
pub use expiry::Expiry;

/// The files and rules for `ssl:` endpoints, as the options of the same names of Open vSwitch's programs.
///
/// The files are read at every attempt to connect: whoever replaces one need not tell us. A connection that is
/// established stays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsConfig {
    /// Our private key, PEM. Where everybody may read it, that is logged, but no reason to refuse it: Open vSwitch's
    /// own programs do not, and they share the file.
    pub private_key: Option<PathBuf>,
    /// The certificate of our key, PEM, with the intermediate ones after it, if there are any.
    pub certificate: Option<PathBuf>,
    /// The certificates, PEM, of the CAs of which one must have signed the server's. There is no way to do without.
    pub ca_cert: Option<PathBuf>,
    /// Whether to take the CA's certificate from the server, unverified, and write it to `ca_cert`, where that file
    /// does not exist. Whoever is in the way at that moment is trusted for ever after.
    pub bootstrap: bool,
    /// Whether the server's certificate must name the host or address of the endpoint. Certificates that `ovs-pki`
    /// makes by default do not.
    pub verify_host_name: bool,
}

#[cfg(not(feature = "tls"))]
impl TlsConfig {
    /// Explains why it cannot connect.
    #[expect(clippy::unused_async, reason = "as with the feature")]
    pub(crate) async fn dial(&self, _: &str, _: u16) -> std::io::Result<crate::endpoint::Stream> {
        Err(std::io::Error::new(
            std::io::ErrorKind::Unsupported,
            "ssl: endpoints are not supported, as this program was built without the feature tls",
        ))
    }
}
