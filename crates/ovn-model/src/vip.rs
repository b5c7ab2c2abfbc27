//! Virtual addresses of load balancers: the pairs of `Load_Balancer.vips`.

mod set;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;
use std::num::NonZeroU16;
use std::slice;

use memchr::memchr;
use ovsdb_protocol::is_rendering;
use smallvec::SmallVec;

use crate::parsing::{parse_ip, parse_v4, parse_v6};

pub use set::Vips;

/// An address with a port, or a whole address without one.
///
/// It renders as OVN writes it: `10.0.0.1:80`, `[fd42::1]:80`, `10.0.0.1`, `fd42::1`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Endpoint {
    /// The address.
    pub address: IpAddr,
    /// The port of the transport protocol.
    pub port: Option<NonZeroU16>,
}

/// A virtual address and its backends.
#[derive(Clone, PartialEq, Eq)]
pub struct Vip {
    /// The address that clients connect to.
    pub endpoint: Endpoint,
    value: Value,
}

/// The backends of a virtual address. There may be more of these than ports, so they are kept small.
#[derive(Clone, PartialEq, Eq)]
enum Value {
    /// One backend; the pair is in canonical form.
    One(Endpoint),
    /// Any other number, or a pair that is not canonical.
    Other(Box<(Vec<Endpoint>, OriginalPair)>),
}

/// The texts of a pair, if they are not canonical.
#[derive(Clone, Default, PartialEq, Eq)]
struct OriginalPair {
    key: Option<Box<str>>,
    value: Option<Box<str>>,
    doubtful: bool,
}

// ===== impl Endpoint =====

impl Endpoint {
    /// Parses an endpoint of `Load_Balancer.vips`, as northd does (lib/ovn-util.c, `ip_address_and_port_from_lb_key`,
    /// by `inet_parse_active` of lib/socket-util.c of Open vSwitch): brackets may be around anything, an unclosed one
    /// counts, and 0 or nothing after the colon means no port.
    pub fn parse(text: &str) -> Option<Self> {
        Self::parse_spelled(text.as_bytes()).map(|(endpoint, _)| endpoint)
    }

    /// Parses an endpoint, and returns whether it is canonical.
    fn parse_spelled(text: &[u8]) -> Option<(Self, bool)> {
        Self::parse_usual(text).or_else(|| Some((Self::parse_odd(str::from_utf8(text).ok()?)?, false)))
    }

    /// Parses rare notations: the text after the last colon outside of brackets is the port, if there is only one such
    /// colon.
    fn parse_odd(text: &str) -> Option<Self> {
        let (mut colons, mut bracketed) = (Vec::new(), false);
        for (at, byte) in text.bytes().enumerate() {
            match byte {
                b'[' => bracketed = true,
                b']' => bracketed = false,
                b':' if !bracketed => colons.push(at),
                _ => {}
            }
        }
        let (host, port) = match *colons {
            [] => (unbracketed(text), ""),
            [at] => (unbracketed(&text[..at]), unbracketed(&text[at + 1..])),
            _ => (text, ""),
        };
        Some(Self { address: parse_ip(host)?, port: parse_odd_port(port)? })
    }

    fn parse_usual(text: &[u8]) -> Option<(Self, bool)> {
        if let Some(rest) = text.strip_prefix(b"[") {
            let (text, rest) = split_once(rest, b']')?;
            let (address, is_canonical) = parse_v6(text)?;
            let port = if rest.is_empty() { rest } else { rest.strip_prefix(b":")? };
            let (port, canonical) = parse_port(port)?;
            let canonical = canonical && port.is_some() && is_canonical;
            return Some((Self { address: address.into(), port }, canonical));
        }
        // Hardly any are IPv6 addresses without brackets, and none of these starts as an IPv4 address.
        let (start, rest) = split_once(text, b':').map_or((text, None), |(start, rest)| (start, Some(rest)));
        if let Some(address) = parse_v4(start) {
            let (port, canonical) = parse_port(rest.unwrap_or_default())?;
            let canonical = canonical && port.is_some() == rest.is_some();
            return Some((Self { address: address.into(), port }, canonical));
        }
        let (address, is_canonical) = parse_v6(text)?;
        Some((Self { address: address.into(), port: None }, is_canonical))
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.address, self.port) {
            (address, None) => address.fmt(f),
            (IpAddr::V4(address), Some(port)) => write!(f, "{address}:{port}"),
            (IpAddr::V6(address), Some(port)) => write!(f, "[{address}]:{port}"),
        }
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn split_once(text: &[u8], at: u8) -> Option<(&[u8], &[u8])> {
    memchr(at, text).map(|at| (&text[..at], &text[at + 1..]))
}

/// Removes a leading bracket, and with it one at the end.
fn unbracketed(text: &str) -> &str {
    let Some(text) = text.strip_prefix('[') else { return text };
    text.strip_suffix(']').unwrap_or(text)
}

/// Returns whether what follows the address of an endpoint is nothing, or a port without leading zeros: the lexer of
/// ovn-controller refuses others (lib/lex.c).
fn is_port_lexical(text: &[u8]) -> bool {
    let port = match text {
        [b'[', ..] => split_once(text, b']').and_then(|(_, rest)| rest.strip_prefix(b":")),
        _ => split_once(text, b':').filter(|(start, _)| parse_v4(start).is_some()).map(|(_, port)| port),
    };
    port.is_none_or(|port| !port.is_empty() && (port.len() == 1 || port[0] != b'0'))
}

/// Parses a port as strtoll(3) does, with leading white space and a sign.
fn parse_odd_port(text: &str) -> Option<Option<NonZeroU16>> {
    if text.is_empty() {
        return Some(None);
    }
    let digits = text.trim_start_matches([' ', '\t', '\n', '\x0b', '\x0c', '\r']);
    let (is_negative, digits) = match digits.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, digits.strip_prefix('+').unwrap_or(digits)),
    };
    let (port, _) = parse_port(digits.as_bytes()).filter(|_| !digits.is_empty())?;
    (port.is_none() || !is_negative).then_some(port)
}

/// Parses a port after a colon; 0 or nothing means none. Also returns whether it is canonical, if it is valid.
fn parse_port(text: &[u8]) -> Option<(Option<NonZeroU16>, bool)> {
    let mut port = 0u16;
    for byte in text {
        let digit = byte.is_ascii_digit().then_some(u16::from(byte & 0xf))?;
        port = port.checked_mul(10)?.checked_add(digit)?;
    }
    Some((NonZeroU16::new(port), text.first() != Some(&b'0')))
}

// ===== impl Vip =====

impl Vip {
    /// Parses a pair; `None` if the key is not an address. Invalid backends are omitted.
    pub fn parse(key: &str, value: &str) -> Option<Self> {
        let (endpoint, is_canonical) = Endpoint::parse_spelled(key.as_bytes())?;
        let (mut doubtful, mut all_canonical) = (false, true);
        // An empty list is rendered as an empty value.
        let texts = value.as_bytes().split(|byte| *byte == b',').filter(|_| !value.is_empty());
        let parsed = texts.filter_map(|text| {
            // northd passes on backends as they are written, and ovn-controller parses them: unusual notations are
            // errors there (lib/actions.c, `parse_ct_lb_action`).
            let backend = Endpoint::parse_usual(text);
            let backend = backend.filter(|(_, canonical)| *canonical || is_port_lexical(text));
            doubtful |= backend.is_none() && !text.is_empty();
            all_canonical &= backend.is_some_and(|(_, canonical)| canonical);
            Some(backend?.0)
        });
        let backends: SmallVec<[_; 1]> = parsed.collect();
        let original = match is_canonical && all_canonical {
            true => OriginalPair::default(),
            false => {
                let key = (!is_rendering(key, &endpoint)).then(|| key.into());
                let value = (!is_rendering(value, &List(&backends))).then(|| value.into());
                OriginalPair { key, value, doubtful }
            }
        };
        let value = match *backends {
            [backend] if original == OriginalPair::default() => Value::One(backend),
            _ => Value::Other(Box::new((backends.into_vec(), original))),
        };
        Some(Self { endpoint, value })
    }

    /// Returns the backends; if there are none, connections are rejected.
    pub fn backends(&self) -> &[Endpoint] {
        match &self.value {
            Value::One(backend) => slice::from_ref(backend),
            Value::Other(other) => &other.0,
        }
    }

    /// Returns the texts that are not canonical, if there may be some.
    fn original(&self) -> Option<&OriginalPair> {
        match &self.value {
            Value::One(_) => None,
            Value::Other(other) => Some(&other.1),
        }
    }

    /// Returns the key as the database has it.
    pub fn key(&self) -> Cow<'_, str> {
        match self.original().and_then(|original| original.key.as_deref()) {
            Some(key) => key.into(),
            None => self.endpoint.to_string().into(),
        }
    }

    /// Returns the value as the database has it.
    pub fn value(&self) -> Cow<'_, str> {
        match self.original().and_then(|original| original.value.as_deref()) {
            Some(value) => value.into(),
            None => List(self.backends()).to_string().into(),
        }
    }

    /// Returns true if a backend is missing before a comma, which is an error if there are others.
    pub fn has_gap(&self) -> bool {
        let value = self.original().and_then(|original| original.value.as_deref());
        !self.backends().is_empty()
            && value.is_some_and(|value| value.starts_with(',') || value.contains(",,"))
    }

    /// Returns true if a backend was not understood.
    pub fn is_doubtful(&self) -> bool {
        self.original().is_some_and(|original| original.doubtful)
    }

    /// Returns the sort key of pairs, which is different for different keys.
    pub(crate) fn order(&self) -> impl Ord {
        (self.endpoint, self.original().and_then(|original| original.key.as_deref()))
    }
}

impl fmt::Debug for Vip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}={:?}", self.key(), self.value())
    }
}

/// The canonical text of backends.
struct List<'a>(&'a [Endpoint]);

impl fmt::Display for List<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, backend) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str(",")?;
            }
            backend.fmt(f)?;
        }
        Ok(())
    }
}
