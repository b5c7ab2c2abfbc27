//! One element of an address set, and how it is packed.
//!
//! ```text
//! head(1) IPv4s(1) IPv6s(1) [MAC(6)] IPv4s*4 IPv6s*16 [length(4) text(length)]
//! ```

use std::borrow::Cow;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::mac::Mac;
use crate::prefix;
use crate::rendering::Rendering;
use crate::spelling::is_rendering;

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
            match word.parse().ok()? {
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
