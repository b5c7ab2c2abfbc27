//! What an operator asks for.

use std::fmt;
use std::net::IpAddr;

use ovn_model::Family;

use crate::reason::Reason;

/// The address that an instance port's own connections shall have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// This one.
    Address(IpAddr),
    /// The one forward address that leads to this port alone.
    Auto,
}

/// Who asks for it. The first that speaks wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// A key in the `external_ids` of the port.
    Annotation,
}

/// Reads the value of a port's key. `none` and an empty value ask for nothing.
///
/// # Errors
/// The value is no address, or one of the other family.
pub fn parse(text: &str, family: Family) -> Result<Option<Wanted>, Reason> {
    match text.trim() {
        "" | "none" => Ok(None),
        "auto" => Ok(Some(Wanted::Auto)),
        address => match address.parse::<IpAddr>() {
            Ok(address) if Family::of(address) == family => Ok(Some(Wanted::Address(address))),
            Ok(_) => Err(Reason::WrongFamily),
            Err(_) => Err(Reason::InvalidAddress),
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

impl Source {
    /// Returns the word for it in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Annotation => "annotation",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_an_address_of_the_family_or_a_word() {
        let v4 = |text| parse(text, Family::V4);
        let address = |text: &str| Ok(Some(Wanted::Address(text.parse().unwrap())));
        assert_eq!(v4("203.0.113.10"), address("203.0.113.10"));
        assert_eq!(v4(" 203.0.113.10\n"), address("203.0.113.10"));
        assert_eq!(parse("2001:DB8:0::1", Family::V6), address("2001:db8::1"));
        assert_eq!(v4("auto"), Ok(Some(Wanted::Auto)));
        assert_eq!((v4("none"), v4("")), (Ok(None), Ok(None)));
        assert_eq!(v4("2001:db8::1"), Err(Reason::WrongFamily));
        assert_eq!(parse("203.0.113.10", Family::V6), Err(Reason::WrongFamily));
        for text in ["203.0.113.10/32", "203.0.113", "AUTO", "web1", "203.0.113.010"] {
            assert_eq!(v4(text), Err(Reason::InvalidAddress), "{text}");
        }
    }
}
