//! Addresses from text, read quickly.
//!
//! Every address of the database is parsed once. The standard library's parser tries each way to go on and takes
//! back what it read, which for an IPv6 address costs ten times as much.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Parses an address as `str::parse` does.
pub fn parse_ip(text: &str) -> Option<IpAddr> {
    match parse_v4(text.as_bytes()) {
        Some(address) => Some(IpAddr::V4(address)),
        None => parse_v6(text.as_bytes()).map(IpAddr::V6),
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

/// Parses an IPv6 address in any of its spellings (RFC 4291 §2.2).
pub(crate) fn parse_v6(text: &[u8]) -> Option<Ipv6Addr> {
    if text.contains(&b'.') {
        return str::from_utf8(text).ok()?.parse().ok();
    }
    let mut address = [0; 8];
    match text.windows(2).position(|pair| pair == b"::") {
        None => (groups(text, &mut address)? == 8).then(|| address.into()),
        Some(at) => {
            // The colons stand for one group of zeros at least.
            let mut tail = [0; 7];
            let before = groups(&text[..at], &mut address[..7])?;
            let behind = groups(&text[at + 2..], &mut tail[..7 - before])?;
            address[8 - behind..].copy_from_slice(&tail[..behind]);
            Some(address.into())
        }
    }
}

/// Reads hexadecimal numbers with colons between them. Returns how many there are.
fn groups(text: &[u8], groups: &mut [u16]) -> Option<usize> {
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
        *group = *group << 4 | u16::from(digit(*byte)?);
        digits += 1;
    }
    (digits > 0).then_some(count + 1)
}

/// Returns the value of a hexadecimal digit.
pub(crate) fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

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
            "fe80::1%eth0",
            "é::",
            "+1::",
            "[::1]",
        ] {
            assert_eq!(parse_ip(text), text.parse().ok(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn so_it_is_for_whatever_looks_like_an_address(
            address: IpAddr,
            v4 in "[0-2]?[0-9]{0,2}(\\.[0-2]?[0-9]{0,2}){2,4}",
            v6 in "([0-9a-fA-F]{0,5}:){1,8}[0-9a-f]{0,4}",
            few in "[1:.]{0,18}",
        ) {
            for text in [address.to_string(), v4, v6, few] {
                prop_assert_eq!(parse_ip(&text), text.parse().ok(), "{}", text);
            }
        }
    }
}
