//! The few fields of an X.509 certificate that messages about it need, and that webpki does not give.

/// What is read of a certificate. Nothing here is verified, and nothing rests on it but messages and the choice of
/// what to bootstrap from.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Certificate<'a> {
    /// 1 or 3; there was hardly ever a 2.
    pub(super) version: u8,
    issuer: &'a [u8],
    subject: &'a [u8],
}

/// DER tags.
const INTEGER: u8 = 0x02;
const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;

/// The object identifier of a common name, 2.5.4.3, as an element.
const COMMON_NAME: [u8; 5] = [0x06, 0x03, 0x55, 0x04, 0x03];

impl<'a> Certificate<'a> {
    /// Reads DER (RFC 5280 §4.1).
    pub(super) fn read(der: &'a [u8]) -> Option<Self> {
        let (_, certificate, _) = element(der).filter(|(tag, ..)| *tag == SEQUENCE)?;
        let (_, mut fields, _) = element(certificate).filter(|(tag, ..)| *tag == SEQUENCE)?;
        let mut next = || {
            let (tag, content, rest) = element(fields)?;
            fields = rest;
            Some((tag, content))
        };
        let (mut tag, mut content) = next()?;
        let mut version = 1;
        if tag == VERSION {
            version = element(content)?.1.last()?.checked_add(1)?;
            (tag, content) = next()?;
        }
        let _serial = Some(content).filter(|_| tag == INTEGER)?;
        let _algorithm = next()?;
        let (_, issuer) = next()?;
        let _validity = next()?;
        let (_, subject) = next()?;
        Some(Self { version, issuer, subject })
    }

    /// Whether it claims to be signed by itself.
    pub(super) fn is_self_issued(&self) -> bool {
        self.issuer == self.subject
    }

    /// Returns the common name of the CA that is said to have signed it.
    pub(super) fn issuer(&self) -> Option<String> {
        common_name(self.issuer)
    }

    /// Returns the common name of its owner.
    pub(super) fn subject(&self) -> Option<String> {
        common_name(self.subject)
    }
}

fn common_name(name: &[u8]) -> Option<String> {
    let at = name.windows(COMMON_NAME.len()).position(|window| window == COMMON_NAME)?;
    let (_, text, _) = element(name.get(at + COMMON_NAME.len()..)?)?;
    // It goes into logs.
    Some(String::from_utf8_lossy(text).escape_debug().take(100).collect())
}

/// Takes one element off the front: its tag, its content, and what follows.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = der.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81..=0x84 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn der(tag: u8, contents: &[&[u8]]) -> Vec<u8> {
        let content = contents.concat();
        let length = u8::try_from(content.len()).unwrap();
        let head = if length < 0x80 { vec![tag, length] } else { vec![tag, 0x81, length] };
        [head, content].concat()
    }

    fn name(text: &str) -> Vec<u8> {
        let pair = der(SEQUENCE, &[&COMMON_NAME, &der(0x0c, &[text.as_bytes()])]);
        der(SEQUENCE, &[&der(0x31, &[&pair])])
    }

    fn certificate(version: Option<u8>, issuer: &str, subject: &str) -> Vec<u8> {
        let version = version.map_or(vec![], |number| der(VERSION, &[&der(INTEGER, &[&[number]])]));
        let (serial, empty) = (der(INTEGER, &[&[7]]), der(SEQUENCE, &[]));
        let fields =
            der(SEQUENCE, &[&version, &serial, &empty, &name(issuer), &empty, &name(subject), &empty]);
        der(SEQUENCE, &[&fields, &empty])
    }

    #[test]
    fn names_and_version_are_read() {
        let text = certificate(Some(2), "the CA", "a\nb");
        let read = Certificate::read(&text).unwrap();
        assert_eq!(
            (read.version, read.issuer(), read.subject()),
            (3, Some("the CA".into()), Some("a\\nb".into()))
        );
        assert!(!read.is_self_issued());
        let text = certificate(None, &"x".repeat(40), &"x".repeat(40));
        let read = Certificate::read(&text).unwrap();
        assert_eq!(read.version, 1);
        assert!(read.is_self_issued());
    }

    #[test]
    fn a_cut_or_changed_certificate_is_none_or_something_but_no_panic() {
        let text = certificate(Some(2), "the CA", "subject");
        for cut in 0..text.len() {
            assert_eq!(Certificate::read(&text[..cut]), None, "{cut}");
            for byte in [0, 0x7f, 0x80, 0x84, 0xff] {
                let mut text = text.clone();
                text[cut] = byte;
                if let Some(read) = Certificate::read(&text) {
                    let _ = (read.issuer(), read.subject());
                }
            }
        }
    }
}
