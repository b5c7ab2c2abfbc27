//! Keys and certificates.

use std::time::{Duration, SystemTime};

use ovsdb_protocol::TlsConfig;

use super::{Finding, Level};
use crate::clock::rfc3339;

/// The time before the expiry of a certificate from which it causes a warning.
const SOON: Duration = Duration::from_secs(30 * 86_400);

pub(super) fn look(tls: &TlsConfig) -> Vec<Finding> {
    let expiries = match tls.expiries() {
        Ok(expiries) => expiries,
        Err(error) => {
            let cure = "correct private-key, certificate and ca-cert, or what they name";
            return vec![Finding::new("certificates", Level::Problem, error.to_string(), cure)];
        }
    };
    let now = SystemTime::now();
    expiries
        .into_iter()
        .map(|expiry| {
            let subject = expiry.subject.map_or_else(String::new, |subject| format!(" of \"{subject}\""));
            let which = format!("{}: the certificate{subject}", expiry.source);
            let cure = "make a new one and replace the file; the next connection takes it";
            match expiry.not_after {
                None => Finding::new(
                    "certificates",
                    Level::Warning,
                    format!("{which} has no readable expiry date"),
                    cure,
                ),
                Some(end) if end <= now => {
                    let message = format!("{which} expired on {}", rfc3339(end));
                    Finding::new("certificates", Level::Problem, message, cure)
                }
                Some(end) if end <= now + SOON => {
                    let message = format!("{which} ends soon, on {}", rfc3339(end));
                    Finding::new("certificates", Level::Warning, message, cure)
                }
                Some(end) => Finding::good("certificates", format!("{which} is good until {}", rfc3339(end))),
            }
        })
        .collect()
}
