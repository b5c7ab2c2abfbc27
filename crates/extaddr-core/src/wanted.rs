//! Values of intents, and their sources.

use std::fmt;
use std::net::IpAddr;

use ovn_model::{Family, parse_ip};

use crate::sources::Kind;

/// The address requested for an instance port's own connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// This one.
    Address(IpAddr),
    /// The one forward address that leads to this port alone.
    Auto,
}

/// The source of an intent. The first that has one wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// A key in the `external_ids` of the port.
    Annotation,
    /// A key of the instance or its NIC in a CMS.
    Cms(Kind),
    /// A key of the database that names the port, and outlives it.
    Kept,
    /// A rule of the policy file.
    Policy,
    /// A key in the `external_ids` of a router.
    Router,
    /// The configuration, for every router.
    Config,
}

/// The value of an intent, as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Text {
    /// The canonical text.
    Canonical(Wanted),
    /// Another text with the same meaning.
    Other(Box<str>),
}

/// The reason why a value is invalid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvalidWanted {
    /// It is an address of the other family.
    Family,
    /// It is not an address.
    Address,
}

/// Reads the value of a port's key. `none` and an empty value mean no address.
///
/// # Errors
/// The value is not an address, or one of the other family.
pub fn parse(text: &str, family: Family) -> Result<Option<Wanted>, InvalidWanted> {
    match text.trim() {
        "" | "none" => Ok(None),
        "auto" => Ok(Some(Wanted::Auto)),
        address => match parse_ip(address) {
            Some(address) if Family::from(address) == family => Ok(Some(Wanted::Address(address))),
            Some(_) => Err(InvalidWanted::Family),
            None => Err(InvalidWanted::Address),
        },
    }
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Auto => f.write_str("auto"),
        }
    }
}

impl Text {
    /// Keeps a text that means this.
    pub(crate) fn new(text: &str, wanted: Option<&Wanted>) -> Self {
        match wanted {
            // These have only one notation.
            Some(wanted @ (Wanted::Auto | Wanted::Address(IpAddr::V4(_)))) => Self::Canonical(*wanted),
            Some(wanted) if wanted.to_string() == text => Self::Canonical(*wanted),
            _ => Self::Other(text.into()),
        }
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Canonical(wanted) => wanted.fmt(f),
            Self::Other(text) => f.write_str(text),
        }
    }
}

impl Source {
    /// Returns whether it is for all ports, so that ports without a forward are not reported.
    pub fn is_sweeping(self) -> bool {
        matches!(self, Self::Router | Self::Config)
    }

    /// Returns the word for it in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Annotation => "annotation",
            Self::Cms(kind) => kind.name(),
            Self::Kept => "kept",
            Self::Policy => "policy",
            Self::Router => "router",
            Self::Config => "config",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intent_value_is_an_address_of_the_family_or_a_keyword() {
        let v4 = |text| parse(text, Family::V4);
        let address = |text: &str| Ok(Some(Wanted::Address(text.parse().unwrap())));
        assert_eq!(v4("203.0.113.10"), address("203.0.113.10"));
        assert_eq!(v4(" 203.0.113.10\n"), address("203.0.113.10"));
        assert_eq!(parse("2001:DB8:0::1", Family::V6), address("2001:db8::1"));
        assert_eq!(v4("auto"), Ok(Some(Wanted::Auto)));
        assert_eq!((v4("none"), v4("")), (Ok(None), Ok(None)));
        assert_eq!(v4("2001:db8::1"), Err(InvalidWanted::Family));
        assert_eq!(parse("203.0.113.10", Family::V6), Err(InvalidWanted::Family));
        for text in
            ["203.0.113.10/32", "203.0.113", "AUTO", "web1", "203.0.113.010", "0xcb.0.113.10", "3405803786"]
        {
            assert_eq!(v4(text), Err(InvalidWanted::Address), "{text}");
        }
    }
}
