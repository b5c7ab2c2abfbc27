//! What went wrong, in words that say which file to look at.

use std::io;
use std::path::Path;

use tokio_rustls::rustls::pki_types::UnixTime;
use tokio_rustls::rustls::{AlertDescription, CertificateError, Error, InvalidMessage};

use super::TlsConfig;
use super::certificate::Certificate;
use super::dial::refusal;

/// What is said of X.509 v1, which `ovs-pki` made before 2018 and valid for ten years.
pub(super) const V1: &str = "is of X.509 version 1, which is refused for its lack of extensions: make it anew with ovs-pki of Open vSwitch 2.11 \
     or newer";

/// Explains an error of a stream, if it is one of TLS. `leaf` is the certificate that the server showed.
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

/// Explains an error of TLS.
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
        error => format!("TLS failed: {error}"),
    }
}

/// Whose certificate it is, as far as it says.
fn described(certificate: Option<&Certificate<'_>>) -> String {
    let subject = certificate.and_then(Certificate::subject);
    subject.map_or_else(String::new, |subject| format!(" \"{subject}\""))
}

fn fault(error: &CertificateError, config: &TlsConfig, leaf: Option<&Certificate<'_>>) -> String {
    let ca = path(config.ca_cert.as_deref());
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
        // Ours, or webpki's, which names the trouble in one word.
        CertificateError::Other(other) => match other.0.to_string() {
            text if text == V1 => text,
            text if text.contains("CaUsedAsEndEntity") => "is that of a CA, not of a server".to_owned(),
            text => format!("is not acceptable: {text}"),
        },
        error => format!("is not acceptable: {error}"),
    }
}

fn alert_text(alert: AlertDescription, config: &TlsConfig) -> String {
    if config.certificate.is_none()
        && matches!(alert, AlertDescription::CertificateRequired | AlertDescription::HandshakeFailure)
    {
        return "the server wants a certificate of ours, and there is none (--certificate, --private-key)"
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
        _ => return format!("the server broke off: {alert:?}"),
    };
    format!("the server refused our certificate {}: {why}", path(config.certificate.as_deref()))
}

fn path(path: Option<&Path>) -> String {
    path.map_or_else(String::new, |path| path.display().to_string())
}

/// How long it is from one time to another, roughly.
fn span(from: UnixTime, to: UnixTime) -> String {
    match to.as_secs().saturating_sub(from.as_secs()) {
        seconds @ 0..120 => format!("{seconds} seconds"),
        seconds @ 120..7200 => format!("{} minutes", seconds / 60),
        seconds @ 7200..172_800 => format!("{} hours", seconds / 3600),
        seconds => format!("{} days", seconds / 86_400),
    }
}
