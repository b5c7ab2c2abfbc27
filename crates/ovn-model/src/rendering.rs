//! The canonical text of addresses, made quickly.
//!
//! Every address of the database is rendered once, to see whether its spelling must be kept. The
//! standard library goes through its formatting machinery for every number of an address, which took
//! a tenth of the time of a first reading.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Renders an address as its own `Display` does, but for width and fill, which are ignored.
pub(crate) struct Rendering(pub(crate) IpAddr);

impl Rendering {
    /// Tells whether `text` is the rendering.
    pub(crate) fn is(&self, text: &[u8]) -> bool {
        let rendered = Text::of(self.0);
        rendered.bytes[..rendered.length] == *text
    }
}

impl fmt::Display for Rendering {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = Text::of(self.0);
        f.write_str(str::from_utf8(&text.bytes[..text.length]).unwrap_or_default())
    }
}

/// The length of eight groups of four digits and what is between them.
const LONGEST: usize = 39;

struct Text {
    bytes: [u8; LONGEST],
    length: usize,
}

impl Text {
    fn of(address: IpAddr) -> Self {
        let mut text = Self { bytes: [0; LONGEST], length: 0 };
        match address {
            IpAddr::V4(address) => text.v4(address),
            IpAddr::V6(address) => text.v6(address),
        }
        text
    }

    fn push(&mut self, byte: u8) {
        self.bytes[self.length] = byte;
        self.length += 1;
    }

    /// Appends a digit unless it is a leading zero; `one` is the place of ones, which never is.
    fn digit(&mut self, digit: u16, leading: &mut bool, one: bool) {
        *leading &= digit == 0 && !one;
        if !*leading {
            self.push(b"0123456789abcdef"[usize::from(digit & 0xf)]);
        }
    }

    fn v4(&mut self, address: Ipv4Addr) {
        for (i, octet) in address.octets().into_iter().map(u16::from).enumerate() {
            if i > 0 {
                self.push(b'.');
            }
            let mut leading = true;
            self.digit(octet / 100, &mut leading, false);
            self.digit(octet / 10 % 10, &mut leading, false);
            self.digit(octet % 10, &mut leading, true);
        }
    }

    /// RFC 5952: the first of the longest runs of two or more zeros becomes `::`.
    fn v6(&mut self, address: Ipv6Addr) {
        if let Some(mapped) = address.to_ipv4_mapped() {
            b"::ffff:".iter().for_each(|byte| self.push(*byte));
            return self.v4(mapped);
        }
        let groups = address.segments();
        let (mut run, mut start) = (0..0, 0);
        for (i, group) in groups.into_iter().enumerate() {
            if group != 0 {
                start = i + 1;
            } else if i + 1 - start > run.len().max(1) {
                run = start..i + 1;
            }
        }
        for (i, group) in groups.into_iter().enumerate() {
            if run.contains(&i) {
                if i == run.start {
                    self.push(b':');
                }
                if i == 7 {
                    self.push(b':');
                }
                continue;
            }
            if i > 0 {
                self.push(b':');
            }
            let mut leading = true;
            for shift in [12, 8, 4, 0] {
                self.digit(group >> shift & 0xf, &mut leading, shift == 0);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn it_is_the_text_of_the_standard_library() {
        for text in [
            "::",
            "::1",
            "1::",
            "1::1",
            "1:0:0:2::",
            "1:0:0:2:0:0:0:3",
            "0:1::",
            "::ffff:1.2.3.4",
            "::1.2.3.4",
        ] {
            let address: IpAddr = text.parse().unwrap();
            assert_eq!(Rendering(address).to_string(), address.to_string());
        }
    }

    proptest! {
        #[test]
        fn so_are_all_others(address: IpAddr, groups in prop::array::uniform8(prop_oneof![Just(0), Just(0), 0..=u16::MAX])) {
            for address in [address, Ipv6Addr::from(groups).into()] {
                let text = address.to_string();
                prop_assert_eq!(&Rendering(address).to_string(), &text);
                prop_assert!(Rendering(address).is(text.as_bytes()));
                prop_assert!(!Rendering(address).is(&text.as_bytes()[1..]));
            }
        }
    }
}
