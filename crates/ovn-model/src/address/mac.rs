//! Ethernet addresses.

use std::fmt;

use crate::parsing::digit;

/// An Ethernet address.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Mac(pub [u8; 6]);

impl Mac {
    /// How long it is as we write it.
    pub(super) const LENGTH: usize = 17;

    /// Parses six hexadecimal numbers with colons between them, each of one or two digits, as northd does.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (mut bytes, mut at, mut digits) = ([0u8; 6], 0, 0);
        for character in text.chars() {
            if character == ':' {
                if digits == 0 {
                    return None;
                }
                (at, digits) = (at + 1, 0);
            } else {
                let byte = bytes.get_mut(at).filter(|_| digits < 2)?;
                // A digit is less than 16.
                *byte = *byte << 4 | character.to_digit(16)? as u8;
                digits += 1;
            }
        }
        (at == 5 && digits > 0).then_some(Self(bytes))
    }

    /// Parses an address that is written as it is rendered.
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
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // By hand: every port's is rendered once, to see whether its text must be kept.
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = [b':'; Self::LENGTH];
        for (byte, place) in self.0.iter().zip(text.chunks_mut(3)) {
            place[0] = DIGITS[usize::from(byte >> 4)];
            place[1] = DIGITS[usize::from(byte & 0xf)];
        }
        f.write_str(str::from_utf8(&text).unwrap_or_default())
    }
}

impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
