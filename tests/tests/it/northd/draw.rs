//! Random routers, with what CMSes and people write, including errors.

use super::case::{Balancer, Case, Gateway, INSTANCES, Nat, Place, Port, Row, instance};
use crate::fixture::{V4, V6};
use fastrand::Rng;

/// Addresses in outer networks, in no network of the router, or in inner ones.
const EXTERNAL_V4: [&str; 7] = [
    "203.0.113.10",
    "203.0.113.11",
    "203.0.113.10",
    "203.0.113.2",
    "192.0.2.10",
    "198.51.100.10",
    "10.57.0.50",
];
const EXTERNAL_V6: [&str; 5] =
    ["2001:db8::10", "2001:db8::11", "2001:db8::10", "2001:db8:2::10", "fd42:57::50"];

const PORTS: [&str; 4] = ["80", "443", "8080", "40000"];

/// Invalid and unusual keys of `vips`.
const ODD_VIPS: [&str; 17] = [
    "[2001:db8::10]",
    "2001:DB8::10",
    "[2001:0db8::0010]:80",
    "203.0.113.10:",
    "203.0.113.10:0",
    "203.0.113.10:070",
    "203.0.113.10:99999",
    "203.0.113.10:http",
    "203.0.113.010:80",
    "web.example.com:80",
    "[203.0.113.10]:80",
    " 203.0.113.10:80",
    "203.0.113.10:80 ",
    "203.0.113.10 : 80",
    "[::ffff:203.0.113.10]:80",
    "[2001:db8::10]:",
    "",
];

/// The same for values.
const ODD_BACKENDS: [&str; 19] = [
    "",
    "10.57.0.11:8080,",
    ",10.57.0.11:8080",
    " 10.57.0.11:8080",
    "10.57.0.11:8080 , 10.57.0.12:8080",
    "10.57.0.11:0",
    "10.57.0.11:99999",
    "web.example.com:80",
    "10.57.0.11:8080,web:80",
    "[10.57.0.11]:8080",
    "fd42:57::b:8080",
    "[fd42:57::B]:8080",
    "10.57.0.11:8080;10.57.0.12:8080",
    "10.57.0.99:80",
    "10.57.0.11:+80",
    "10.57.0.11:0x50",
    "10.57.0.11:8080,10.57.0.11:8080",
    "[::ffff:10.57.0.11]:8080",
    "[fd42:57::b]:8080,",
];

/// A network as `external_ip`, and the prefix of the texts of its addresses.
const NETWORK: &str = "203.0.113.0/24";
pub(super) const IN_NETWORK: &str = "203.0.113.";

/// An invalid range.
pub(super) const NO_RANGE: &str = "30000-1024";

const ODD_EXTERNALS: [&str; 12] = [
    "203.0.113.10/32",
    NETWORK,
    "",
    "web.example.com",
    "203.0.113.010",
    "0.0.0.0",
    " 203.0.113.10",
    "203.0.113.10 203.0.113.11",
    "203.0.113.10/24",
    "::ffff:203.0.113.10",
    "2001:DB8::10",
    "2001:db8::10/128",
];
const ODD_LOGICALS: [&str; 13] = [
    "10.57.0.11/32",
    "fd42:57::b/128",
    "10.57.0.11/24",
    "10.57.0.0/33",
    "10.57.0.11/255.255.255.255",
    "10.57.0.11-10.57.0.12",
    "",
    "0.0.0.0/0",
    " 10.57.0.11",
    "10.57.0.11 ",
    "fd42:57::b/64",
    "FD42:57::B",
    "::ffff:10.57.0.11",
];

/// The abilities of this Northbound schema.
#[derive(Clone, Copy, Debug)]
pub(super) struct Abilities {
    /// `NAT.match` and `NAT.priority`, since OVN 24.09.
    pub(super) nat_match: bool,
}

/// Draws a router.
pub(super) fn draw(random: &mut Rng, abilities: Abilities) -> Case {
    let mut chance = |percent: u64| random.u64(..100) < percent;
    let enabled = if chance(6) { Some(false) } else { chance(10).then_some(true) };
    let (outer_disabled, inner_disabled, base) = (chance(3), chance(3), chance(80));
    let mut options = Vec::new();
    for (percent, option) in [
        (5, ("lb_force_snat_ip", "router_ip")),
        (3, ("lb_force_snat_ip", "100.64.0.9")),
        (3, ("dnat_force_snat_ip", "100.64.0.9")),
        (3, ("mcast_relay", "false")),
    ] {
        if chance(percent) && !options.iter().any(|(key, _)| *key == option.0) {
            options.push(option);
        }
    }
    let gateway = match random.u64(..10) {
        0 => Gateway::None,
        1 | 2 => Gateway::Chassis,
        3..=5 => Gateway::One { group: true },
        6 => Gateway::One { group: false },
        7 | 8 => Gateway::Two,
        _ => Gateway::ChassisAndPort,
    };
    let mut rows = Vec::new();
    let (mut named, mut forwarded) = (Vec::new(), Vec::new());
    if base {
        named.extend(["10.57.0.0/24", "fd42:57::/64"].map(|network| format!("from {network}")));
    }
    for _ in 0..random.u64(..4) {
        let mut balancer = balancer(random);
        balancer.vips.retain(|(vip, _)| is_new(&mut named, &bare(vip)));
        // OVN 23.03 has `drop` after another action there, which ovn-controller refuses; later releases have it alone.
        let is_forced = options.iter().any(|(key, _)| *key == "lb_force_snat_ip");
        let is_kept = balancer.options.iter().any(|(key, _)| *key == "skip_snat");
        balancer.vips.retain(|(_, backends)| !backends.is_empty() || !(is_forced || is_kept));
        rows.push(Row::Balancer(balancer));
    }
    for _ in 0..random.u64(..4) {
        let nat = nat(random, gateway, abilities);
        let source = nat.kind == "dnat" || is_new(&mut named, &format!("from {}", bare(&nat.logical)));
        let destination = nat.kind == "snat" || is_free(&mut forwarded, &nat.external);
        if source && destination {
            rows.push(Row::Nat(nat));
        }
    }
    for instance in 0..INSTANCES {
        for (key, pool, percent) in [(V4, &EXTERNAL_V4[..], 80), (V6, &EXTERNAL_V6[..], 50)] {
            if random.u64(..100) < percent {
                let wanted = if random.u64(..100) < 30 { "auto" } else { pick(random, pool) };
                rows.push(Row::Intent { instance, key, wanted: wanted.to_owned() });
            }
        }
    }
    Case { gateway, enabled, outer_disabled, inner_disabled, base, options, rows }
}

/// Whether there is nothing for the same packets yet: of two, OVN uses either at different times.
fn is_new(named: &mut Vec<String>, name: &str) -> bool {
    let new = !named.iter().any(|other| other == name);
    named.push(name.to_owned());
    new
}

/// Whether no row forwards the address yet, or one of its network.
fn is_free(forwarded: &mut Vec<String>, external: &str) -> bool {
    let holds = |network: &str, address: &str| network.ends_with("/24") && address.starts_with(IN_NETWORK);
    let external = bare(external);
    let meets = |other: &String| *other == external || holds(other, &external) || holds(&external, other);
    let free = !forwarded.iter().any(meets);
    forwarded.push(external);
    free
}

/// One notation of an address or endpoint, whatever northd does with it.
fn bare(text: &str) -> String {
    let text = text.to_lowercase().replace([' ', '[', ']'], "").replace(".010", ".10");
    let text = text.strip_prefix("::ffff:").unwrap_or(&text);
    // A missing port, or 0, means none.
    let text = text.strip_suffix(":0").unwrap_or(text).trim_end_matches(':');
    // Bits outside a mask and the notation of the mask make no difference.
    match ovn_model::parse_prefix(text) {
        Some(prefix) if ovn_model::is_host(&prefix) => prefix.addr().to_string(),
        Some(prefix) => prefix.trunc().to_string(),
        None => text.to_owned(),
    }
}

fn balancer(random: &mut Rng) -> Balancer {
    let protocol = [Some("tcp"), Some("tcp"), Some("udp"), None, Some("sctp")][random.usize(..5)];
    let place = match random.u64(..10) {
        0..=3 => Place::Router,
        4..=6 => Place::Both,
        7 | 8 => Place::Group,
        _ => Place::Switch,
    };
    let mut options = Vec::new();
    match random.u64(..30) {
        0 => options.push(("template", "true")),
        1 => options.push(("skip_snat", "true")),
        2 => options.push(("reject", "true")),
        3 => options.push(("hairpin_snat_ip", "\"203.0.113.77\"")),
        _ => {}
    }
    let mut vips: Vec<(String, String)> = Vec::new();
    for _ in 0..=random.u64(..3) {
        let (vip, backends) = vip(random);
        // A map has each key once.
        if !vips.iter().any(|(other, _)| *other == vip) {
            vips.push((vip, backends));
        }
    }
    Balancer { protocol, place, options, vips }
}

fn vip(random: &mut Rng) -> (String, String) {
    let v6 = random.u64(..3) == 0;
    let address = if v6 { pick(random, &EXTERNAL_V6) } else { pick(random, &EXTERNAL_V4) };
    let port = pick(random, &PORTS);
    let whole = random.u64(..3) == 0;
    let key = match (random.u64(..12), whole, v6) {
        (0, ..) => pick(random, &ODD_VIPS).to_owned(),
        (_, true, _) => address.to_owned(),
        (_, false, false) => format!("{address}:{port}"),
        (_, false, true) => format!("[{address}]:{port}"),
    };
    if random.u64(..10) == 0 {
        return (key, pick(random, &ODD_BACKENDS).to_owned());
    }
    let mut backends = Vec::new();
    for _ in 0..=(random.u64(..6) / 5) {
        let mut flaw = |percent: u64| random.u64(..100) < percent;
        let (v6, with_port) = (v6 != flaw(5), whole == flaw(8));
        let target = instance(random.usize(..INSTANCES))[usize::from(v6)];
        let port = pick(random, &PORTS);
        backends.push(match (v6, with_port) {
            (_, false) => target.to_string(),
            (false, true) => format!("{target}:{port}"),
            (true, true) => format!("[{target}]:{port}"),
        });
    }
    (key, backends.join(","))
}

fn nat(random: &mut Rng, gateway: Gateway, abilities: Abilities) -> Nat {
    let kind = ["snat", "dnat", "dnat_and_snat", "snat"][random.usize(..4)];
    let v6 = random.u64(..3) == 0;
    let (flaw, odd) = (random.u64(..12), random.u64(..2) == 0);
    let external = match flaw {
        0 if odd => pick(random, &ODD_EXTERNALS),
        _ if v6 => pick(random, &EXTERNAL_V6),
        _ => pick(random, &EXTERNAL_V4),
    };
    let host = instance(random.usize(..INSTANCES))[usize::from(v6 != (flaw == 1))].to_string();
    let logical = match random.u64(..8) {
        _ if flaw == 0 && !odd => pick(random, &ODD_LOGICALS).to_owned(),
        0 if kind == "snat" => if v6 { "fd42:57::/80" } else { "10.57.0.8/29" }.to_owned(),
        1 if flaw == 2 => if v6 { "fd42:57::/64" } else { "10.57.0.0/24" }.to_owned(),
        2 if flaw == 3 => external.to_owned(),
        _ => host,
    };
    let two = gateway == Gateway::Two;
    let port = match random.u64(..12) {
        0..=2 if two => Some(Port::Ext),
        3 | 4 if two => Some(Port::Priv),
        5 => Some(Port::Inner),
        6 => Some(Port::Ext),
        _ => None,
    };
    let range = (random.u64(..10) == 0).then(|| pick(random, &["1024-30000", "5000", NO_RANGE]));
    let stateless = [Some(false), None, None, Some(true)][random.usize(..4)];
    let stateless = stateless.filter(|stateless| !stateless || random.u64(..3) == 0);
    let set = (random.u64(..12) == 0).then(|| {
        let column = pick(random, &["allowed_ext_ips", "exempted_ext_ips"]);
        (column, pick(random, &["203.0.113.0/24", "198.51.100.0/24"]))
    });
    // If a row's own flow is refused, the one for exempted peers still exists: two errors at once.
    let set = set.filter(|_| range != Some(NO_RANGE) && !external.contains('/'));
    let matching = (abilities.nat_match && set.is_none() && random.u64(..12) == 0)
        .then(|| (pick(random, &["ip.ttl == 64", "ip.ttl == 17", "tcp"]), random.u64(..3) as u16));
    let distributed = kind == "dnat_and_snat" && random.u64(..4) == 0;
    Nat { kind, external: external.to_owned(), logical, port, range, stateless, set, matching, distributed }
}

fn pick<'a>(random: &mut Rng, choices: &[&'a str]) -> &'a str {
    choices[random.usize(..choices.len())]
}
