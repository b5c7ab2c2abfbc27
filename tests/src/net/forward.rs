use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};
use std::net::{IpAddr, SocketAddr};

use anyhow::Result;
use serde_json::{Value, json};

use super::{Nat, Net, add_to, remove_from, select};
use crate::row::{json_map, json_set, map_column, named, uuid_ref};

/// The protocol of a forward.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

/// The two shapes in which Incus has written a forward's default target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DefaultTarget {
    /// Up to 7.2: a port-less VIP in both load balancers.
    Vip,
    /// From 7.3: a `dnat` row.
    Dnat,
}

/// Forwards: load balancers on the router and on the internal switch.
impl Net {
    /// Forwards TCP connections to a port of an external address.
    pub fn add_forward(&self, listen: IpAddr, port: u16, target: IpAddr, target_port: u16) -> Result<()> {
        self.add_forwards(
            Protocol::Tcp,
            &[(SocketAddr::new(listen, port), SocketAddr::new(target, target_port))],
        )
    }

    /// Adds many (listen, target) pairs in one transaction.
    ///
    /// As Incus does, this deletes and re-creates the load balancer of every listen address that has one.
    pub fn add_forwards(&self, protocol: Protocol, pairs: &[(SocketAddr, SocketAddr)]) -> Result<()> {
        let mut wanted: BTreeMap<IpAddr, BTreeMap<String, String>> = BTreeMap::new();
        for (listen, target) in pairs {
            wanted.entry(listen.ip()).or_default().insert(listen.to_string(), target.to_string());
        }
        let names: Vec<String> = wanted.keys().map(|&listen| self.balancer(protocol, listen)).collect();
        let selects = names.iter().map(|name| select("Load_Balancer", name, &["vips"])).collect();
        let found = self.transact(selects)?;

        let mut operations = Vec::new();
        for ((index, (&listen, vips)), found) in wanted.iter().enumerate().zip(&found) {
            let mut all = map_column(&found["rows"][0]["vips"]);
            all.extend(vips.clone());
            operations.extend(self.replace_balancer(protocol, listen, &all, index));
        }
        self.transact(operations).map(drop)
    }

    /// The VIPs of a forward: `"address:port"` or `"address"` to `"target:port"` or `"target"`.
    pub fn vips(&self, protocol: Protocol, listen: IpAddr) -> Result<BTreeMap<String, String>> {
        let found =
            self.transact(vec![select("Load_Balancer", &self.balancer(protocol, listen), &["vips"])])?;
        Ok(map_column(&found[0]["rows"][0]["vips"]))
    }

    /// Writes a forward's VIPs again, as Incus does on every edit: the load balancer is deleted and, unless `vips` is
    /// empty, created again in the same transaction with another UUID.
    pub fn set_vips(
        &self,
        protocol: Protocol,
        listen: IpAddr,
        vips: &BTreeMap<String, String>,
    ) -> Result<()> {
        self.transact(self.replace_balancer(protocol, listen, vips, 0)).map(drop)
    }

    /// Removes an address's forward whole: both load balancers and the `dnat` rows.
    pub fn remove_forward(&self, listen: IpAddr) -> Result<()> {
        let of_forward = |nat: &Nat| {
            nat.kind == "dnat" && nat.external_ids.is_empty() && nat.external_ip == listen.to_string()
        };
        let rows: Vec<Value> =
            self.nats()?.iter().filter(|nat| of_forward(nat)).map(|nat| uuid_ref(&nat.uuid)).collect();
        let none = BTreeMap::new();
        let mut operations = self.replace_balancer(Protocol::Tcp, listen, &none, 0);
        operations.extend(self.replace_balancer(Protocol::Udp, listen, &none, 1));
        operations.push(remove_from("Logical_Router", &self.router(), "nat", json_set(rows)));
        self.transact(operations).map(drop)
    }

    /// Sends everything that arrives for an address to one target.
    pub fn add_default_target(&self, listen: IpAddr, target: IpAddr, shape: DefaultTarget) -> Result<()> {
        match shape {
            DefaultTarget::Dnat => self.add_nat("dnat", listen, &target.to_string()).map(drop),
            DefaultTarget::Vip => {
                let mut operations = Vec::new();
                for (index, protocol) in [Protocol::Tcp, Protocol::Udp].into_iter().enumerate() {
                    let mut vips = self.vips(protocol, listen)?;
                    vips.insert(listen.to_string(), target.to_string());
                    operations.extend(self.replace_balancer(protocol, listen, &vips, index));
                }
                self.transact(operations).map(drop)
            }
        }
    }

    /// Deletes a load balancer and, unless it would be empty, creates it again; the server removes the weak references
    /// to it.
    fn replace_balancer(
        &self,
        protocol: Protocol,
        listen: IpAddr,
        vips: &BTreeMap<String, String>,
        index: usize,
    ) -> Vec<Value> {
        let (name, row) = (self.balancer(protocol, listen), format!("lb{index}"));
        let mut operations =
            vec![json!({"op": "delete", "table": "Load_Balancer", "where": [["name", "==", name]]})];
        if !vips.is_empty() {
            operations.extend([
                json!({"op": "insert", "table": "Load_Balancer", "uuid-name": row, "row": {
                    "name": name, "protocol": protocol.to_string(), "vips": json_map(vips),
                }}),
                add_to("Logical_Router", &self.router(), "load_balancer", named(&row)),
                add_to("Logical_Switch", &self.internal_switch(), "load_balancer", named(&row)),
            ]);
        }
        operations
    }
}

impl Display for Protocol {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        })
    }
}
