//! One element of an address set, and how it is packed.
//!
//! ```text
//! head(1) IPv4s(1) IPv6s(1) [MAC(6)] IPv4s*4 IPv6s*16 [length(4) text(length)]
//! ```

use std::borrow::Cow;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ovsdb_protocol::is_rendering;

use super::mac::Mac;
use crate::parsing::{parse_ip, parse_v4, parse_v6};
use crate::prefix;
use crate::rendering::Rendering;

/// What an element means (ovn-nb(5)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
    Unreadable,
}

/// An element of an [`AddressSet`](super::AddressSet).
#[derive(Clone, Copy)]
pub struct Element<'a> {
    head: u8,
    mac: Option<Mac>,
    v4: &'a [[u8; 4]],
    v6: &'a [[u8; 16]],
    raw: Option<&'a str>,
}

const KINDS: [ElementKind; 5] = [
    ElementKind::Static,
    ElementKind::Dynamic,
    ElementKind::Unknown,
    ElementKind::Router,
    ElementKind::Unreadable,
];
const KIND: u8 = 0x07;
const HAS_MAC: u8 = 0x08;
const HAS_RAW: u8 = 0x10;
const DOUBTFUL: u8 = 0x20;

// ===== impl Element =====

impl<'a> Element<'a> {
    /// Returns what the element means.
    pub fn kind(&self) -> ElementKind {
        KINDS.get(usize::from(self.head & KIND)).copied().unwrap_or(ElementKind::Unreadable)
    }

    /// Returns its Ethernet address.
    pub fn mac(&self) -> Option<Mac> {
        self.mac
    }

    /// Returns its IP addresses, IPv4 first. Those of a `dynamic` element are only asked for.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> + use<'a> {
        let v4 = self.v4.iter().map(|bytes| IpAddr::from(*bytes));
        v4.chain(self.v6.iter().map(|bytes| IpAddr::from(*bytes)))
    }

    /// Returns the element as the database has it.
    pub fn text(&self) -> Cow<'a, str> {
        match self.raw {
            Some(raw) => Cow::Borrowed(raw),
            None => Cow::Owned(self.to_string()),
        }
    }

    /// Tells whether the element, or its end, was not understood.
    pub fn is_doubtful(&self) -> bool {
        self.head & DOUBTFUL != 0
    }
}

/// The canonical text.
impl fmt::Display for Element<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(mac) = self.mac {
            mac.fmt(f)?;
        }
        match self.kind() {
            ElementKind::Static => {}
            ElementKind::Dynamic if self.mac.is_some() => f.write_str(" dynamic")?,
            ElementKind::Dynamic => f.write_str("dynamic")?,
            ElementKind::Unknown => f.write_str("unknown")?,
            ElementKind::Router => f.write_str("router")?,
            ElementKind::Unreadable => f.write_str(self.raw.unwrap_or_default())?,
        }
        self.addresses().try_for_each(|address| {
            f.write_str(" ")?;
            Rendering(address).fmt(f)
        })
    }
}

impl fmt::Debug for Element<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}({:?})", self.kind(), self.text())
    }
}

// ===== parsing and packing =====

#[derive(Default)]
struct Parts {
    head: u8,
    mac: Option<Mac>,
    v4: Vec<[u8; 4]>,
    v6: Vec<[u8; 16]>,
}

impl Parts {
    fn parse(text: &str) -> Self {
        match text {
            "unknown" => Self::of(ElementKind::Unknown),
            "router" => Self::of(ElementKind::Router),
            _ => {
                let mut words = text.split_ascii_whitespace();
                let parts = match words.next() {
                    Some("dynamic") => Self::dynamic(words),
                    Some(word) => Mac::parse(word).map(|mac| Self::with_mac(mac, words)),
                    None => None,
                };
                parts.unwrap_or_else(|| {
                    Self { head: DOUBTFUL, ..Self::default() }.kind(ElementKind::Unreadable)
                })
            }
        }
    }

    fn of(kind: ElementKind) -> Self {
        Self::default().kind(kind)
    }

    fn kind(mut self, kind: ElementKind) -> Self {
        // The position in KINDS is the order of declaration.
        self.head |= kind as u8;
        self
    }

    /// `dynamic`, then at most one address of each family; northd takes nothing else.
    fn dynamic<'t>(words: impl Iterator<Item = &'t str>) -> Option<Self> {
        let mut parts = Self::of(ElementKind::Dynamic);
        for word in words {
            match parse_ip(word)? {
                IpAddr::V4(v4) if parts.v4.is_empty() && parts.v6.is_empty() => parts.v4.push(v4.octets()),
                IpAddr::V6(v6) if parts.v6.is_empty() => parts.v6.push(v6.octets()),
                _ => return None,
            }
        }
        Some(parts)
    }

    /// Like northd, takes the addresses up to the first that is none.
    fn with_mac<'t>(mac: Mac, words: impl Iterator<Item = &'t str>) -> Self {
        let mut parts = Self { head: HAS_MAC, mac: Some(mac), ..Self::default() };
        let mut words = words.peekable();
        if words.peek() == Some(&"dynamic") {
            words.next();
            if words.peek().is_none() {
                return parts.kind(ElementKind::Dynamic);
            }
            parts.head |= DOUBTFUL;
            return parts;
        }
        for word in words {
            let full = parts.v4.len().max(parts.v6.len()) == usize::from(u8::MAX);
            match prefix::parse_prefix(word).map(|prefix| prefix.addr()) {
                Some(IpAddr::V4(v4)) if !full => parts.v4.push(v4.octets()),
                Some(IpAddr::V6(v6)) if !full => parts.v6.push(v6.octets()),
                _ => {
                    parts.head |= DOUBTFUL;
                    break;
                }
            }
        }
        parts
    }
}

/// Appends an element to a packed set.
pub(super) fn pack(text: &str, packed: &mut Vec<u8>) {
    let start = packed.len();
    if pack_usual(text, packed).is_none() {
        packed.truncate(start);
        pack_any(text, packed);
    }
}

/// Appends what nearly every element is, in one pass: an Ethernet address and IP addresses, or `dynamic`, written as
/// we would. Fails at anything else.
fn pack_usual(text: &str, packed: &mut Vec<u8>) -> Option<()> {
    let (mac, mut rest) = text.as_bytes().split_at_checked(Mac::LENGTH)?;
    let (mut head, mut v4, mut v6) = (HAS_MAC, 0u8, 0u8);
    let start = packed.len();
    packed.extend_from_slice(&[head, v4, v6]);
    packed.extend_from_slice(&Mac::parse_canonical(mac)?.0);
    while !rest.is_empty() {
        rest = rest.strip_prefix(b" ")?;
        if rest == b"dynamic" && v4 == 0 && v6 == 0 {
            head |= ElementKind::Dynamic as u8;
            break;
        }
        if v4.max(v6) == u8::MAX {
            return None;
        }
        let length = memchr::memchr(b' ', rest).unwrap_or(rest.len());
        let (word, after) = rest.split_at(length);
        if let Some(address) = parse_v4(word).filter(|_| v6 == 0) {
            packed.extend_from_slice(&address.octets());
            v4 += 1;
        } else {
            let address = parse_v6(word)?;
            if !Rendering(address.into()).is(word) {
                return None;
            }
            packed.extend_from_slice(&address.octets());
            v6 += 1;
        }
        rest = after;
    }
    packed[start..][..3].copy_from_slice(&[head, v4, v6]);
    Some(())
}

fn pack_any(text: &str, packed: &mut Vec<u8>) {
    let mut parts = Parts::parse(text);
    let element = Element { head: parts.head, mac: parts.mac, v4: &parts.v4, v6: &parts.v6, raw: None };
    if !is_rendering(text, &element) || element.kind() == ElementKind::Unreadable {
        parts.head |= HAS_RAW;
    }
    // Neither count exceeds a byte, see `with_mac`.
    packed.extend([parts.head, parts.v4.len() as u8, parts.v6.len() as u8]);
    packed.extend(parts.mac.iter().flat_map(|mac| mac.0));
    packed.extend(parts.v4.as_flattened());
    packed.extend(parts.v6.as_flattened());
    if parts.head & HAS_RAW != 0 {
        // A string of 4 GiB does not pass the session's limits.
        packed.extend((text.len() as u32).to_le_bytes());
        packed.extend(text.as_bytes());
    }
}

/// Takes an element off a packed set.
pub(super) fn unpack<'a>(packed: &mut &'a [u8]) -> Option<Element<'a>> {
    let (&[head, v4, v6], mut rest) = packed.split_first_chunk::<3>()?;
    let mut mac = None;
    if head & HAS_MAC != 0 {
        let (bytes, after) = rest.split_first_chunk::<6>()?;
        (mac, rest) = (Some(Mac(*bytes)), after);
    }
    let (v4, rest) = rest.split_at_checked(usize::from(v4) * size_of::<Ipv4Addr>())?;
    let (v6, mut rest) = rest.split_at_checked(usize::from(v6) * size_of::<Ipv6Addr>())?;
    let mut raw = None;
    if head & HAS_RAW != 0 {
        let (length, after) = rest.split_first_chunk::<4>()?;
        let (text, after) = after.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        (raw, rest) = (str::from_utf8(text).ok(), after);
    }
    *packed = rest;
    Some(Element { head, mac, v4: v4.as_chunks().0, v6: v6.as_chunks().0, raw })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Returns whether the element is packed in one pass, which must come to the same.
    fn is_usual(text: &str) -> bool {
        let (mut usual, mut any) = (Vec::new(), Vec::new());
        pack_any(text, &mut any);
        let is_usual = pack_usual(text, &mut usual).is_some();
        assert!(!is_usual || usual == any, "{text}: {usual:?}, {any:?}");
        is_usual
    }

    #[test]
    fn what_is_usual_is_packed_in_one_pass() {
        for (text, usual) in [
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
            assert_eq!(is_usual(text), usual, "{text}");
        }
        let many = |count| format!("0a:00:00:00:00:01{}", " 10.0.0.1".repeat(count));
        assert!(is_usual(&many(255)) && !is_usual(&many(256)));
        assert!(!is_usual(&format!("{} fd42::2", many(255))));
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
            is_usual(&format!("{mac}{v4}{v6}{end}"));
            is_usual(&format!("{mac}{v6}{v4}{end}"));
        }
    }
}
