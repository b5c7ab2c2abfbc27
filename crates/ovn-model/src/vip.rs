//! Virtual addresses of load balancers: the pairs of `Load_Balancer.vips`.

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU16;
use std::ops::Deref;
use std::slice;

use crate::rendering::Rendering;
use crate::spelling::Spelling;

/// An address with a port, or all of an address where there is none.
///
/// It renders as OVN writes it: `10.0.0.1:80`, `[fd42::1]:80`, `10.0.0.1`, `fd42::1`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Endpoint {
    /// The address.
    pub address: IpAddr,
    /// The port of the transport protocol.
    pub port: Option<NonZeroU16>,
}

/// A virtual address and where it leads.
#[derive(Clone, PartialEq, Eq)]
pub struct Vip {
    /// What clients connect to.
    pub endpoint: Endpoint,
    /// What the connections are spread over; may be nothing, which refuses them.
    pub backends: Backends,
    /// What is not as we would write it.
    odd: Option<Box<Odd>>,
}

/// The backends of a VIP: a slice, which needs no allocation if there is one.
#[derive(Clone, PartialEq, Eq)]
pub struct Backends(Few);

#[derive(Clone, PartialEq, Eq)]
enum Few {
    One(Endpoint),
    Other(Box<[Endpoint]>),
}

#[derive(Clone, Default, PartialEq, Eq)]
struct Odd {
    key: Spelling,
    value: Spelling,
    doubtful: bool,
}

// ===== impl Endpoint =====

impl Endpoint {
    /// Parses what `Load_Balancer.vips` may hold. The brackets of an IPv6 address without a port are
    /// optional, and port 0 or nothing after the colon is no port, as
    /// northd has it.
    pub fn parse(text: &str) -> Option<Self> {
        let (address, port) = if let Some(rest) = text.strip_prefix('[') {
            let (address, rest) = rest.split_once(']')?;
            let port = if rest.is_empty() { None } else { Some(rest.strip_prefix(':')?) };
            (IpAddr::V6(address.parse().ok()?), port)
        } else if let Ok(address) = text.parse::<Ipv6Addr>() {
            (IpAddr::V6(address), None)
        } else {
            let (address, port) = match text.split_once(':') {
                Some((address, port)) => (address, Some(port)),
                None => (text, None),
            };
            (IpAddr::V4(address.parse().ok()?), port)
        };
        let port = match port {
            None | Some("") => 0,
            Some(port) if port.bytes().all(|b| b.is_ascii_digit()) => port.parse::<u16>().ok()?,
            Some(_) => return None,
        };
        Some(Self { address, port: NonZeroU16::new(port) })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.address, self.port) {
            (address, None) => Rendering(address).fmt(f),
            (IpAddr::V4(_), Some(port)) => write!(f, "{}:{port}", Rendering(self.address)),
            (IpAddr::V6(_), Some(port)) => write!(f, "[{}]:{port}", Rendering(self.address)),
        }
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

// ===== impl Vip =====

impl Vip {
    /// Parses a pair; `None` if the key is no address. Backends that are none are left out.
    pub fn parse(key: &str, value: &str) -> Option<Self> {
        let endpoint = Endpoint::parse(key)?;
        let mut doubtful = false;
        let mut parsed = value.split(',').filter(|text| !text.is_empty()).filter_map(|text| {
            let backend = Endpoint::parse(text);
            doubtful |= backend.is_none();
            backend
        });
        let backends = match (parsed.next(), parsed.next()) {
            (Some(one), None) => Few::One(one),
            (first, second) => Few::Other(first.into_iter().chain(second).chain(parsed).collect()),
        };
        let backends = Backends(backends);
        let value = Spelling::of(value, &List(&backends));
        let odd = Odd { key: Spelling::of(key, &endpoint), value, doubtful };
        Some(Self { endpoint, backends, odd: (odd != Odd::default()).then(|| Box::new(odd)) })
    }

    /// Returns the key as the database has it.
    pub fn key(&self) -> Cow<'_, str> {
        match &self.odd {
            Some(odd) => odd.key.text(&self.endpoint),
            None => self.endpoint.to_string().into(),
        }
    }

    /// Returns the value as the database has it.
    pub fn value(&self) -> Cow<'_, str> {
        let canonical = List(&self.backends);
        match &self.odd {
            Some(odd) => odd.value.text(&canonical),
            None => canonical.to_string().into(),
        }
    }

    /// Tells whether some backend was not understood.
    pub fn is_doubtful(&self) -> bool {
        self.odd.as_ref().is_some_and(|odd| odd.doubtful)
    }

    /// Returns what orders the pairs of a map and tells their keys apart.
    pub(crate) fn order(&self) -> impl Ord {
        (self.endpoint, self.odd.as_ref().map(|odd| &odd.key).filter(|key| !key.is_canonical()))
    }
}

impl fmt::Debug for Vip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}={:?}", self.key(), self.value())
    }
}

// ===== impl Backends =====

impl Deref for Backends {
    type Target = [Endpoint];

    fn deref(&self) -> &[Endpoint] {
        match &self.0 {
            Few::One(one) => slice::from_ref(one),
            Few::Other(other) => other,
        }
    }
}

impl fmt::Debug for Backends {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&**self).finish()
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
