//! The expiry of the configured certificates.

use std::io;
use std::path::Path;
use std::time::SystemTime;

use super::certificate::Certificate;
use super::files::{certificates, identity};
use super::{PemSource, TlsConfig};

/// A configured certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expiry {
    /// Its source.
    pub source: PemSource,
    /// The common name of its owner, if there is one.
    pub subject: Option<String>,
    /// The time at which it expires; `None` if that cannot be read.
    pub not_after: Option<SystemTime>,
}

impl TlsConfig {
    /// Reads the client's certificates and those of the CAs, and returns when they expire.
    ///
    /// # Errors
    /// A file cannot be read, or has other content. A CA's certificate that is yet to be bootstrapped is omitted. The
    /// content of a configuration of rustls is not known.
    pub fn expiries(&self) -> io::Result<Vec<Expiry>> {
        let mut expiries = Vec::new();
        if let (Some(identity), Some(source)) = (identity(self)?, &self.certificate) {
            expiries.extend(identity.chain.iter().map(|certificate| expiry(source, certificate)));
        }
        if let Some(source) = &self.ca_cert
            && (!self.bootstrap || source.file().is_none_or(Path::exists))
        {
            expiries.extend(certificates(source)?.iter().map(|certificate| expiry(source, certificate)));
        }
        Ok(expiries)
    }
}

fn expiry(source: &PemSource, certificate: &[u8]) -> Expiry {
    let read = Certificate::read(certificate);
    Expiry {
        source: source.clone(),
        not_after: read.as_ref().map(Certificate::not_after),
        subject: read.and_then(|certificate| certificate.subject()),
    }
}
