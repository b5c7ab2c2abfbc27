//! A CMS's records of its network, and the agent's rows that they require.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use ovn_extaddr_tests::Protocol;

/// How a CMS writes its records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Until 7.2: default targets are VIPs in both balancers, which are created again by every edit; ports are deleted
    /// at stop.
    Incus72,
    /// From 7.3: default targets are `dnat` rows.
    Incus73,
    /// VIPs are edited in place; default targets are for TCP only.
    Lxd,
    /// Forwarded ports only, edited in place; and floating IPs.
    Neutron,
}

/// How a default target was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    Vips,
    TcpVip,
    Dnat,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Forward {
    pub(super) ports: BTreeMap<(Protocol, u16), (Ipv4Addr, u16)>,
    pub(super) default: Option<(Ipv4Addr, Shape)>,
}

#[derive(Clone, Debug)]
pub(super) struct Guest {
    pub(super) port: String,
    pub(super) address: Ipv4Addr,
    pub(super) running: bool,
    pub(super) wish: Option<String>,
    pub(super) floating: Option<Ipv4Addr>,
}

#[derive(Clone, Debug)]
pub(super) struct ExpectedState {
    pub(super) kind: Kind,
    pub(super) forwards: BTreeMap<Ipv4Addr, Forward>,
    pub(super) guests: Vec<Guest>,
}

impl Forward {
    pub(super) fn targets(&self) -> BTreeSet<Ipv4Addr> {
        self.ports.values().map(|(target, _)| *target).chain(self.default.map(|(target, _)| target)).collect()
    }

    /// The VIPs of the balancer for a protocol.
    pub(super) fn vips(&self, listen: Ipv4Addr, protocol: Protocol) -> BTreeMap<String, String> {
        let ports = self.ports.iter().filter(|((of, _), _)| *of == protocol);
        let mut vips: BTreeMap<String, String> = ports
            .map(|((_, port), (target, to))| (format!("{listen}:{port}"), format!("{target}:{to}")))
            .collect();
        let here = |shape| shape == Shape::Vips || (shape == Shape::TcpVip && protocol == Protocol::Tcp);
        if let Some((target, _)) = self.default.filter(|(_, shape)| here(*shape)) {
            vips.insert(listen.to_string(), target.to_string());
        }
        vips
    }
}

impl ExpectedState {
    /// The agent's rows that these records require.
    pub(super) fn rows(&self) -> BTreeSet<String> {
        let mut rows = BTreeSet::new();
        for guest in self.guests.iter().filter(|guest| guest.running && guest.floating.is_none()) {
            let Some(external) = self.granted(guest) else { continue };
            rows.insert(format!("{} leaves as {external} for {}", guest.address, guest.port));
            let default = self.forwards.get(&external).and_then(|forward| forward.default);
            if let Some((target, _)) = default.filter(|(_, shape)| *shape != Shape::Dnat) {
                rows.insert(format!("{external} goes to {target}"));
            }
        }
        rows
    }

    fn granted(&self, guest: &Guest) -> Option<Ipv4Addr> {
        match guest.wish.as_deref()? {
            "none" => None,
            "auto" => {
                let alone = |forward: &Forward| forward.targets().iter().eq([&guest.address]);
                let mut sole =
                    self.forwards.iter().filter(|(_, forward)| alone(forward)).map(|(listen, _)| *listen);
                sole.next().filter(|_| sole.next().is_none())
            }
            address => {
                let address = address.parse().ok()?;
                self.forwards.contains_key(&address).then_some(address)
            }
        }
    }
}
