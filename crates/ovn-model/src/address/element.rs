//! One element of an address set, and how it is packed.
//!
//! ```text
//! STATIC or DYNAMIC(1) IPv4s(1) IPv6s(1) MAC(6) IPv4s*4 IPv6s*16     where it is written as we would
//! TEXT(1) length(4) text(length)                                     any other
//! ```

use std::borrow::Cow;
use std::fmt::{self, Write};
use std::net::IpAddr;

use smallvec::SmallVec;

use super::mac::Mac;
use crate::parsing::{parse_ip, parse_v4, parse_v6};
use crate::prefix::parse_prefix;

const STATIC: u8 = 0;
const DYNAMIC: u8 = 1;
const TEXT: u8 = 2;

/// What an element means (ovn-nb(5)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ElementKind {
    /// `Ethernet [IPv4 ...] [IPv6 ...]`: these are the port's.
    Static,
    /// `[Ethernet] dynamic`, `dynamic [IPv4] [IPv6]`: northd chooses the rest and writes `dynamic_addresses`.
    Dynamic,
    /// `unknown`: the port may have any address.
    Unknown,
    /// `router`: the port has the addresses of its router port.
    Router,
    /// Nothing that northd would accept.
    #[default]
    Unreadable,
}

/// An element of an [`AddressSet`](super::AddressSet).
#[derive(Clone, Default)]
pub struct Element<'a> {
    kind: ElementKind,
    is_doubtful: bool,
    mac: Option<Mac>,
    addresses: Addresses<'a>,
    /// The text, where it is not how we would write it, or may not be.
    text: Option<&'a str>,
}

/// The IP addresses of an element, IPv4 first: where they are packed, or as they were parsed.
#[derive(Clone)]
enum Addresses<'a> {
    Packed { v4: &'a [[u8; 4]], v6: &'a [[u8; 16]] },
    Parsed(SmallVec<[IpAddr; 2]>),
}

// ===== impl Addresses =====

impl Default for Addresses<'_> {
    fn default() -> Self {
        Self::Packed { v4: &[], v6: &[] }
    }
}

impl<'a> Addresses<'a> {
    fn into_iter(self) -> impl Iterator<Item = IpAddr> + 'a {
        let (v4, v6, parsed) = match self {
            Self::Packed { v4, v6 } => (v4, v6, SmallVec::new()),
            Self::Parsed(parsed) => (&[][..], &[][..], parsed),
        };
        let v4 = v4.iter().map(|octets| IpAddr::from(*octets));
        v4.chain(v6.iter().map(|octets| IpAddr::from(*octets))).chain(parsed)
    }
}

// ===== impl Element =====

impl<'a> Element<'a> {
    /// Parses an element as northd does (`extract_lsp_addresses` in lib/ovn-util.c).
    fn parse(text: &'a str) -> Self {
        let mut words = text.split_ascii_whitespace();
        let first = words.next().unwrap_or_default();
        let mut element = Self { text: Some(text), ..Self::default() };
        match (text, first, Mac::parse(first)) {
            ("unknown", ..) => element.kind = ElementKind::Unknown,
            ("router", ..) => element.kind = ElementKind::Router,
            (_, "dynamic", _) => {
                // At most one address of each family follows.
                let addresses: Option<SmallVec<_>> = words.map(parse_ip).collect();
                let in_order = |a: &IpAddr, b: &IpAddr| a.is_ipv4() && b.is_ipv6();
                if let Some(addresses) = addresses.filter(|addresses| addresses.is_sorted_by(in_order)) {
                    (element.kind, element.addresses) = (ElementKind::Dynamic, Addresses::Parsed(addresses));
                }
            }
            (_, _, Some(mac)) => {
                let words: SmallVec<[_; 4]> = words.collect();
                element.mac = Some(mac);
                if words[..] == ["dynamic"] {
                    element.kind = ElementKind::Dynamic;
                } else {
                    // What follows a word that is no address is not looked at.
                    let addresses = words.iter().map_while(|word| Some(parse_prefix(word)?.addr()));
                    let mut addresses: SmallVec<_> = addresses.collect();
                    element.kind = ElementKind::Static;
                    element.is_doubtful = addresses.len() < words.len();
                    addresses.sort_by_key(IpAddr::is_ipv6);
                    element.addresses = Addresses::Parsed(addresses);
                }
            }
            _ => {}
        }
        element.is_doubtful |= element.kind == ElementKind::Unreadable;
        element
    }

    /// Returns what the element means.
    pub fn kind(&self) -> ElementKind {
        self.kind
    }

    /// Returns its Ethernet address.
    pub fn mac(&self) -> Option<Mac> {
        self.mac
    }

    /// Returns its IP addresses, IPv4 first. Those of a `dynamic` element are only asked for.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> + use<'a> {
        self.addresses.clone().into_iter()
    }

    pub(super) fn into_addresses(self) -> impl Iterator<Item = IpAddr> + use<'a> {
        self.addresses.into_iter()
    }

    /// Returns the element as the database has it.
    pub fn text(&self) -> Cow<'a, str> {
        match self.text {
            Some(text) => text.into(),
            None => self.canonical().into(),
        }
    }

    fn canonical(&self) -> String {
        let mut text = self.mac.map(|mac| mac.to_string()).unwrap_or_default();
        if self.kind == ElementKind::Dynamic {
            text.push_str(" dynamic");
        }
        for address in self.addresses() {
            // A `String` takes whatever is written.
            let _ = write!(text, " {address}");
        }
        text
    }

    /// Tells whether the element, or its end, was not understood.
    pub fn is_doubtful(&self) -> bool {
        self.is_doubtful
    }
}

impl fmt::Debug for Element<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}({:?})", self.kind(), self.text())
    }
}

// ===== packing =====

/// Appends an element to a packed set.
pub(super) fn pack(text: &str, packed: &mut SmallVec<[u8; 64]>) {
    let start = packed.len();
    if pack_canonical(text.as_bytes(), packed).is_none() {
        packed.truncate(start);
        packed.push(TEXT);
        // A string of 4 GiB does not pass the session's limits.
        packed.extend_from_slice(&(text.len() as u32).to_le_bytes());
        packed.extend_from_slice(text.as_bytes());
    }
}

/// Appends what nearly every element is, in one pass: an Ethernet address and IP addresses, or `dynamic`, written as
/// we would. Fails at anything else.
fn pack_canonical(text: &[u8], packed: &mut SmallVec<[u8; 64]>) -> Option<()> {
    let (mac, mut rest) = text.split_at_checked(Mac::LENGTH)?;
    let (start, mut kind, mut v4, mut v6) = (packed.len(), STATIC, 0u8, 0u8);
    packed.extend_from_slice(&[kind, v4, v6]);
    packed.extend_from_slice(&Mac::parse_canonical(mac)?.0);
    if rest == b" dynamic" {
        (kind, rest) = (DYNAMIC, b"");
    }
    while !rest.is_empty() {
        rest = rest.strip_prefix(b" ")?;
        let (word, after) = rest.split_at(memchr::memchr(b' ', rest).unwrap_or(rest.len()));
        rest = after;
        if let Some(address) = parse_v4(word).filter(|_| v6 == 0) {
            packed.extend_from_slice(&address.octets());
            v4 = v4.checked_add(1)?;
        } else {
            let (address, _) = parse_v6(word).filter(|(_, is_canonical)| *is_canonical)?;
            packed.extend_from_slice(&address.octets());
            v6 = v6.checked_add(1)?;
        }
    }
    packed[start..][..3].copy_from_slice(&[kind, v4, v6]);
    Some(())
}

/// An element as it is packed.
#[derive(Clone, Copy)]
pub(super) enum PackedElement<'a> {
    /// Written as we would.
    Canonical { is_static: bool, mac: Mac, v4: &'a [[u8; 4]], v6: &'a [[u8; 16]] },
    /// Any other.
    Text(&'a str),
}

/// Takes an element off a packed set.
#[inline]
pub(super) fn unpack<'a>(packed: &mut &'a [u8]) -> Option<PackedElement<'a>> {
    let (head, rest) = packed.split_first()?;
    if *head == TEXT {
        let (length, rest) = rest.split_first_chunk()?;
        let (text, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        *packed = rest;
        return str::from_utf8(text).ok().map(PackedElement::Text);
    }
    let (&[v4, v6, ref mac @ ..], rest) = rest.split_first_chunk::<8>()?;
    let (v4, rest) = rest.split_at_checked(usize::from(v4) * 4)?;
    let (v6, rest) = rest.split_at_checked(usize::from(v6) * 16)?;
    *packed = rest;
    let (v4, v6) = (v4.as_chunks().0, v6.as_chunks().0);
    Some(PackedElement::Canonical { is_static: *head == STATIC, mac: Mac(*mac), v4, v6 })
}

impl<'a> From<PackedElement<'a>> for Element<'a> {
    fn from(packed: PackedElement<'a>) -> Self {
        match packed {
            PackedElement::Canonical { is_static, mac, v4, v6 } => {
                let kind = if is_static { ElementKind::Static } else { ElementKind::Dynamic };
                let addresses = Addresses::Packed { v4, v6 };
                Self { kind, is_doubtful: false, mac: Some(mac), addresses, text: None }
            }
            PackedElement::Text(text) => Self::parse(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use proptest::prelude::*;

    use super::*;

    /// Returns whether the element is packed in one pass, which must come to the same.
    fn is_canonical(text: &str) -> bool {
        let mut packed = SmallVec::new();
        pack(text, &mut packed);
        let (mut rest, parsed) = (&*packed, Element::parse(text));
        let element = Element::from(unpack(&mut rest).unwrap());
        assert!(rest.is_empty());
        assert_eq!(
            (element.kind, element.mac, element.addresses().collect::<Vec<_>>()),
            (parsed.kind, parsed.mac, parsed.addresses().collect())
        );
        assert_eq!((element.text(), element.is_doubtful), (text.into(), parsed.is_doubtful));
        packed[0] != TEXT
    }

    #[test]
    fn canonical_elements_are_packed_without_their_text() {
        for (text, expected) in [
            ("0a:00:00:00:00:01", true),
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
        assert!(is_canonical(&many(255)) && !is_canonical(&many(256)));
        assert!(is_canonical(&format!("{} fd42::2", many(255))));
    }

    proptest! {
        #[test]
        fn it_is_the_same_element(
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
