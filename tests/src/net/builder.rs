use anyhow::{Result, ensure};
use ipnet::IpNet;
use serde_json::{Value, json};

use super::address::{first, host, mac, middle};
use super::{FIRST_STATIC, Net, add_to};
use crate::northbound::Northbound;
use crate::row::{json_map, json_set, named};

/// The configuration of a network; made by [`Net::builder`].
///
/// Network `N` has the uplink addresses `203.0.113.(N+1)/24` and `2001:db8::(N+1)/64` (from the 100th on, addresses of
/// `198.18.0.0/15`), the internal networks `10.57.N.0/24` and `fd42:57:N::/64` with the router on `.1`, a chassis group
/// on the gateway port, a default route, and SNAT for both families. Forwards can use `203.0.113.0/24` from `.101` on.
#[derive(Clone, Debug)]
pub struct NetBuilder {
    id: u32,
    uplinks: Vec<String>,
    internals: Vec<String>,
    gateway: bool,
    snat: bool,
}

impl NetBuilder {
    pub(super) fn new(id: u32) -> Self {
        let [_, _, high, low] = id.to_be_bytes();
        let uplink4 =
            if id < 100 { format!("203.0.113.{}/24", id + 1) } else { format!("198.18.{high}.{low}/15") };
        Self {
            id,
            uplinks: vec![uplink4, format!("2001:db8::{:x}/64", id + 1)],
            internals: vec![
                format!("10.{}.{low}.1/24", 57_u8.wrapping_add(high)),
                format!("fd42:57:{id:x}::1/64"),
            ],
            gateway: true,
            snat: true,
        }
    }

    /// The gateway port's addresses with prefix length, instead of the usual ones.
    #[must_use]
    pub fn uplinks(mut self, addresses: &[&str]) -> Self {
        self.uplinks = addresses.iter().map(|&text| text.to_owned()).collect();
        self
    }

    /// The internal port's addresses with prefix length, instead of the usual ones.
    #[must_use]
    pub fn internals(mut self, addresses: &[&str]) -> Self {
        self.internals = addresses.iter().map(|&text| text.to_owned()).collect();
        self
    }

    /// Leaves IPv6 out.
    #[must_use]
    pub fn ipv4_only(mut self) -> Self {
        self.uplinks.retain(|text| !text.contains(':'));
        self.internals.retain(|text| !text.contains(':'));
        self
    }

    /// Leaves the chassis group out, so that northd ignores the router's NAT.
    #[must_use]
    pub fn without_gateway(mut self) -> Self {
        self.gateway = false;
        self
    }

    /// Leaves the network's own SNAT out (`ipv4.nat=false`, `ipv6.nat=false`).
    #[must_use]
    pub fn without_snat(mut self) -> Self {
        self.snat = false;
        self
    }

    /// Writes the network in one transaction.
    pub fn create(self, server: &impl Northbound) -> Result<Net> {
        ensure!((1..=0xffff).contains(&self.id), "a network's number is 1 to 65535, not {}", self.id);
        let parse =
            |texts: &[String]| texts.iter().map(|text| text.parse()).collect::<Result<Vec<IpNet>, _>>();
        let net = Net {
            id: self.id,
            sockets: server.sockets(),
            uplinks: parse(&self.uplinks)?,
            internals: parse(&self.internals)?,
            snat: self.snat,
            made: 0,
        };
        server.transact(self.operations(&net)?)?;
        Ok(net)
    }

    fn operations(&self, net: &Net) -> Result<Vec<Value>> {
        let mut operations = gateway_group(&net.prefix());
        operations.push(json!({"op": "insert", "table": "Logical_Router", "row": {
            "name": net.router(),
            "options": json_map([("always_learn_from_arp_request", "false"), ("dynamic_neigh_routers", "true")]),
        }}));
        operations.extend(joined_switch(&Joint {
            router: &net.router(),
            router_port: &net.gateway_port(),
            mac: &mac(0xff_0000 + self.id),
            networks: self.uplinks.clone(),
            gateway: self.gateway.then(|| named("group")),
            switch: &net.external_switch(),
            other_config: Vec::new(),
        }));
        operations.push(
            json!({"op": "insert", "table": "Logical_Switch_Port", "uuid-name": "provider", "row": {
                "name": format!("{}-lsp-provider", net.external_switch()),
                "type": "localnet",
                "addresses": "unknown",
                "options": json_map([("network_name", "uplink")]),
            }}),
        );
        operations.push(add_to("Logical_Switch", &net.external_switch(), "ports", named("provider")));
        operations.extend(joined_switch(&Joint {
            router: &net.router(),
            router_port: &net.internal_port(),
            mac: &mac(0xfd_0000 + self.id),
            networks: self.internals.clone(),
            gateway: None,
            switch: &net.internal_switch(),
            other_config: dynamic_ranges(&net.internals)?,
        }));
        for (index, uplink) in net.uplinks.iter().enumerate() {
            let row = format!("route{index}");
            operations.push(
                json!({"op": "insert", "table": "Logical_Router_Static_Route", "uuid-name": row, "row": {
                    "ip_prefix": if uplink.addr().is_ipv4() { "0.0.0.0/0" } else { "::/0" },
                    "nexthop": first(uplink).to_string(),
                    "output_port": net.gateway_port(),
                }}),
            );
            operations.push(add_to("Logical_Router", &net.router(), "static_routes", named(&row)));
        }
        operations.extend(net.base_snat());
        Ok(operations)
    }
}

/// A switch and a router port that are joined to each other.
pub(super) struct Joint<'a> {
    pub(super) router: &'a str,
    pub(super) router_port: &'a str,
    pub(super) mac: &'a str,
    pub(super) networks: Vec<String>,
    /// The chassis group, if this is a gateway port.
    pub(super) gateway: Option<Value>,
    pub(super) switch: &'a str,
    pub(super) other_config: Vec<(String, String)>,
}

/// Inserts a switch, a port of a router that exists, and the switch's port towards it.
pub(super) fn joined_switch(joint: &Joint<'_>) -> Vec<Value> {
    // Names of rows have to be unique within the transaction and must not contain dashes.
    let row = |kind: &str| format!("{kind}_{}", joint.switch.replace('-', "_"));
    let mut router_port = json!({
        "name": joint.router_port,
        "mac": joint.mac,
        "networks": json_set(joint.networks.iter().map(|network| json!(network))),
    });
    let mut options = vec![("router-port", joint.router_port)];
    if let Some(group) = &joint.gateway {
        router_port["ha_chassis_group"] = group.clone();
        options.push(("nat-addresses", "router"));
    }
    vec![
        json!({"op": "insert", "table": "Logical_Router_Port", "uuid-name": row("lrp"), "row": router_port}),
        add_to("Logical_Router", joint.router, "ports", named(&row("lrp"))),
        json!({"op": "insert", "table": "Logical_Switch_Port", "uuid-name": row("lsp"), "row": {
            "name": format!("{}-lsp-router", joint.switch),
            "type": "router",
            "addresses": "router",
            "options": json_map(options),
        }}),
        json!({"op": "insert", "table": "Logical_Switch", "row": {
            "name": joint.switch,
            "ports": named(&row("lsp")),
            "other_config": json_map(joint.other_config.iter().map(|(key, value)| (key, value))),
        }}),
    ]
}

/// A chassis group, in the transaction known as `group`. Its chassis needs not exist.
pub(super) fn gateway_group(name: &str) -> Vec<Value> {
    vec![
        json!({"op": "insert", "table": "HA_Chassis", "uuid-name": "chassis", "row": {
            "chassis_name": "gateway-1", "priority": 100,
        }}),
        json!({"op": "insert", "table": "HA_Chassis_Group", "uuid-name": "group", "row": {
            "name": name, "ha_chassis": named("chassis"),
        }}),
    ]
}

/// The addresses that northd may allocate: all except the range of static addresses.
fn dynamic_ranges(internals: &[IpNet]) -> Result<Vec<(String, String)>> {
    let mut config = Vec::new();
    for internal in internals {
        if internal.addr().is_ipv6() {
            config.push(("ipv6_prefix".to_owned(), internal.network().to_string()));
        } else {
            let reserved = format!("{}..{}", host(internal, FIRST_STATIC)?, middle(internal)?);
            config.push(("subnet".to_owned(), internal.trunc().to_string()));
            config.push(("exclude_ips".to_owned(), reserved));
        }
    }
    Ok(config)
}
