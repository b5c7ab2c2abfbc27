//! When the certificates in our files end.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::TlsConfig;
use super::certificate::Certificate;
use super::files::{ca_certs, identity};

/// A certificate in a file of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expiry {
    /// The file.
    pub file: PathBuf,
    /// The common name of its owner, where it has one.
    pub subject: Option<String>,
    /// When it ends; `None` where that cannot be read.
    pub not_after: Option<SystemTime>,
}

impl TlsConfig {
    /// Reads our certificates and those of the CAs, and says when they end.
    ///
    /// # Errors
    /// A file cannot be read, or holds something else. A CA's certificate that is yet to be bootstrapped is none.
    pub fn expiries(&self) -> io::Result<Vec<Expiry>> {
        let mut expiries = Vec::new();
        if let (Some(identity), Some(file)) = (identity(self)?, &self.certificate) {
            expiries.extend(identity.chain.iter().map(|certificate| expiry(file, certificate)));
        }
        if let Some(file) = &self.ca_cert
            && (!self.bootstrap || file.exists())
        {
            expiries.extend(ca_certs(file)?.iter().map(|certificate| expiry(file, certificate)));
        }
        Ok(expiries)
    }
}

fn expiry(file: &Path, certificate: &[u8]) -> Expiry {
    let read = Certificate::read(certificate);
    let not_after = read.as_ref().and_then(Certificate::not_after);
    Expiry {
        file: file.to_owned(),
        subject: read.and_then(|certificate| certificate.subject()),
        not_after: not_after.and_then(|second| UNIX_EPOCH.checked_add(Duration::from_secs(second))),
    }
}
