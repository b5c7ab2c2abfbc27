//! Explanations of TLS errors that name the file to check.

use std::io;

use tokio_rustls::rustls::pki_types::UnixTime;
use tokio_rustls::rustls::{AlertDescription, CertificateError, Error, InvalidMessage, PeerIncompatible};

use super::certificate::Certificate;
use super::refusal::refusal;
use super::{PemSource, TlsConfig};

/// The message about X.509 v1, which `ovs-pki` created before 2018 with a validity of ten years.
pub(super) const V1: &str = "is of X.509 version 1, which is refused for its lack of extensions: create it again with ovs-pki of Open vSwitch 2.11 \
     or newer";

/// The message if only too old versions were offered.
const OLD_TLS: &str = "the server speaks neither TLS 1.2 nor 1.3: see its --ssl-protocols";

/// The kind of certificate to replace one that cannot be verified.
const RECREATE: &str = "create it again, with a key of RSA (2048 to 8192 bits), ECDSA (P-256, P-384, P-521) or Ed25519, signed \
     with SHA-256 or better";

/// Explains an error of a stream, if it is a TLS error. `leaf` is the server's certificate.
pub(super) fn explain_io(error: io::Error, config: &TlsConfig, leaf: Option<&[u8]>) -> io::Error {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
        Some(inner) => refusal(explain(inner, config, leaf)),
        None if error.kind() == io::ErrorKind::UnexpectedEof => refusal(
            "the server closed the connection in the TLS handshake: it does not speak TLS at this port, or its log \
                 says more",
        ),
        None => error,
    }
}

/// Explains a TLS error.
pub(super) fn explain(error: &Error, config: &TlsConfig, leaf: Option<&[u8]>) -> String {
    match error {
        Error::InvalidCertificate(error) => {
            let leaf = leaf.and_then(Certificate::read);
            format!(
                "the server's certificate{} {}",
                described(leaf.as_ref()),
                fault(error, config, leaf.as_ref())
            )
        }
        Error::AlertReceived(alert) => alert_text(*alert, config),
        Error::InvalidMessage(InvalidMessage::InvalidContentType) => {
            "the server does not speak TLS at this port: is it for tcp:?".to_owned()
        }
        Error::InconsistentKeys(_) => "it does not belong to the private key".to_owned(),
        Error::PeerIncompatible(PeerIncompatible::ServerDoesNotSupportTls12Or13) => OLD_TLS.to_owned(),
        error => format!("TLS failed: {error}"),
    }
}

/// Returns the owner of the certificate, as far as it is named.
fn described(certificate: Option<&Certificate>) -> String {
    let subject = certificate.and_then(Certificate::subject);
    subject.map_or_else(String::new, |subject| format!(" \"{subject}\""))
}

fn fault(error: &CertificateError, config: &TlsConfig, leaf: Option<&Certificate>) -> String {
    let ca = place(config.ca_cert.as_ref());
    match error {
        CertificateError::Expired => "has expired".to_owned(),
        CertificateError::ExpiredContext { time, not_after } => {
            format!("has expired {} ago", span(*not_after, *time))
        }
        CertificateError::NotValidYet => "is not valid yet".to_owned(),
        CertificateError::NotValidYetContext { time, not_before } => {
            format!("is not valid yet, but in {}; is a clock wrong?", span(*time, *not_before))
        }
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            match leaf.map(|leaf| (leaf.is_self_issued(), leaf.issuer())) {
                Some((true, _)) => format!("is self-signed and not signed by the CA in {ca}"),
                Some((_, Some(issuer))) => format!("is not signed by the CA in {ca} but by \"{issuer}\""),
                _ => format!("is not signed by the CA in {ca}"),
            }
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "does not name the host that was asked for".to_owned()
        }
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "is not for servers".to_owned()
        }
        CertificateError::UnsupportedSignatureAlgorithmContext { .. }
        | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
            let by = leaf.map_or_else(String::new, |leaf| format!(" by {}", algorithm(leaf)));
            format!(
                "is signed{by}, and it, or one between it and the CA in {ca}, cannot be verified: {RECREATE}"
            )
        }
        CertificateError::BadEncoding => {
            format!("is malformed, or one that vouches for it is: openssl x509 -text shows them; {RECREATE}")
        }
        CertificateError::UnhandledCriticalExtension => {
            "has a critical extension that is not understood: create it again without".to_owned()
        }
        // Our own error, or webpki's, which names the problem in one word.
        CertificateError::Other(other) => match other.0.to_string() {
            text if text == V1 => text,
            text if text.contains("CaUsedAsEndEntity") => {
                "is that of a CA, not of a server: make one without CA:TRUE, as ovs-pki req+sign does"
                    .to_owned()
            }
            text if text.contains("UnsupportedCertVersion") => format!("is vouched for by one that {V1}"),
            text => format!("is not acceptable: {text}"),
        },
        error => format!("is not acceptable: {error}"),
    }
}

/// Names a signature algorithm as openssl does, if it is a refused one that occurs in practice.
fn algorithm(certificate: &Certificate) -> String {
    let identifier = certificate.signature_algorithm().to_string();
    let name = match &*identifier {
        "1.2.840.113549.1.1.4" => "md5WithRSAEncryption",
        "1.2.840.113549.1.1.5" => "sha1WithRSAEncryption",
        "1.2.840.113549.1.1.10" => "RSASSA-PSS",
        "1.2.840.113549.1.1.11" => "sha256WithRSAEncryption",
        "1.2.840.113549.1.1.12" => "sha384WithRSAEncryption",
        "1.2.840.113549.1.1.13" => "sha512WithRSAEncryption",
        "1.2.840.10045.4.1" => "ecdsa-with-SHA1",
        "1.2.840.10045.4.3.2" => "ecdsa-with-SHA256",
        "1.2.840.10045.4.3.3" => "ecdsa-with-SHA384",
        "1.2.840.10045.4.3.4" => "ecdsa-with-SHA512",
        "1.3.101.113" => "ED448",
        _ => return identifier,
    };
    name.to_owned()
}

fn alert_text(alert: AlertDescription, config: &TlsConfig) -> String {
    if config.certificate.is_none()
        && matches!(alert, AlertDescription::CertificateRequired | AlertDescription::HandshakeFailure)
    {
        return "the server requires a client certificate, and none is configured (--certificate, --private-key)"
            .to_owned();
    }
    let why = match alert {
        AlertDescription::UnknownCA => "it is not signed by the CA that the server trusts",
        AlertDescription::CertificateExpired => "it has expired, by the server's clock",
        AlertDescription::CertificateRevoked => "it was revoked",
        AlertDescription::BadCertificate
        | AlertDescription::UnsupportedCertificate
        | AlertDescription::CertificateUnknown
        | AlertDescription::CertificateRequired => "the server's log may say why",
        AlertDescription::ProtocolVersion => return OLD_TLS.to_owned(),
        AlertDescription::HandshakeFailure => {
            return "the server found nothing in common with the client: see its --ssl-ciphers, and the kinds of \
                    the keys on both sides"
                .to_owned();
        }
        _ => return format!("the server broke off: {alert:?}"),
    };
    format!("the server refused the client certificate {}: {why}", place(config.certificate.as_ref()))
}

fn place(source: Option<&PemSource>) -> String {
    source.map_or_else(String::new, PemSource::to_string)
}

/// Returns the approximate time between two points in time.
fn span(from: UnixTime, to: UnixTime) -> String {
    match to.as_secs().saturating_sub(from.as_secs()) {
        seconds @ 0..120 => format!("{seconds} seconds"),
        seconds @ 120..7200 => format!("{} minutes", seconds / 60),
        seconds @ 7200..172_800 => format!("{} hours", seconds / 3600),
        seconds => format!("{} days", seconds / 86_400),
    }
}
