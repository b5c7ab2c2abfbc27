//! Texts of addresses, ports and prefixes, parsed as in OVN.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};

use super::Family;
use crate::model::Row;

pub(super) fn family_of(address: IpAddr) -> Family {
    if address.is_ipv4() { Family::V4 } else { Family::V6 }
}

/// The addresses that a port has, static or, if it requests one, allocated, except those that no router forwards.
pub(super) fn internal_addresses(port: &Row, family: Family) -> Vec<IpAddr> {
    let asks = port
        .texts("addresses")
        .any(|element| element.split_ascii_whitespace().take(2).any(|word| word == "dynamic"));
    let allocated = port.texts("dynamic_addresses").filter(|_| asks);
    let addresses = port.texts("addresses").chain(allocated).flat_map(assigned);
    let link_local =
        [(IpAddr::from([169, 254, 0, 0]), 16), (IpAddr::from([0xfe80, 0, 0, 0, 0, 0, 0, 0]), 10)];
    let addresses = addresses.filter(|address| !link_local.iter().any(|net| contains(*net, *address)));
    let addresses: BTreeSet<_> = addresses.filter(|a| family_of(*a) == family).collect();
    addresses.into_iter().collect()
}

/// The addresses of one element: those after an Ethernet address, up to the first word that is not an address.
pub(crate) fn assigned(element: &str) -> Vec<IpAddr> {
    let mut words = element.split_ascii_whitespace();
    let is_ethernet = words.next().is_some_and(|word| {
        word.split(':').count() == 6 && word.split(':').all(|part| u8::from_str_radix(part, 16).is_ok())
    });
    if !is_ethernet {
        return Vec::new();
    }
    words.map_while(|word| network(word).map(|(address, _)| address)).collect()
}

/// An endpoint of `Load_Balancer.vips`: an address, with or without a port.
pub(super) fn endpoint(text: &str) -> Option<(IpAddr, Option<u16>)> {
    if let Ok(address) = text.parse() {
        return Some((address, None));
    }
    let (address, port) = match text.strip_prefix('[') {
        Some(rest) => rest.split_once(']').map(|(address, port)| (address, port.trim_start_matches(':')))?,
        None => text.split_once(':')?,
    };
    let port: u16 = if port.is_empty() { 0 } else { port.parse().ok()? };
    Some((address.parse().ok()?, Some(port).filter(|port| *port != 0)))
}

/// An address with the length of its prefix, by default that of a host. The host bits of a network are kept.
pub(super) fn network(text: &str) -> Option<(IpAddr, u8)> {
    let (address, length) = text.split_once('/').unwrap_or((text, ""));
    let address: IpAddr = address.parse().ok()?;
    let most = if address.is_ipv4() { 32 } else { 128 };
    let length = match length {
        "" if text.contains('/') => return None,
        "" => most,
        mask if mask.contains('.') => mask.parse::<Ipv4Addr>().ok()?.to_bits().leading_ones() as u8,
        length => length.parse().ok()?,
    };
    (length <= most).then_some((address, length))
}

pub(super) fn contains((network, length): (IpAddr, u8), address: IpAddr) -> bool {
    let bits = |address: IpAddr| -> Vec<bool> {
        let octets = match address {
            IpAddr::V4(v4) => v4.octets().to_vec(),
            IpAddr::V6(v6) => v6.octets().to_vec(),
        };
        octets.iter().flat_map(|octet| (0..8).rev().map(move |bit| octet >> bit & 1 == 1)).collect()
    };
    network.is_ipv4() == address.is_ipv4()
        && bits(network)[..usize::from(length)] == bits(address)[..usize::from(length)]
}

/// The largest block of 1024 to 65535 without a port that is listened on, the lowest of equal ones.
pub(super) fn largest_free_block(listening: &[u16]) -> Option<(u16, u16)> {
    if listening.is_empty() {
        return None;
    }
    let is_free = |port: &u32| listening.iter().all(|p| u32::from(*p) != *port);
    let after = listening.iter().map(|port| u32::from(*port) + 1).filter(|port| *port > 1024);
    let firsts = after.chain([1024]).filter(|first| *first <= 65535 && is_free(first));
    let blocks = firsts.map(|first| {
        let next = listening.iter().map(|port| u32::from(*port)).filter(|port| *port > first).min();
        (first, next.unwrap_or(65536) - 1)
    });
    let best = blocks.max_by_key(|(first, last)| (last - first, std::cmp::Reverse(*first)));
    best.map(|(first, last)| (first as u16, last as u16))
}
