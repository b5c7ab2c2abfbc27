//! The few fields of an X.509 certificate that messages about it need, and that webpki does not give.

/// What is read of a certificate. Nothing here is verified, and nothing rests on it but messages and the choice of
/// what to bootstrap from.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Certificate<'a> {
    /// 1 or 3; there was hardly ever a 2.
    pub(super) version: u8,
    issuer: &'a [u8],
    subject: &'a [u8],
    validity: &'a [u8],
}

/// DER tags.
const INTEGER: u8 = 0x02;
const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

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
        let (_, validity) = next()?;
        let (_, subject) = next()?;
        Some(Self { version, issuer, subject, validity })
    }

    /// Whether it claims to be signed by itself.
    pub(super) fn is_self_issued(&self) -> bool {
        self.issuer == self.subject
    }

    /// Returns the common name of the CA that is said to have signed it.
    pub(super) fn issuer(&self) -> Option<String> {
        common_name(self.issuer)
    }

    /// Returns the second, counted from 1970, after which it counts no more.
    pub(super) fn not_after(&self) -> Option<u64> {
        let (_, _, rest) = element(self.validity)?;
        let (tag, text, _) = element(rest)?;
        seconds(tag, std::str::from_utf8(text).ok()?)
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

/// Reads a time (RFC 5280 §4.1.2.5): `YYMMDDHHMMSSZ` until 2049, with all of the year from 2050 on.
fn seconds(tag: u8, text: &str) -> Option<u64> {
    let text = text.strip_suffix('Z').filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))?;
    let (year, rest) = match tag {
        UTC_TIME => {
            let (year, rest) = text.split_at_checked(2)?;
            let year: u64 = year.parse().ok()?;
            (if year < 50 { 2000 + year } else { 1900 + year }, rest)
        }
        GENERALIZED_TIME => {
            let (year, rest) = text.split_at_checked(4)?;
            (year.parse().ok()?, rest)
        }
        _ => return None,
    };
    let number = |at: usize| -> Option<u64> { rest.get(at..at + 2)?.parse().ok() };
    let (month, day) = (number(0)?, number(2)?);
    let (hour, minute, second) = (number(4)?, number(6)?, number(8)?);
    if rest.len() != 10 || year < 1970 || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    // Years begin in March here, so that the leap day is the last of one.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1;
    Some((days - 719_468) * 86_400 + hour * 3600 + minute * 60 + second)
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
    fn times_are_read() {
        let known = [
            (UTC_TIME, "700301000000Z", Some(5_097_600)),
            (UTC_TIME, "000229120000Z", Some(951_825_600)),
            (UTC_TIME, "491231235959Z", Some(2_524_607_999)),
            (GENERALIZED_TIME, "20500101000000Z", Some(2_524_608_000)),
            (GENERALIZED_TIME, "99991231235959Z", Some(253_402_300_799)),
            (UTC_TIME, "20500101000000Z", None),
            (GENERALIZED_TIME, "500101000000Z", None),
            (UTC_TIME, "501301000000Z", None),
            (UTC_TIME, "50010100000Z", None),
            (UTC_TIME, "500101000000+0100", None),
            (UTC_TIME, "", None),
            (INTEGER, "500101000000Z", None),
        ];
        for (tag, text, expected) in known {
            assert_eq!(seconds(tag, text), expected, "{tag} {text}");
        }
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
                    let _ = (read.issuer(), read.subject(), read.not_after());
                }
            }
        }
    }
}
