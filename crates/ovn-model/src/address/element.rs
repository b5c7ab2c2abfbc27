//! One element of an address set.

use std::borrow::Cow;
use std::fmt::{self, Write};
use std::net::IpAddr;

use smallvec::SmallVec;

use super::encoding::PackedElement;
use super::mac::Mac;
use crate::parsing::parse_ip;
use crate::prefix::parse_prefix;

/// The kind of an element (ovn-nb(5)).
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
    /// Invalid: northd does not accept it.
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
    /// The text, if it is not canonical, or may not be.
    text: Option<&'a str>,
}

/// The IP addresses of an element, IPv4 first: packed, or as they were parsed.
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
    pub(super) fn parse(text: &'a str) -> Self {
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
                    // Words after one that is not an address are ignored.
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

    /// Returns the kind of the element.
    pub fn kind(&self) -> ElementKind {
        self.kind
    }

    /// Returns its Ethernet address.
    pub fn mac(&self) -> Option<Mac> {
        self.mac
    }

    /// Returns its IP addresses, IPv4 first. Those of a `dynamic` element are only requested.
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
            // Writing to a `String` never fails.
            let _ = write!(text, " {address}");
        }
        text
    }

    /// Returns true if the element, or its end, was not understood.
    pub fn is_doubtful(&self) -> bool {
        self.is_doubtful
    }
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

impl fmt::Debug for Element<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}({:?})", self.kind(), self.text())
    }
}
