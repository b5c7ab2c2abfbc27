//! Keys and certificates, read and written as PEM.

use std::borrow::Cow;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use pem_rfc7468::LineEnding;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::certificate::Certificate;
use super::explain::V1;
use super::refusal::refusal;
use super::{PemSource, TlsConfig};

/// The client's certificate and key.
pub(super) struct Identity {
    pub(super) chain: Vec<CertificateDer<'static>>,
    pub(super) key: PrivateKeyDer<'static>,
}

/// Reads the client's certificate and key, if they are configured.
pub(super) fn identity(config: &TlsConfig) -> io::Result<Option<Identity>> {
    let (key, certificate) = match (&config.private_key, &config.certificate) {
        (None, None) => return Ok(None),
        (Some(key), Some(certificate)) => (key, certificate),
        (Some(_), None) => {
            return Err(refusal("a private key without a certificate cannot be used (--certificate)"));
        }
        (None, Some(_)) => {
            return Err(refusal("a certificate without its private key cannot be used (--private-key)"));
        }
    };
    let chain = certificates(certificate)?;
    if chain.first().and_then(|leaf| Certificate::read(leaf)).is_some_and(|leaf| leaf.is_version_1()) {
        return Err(refusal(format!("the client certificate {certificate} {V1}")));
    }
    if let PemSource::File(file) = key {
        warn_where_open(file);
    }
    Ok(Some(Identity { chain, key: private_key(key)? }))
}

/// Reads certificates, at least one.
pub(super) fn certificates(source: &PemSource) -> io::Result<Vec<CertificateDer<'static>>> {
    const WHAT: &str = "certificate";
    let text = read(WHAT, source)?;
    match CertificateDer::pem_slice_iter(&text).collect::<Result<Vec<_>, _>>() {
        Ok(none) if none.is_empty() => Err(missing(WHAT, source)),
        read => read.map_err(|error| broken(WHAT, source, &error)),
    }
}

/// Writes the bootstrapped certificate. If another process was first, its certificate counts.
pub(super) fn write_ca_cert(file: &Path, certificate: &CertificateDer<'_>) -> io::Result<()> {
    let cannot = |error: io::Error| {
        io::Error::new(
            error.kind(),
            format!("cannot write the CA's certificate to {}: {error}", file.display()),
        )
    };
    let text = pem_rfc7468::encode_string("CERTIFICATE", LineEnding::LF, certificate)
        .map_err(|error| cannot(io::Error::other(error)))?;
    let opened = OpenOptions::new().write(true).create_new(true).mode(0o444).open(file);
    let mut writer = match opened {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
        opened => opened.map_err(cannot)?,
    };
    let written = writer.write_all(text.as_bytes()).and_then(|()| writer.sync_all());
    if let Err(error) = written {
        // An incomplete file would break every later attempt.
        let _ = fs::remove_file(file);
        return Err(cannot(error));
    }
    tracing::info!(file = %file.display(), "the CA's certificate was taken from the server, unverified");
    Ok(())
}

fn private_key(source: &PemSource) -> io::Result<PrivateKeyDer<'static>> {
    const WHAT: &str = "private key";
    let text = read(WHAT, source)?;
    // PKCS #8, and OpenSSL's former format.
    if ["BEGIN ENCRYPTED PRIVATE KEY", "Proc-Type: 4,ENCRYPTED"].iter().any(|mark| contains(&text, mark)) {
        return Err(refusal(format!(
            "the private key {source} is encrypted, and there is nobody to ask for its passphrase: write it without \
             one (openssl pkey -in KEY -out FILE) and let the file's mode protect it"
        )));
    }
    PrivateKeyDer::from_pem_slice(&text).map_err(|error| match error {
        pem::Error::NoItemsFound => missing(WHAT, source),
        error => broken(WHAT, source, &error),
    })
}

fn read<'a>(what: &str, source: &'a PemSource) -> io::Result<Cow<'a, [u8]>> {
    match source {
        PemSource::Bytes(text) => Ok(Cow::Borrowed(text)),
        PemSource::File(file) => fs::read(file).map(Cow::Owned).map_err(|error| {
            io::Error::new(error.kind(), format!("cannot read the {what} {source}: {error}"))
        }),
    }
}

fn contains(text: &[u8], part: &str) -> bool {
    text.windows(part.len()).any(|window| window == part.as_bytes())
}

fn missing(what: &str, source: &PemSource) -> io::Error {
    refusal(format!("there is no {what} in {source} that could be read as PEM"))
}

fn broken(what: &str, source: &PemSource, error: &pem::Error) -> io::Error {
    // Some of these errors quote the found bytes as numbers.
    let why = match error {
        pem::Error::MissingSectionEnd { .. } => "its end is missing",
        pem::Error::IllegalSectionStart { .. } => "a line that begins it is malformed",
        pem::Error::Base64Decode(_) => "its base 64 is malformed",
        _ => "it is malformed",
    };
    refusal(format!("the {what} in {source} cannot be read as PEM: {why}"))
}

/// Warns once that everybody may read the key.
fn warn_where_open(key: &Path) {
    static WARNED: AtomicBool = AtomicBool::new(false);
    let open = fs::metadata(key).is_ok_and(|metadata| metadata.permissions().mode() & 0o004 != 0);
    if open && !WARNED.swap(true, Ordering::Relaxed) {
        tracing::warn!(file = %key.display(), "every user of this machine may read the private key");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_ca_certificate_is_read_back() {
        let dir = tempfile::tempdir().unwrap();
        for length in [1, 2, 3, 47, 48, 49, 1000] {
            let der: Vec<u8> = (0..length).map(|n| u8::try_from((n * 7 + 1) % 256).unwrap()).collect();
            let file = dir.path().join(length.to_string());
            let read = || certificates(&PemSource::from(&*file)).unwrap();
            write_ca_cert(&file, &CertificateDer::from(der.clone())).unwrap();
            assert_eq!(read(), [CertificateDer::from(der.clone())]);
            write_ca_cert(&file, &CertificateDer::from(vec![0])).unwrap();
            assert_eq!(read(), [CertificateDer::from(der)], "the first counts");
            let text = PemSource::from(fs::read(&file).unwrap());
            assert_eq!(certificates(&text).unwrap(), read());
        }
    }

    #[test]
    fn missing_or_malformed_certificate_file_is_an_error_with_the_reason() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("x");
        let text = |file: &Path| certificates(&file.into()).unwrap_err().to_string();
        assert!(text(&file).starts_with("cannot read the certificate /"), "{}", text(&file));
        fs::write(&file, "no certificate").unwrap();
        assert!(text(&file).starts_with("there is no certificate in /"), "{}", text(&file));
        fs::write(&file, "-----BEGIN CERTIFICATE-----\nAAAA\n").unwrap();
        assert!(text(&file).ends_with(": its end is missing"), "{}", text(&file));
        fs::write(&file, "-----BEGIN CERTIFICATE-----\nA\n-----END CERTIFICATE-----\n").unwrap();
        assert!(text(&file).ends_with(": its base 64 is malformed"), "{}", text(&file));
        let config = TlsConfig { certificate: Some(file.into()), ..TlsConfig::default() };
        let error = identity(&config).err().unwrap().to_string();
        assert!(error.contains("--private-key"), "{error}");
        assert!(identity(&TlsConfig::default()).unwrap().is_none());
    }

    #[test]
    fn encrypted_private_key_is_an_error_that_says_so() {
        for text in [
            "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n",
            "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nAAAA\n-----END RSA PRIVATE KEY-----\n",
        ] {
            let error = private_key(&PemSource::from(text.as_bytes().to_vec())).unwrap_err().to_string();
            assert!(error.contains("is encrypted") && error.contains("openssl pkey"), "{error}");
        }
    }
}
