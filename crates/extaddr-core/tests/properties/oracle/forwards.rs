//! The forwards of a router, and what lies inside it.

use super::topology::is_gateway_port;
use super::*;

impl<'a> Oracle<'a> {
    pub(super) fn forwards_at(&self, router: Uuid, address: IpAddr) -> Vec<Forward> {
        self.forwards(router).into_iter().filter(|forward| forward.address == address).collect()
    }

    /// What each router forwards, sorted.
    pub(crate) fn all_forwards(&self) -> BTreeMap<Uuid, BTreeSet<Forward>> {
        let routers = self.database.table("Logical_Router");
        routers.map(|(router, _)| (router, self.forwards(router).into_iter().collect())).collect()
    }

    /// Everything that the router sends to an instance.
    pub(crate) fn forwards(&self, router: Uuid) -> Vec<Forward> {
        if let Some(known) = self.forwards.borrow().get(&router) {
            return known.clone();
        }
        let mut forwards = Vec::new();
        for (uuid, balancer) in self.database.table("Load_Balancer") {
            // The values of a template are elsewhere.
            if !self.is_on(router, uuid) || is_template(balancer) {
                continue;
            }
            for (key, value) in balancer.pairs("vips") {
                let Some((address, port)) = endpoint(key) else { continue };
                if let (Some(targets), false) =
                    (heeded_backends(key, value), self.is_internal(router, address))
                {
                    let row = ("Load_Balancer", uuid);
                    forwards.push(Forward { address, row, vip: Some(key.to_owned()), port, targets });
                }
            }
        }
        for (uuid, nat) in self.nats(router) {
            let Ok(address) = nat.text("external_ip").parse::<IpAddr>() else { continue };
            let host = |(target, length): &(IpAddr, u8)| *length == if target.is_ipv4() { 32 } else { 128 };
            let target = network(nat.text("logical_ip")).filter(host);
            let targets: Vec<_> = target.map(|(target, _)| target).into_iter().collect();
            if ["dnat", "dnat_and_snat"].contains(&nat.text("type"))
                && !self.is_ours(nat)
                && self.heeded(router, nat).is_some()
                && !self.keeps(router, address)
                && !self.is_internal(router, address)
                && targets != [address]
            {
                forwards.push(Forward { address, row: ("NAT", uuid), vip: None, port: None, targets });
            }
        }
        self.forwards.borrow_mut().insert(router, forwards.clone());
        forwards
    }

    /// The ports (or all) of an address for which VIPs without a forward match replies.
    pub(super) fn idle_ports(&self, router: Uuid, address: IpAddr) -> Vec<Option<u16>> {
        let mut ports = Vec::new();
        for (_, row) in self.database.table("Load_Balancer").filter(|(uuid, _)| self.is_on(router, *uuid)) {
            for (key, value) in row.pairs("vips") {
                let Some((at, port)) = endpoint(key) else { continue };
                let is_refused = heeded_backends(key, value).is_none() && is_made(key, value);
                if at == address && (is_template(row) || is_refused) {
                    ports.push(port);
                }
            }
        }
        ports
    }

    /// Whether the router consumes packets for its own address: neither a foreign SNAT row nor a VIP has it.
    pub(super) fn keeps(&self, router: Uuid, address: IpAddr) -> bool {
        let ports = self.router_ports(router);
        let mut own = ports.iter().flat_map(|(_, port)| port.texts("networks").filter_map(network));
        let is_snat = |nat: &Row| {
            nat.text("type") == "snat"
                && nat.text("external_ip").parse() == Ok(address)
                && nat.get("external_ids", "ovn-extaddr:owner").is_none()
        };
        let mut balancers = self
            .database
            .table("Load_Balancer")
            .filter(|(uuid, row)| self.is_on(router, *uuid) && !is_template(row));
        own.any(|(own, _)| own == address)
            && !self.nats(router).into_iter().any(|(_, nat)| is_snat(nat))
            && !balancers.any(|(_, row)| {
                row.pairs("vips").any(|(key, value)| {
                    endpoint(key).is_some_and(|vip| vip.0 == address) && is_made(key, value)
                })
            })
    }

    /// Whether a load balancer is on a router, directly or by a group.
    pub(super) fn is_on(&self, router: Uuid, balancer: Uuid) -> bool {
        let Some(row) = self.database.row("Logical_Router", router) else { return false };
        let mut groups = self.database.table("Load_Balancer_Group");
        row.has("load_balancer", balancer)
            || groups.any(|(uuid, group)| {
                row.has("load_balancer_group", uuid) && group.has("load_balancer", balancer)
            })
    }

    /// Whether the address is in an internal network of the router: that of a port that is not a gateway port or, if no
    /// port has it, one that SNAT translates. Without gateway ports, that SNAT shows which networks are internal;
    /// without SNAT, only the router's own addresses are.
    pub(super) fn is_internal(&self, router: Uuid, address: IpAddr) -> bool {
        let is_local = match address {
            IpAddr::V4(v4) => v4.is_link_local() || v4.is_broadcast(),
            IpAddr::V6(v6) => v6.is_unicast_link_local(),
        };
        if is_local || address.is_loopback() || address.is_multicast() || address.is_unspecified() {
            return true;
        }
        let ports = self.router_ports(router);
        let here: Vec<_> = ports.iter().map(|(_, port)| *port).filter(|port| holds(port, address)).collect();
        let has_gateway_port = ports.iter().any(|(_, port)| is_gateway_port(port));
        let base: Vec<_> = self
            .nats(router)
            .into_iter()
            .filter(|(_, nat)| nat.text("type") == "snat")
            .filter_map(|(_, nat)| {
                let logical = network(nat.text("logical_ip"))?;
                let is_host = logical.1 == if logical.0.is_ipv4() { 32 } else { 128 };
                Some((nat.text("external_ip").parse().ok(), logical)).filter(|_| !is_host)
            })
            .collect();
        let is_inside = base.iter().any(|(_, net)| net.1 > 0 && contains(*net, address));
        if here.is_empty() {
            return is_inside;
        }
        if has_gateway_port {
            return here.iter().any(|port| !is_gateway_port(port));
        }
        // An external address in the network that a row translates proves nothing.
        let is_part = |net: (IpAddr, u8), of: (IpAddr, u8)| of.1 <= net.1 && contains(of, net.0);
        let is_outer = |port: &Row| {
            let mut networks = port.texts("networks").filter_map(network);
            networks.any(|net| {
                base.iter().any(|(external, logical)| {
                    external.is_some_and(|ip| contains(net, ip))
                        && !is_part(*logical, net)
                        && (logical.1 == 0 || !is_part(net, *logical))
                })
            })
        };
        let some_is_outer = ports.iter().any(|(_, port)| is_outer(port));
        here.into_iter().any(|port| {
            let is_own = port.texts("networks").filter_map(network).any(|(own, _)| own == address);
            !is_outer(port) && (is_own || is_inside || some_is_outer)
        })
    }

    /// Whether the address is in the same network of the router as one of the instance's.
    pub(super) fn is_neighbour(&self, router: Uuid, address: IpAddr, internal: &[IpAddr]) -> bool {
        let (ports, outer) = (self.router_ports(router), self.gateway_ports(router));
        let inner = ports.iter().filter(|(id, _)| !outer.iter().any(|(outer, _)| outer == id));
        let mut networks = inner.flat_map(|(_, port)| port.texts("networks").filter_map(network));
        networks.any(|net| contains(net, address) && internal.iter().any(|internal| contains(net, *internal)))
    }

    pub(super) fn nats(&self, router: Uuid) -> Vec<(Uuid, &'a Row)> {
        let nats = self.database.table("NAT");
        nats.filter(|(nat, _)| self.holder("Logical_Router", "nat", *nat) == Some(router)).collect()
    }
}

/// Whether northd makes flows for a VIP, although ovn-controller may refuse the one that forwards.
fn is_made(key: &str, value: &str) -> bool {
    fitting_backends(key, value).is_some()
}

/// The backends of a VIP, unless northd ignores it because of one of them.
pub(super) fn heeded_backends(key: &str, value: &str) -> Option<Vec<IpAddr>> {
    let backends = fitting_backends(key, value)?;
    let gap = value.starts_with(',') || value.contains(",,");
    // ovn-controller refuses a port with leading zeros.
    let has_zeros = |text: &str| text.rsplit_once(':').is_some_and(|(_, port)| port.starts_with('0'));
    let is_refused = !backends.is_empty() && (gap || value.split(',').any(has_zeros));
    (!is_refused).then_some(backends)
}

/// The backends of a VIP as northd parses them, unless one of them does not fit it.
fn fitting_backends(key: &str, value: &str) -> Option<Vec<IpAddr>> {
    let (address, port) = endpoint(key)?;
    let backends = value.split(',').filter(|text| !text.is_empty()).map(|text| {
        let (target, at) = endpoint(text)?;
        (family_of(target) == family_of(address) && at.is_some() == port.is_some()).then_some(target)
    });
    backends.collect()
}

pub(super) fn is_template(balancer: &Row) -> bool {
    balancer.get("options", "template").is_some_and(is_true)
}
