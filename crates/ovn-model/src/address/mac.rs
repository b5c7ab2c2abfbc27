//! Ethernet addresses.

use std::fmt;

use crate::parsing::digit;

/// An Ethernet address.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Mac(pub [u8; 6]);

impl Mac {
    /// The length of its canonical text.
    pub(super) const LENGTH: usize = 17;

    /// Parses six hexadecimal numbers separated by colons, each of one or two digits, as northd does.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (mut bytes, mut parts) = ([0; 6], text.split(':'));
        for byte in &mut bytes {
            let digits = parts.next().filter(|part| matches!(part.len(), 1 | 2))?;
            *byte = digits.bytes().try_fold(0, |byte, next| Some(byte << 4 | digit(next)?))?;
        }
        parts.next().is_none().then_some(Self(bytes))
    }

    /// Parses an address in canonical form.
    pub(crate) fn parse_canonical(text: &[u8]) -> Option<Self> {
        let text: &[u8; Self::LENGTH] = text.try_into().ok()?;
        let mut bytes = [0; 6];
        for (i, byte) in bytes.iter_mut().enumerate() {
            let (high, low) = (text[i * 3], text[i * 3 + 1]);
            if high.is_ascii_uppercase() || low.is_ascii_uppercase() || i < 5 && text[i * 3 + 2] != b':' {
                return None;
            }
            *byte = digit(high)? << 4 | digit(low)?;
        }
        Some(Self(bytes))
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, f] = self.0;
        write!(formatter, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}")
    }
}

impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
