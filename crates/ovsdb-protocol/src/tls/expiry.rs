//! When the certificates of our configuration end.

use std::io;
use std::path::Path;
use std::time::SystemTime;

use super::certificate::Certificate;
use super::files::{certificates, identity};
use super::{PemSource, TlsConfig};

/// A certificate of our configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expiry {
    /// Where it is.
    pub source: PemSource,
    /// The common name of its owner, where it has one.
    pub subject: Option<String>,
    /// When it ends; `None` where that cannot be read.
    pub not_after: Option<SystemTime>,
}

impl TlsConfig {
    /// Reads our certificates and those of the CAs, and says when they end.
    ///
    /// # Errors
    /// A file cannot be read, or holds something else. A CA's certificate that is yet to be bootstrapped is none. Nothing
    /// is known of what a ready configuration of rustls holds.
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
