//! The parts of an X.509 certificate that messages need and webpki does not provide.

use std::time::SystemTime;

use x509_cert::certificate::{CertificateInner, Raw, Version};
use x509_cert::der::Decode;
use x509_cert::der::oid::ObjectIdentifier;
use x509_cert::name::Name;

/// The fields that are read from a certificate (RFC 5280 section 4.1). Nothing here is verified; it is only used for
/// messages and for the choice of the certificate to bootstrap.
#[derive(Debug)]
pub(super) struct Certificate(CertificateInner<Raw>);

impl Certificate {
    /// Reads DER.
    pub(super) fn read(der: &[u8]) -> Option<Self> {
        CertificateInner::from_der(der).ok().map(Self)
    }

    /// Returns whether it is of X.509 version 1, which has no extensions.
    pub(super) fn is_version_1(&self) -> bool {
        self.0.tbs_certificate().version() == Version::V1
    }

    /// Returns whether it claims to be self-signed.
    pub(super) fn is_self_issued(&self) -> bool {
        self.0.tbs_certificate().issuer() == self.0.tbs_certificate().subject()
    }

    /// Returns the common name of the CA that it names as its issuer.
    pub(super) fn issuer(&self) -> Option<String> {
        common_name(self.0.tbs_certificate().issuer())
    }

    /// Returns the time after which it is not valid any more.
    pub(super) fn not_after(&self) -> SystemTime {
        self.0.tbs_certificate().validity().not_after.to_system_time()
    }

    /// Returns the common name of its owner.
    pub(super) fn subject(&self) -> Option<String> {
        common_name(self.0.tbs_certificate().subject())
    }

    /// Returns the algorithm of its signature.
    pub(super) fn signature_algorithm(&self) -> ObjectIdentifier {
        self.0.signature_algorithm().oid
    }
}

fn common_name(name: &Name) -> Option<String> {
    // It goes into logs.
    Some(name.common_name().ok()??.value().escape_debug().take(100).collect())
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    /// Version 1, an overlong serial number, a line feed in its name, an end after 2050. Made with openssl.
    const VERSION_1: &str = include_str!("certificate/version-1.pem");

    /// Version 3, self-signed.
    const CA: &str = include_str!("certificate/ca.pem");

    fn der(text: &str) -> Vec<u8> {
        pem_rfc7468::decode_vec(text.as_bytes()).unwrap().1
    }

    fn second(time: SystemTime) -> Duration {
        time.duration_since(UNIX_EPOCH).unwrap()
    }

    #[test]
    fn certificate_fields_are_parsed() {
        let old = Certificate::read(&der(VERSION_1)).unwrap();
        assert!(old.is_version_1() && !old.is_self_issued());
        assert_eq!((old.issuer(), old.subject()), (Some("the CA".to_owned()), Some("a\\nb".to_owned())));
        assert_eq!(second(old.not_after()), Duration::from_secs(4949369175));
        assert_eq!(old.signature_algorithm().to_string(), "1.2.840.10045.4.3.4");
        let ca = Certificate::read(&der(CA)).unwrap();
        assert!(!ca.is_version_1() && ca.is_self_issued());
        assert_eq!(second(ca.not_after()), Duration::from_secs(2111129175));
    }

    #[test]
    fn damaged_certificate_never_panics() {
        let text = der(VERSION_1);
        for cut in 0..text.len() {
            assert!(Certificate::read(&text[..cut]).is_none(), "{cut}");
            for byte in [0, 0x7f, 0x80, 0x84, 0xff] {
                let mut text = text.clone();
                text[cut] = byte;
                if let Some(read) = Certificate::read(&text) {
                    let _ = (read.issuer(), read.subject(), read.not_after());
                }
            }
        }
    }
}
