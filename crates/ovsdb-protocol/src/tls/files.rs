//! Keys and certificates in files.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::TlsConfig;
use super::certificate::Certificate;
use super::dial::refusal;
use super::explain::V1;

/// What we show to servers.
pub(super) struct Identity {
    pub(super) chain: Vec<CertificateDer<'static>>,
    pub(super) key: PrivateKeyDer<'static>,
}

/// Reads our certificate and key, where they are configured.
pub(super) fn identity(config: &TlsConfig) -> io::Result<Option<Identity>> {
    let (key, certificate) = match (&config.private_key, &config.certificate) {
        (None, None) => return Ok(None),
        (Some(key), Some(certificate)) => (key, certificate),
        (Some(_), None) => {
            return Err(refusal("a private key without a certificate is of no use (--certificate)"));
        }
        (None, Some(_)) => {
            return Err(refusal("a certificate without its private key is of no use (--private-key)"));
        }
    };
    let chain = certificates(certificate)?;
    if let Some(Certificate { version: 1, .. }) = chain.first().and_then(|leaf| Certificate::read(leaf)) {
        return Err(refusal(format!("our certificate {} {V1}", certificate.display())));
    }
    warn_where_open(key);
    let read = PrivateKeyDer::from_pem_file(key);
    let key = read.map_err(|error| failure("private key", key, &error))?;
    Ok(Some(Identity { chain, key }))
}

/// Reads the certificates of the CAs.
pub(super) fn ca_certs(file: &Path) -> io::Result<Vec<CertificateDer<'static>>> {
    certificates(file)
}

/// Writes the certificate that was bootstrapped. Where somebody else was first, theirs is the one that counts.
pub(super) fn write_ca_cert(file: &Path, certificate: &CertificateDer<'_>) -> io::Result<()> {
    let cannot = |error: io::Error| {
        io::Error::new(
            error.kind(),
            format!("cannot write the CA's certificate to {}: {error}", file.display()),
        )
    };
    let opened = OpenOptions::new().write(true).create_new(true).mode(0o444).open(file);
    let mut writer = match opened {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
        opened => opened.map_err(cannot)?,
    };
    let written = writer.write_all(pem_text(certificate).as_bytes()).and_then(|()| writer.sync_all());
    if let Err(error) = written {
        // Half of a certificate would be in the way for ever.
        let _ = fs::remove_file(file);
        return Err(cannot(error));
    }
    tracing::info!(file = %file.display(), "the CA's certificate was taken from the server, unverified");
    Ok(())
}

fn certificates(file: &Path) -> io::Result<Vec<CertificateDer<'static>>> {
    let read = CertificateDer::pem_file_iter(file).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    match read {
        Ok(none) if none.is_empty() => Err(failure("certificate", file, &pem::Error::NoItemsFound)),
        read => read.map_err(|error| failure("certificate", file, &error)),
    }
}

fn failure(what: &str, file: &Path, error: &pem::Error) -> io::Error {
    let file = file.display();
    match error {
        pem::Error::Io(error) => {
            io::Error::new(error.kind(), format!("cannot read the {what} {file}: {error}"))
        }
        pem::Error::NoItemsFound => {
            refusal(format!("there is no {what} in {file} that could be read as PEM"))
        }
        error => refusal(format!("{file} is no PEM: {error}")),
    }
}

/// Says once that everybody may read the key.
fn warn_where_open(key: &Path) {
    static WARNED: AtomicBool = AtomicBool::new(false);
    let open = fs::metadata(key).is_ok_and(|metadata| metadata.permissions().mode() & 0o004 != 0);
    if open && !WARNED.swap(true, Ordering::Relaxed) {
        tracing::warn!(file = %key.display(), "every user of this machine may read the private key");
    }
}

/// RFC 7468: base 64 in lines of 64.
fn pem_text(certificate: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::from("-----BEGIN CERTIFICATE-----\n");
    for line in certificate.chunks(48) {
        for group in line.chunks(3) {
            let bits =
                group.iter().fold(0, |bits, byte| bits << 8 | usize::from(*byte)) << (8 * (3 - group.len()));
            for place in 0..4 {
                let digit = DIGITS[bits >> (18 - 6 * place) & 63];
                text.push(if place > group.len() { '=' } else { char::from(digit) });
            }
        }
        text.push('\n');
    }
    text + "-----END CERTIFICATE-----\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let dir = tempfile::tempdir().unwrap();
        for length in [1, 2, 3, 47, 48, 49, 1000] {
            let der: Vec<u8> = (0..length).map(|n| u8::try_from((n * 7 + 1) % 256).unwrap()).collect();
            let file = dir.path().join(length.to_string());
            write_ca_cert(&file, &CertificateDer::from(der.clone())).unwrap();
            assert_eq!(ca_certs(&file).unwrap(), [CertificateDer::from(der)]);
            write_ca_cert(&file, &CertificateDer::from(vec![0])).unwrap();
            assert_ne!(ca_certs(&file).unwrap(), [CertificateDer::from(vec![0])], "the first counts");
        }
    }

    #[test]
    fn what_is_missing_is_said() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("x");
        let text = |file| ca_certs(file).unwrap_err().to_string();
        assert!(text(&file).starts_with("cannot read the certificate /"), "{}", text(&file));
        fs::write(&file, "no certificate").unwrap();
        assert!(text(&file).starts_with("there is no certificate in /"), "{}", text(&file));
        let config = TlsConfig { certificate: Some(file), ..TlsConfig::default() };
        let error = identity(&config).err().unwrap().to_string();
        assert!(error.contains("--private-key"), "{error}");
        assert!(identity(&TlsConfig::default()).unwrap().is_none());
    }
}
