//! Ranges of ports: `NAT.external_port_range`.

use std::fmt;
use std::str::FromStr;

use ovsdb_protocol::OriginalText;

/// A range of ports, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PortRange {
    /// The first port.
    pub first: u16,
    /// The last port.
    pub last: u16,
}

impl PortRange {
    /// Returns the number of ports in it.
    pub fn count(self) -> u32 {
        u32::from(self.last) - u32::from(self.first) + 1
    }

    /// Returns whether a port is in it.
    pub fn holds(self, port: u16) -> bool {
        (self.first..=self.last).contains(&port)
    }

    fn parse_ends(first: &str, last: &str) -> Option<Self> {
        let (first, last) = (parse_port(first)?, parse_port(last)?);
        (0 < first && first <= last).then_some(Self { first, last })
    }
}

/// Parses a port as the lexer of ovn-controller does: without a sign or leading zeros (lib/lex.c).
pub fn parse_port(text: &str) -> Option<u16> {
    let is_decimal = text == "0" || !text.starts_with(['0', '+']);
    text.parse().ok().filter(|_| is_decimal)
}

impl FromStr for PortRange {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        Self::parse_ends(first, last)
            .ok_or_else(|| format!("\"{text}\" is not a range of ports such as 1024-39999"))
    }
}

impl OriginalText for PortRange {
    const WHAT: &'static str = "a range of ports";

    /// Parses a range as ovn-controller does: white space may surround either port (lib/actions.c, `parse_ct_nat`).
    fn parse(text: &str) -> Option<Self> {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        Self::parse_ends(first.trim(), last.trim())
    }

    fn canonical(&self) -> impl fmt::Display + '_ {
        self
    }

    fn is_canonical(&self, text: &str) -> bool {
        let is = |text: &str, number| parse_port(text) == Some(number);
        match text.split_once('-') {
            _ if self.first == self.last => is(text, self.first),
            Some((first, last)) => is(first, self.first) && is(last, self.last),
            None => false,
        }
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // OVN refuses a range whose ends are the same (lib/actions.c, `parse_ct_nat`).
        if self.first == self.last {
            return self.first.fmt(f);
        }
        write!(f, "{}-{}", self.first, self.last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn port_range_has_one_canonical_text() {
        let range = PortRange { first: 1024, last: 65535 };
        assert!(range.is_canonical(&range.to_string()));
        for other in [
            "",
            "1024",
            "1024-65534",
            "+1024-65535",
            "1024-+65535",
            "01024-65535",
            "1024 -65535",
            "1024-65535-",
        ] {
            assert!(!range.is_canonical(other), "{other:?}");
        }
    }

    #[test]
    fn port_range_of_one_port_is_written_as_one_number() {
        let range: PortRange = "1024-1024".parse().unwrap();
        assert_eq!((range, range.to_string().as_str()), (PortRange { first: 1024, last: 1024 }, "1024"));
        assert_eq!("1024".parse(), Ok(range));
        assert!(range.is_canonical("1024") && !range.is_canonical("1024-1024"));
    }

    #[test]
    fn white_space_in_a_port_range_is_accepted_from_the_database_only() {
        let range = PortRange { first: 1, last: 2 };
        for text in ["1-2", " 1-2", "1 - 2 "] {
            assert_eq!(<PortRange as OriginalText>::parse(text), Some(range), "{text:?}");
            assert_eq!(text.parse().ok(), Some(range).filter(|_| text == "1-2"), "{text:?}");
        }
        for text in ["", "-", "0-1", "2-1", "1-2-3", "ssh", "1-", "01-2", "+1-2", "1-70000"] {
            assert_eq!(<PortRange as OriginalText>::parse(text), None, "{text:?}");
        }
    }
}
