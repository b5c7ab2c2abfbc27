//! Prefixes as OVN writes them: `NAT.logical_ip` and `Logical_Router_Port.networks`.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;
use ovsdb_protocol::{
    Column, ColumnError, ColumnKind, DatumReader, OriginalText, is_rendering, toggle_sorted,
};

use crate::parsing::{parse_ip, parse_spelled_ip};

/// Parses an address with or without a prefix length or a netmask; without, it is a host's prefix. Bits after the
/// prefix are kept.
pub fn parse_prefix(text: &str) -> Option<IpNet> {
    let (address, length) = match text.split_once('/') {
        Some((address, length)) => (address, Some(length)),
        None => (text, None),
    };
    let address = parse_ip(address)?;
    match length {
        None => Some(IpNet::from(address)),
        Some(length) if !length.is_empty() && length.bytes().all(|b| b.is_ascii_digit()) => {
            IpNet::new(address, length.parse().ok()?).ok()
        }
        // northd also accepts "10.0.0.0/255.255.255.0".
        Some(mask) => {
            let mask: IpAddr = mask.parse().ok()?;
            if mask.is_ipv4() == address.is_ipv4() { IpNet::with_netmask(address, mask).ok() } else { None }
        }
    }
}

/// Returns true if a prefix is that of a single address.
pub fn is_host(prefix: &IpNet) -> bool {
    prefix.prefix_len() == prefix.max_prefix_len()
}

/// A prefix that is rendered as `ovn-nbctl` does: that of a single address without its length.
#[derive(Clone, Copy, Debug)]
pub struct Canonical<'a>(pub &'a IpNet);

impl fmt::Display for Canonical<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if is_host(self.0) { self.0.addr().fmt(f) } else { self.0.fmt(f) }
    }
}

/// An address, as in `NAT.external_ip`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address(pub(crate) IpAddr);

impl OriginalText for Address {
    const WHAT: &'static str = "an address";

    fn parse(text: &str) -> Option<Self> {
        // A host's prefix is treated as its address, and northd skips leading blanks.
        let text = text.trim_start_matches(' ');
        let prefix = || parse_prefix(text).filter(is_host).map(|prefix| prefix.addr());
        parse_ip(text).or_else(prefix).map(Self)
    }

    fn canonical(&self) -> impl fmt::Display + '_ {
        self.0
    }

    fn is_canonical(&self, text: &str) -> bool {
        parse_spelled_ip(text) == Some((self.0, true))
    }

    fn parse_spelled(text: &str) -> Option<(Self, bool)> {
        let address = parse_spelled_ip(text).map(|(address, is_canonical)| (Self(address), is_canonical));
        address.or_else(|| Self::parse(text).map(|address| (address, false)))
    }
}

/// A prefix whose bits after the mask are cleared, as in `NAT.logical_ip`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogicalPrefix(pub(crate) IpNet);

impl OriginalText for LogicalPrefix {
    const WHAT: &'static str = "an address or prefix";

    fn parse(text: &str) -> Option<Self> {
        parse_prefix(text.trim_start_matches(' ')).map(|prefix| Self(prefix.trunc()))
    }

    fn canonical(&self) -> impl fmt::Display + '_ {
        Canonical(&self.0)
    }

    fn is_canonical(&self, text: &str) -> bool {
        match is_host(&self.0) {
            true => parse_spelled_ip(text) == Some((self.0.addr(), true)),
            false => is_rendering(text, &self.canonical()),
        }
    }

    fn parse_spelled(text: &str) -> Option<(Self, bool)> {
        if let Some((address, is_canonical)) = parse_spelled_ip(text) {
            return Some((Self(address.into()), is_canonical));
        }
        let prefix = Self::parse(text)?;
        let is_canonical = prefix.is_canonical(text);
        Some((prefix, is_canonical))
    }
}

/// The addresses of a router port, each with the prefix of its network: `Logical_Router_Port.networks`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Networks {
    /// In the order of the texts.
    elements: Vec<(Box<str>, Option<IpNet>)>,
}

impl Networks {
    /// Returns the addresses, in the order of their texts. Invalid texts are omitted.
    pub fn iter(&self) -> impl Iterator<Item = &IpNet> {
        self.elements.iter().filter_map(|(_, network)| network.as_ref())
    }
}

impl<C: ?Sized> Column<C> for Networks {
    const KIND: ColumnKind = <Vec<String> as Column>::KIND;

    fn apply(&mut self, value: &mut DatumReader<'_, '_>, context: &mut C) -> Result<(), ColumnError> {
        let mut texts = Vec::<Box<str>>::new();
        Column::apply(&mut texts, value, context)?;
        toggle_sorted(
            &mut self.elements,
            texts
                .into_iter()
                .map(|text| (parse_prefix(&text), text))
                .map(|(network, text)| (text, network))
                .collect(),
        );
        let bad: Vec<_> =
            self.elements.iter().filter(|(_, network)| network.is_none()).map(|(text, _)| text).collect();
        match bad.is_empty() {
            true => Ok(()),
            false => Err(ColumnError::Invalid(format!("not understood: {bad:?}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_a_prefix_are_parsed_to_its_canonical_form() {
        for (text, canonical) in [
            ("10.0.0.2", "10.0.0.2"),
            ("10.0.0.2/32", "10.0.0.2"),
            ("10.0.0.2/255.255.255.255", "10.0.0.2"),
            ("10.0.0.0/24", "10.0.0.0/24"),
            ("10.0.0.0/255.255.255.0", "10.0.0.0/24"),
            ("10.0.0.1/24", "10.0.0.1/24"),
            ("0.0.0.0/0", "0.0.0.0/0"),
            ("fd42::2", "fd42::2"),
            ("FD42:0::0:2/128", "fd42::2"),
            ("fd42::/64", "fd42::/64"),
            ("fd42::/ffff:ffff:ffff:ffff::", "fd42::/64"),
        ] {
            let prefix = parse_prefix(text).unwrap();
            assert_eq!(Canonical(&prefix).to_string(), canonical, "{text}");
            assert_eq!(parse_prefix(canonical), Some(prefix), "{text}");
            let (address, network) = (Address(prefix.addr()), LogicalPrefix(prefix.trunc()));
            for text in [text, &address.canonical().to_string(), &network.canonical().to_string()] {
                assert_eq!(address.is_canonical(text), text == address.canonical().to_string(), "{text}");
                assert_eq!(network.is_canonical(text), text == network.canonical().to_string(), "{text}");
            }
        }
    }

    /// Checks that the fast parser and the general one give the same value for a text.
    fn check_spelled<T: OriginalText + fmt::Debug + PartialEq>(text: &str) {
        let expected = T::parse(text).map(|value| {
            let is_canonical = value.is_canonical(text);
            (value, is_canonical)
        });
        assert_eq!(T::parse_spelled(text), expected, "{text:?}");
    }

    #[test]
    fn parsed_prefix_tells_whether_its_text_is_canonical() {
        for text in [
            "10.0.0.2",
            " 10.0.0.2",
            "10.0.0.2/32",
            "10.0.0.0/24",
            "10.0.0.1/24",
            "10.0.0.0/255.255.255.0",
            "fd42::2",
            "FD42::2",
            "fd42:0::2",
            "fd42::2/128",
            "fd42::/64",
            "::ffff:10.0.0.2",
            "10.0.0",
            "",
        ] {
            check_spelled::<Address>(text);
            check_spelled::<LogicalPrefix>(text);
        }
    }

    #[test]
    fn malformed_prefix_is_refused() {
        for text in [
            "",
            "/",
            "10.0.0.2/",
            "/24",
            "10.0.0.2/33",
            "10.0.0.2/-1",
            "10.0.0.2/+8",
            "10.0.0.0/255.0.255.0",
            "10.0.0",
            "fd42::/129",
            "fd42::%eth0",
            "10.0.0.0/ffff::",
            " 10.0.0.1",
            "10.0.0.1/24/3",
            "10.0.0.1/999999999999",
        ] {
            assert_eq!(parse_prefix(text), None, "{text}");
        }
    }
}
