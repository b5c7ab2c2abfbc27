//! Addresses from text, read quickly.
//!
//! Every address of the database is parsed once. The standard library's parser backtracks, which for an IPv6 address
//! takes ten times as long.

use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::Range;

use ovsdb_protocol::is_rendering;

/// Parses an address as `str::parse` does.
pub fn parse_ip(text: &str) -> Option<IpAddr> {
    parse_spelled_ip(text).map(|(address, _)| address)
}

/// Parses an address, and returns whether it is canonical.
pub(crate) fn parse_spelled_ip(text: &str) -> Option<(IpAddr, bool)> {
    match parse_v4(text.as_bytes()) {
        Some(address) => Some((IpAddr::V4(address), true)),
        None => parse_v6(text.as_bytes()).map(|(address, is_plain)| (IpAddr::V6(address), is_plain)),
    }
}

/// Appends the canonical text of an address, without a formatter where that is simple.
pub(crate) fn push_ip(text: &mut String, address: IpAddr) {
    match address {
        IpAddr::V4(address) => {
            for (place, octet) in address.octets().into_iter().enumerate() {
                if place > 0 {
                    text.push('.');
                }
                for (unit, is_needed) in [(100, octet >= 100), (10, octet >= 10), (1, true)] {
                    if is_needed {
                        text.push(char::from(b'0' + octet / unit % 10));
                    }
                }
            }
        }
        // A `String` takes whatever is written.
        IpAddr::V6(address) => drop(write!(text, "{address}")),
    }
}

/// Parses four numbers separated by dots. Such an address has only one notation: numbers have no leading zeros.
pub(crate) fn parse_v4(text: &[u8]) -> Option<Ipv4Addr> {
    let (mut octets, mut rest) = ([0; 4], text);
    for (place, octet) in octets.iter_mut().enumerate() {
        if place > 0 {
            rest = rest.strip_prefix(b".")?;
        }
        (*octet, rest) = split_octet(rest)?;
    }
    rest.is_empty().then(|| octets.into())
}

/// Splits a decimal number below 256 off a text. A leading zero is a complete number.
fn split_octet(text: &[u8]) -> Option<(u8, &[u8])> {
    let digit =
        |place: usize| text.get(place).map(|byte| byte.wrapping_sub(b'0')).filter(|digit| *digit < 10);
    let first = digit(0)?;
    let Some(second) = digit(1).filter(|_| first > 0) else { return Some((first, &text[1..])) };
    let Some(third) = digit(2) else { return Some((first * 10 + second, &text[2..])) };
    let number = u16::from(first) * 100 + u16::from(second * 10 + third);
    Some((u8::try_from(number).ok()?, &text[3..]))
}

/// Parses an IPv6 address in any notation (RFC 4291 section 2.2), and returns whether it is that of RFC 5952, which
/// [`Ipv6Addr`] renders.
pub(crate) fn parse_v6(text: &[u8]) -> Option<(Ipv6Addr, bool)> {
    // Hardly any address has dots.
    parse_groups(text).or_else(|| {
        let text = str::from_utf8(text).ok().filter(|text| text.contains('.'))?;
        let address = text.parse().ok()?;
        Some((address, is_rendering(text, &address)))
    })
}

/// Parses an IPv6 address without dots.
fn parse_groups(text: &[u8]) -> Option<(Ipv6Addr, bool)> {
    let (mut groups, mut count, mut is_plain) = ([0; 8], 0, true);
    // The number of groups before the two colons.
    let mut before = None;
    let mut rest = text;
    if let Some(behind) = rest.strip_prefix(b"::") {
        (before, rest) = (Some(0), behind);
    }
    while !rest.is_empty() {
        *groups.get_mut(count)? = split_group(&mut rest, &mut is_plain)?;
        count += 1;
        rest = match rest {
            [] => rest,
            [b':', b':', behind @ ..] if before.is_none() => {
                before = Some(count);
                behind
            }
            [b':', behind @ ..] if !behind.is_empty() => behind,
            _ => return None,
        };
    }
    let zeros = match before {
        None if count == 8 => 0..0,
        // The colons replace at least one group of zeros.
        Some(before) if count < 8 => {
            groups[before..].rotate_right(8 - count);
            before..before + 8 - count
        }
        _ => return None,
    };
    let address = Ipv6Addr::from(groups);
    // An IPv4-mapped address is rendered with dots.
    let is_canonical = is_plain && zeros == longest_zeros(&groups) && address.to_ipv4_mapped().is_none();
    Some((address, is_canonical))
}

/// Splits a hexadecimal number of at most four digits off a text; `is_plain` becomes false if it has a leading zero or
/// a capital.
fn split_group(text: &mut &[u8], is_plain: &mut bool) -> Option<u16> {
    let (mut group, mut length) = (0, 0);
    while let Some(byte) = text.get(length)
        && let Some(digit) = digit(*byte)
    {
        *is_plain &= !byte.is_ascii_uppercase() && (length == 0 || group != 0);
        group = group << 4 | u16::from(digit);
        length += 1;
        if length > 4 {
            return None;
        }
    }
    *text = &text[length..];
    (length > 0).then_some(group)
}

/// Returns the first of the longest runs of two or more zeros.
fn longest_zeros(groups: &[u16; 8]) -> Range<usize> {
    let (mut longest, mut start) = (0..0, 0);
    for (i, group) in groups.iter().enumerate() {
        if *group != 0 {
            start = i + 1;
        } else if i + 1 - start > longest.len().max(1) {
            longest = start..i + 1;
        }
    }
    longest
}

/// Returns the value of a hexadecimal digit.
pub(crate) fn digit(byte: u8) -> Option<u8> {
    // The order of digits and letters cannot be predicted by a processor, so there are no branches on them.
    Some(DIGITS[usize::from(byte)]).filter(|digit| *digit < 16)
}

/// The values of hexadecimal digits by their bytes; for other bytes a value outside their range.
const DIGITS: [u8; 256] = {
    let mut digits = [u8::MAX; 256];
    let mut value = 0;
    while value < 16 {
        let digit = b"0123456789abcdef"[value as usize];
        digits[digit as usize] = value;
        digits[digit.to_ascii_uppercase() as usize] = value;
        value += 1;
    }
    digits
};

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(text: &str) {
        let address: Option<IpAddr> = text.parse().ok();
        assert_eq!(parse_ip(text), address, "{text}");
        if let Some((address, is_canonical)) = parse_spelled_ip(text) {
            let mut rendered = String::new();
            push_ip(&mut rendered, address);
            assert_eq!((is_canonical, &rendered), (rendered == text, &address.to_string()), "{text}");
        }
    }

    #[test]
    fn addresses_are_parsed_as_by_the_standard_library() {
        for text in [
            "0.0.0.0",
            "255.255.255.255",
            "256.0.0.0",
            "01.0.0.0",
            "0.0.0.00",
            "1.2.3",
            "1.2.3.",
            "1.2.3.4.",
            "1..2.3",
            ".1.2.3",
            "1.2.3.4.5",
            "1.2.3.4 ",
            "",
            "::",
            "::1",
            "1::",
            ":1",
            "1:",
            ":::",
            "1:::2",
            "1::2::3",
            "1:2:3:4:5:6:7:8",
            "1:2:3:4:5:6:7:8:9",
            "1:2:3:4:5:6:7",
            "1:2:3:4:5:6:7::",
            "::2:3:4:5:6:7:8",
            "1:2:3::4:5:6:7:8",
            "::1:2:3:4:5:6:7:8",
            "1:2:3:4:5:6:7:8::",
            "12345::",
            "00001::",
            "0001::",
            "FD42::aB",
            "fd42::g",
            "::ffff:1.2.3.4",
            "1.2.3.4::",
            "::1.2.3.4",
            "::ffff:102:304",
            "1::1",
            "1:0:0:2::",
            "1::2:0:0:0:0",
            "1:0:0:2:0:0:0:3",
            "1:0:0:2::3",
            "0:1::",
            "0:1:2:3:4:5:6:7",
            "::1:2:3:4:5:6:7",
            "0:0::",
            "00::",
            "fe80::1%eth0",
            "é::",
            "+1::",
            "[::1]",
        ] {
            check(text);
        }
    }

    proptest! {
        #[test]
        fn random_addresses_are_parsed_as_by_the_standard_library(
            address: IpAddr,
            v4 in "[0-2]?[0-9]{0,2}(\\.[0-2]?[0-9]{0,2}){2,4}",
            v6 in "([0-9a-fA-F]{0,5}:){1,8}[0-9a-f]{0,4}",
            few in "[1:.]{0,18}",
            groups in prop::array::uniform8(prop_oneof![Just(0), Just(0), 0..=u16::MAX]),
        ) {
            let zeros = Ipv6Addr::from(groups).to_string();
            for text in [address.to_string(), v4, v6, few, zeros.replacen("::", ":0::", 1), zeros] {
                check(&text);
            }
        }
    }
}
