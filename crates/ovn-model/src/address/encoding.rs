//! The encoding of the address sets of a port in a few bytes: elements one after another, a set after another.
//!
//! ```text
//! header(1) MAC(6, unless SAME_MAC) IPv4s*4 IPv6s*16    STATIC or DYNAMIC: an element in its canonical spelling
//! header(1) length(4) text(length)                      TEXT: any other element
//! header(1)                                             SEPARATOR: the next set begins
//! ```
//!
//! A header holds the kind in two bits, the number of IPv4 addresses in three, that of IPv6 addresses in two, and
//! `SAME_MAC` if the Ethernet address is that of the canonical element before it, since an allocation of northd has the
//! Ethernet address of the port's request.

use smallvec::SmallVec;

use super::mac::Mac;
use crate::parsing::{parse_v4, parse_v6};

const STATIC: u8 = 0;
const DYNAMIC: u8 = 1;
const TEXT: u8 = 2;
const SEPARATOR: u8 = 3;
const KIND: u8 = 0b11;

const V4_SHIFT: u32 = 2;
const MAX_V4: usize = 7;
const V6_SHIFT: u32 = 5;
const MAX_V6: usize = 3;
const SAME_MAC: u8 = 1 << 7;

/// The Ethernet address before the first element.
const NO_MAC: Mac = Mac([0; 6]);

/// An element as it is encoded.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum PackedElement<'a> {
    /// In canonical form: as [`Element`](super::Element) renders it.
    Canonical { is_static: bool, mac: Mac, v4: &'a [[u8; 4]], v6: &'a [[u8; 16]] },
    /// In any other form.
    Text(&'a str),
}

// ===== writing =====

/// The bytes of some sets.
pub(crate) struct Encoder {
    bytes: SmallVec<[u8; 64]>,
    mac: Mac,
}

impl Default for Encoder {
    fn default() -> Self {
        Self { bytes: SmallVec::new(), mac: NO_MAC }
    }
}

impl Encoder {
    /// Starts with the first set of existing bytes.
    pub(crate) fn with_first_set(bytes: &[u8]) -> Self {
        let mut set = Decoder::new(bytes);
        set.by_ref().for_each(drop);
        let first = &bytes[..bytes.len() - set.rest.len()];
        Self { bytes: first.into(), mac: set.mac }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Ends a set.
    pub(crate) fn separate(&mut self) {
        self.bytes.push(SEPARATOR);
    }

    /// Appends an element that was encoded before.
    pub(crate) fn push(&mut self, element: PackedElement<'_>) {
        match element {
            PackedElement::Canonical { is_static, mac, v4, v6 } => {
                let start = self.open(mac);
                self.bytes.extend_from_slice(v4.as_flattened());
                self.bytes.extend_from_slice(v6.as_flattened());
                self.close(start, is_static, v4.len(), v6.len());
            }
            PackedElement::Text(text) => {
                self.bytes.push(TEXT);
                // The session's limits exclude strings of 4 GiB.
                self.bytes.extend_from_slice(&(text.len() as u32).to_le_bytes());
                self.bytes.extend_from_slice(text.as_bytes());
            }
        }
    }

    /// Appends an element.
    pub(crate) fn push_text(&mut self, text: &str) {
        let (start, mac) = (self.bytes.len(), self.mac);
        if self.push_canonical(text.as_bytes()).is_none() {
            self.bytes.truncate(start);
            self.mac = mac;
            self.push(PackedElement::Text(text));
        }
    }

    /// Appends in one pass the usual form of an element: an Ethernet address and IP addresses, or `dynamic`, in
    /// canonical form. Fails at anything else.
    fn push_canonical(&mut self, text: &[u8]) -> Option<()> {
        let (mac, mut rest) = text.split_at_checked(Mac::LENGTH)?;
        let (mut is_static, mut v4, mut v6) = (true, 0, 0);
        let start = self.open(Mac::parse_canonical(mac)?);
        if rest == b" dynamic" {
            (is_static, rest) = (false, b"");
        }
        while !rest.is_empty() {
            rest = rest.strip_prefix(b" ")?;
            let (word, after) = rest.split_at(memchr::memchr(b' ', rest).unwrap_or(rest.len()));
            rest = after;
            if let Some(address) = parse_v4(word).filter(|_| v6 == 0) {
                self.bytes.extend_from_slice(&address.octets());
                v4 += 1;
            } else {
                let (address, _) = parse_v6(word).filter(|(_, is_canonical)| *is_canonical)?;
                self.bytes.extend_from_slice(&address.octets());
                v6 += 1;
            }
        }
        if v4 > MAX_V4 || v6 > MAX_V6 {
            return None;
        }
        self.close(start, is_static, v4, v6);
        Some(())
    }

    /// Starts a canonical element, and returns its position.
    fn open(&mut self, mac: Mac) -> usize {
        let start = self.bytes.len();
        if mac == self.mac {
            self.bytes.push(SAME_MAC);
        } else {
            self.bytes.push(0);
            self.bytes.extend_from_slice(&mac.0);
            self.mac = mac;
        }
        start
    }

    /// Ends a canonical element with at most [`MAX_V4`] and [`MAX_V6`] addresses.
    fn close(&mut self, start: usize, is_static: bool, v4: usize, v6: usize) {
        let kind = if is_static { STATIC } else { DYNAMIC };
        self.bytes[start] |= kind | (v4 as u8) << V4_SHIFT | (v6 as u8) << V6_SHIFT;
    }
}

// ===== reading =====

/// The elements of a set, and what follows them.
#[derive(Clone, Copy)]
pub(crate) struct Decoder<'a> {
    rest: &'a [u8],
    mac: Mac,
}

impl<'a> Decoder<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, mac: NO_MAC }
    }

    /// Returns true if the set has no further element.
    pub(crate) fn is_at_end(&self) -> bool {
        self.rest.first().is_none_or(|header| header & KIND == SEPARATOR)
    }

    /// Returns the set after this one.
    pub(crate) fn next_set(mut self) -> Self {
        self.by_ref().for_each(drop);
        self.rest = self.rest.split_first().map_or(&[], |(_, rest)| rest);
        self
    }
}

impl<'a> Iterator for Decoder<'a> {
    type Item = PackedElement<'a>;

    #[inline]
    fn next(&mut self) -> Option<PackedElement<'a>> {
        let (&header, mut rest) = self.rest.split_first()?;
        let is_static = match header & KIND {
            STATIC => true,
            DYNAMIC => false,
            TEXT => {
                let (length, rest) = rest.split_first_chunk()?;
                let (text, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
                self.rest = rest;
                return str::from_utf8(text).ok().map(PackedElement::Text);
            }
            _ => return None,
        };
        if header & SAME_MAC == 0 {
            let (mac, after) = rest.split_first_chunk()?;
            (self.mac, rest) = (Mac(*mac), after);
        }
        let (v4, rest) = rest.split_at_checked((usize::from(header >> V4_SHIFT) & MAX_V4) * 4)?;
        let (v6, rest) = rest.split_at_checked((usize::from(header >> V6_SHIFT) & MAX_V6) * 16)?;
        self.rest = rest;
        let (v4, v6) = (v4.as_chunks().0, v6.as_chunks().0);
        Some(PackedElement::Canonical { is_static, mac: self.mac, v4, v6 })
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use proptest::prelude::*;

    use super::*;
    use crate::address::Element;

    /// Returns whether the element is packed in one pass, which must give the same result.
    fn is_canonical(text: &str) -> bool {
        let mut encoder = Encoder::default();
        encoder.push_text(text);
        let mut decoder = Decoder::new(encoder.bytes());
        let packed = decoder.next().unwrap();
        assert!(decoder.is_at_end());
        let (element, parsed) = (Element::from(packed), Element::parse(text));
        assert_eq!(
            (element.kind(), element.mac(), element.addresses().collect::<Vec<_>>()),
            (parsed.kind(), parsed.mac(), parsed.addresses().collect())
        );
        assert_eq!((element.text(), element.is_doubtful()), (text.into(), parsed.is_doubtful()));
        matches!(packed, PackedElement::Canonical { .. })
    }

    #[test]
    fn canonical_elements_are_packed_without_their_text() {
        for (text, expected) in [
            ("0a:00:00:00:00:01", true),
            ("00:00:00:00:00:00 10.0.0.2", true),
            ("0a:00:00:00:00:01 dynamic", true),
            ("0a:00:00:00:00:01 10.0.0.2 10.0.0.3 fd42::2 fd42::3", true),
            ("0a:00:00:00:00:01 fd42::2 10.0.0.2", false),
            ("0a:00:00:00:00:01 10.0.0.2 dynamic", false),
            ("0a:00:00:00:00:01 10.0.0.2 ", false),
            ("0a:00:00:00:00:01  10.0.0.2", false),
            ("0a:00:00:00:00:01 10.0.0.2/32", false),
            ("0a:00:00:00:00:01 fd42:0::2", false),
            ("0A:00:00:00:00:01", false),
            ("0a-00-00-00-00-01", false),
            ("0a:00:00:00:00:0é", false),
            ("unknown", false),
        ] {
            assert_eq!(is_canonical(text), expected, "{text}");
        }
        let many = |count| format!("0a:00:00:00:00:01{}", " 10.0.0.1".repeat(count));
        assert!(is_canonical(&many(MAX_V4)) && !is_canonical(&many(MAX_V4 + 1)));
        assert!(is_canonical(&format!("{}{}", many(MAX_V4), " fd42::2".repeat(MAX_V6))));
        assert!(!is_canonical(&format!("{}{}", many(1), " fd42::2".repeat(MAX_V6 + 1))));
    }

    #[test]
    fn ethernet_address_shared_by_both_columns_is_encoded_once() {
        let (mac, other) = ("0a:00:00:00:00:01", "0a:00:00:00:00:02");
        let mut encoder = Encoder::default();
        for text in [mac, "unknown", &format!("{mac} 10.0.0.2"), other] {
            encoder.push_text(text);
        }
        encoder.separate();
        encoder.push_text(&format!("{other} fd42::2"));
        assert_eq!(encoder.bytes().len(), 7 + 12 + 5 + 7 + 1 + 17);
        let set = Decoder::new(encoder.bytes());
        let texts = |set: Decoder<'_>| {
            set.map(|packed| Element::from(packed).text().into_owned()).collect::<Vec<_>>()
        };
        assert_eq!(texts(set), [mac, "unknown", "0a:00:00:00:00:01 10.0.0.2", other]);
        assert_eq!(texts(set.next_set()), ["0a:00:00:00:00:02 fd42::2"]);
        assert!(set.next_set().next_set().is_at_end());
        let mut again = Encoder::default();
        set.for_each(|element| again.push(element));
        again.separate();
        set.next_set().for_each(|element| again.push(element));
        assert_eq!(again.bytes(), encoder.bytes());
    }

    proptest! {
        #[test]
        fn packed_element_equals_the_parsed_element(
            mac in "[0-9a-f]{2}(:[0-9a-fA]{2}){5}",
            v4 in prop::collection::vec(any::<Ipv4Addr>(), 0..3),
            v6 in prop::collection::vec(any::<Ipv6Addr>(), 0..3),
            end in "( dynamic)?[ a]{0,1}",
        ) {
            let v4: String = v4.iter().map(|address| format!(" {address}")).collect();
            let v6: String = v6.iter().map(|address| format!(" {address}")).collect();
            is_canonical(&format!("{mac}{v4}{v6}{end}"));
            is_canonical(&format!("{mac}{v6}{v4}{end}"));
        }
    }
}
