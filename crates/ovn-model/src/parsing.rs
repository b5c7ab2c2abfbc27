//! Addresses from text, read quickly.
//!
//! Every address of the database is parsed once. The standard library's parser tries each way to go on and takes
//! back what it read, which for an IPv6 address costs ten times as much.

use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::Range;

use ovsdb_protocol::is_rendering;

/// Parses an address as `str::parse` does.
pub fn parse_ip(text: &str) -> Option<IpAddr> {
    parse_spelled_ip(text).map(|(address, _)| address)
}

/// Parses an address, and tells whether it is written as it is rendered.
pub(crate) fn parse_spelled_ip(text: &str) -> Option<(IpAddr, bool)> {
    match parse_v4(text.as_bytes()) {
        Some(address) => Some((IpAddr::V4(address), true)),
        None => parse_v6(text.as_bytes()).map(|(address, is_plain)| (IpAddr::V6(address), is_plain)),
    }
}

/// Appends an address as it is rendered, without a formatter where that is easy.
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

/// Parses four numbers with dots between them. There is but one way to write such an address: a number has no leading
/// zeros.
pub(crate) fn parse_v4(text: &[u8]) -> Option<Ipv4Addr> {
    let (mut octets, mut at, mut octet, mut digits) = ([0; 4], 0, 0u16, 0);
    for byte in text {
        match byte {
            b'0'..=b'9' if digits == 0 || octet > 0 => {
                octet = octet * 10 + u16::from(byte - b'0');
                digits += 1;
                octets[at] = u8::try_from(octet).ok()?;
            }
            b'.' if digits > 0 && at < 3 => (at, octet, digits) = (at + 1, 0, 0),
            _ => return None,
        }
    }
    (at == 3 && digits > 0).then(|| octets.into())
}

/// Parses an IPv6 address in any of its spellings (RFC 4291 section 2.2), and tells whether it is the one of RFC 5952,
/// which [`Ipv6Addr`] renders.
pub(crate) fn parse_v6(text: &[u8]) -> Option<(Ipv6Addr, bool)> {
    // Hardly any has dots.
    parse_groups(text).or_else(|| {
        let text = str::from_utf8(text).ok().filter(|text| text.contains('.'))?;
        let address = text.parse().ok()?;
        Some((address, is_rendering(text, &address)))
    })
}

/// Parses an IPv6 address without dots.
fn parse_groups(text: &[u8]) -> Option<(Ipv6Addr, bool)> {
    let (mut groups, mut is_plain) = ([0; 8], true);
    let zeros = match text.windows(2).position(|pair| pair == b"::") {
        None if read_groups(text, &mut groups, &mut is_plain)? == 8 => 0..0,
        None => return None,
        Some(at) => {
            // The colons stand for one group of zeros at least.
            let mut tail = [0; 7];
            let before = read_groups(&text[..at], &mut groups[..7], &mut is_plain)?;
            let behind = read_groups(&text[at + 2..], &mut tail[..7 - before], &mut is_plain)?;
            groups[8 - behind..].copy_from_slice(&tail[..behind]);
            before..8 - behind
        }
    };
    let address = Ipv6Addr::from(groups);
    // An IPv4-mapped address is rendered with dots.
    let is_canonical = is_plain && zeros == longest_zeros(&groups) && address.to_ipv4_mapped().is_none();
    Some((address, is_canonical))
}

/// Reads hexadecimal numbers with colons between them. Returns how many there are; `is_plain` becomes false where one
/// has a leading zero or a capital.
fn read_groups(text: &[u8], groups: &mut [u16], is_plain: &mut bool) -> Option<usize> {
    if text.is_empty() {
        return Some(0);
    }
    let (mut count, mut digits) = (0, 0);
    for byte in text {
        if *byte == b':' && digits > 0 {
            (count, digits) = (count + 1, 0);
            continue;
        }
        let group = groups.get_mut(count).filter(|_| digits < 4)?;
        *is_plain &= !byte.is_ascii_uppercase() && (digits == 0 || *group != 0);
        *group = *group << 4 | u16::from(digit(*byte)?);
        digits += 1;
    }
    (digits > 0).then_some(count + 1)
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
    // Digits and letters come in no order that a processor could predict, so that nothing branches on them.
    Some(DIGITS[usize::from(byte)]).filter(|digit| *digit < 16)
}

/// The values of hexadecimal digits by their bytes; of other bytes, what is no digit's.
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
    fn it_is_what_the_standard_library_takes() {
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
        fn so_it_is_for_whatever_looks_like_an_address(
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
