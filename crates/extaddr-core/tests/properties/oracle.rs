//! The rules once more, computed from scratch by searching all rows.
//!
//! Nothing of the engine or the store is used here, except the UUIDs of our rows and the codes of reasons.

mod address;
mod changes;
mod forwards;
mod intents;
mod topology;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use extaddr_core::ownership::{Owner, Role};
use ovsdb_protocol::Uuid;

pub(crate) use address::assigned;
use address::{contains, endpoint, family_of, internal_addresses, largest_free_block, network};
pub(crate) use topology::is_gateway_port;

use crate::case::Settings;
use crate::model::{Database, Row};

/// The minimum of source ports, so large that one forwarded port can be too many.
pub(crate) const MIN_SOURCE_PORTS: u16 = 40_000;

/// The most routers between an instance and the outside.
const MAX_HOPS: usize = 4;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Family {
    V4,
    V6,
}

/// The decision on an intent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Decision {
    pub(crate) family: Family,
    pub(crate) wanted: String,
    pub(crate) source: &'static str,
    pub(crate) internal: Vec<IpAddr>,
    pub(crate) router: Option<Uuid>,
    pub(crate) external: Option<IpAddr>,
    pub(crate) verdict: Verdict,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Granted(BTreeSet<Desired>),
    Waiting(&'static str),
    Rejected(&'static str),
    Conflict(&'static str),
    Foreign(Uuid),
}

/// One of our desired rows.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Desired {
    pub(crate) router: Uuid,
    pub(crate) uuid: Uuid,
    pub(crate) external: IpAddr,
    pub(crate) logical: IpAddr,
    pub(crate) port_range: Option<(u16, u16)>,
    pub(crate) gateway_port: Option<Uuid>,
}

/// A change of one of our rows.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Change {
    Insert(Desired),
    Update(Uuid, Desired),
    Delete(Uuid, Uuid),
}

/// One reason why an address is a forward address of a router.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Forward {
    pub(crate) address: IpAddr,
    /// The row.
    pub(crate) row: (&'static str, Uuid),
    /// The key of the VIP, if it is one.
    pub(crate) vip: Option<String>,
    pub(crate) port: Option<u16>,
    pub(crate) targets: Vec<IpAddr>,
}

/// The oracle of a database. It keeps what many decisions need: as long as it borrows the database, nobody edits it.
#[derive(Debug)]
pub(crate) struct Oracle<'a> {
    database: &'a Database,
    owner: &'a Owner,
    settings: &'a Settings,
    holders: topology::Holders,
    reached: topology::Reached,
    forwards: RefCell<BTreeMap<Uuid, Vec<Forward>>>,
}

impl<'a> Oracle<'a> {
    pub(crate) fn new(database: &'a Database, owner: &'a Owner, settings: &'a Settings) -> Self {
        Self {
            database,
            owner,
            settings,
            holders: topology::holders(database),
            reached: topology::Reached::default(),
            forwards: RefCell::default(),
        }
    }

    /// Decides on all ports with an intent. An intent for all ports without a forward is omitted.
    pub(crate) fn decisions(&self) -> BTreeMap<String, Vec<Decision>> {
        let mut all = self.all_decisions();
        for decisions in all.values_mut() {
            decisions.retain(|decision| !decision.is_idle());
        }
        all.retain(|_, decisions| !decisions.is_empty());
        all
    }

    /// Decides on all ports with an intent, including intents for all ports.
    pub(crate) fn all_decisions(&self) -> BTreeMap<String, Vec<Decision>> {
        let mut all = BTreeMap::new();
        for (uuid, port) in self.database.table("Logical_Switch_Port") {
            let families = [Family::V4, Family::V6].into_iter();
            let decisions: Vec<_> = families.filter_map(|family| self.decide(uuid, port, family)).collect();
            if !decisions.is_empty() {
                all.insert(port.text("name").to_owned(), decisions);
            }
        }
        // If several ports claim a row for the same address on the same router, the first by name gets it.
        let mut first: BTreeMap<(Uuid, IpAddr), String> = BTreeMap::new();
        for (name, decisions) in &all {
            for row in decisions.iter().flat_map(Decision::rows) {
                first.entry((row.router, row.logical)).or_insert_with(|| name.clone());
            }
        }
        for (name, decisions) in &mut all {
            for decision in decisions {
                if decision.rows().any(|row| first[&(row.router, row.logical)] != *name) {
                    decision.verdict = Verdict::Conflict("duplicate-address");
                }
            }
        }
        all
    }

    fn decide(&self, uuid: Uuid, port: &Row, family: Family) -> Option<Decision> {
        let (source, wanted) = self.asked(uuid, port, family)?;
        let mut decision = Decision {
            family,
            wanted,
            source,
            internal: internal_addresses(port, family),
            router: None,
            external: None,
            verdict: Verdict::Waiting(""),
        };
        decision.verdict = self.verdict(uuid, port, &mut decision).unwrap_or_else(|verdict| verdict);
        Some(decision)
    }

    /// Follows the chain from port to rows; the `Err` is what breaks it.
    fn verdict(&self, uuid: Uuid, port: &Row, decision: &mut Decision) -> Result<Verdict, Verdict> {
        let family = decision.family;
        let address = match decision.wanted.parse::<IpAddr>() {
            _ if decision.wanted == "auto" => None,
            Ok(address) if family_of(address) == family => Some(address),
            Ok(_) => return Err(Verdict::Rejected("wrong-family")),
            Err(_) => return Err(Verdict::Rejected("invalid-address")),
        };
        if !is_instance(port) {
            return Err(Verdict::Rejected("not-an-instance"));
        }
        let switch = self.holder("Logical_Switch", "ports", uuid).ok_or(Verdict::Waiting("no-switch"))?;
        let internal = decision.internal.clone();
        if internal.is_empty() {
            return Err(Verdict::Waiting("no-address"));
        }
        let routers = self.reachable(switch);
        if routers.is_empty() {
            return Err(Verdict::Rejected("no-router"));
        }
        let open = self.reachable_by(switch, false);
        // Packets for an address that moves to the port are sent to it, too.
        let mut targets = internal.clone();
        for (other, row) in self.database.table("Logical_Switch_Port") {
            let parents = row.get("options", "virtual-parents").unwrap_or_default();
            if row.text("type") == "virtual"
                && row.flag("enabled") != Some(false)
                && parents.split(',').any(|parent| !parent.is_empty() && parent == port.text("name"))
                && self.holder("Logical_Switch", "ports", other) == Some(switch)
                && let Some(Ok(address)) = row.get("options", "virtual-ip").map(str::parse::<IpAddr>)
                && family_of(address) == family
            {
                targets.push(address);
            }
        }

        let external = match address {
            Some(address) => address,
            None => {
                let serves = |router| {
                    let is_way = self.is_gateway(router) && open.contains_key(&router);
                    is_way && !self.is_disabled(router)
                };
                self.sole_forward(&routers, &targets, family, serves).map_err(Verdict::Rejected)?
            }
        };
        decision.external = Some(external);
        let is_cut = |router| self.is_disabled(router) || !open.contains_key(&router);
        let router = self.router_of(&routers, external, &targets, is_cut).map_err(Verdict::Rejected)?;
        decision.router = Some(router);
        if self.is_disabled(router) {
            return Err(Verdict::Rejected("router-disabled"));
        }
        if !open.contains_key(&router) {
            return Err(Verdict::Rejected("port-disabled"));
        }
        if !self.is_gateway(router) {
            return Err(Verdict::Rejected("no-gateway"));
        }

        let gateway_port = self.gateway_port(router, external, &internal, port.text("name"));
        let sole = || match self.gateway_ports(router)[..] {
            [(port, _)] => Some(port),
            _ => None,
        };
        let leaves_by = gateway_port.ok().and_then(|port| port.or_else(sole));
        if leaves_by.is_some_and(|port| self.is_closed(port)) || self.is_closed_outside(router, &internal) {
            return Err(Verdict::Rejected("port-disabled"));
        }
        let mut occupants = Vec::new();
        for address in &internal {
            occupants.push((
                *address,
                self.occupant(router, external, *address, gateway_port.ok().flatten(), port.text("name"))?,
            ));
        }
        let missing: Vec<_> =
            occupants.iter().filter(|(_, nat)| nat.is_none()).map(|(address, _)| *address).collect();
        if missing.is_empty() {
            return Ok(Verdict::Foreign(occupants[0].1.unwrap()));
        }
        // A row without connection tracking matches the replies to connections of others.
        if self.nats(router).into_iter().any(|(_, nat)| {
            nat.text("type") == "dnat_and_snat"
                && nat.text("external_ip").parse() == Ok(external)
                && nat.get("options", "stateless").is_some_and(is_true)
                && !self.is_ours(nat)
                && self.meets(router, nat, gateway_port.ok().flatten())
        }) {
            return Err(Verdict::Conflict("stateless-nat"));
        }
        // A row that is applied elsewhere is a conflict too.
        if self.nats(router).into_iter().any(|(_, nat)| {
            nat.text("type") == "dnat_and_snat"
                && nat.text("external_ip").parse() == Ok(external)
                && !nat.text("external_mac").is_empty()
                && !nat.text("logical_port").is_empty()
                && !self.is_ours(nat)
                && self.heeded(router, nat).flatten().is_some()
                && self.meets(router, nat, gateway_port.ok().flatten())
        }) {
            return Err(Verdict::Conflict("distributed-nat"));
        }
        // Replies arrive at any chassis if a balancer forwards the address on every chassis.
        let gateways = self.gateway_ports(router);
        let is_home = gateways.iter().any(|(_, port)| holds(port, external));
        if !gateways.is_empty()
            && !is_home
            && self.forwards_at(router, external).iter().any(|forward| {
                let balancer = self.database.row("Load_Balancer", forward.row.1);
                let option = balancer.and_then(|row| row.get("options", "distributed"));
                option.is_some_and(is_true)
            })
        {
            return Err(Verdict::Conflict("distributed-balancer"));
        }
        // With several gateway ports replies of its backends leave untranslated.
        let leads_here = |key: &str, value: &str| {
            forwards::heeded_backends(key, value)
                .is_some_and(|targets| targets.iter().any(|target| missing.contains(target)))
        };
        if gateways.len() > 1
            && self.database.table("Load_Balancer").any(|(balancer, row)| {
                self.is_on(router, balancer)
                    && !forwards::is_template(row)
                    && row.get("options", "use_stateless_nat").is_some_and(is_true)
                    && row.pairs("vips").any(|(key, value)| leads_here(key, value))
            })
        {
            return Err(Verdict::Conflict("stateless-balancer"));
        }
        // Two ports with one address get no row.
        let network = self.joined([switch].into(), false);
        for (other, row) in self.database.table("Logical_Switch_Port") {
            if other != uuid
                && is_instance(row)
                && row.flag("enabled") != Some(false)
                && self.holder("Logical_Switch", "ports", other).is_some_and(|on| network.contains(&on))
                && internal_addresses(row, family).iter().any(|address| missing.contains(address))
            {
                return Err(Verdict::Conflict("duplicate-address"));
            }
        }
        let forwards: Vec<_> = self.forwards_at(router, external);
        if forwards.iter().any(|forward| forward.vip.is_some() && forward.port.is_none())
            || self.idle_ports(router, external).contains(&None)
        {
            return Err(Verdict::Rejected("default-target"));
        }
        let gateway_port = gateway_port.map_err(Verdict::Rejected)?;
        let mut listening: Vec<_> = forwards.iter().filter_map(|forward| forward.port).collect();
        listening.extend(self.idle_ports(router, external).into_iter().flatten());
        listening.sort_unstable();
        let has_range = self.database.has_column("NAT", "external_port_range");
        let free = largest_free_block(&listening);
        let left = free.map_or(0, |(first, last)| u32::from(last - first) + 1);
        if has_range && !listening.is_empty() && left < u32::from(MIN_SOURCE_PORTS) {
            return Err(Verdict::Rejected("no-source-ports"));
        }
        let rows = missing.into_iter().map(|logical| Desired {
            router,
            uuid: self.owner.row_uuid(Role::Egress, router, logical, port.text("name")),
            external,
            logical,
            port_range: free.filter(|_| has_range),
            gateway_port,
        });
        Ok(Verdict::Granted(rows.collect()))
    }

    /// The one forward address all of whose forwards lead to the port.
    fn sole_forward(
        &self,
        routers: &BTreeMap<Uuid, usize>,
        internal: &[IpAddr],
        family: Family,
        serves: impl Fn(Uuid) -> bool,
    ) -> Result<IpAddr, &'static str> {
        let sole_among = |routers: Vec<Uuid>| {
            let mut sole = BTreeSet::new();
            for router in routers {
                let mut forwards = self.forwards(router);
                forwards.retain(|forward| !self.is_neighbour(router, forward.address, internal));
                let addresses = forwards.iter().map(|forward| forward.address);
                sole.extend(addresses.filter(|address| {
                    family_of(*address) == family
                        && forwards.iter().filter(|forward| forward.address == *address).all(|forward| {
                            !forward.targets.is_empty()
                                && forward.targets.iter().all(|t| internal.contains(t))
                        })
                }));
            }
            sole
        };
        let mut sole = sole_among(routers.keys().copied().collect());
        if sole.len() > 1 {
            let serving = sole_among(routers.keys().copied().filter(|router| serves(*router)).collect());
            if !serving.is_empty() {
                sole = serving;
            }
        }
        match sole.len() {
            0 => Err("no-forward-for-auto"),
            1 => Ok(sole.pop_first().unwrap()),
            _ => Err("ambiguous-auto"),
        }
    }

    /// The router that has the address: one whose forward targets the port, then one that can serve it, then the nearest.
    fn router_of(
        &self,
        routers: &BTreeMap<Uuid, usize>,
        external: IpAddr,
        internal: &[IpAddr],
        is_cut: impl Fn(Uuid) -> bool,
    ) -> Result<Uuid, &'static str> {
        let mut ranks: BTreeMap<_, Vec<Uuid>> = BTreeMap::new();
        for (router, hops) in routers {
            let forwards = self.forwards_at(*router, external);
            if !forwards.is_empty() && !self.is_neighbour(*router, external, internal) {
                let here = forwards.iter().flat_map(|forward| &forward.targets).any(|t| internal.contains(t));
                let is_unfit = is_cut(*router) || !self.is_gateway(*router);
                let rank = (is_cut(*router), !here, is_unfit, *hops);
                ranks.entry(rank).or_default().push(*router);
            }
        }
        match ranks.pop_first() {
            None if self.settings.allow.is_empty() => Err("not-a-forward"),
            None => self.allowed_router(routers, external, is_cut),
            Some((_, routers)) if routers.len() > 1 => Err("ambiguous-router"),
            Some(((_, true, ..), _)) if self.settings.require_target => Err("not-a-target"),
            Some((_, routers)) => Ok(routers[0]),
        }
    }

    pub(super) fn is_disabled(&self, router: Uuid) -> bool {
        self.database.row("Logical_Router", router).is_some_and(|row| row.flag("enabled") == Some(false))
    }

    /// The foreign row that translates `internal` to the address already; an error if one translates it to another.
    fn occupant(
        &self,
        router: Uuid,
        external: IpAddr,
        internal: IpAddr,
        at: Option<Uuid>,
        name: &str,
    ) -> Result<Option<Uuid>, Verdict> {
        let mut egress = Vec::new();
        for (uuid, nat) in self.nats(router) {
            if ["snat", "dnat_and_snat"].contains(&nat.text("type"))
                && !self.is_ours(nat)
                && !self.is_second(router, nat, internal, name)
                && self.meets(router, nat, at)
                && let Some((address, length)) = network(nat.text("logical_ip"))
                && contains((address, length), internal)
            {
                let same = nat.text("external_ip").parse() == Ok(external);
                // It is for some packets only.
                let part = !nat.text("match").is_empty() || nat.is_set("allowed_ext_ips");
                egress.push((length, same, part, uuid));
            }
        }
        let host = if internal.is_ipv4() { 32 } else { 128 };
        if egress.iter().any(|(length, same, ..)| *length == host && !same) {
            return Err(Verdict::Conflict("foreign-nat"));
        }
        // OVN uses the longest prefix.
        let whole = egress.iter().filter(|(_, same, part, _)| *same && !part);
        let longest = whole.clone().map(|(length, ..)| *length).max();
        let narrower = egress.iter().any(|(length, same, ..)| !same && Some(*length) > longest);
        let there = whole.filter(|(length, ..)| Some(*length) == longest && !narrower);
        Ok(there.map(|(.., uuid)| *uuid).min())
    }

    /// Whether a row of another group yields to one of ours for the same port.
    fn is_second(&self, router: Uuid, nat: &Row, internal: IpAddr, name: &str) -> bool {
        let is_override = |(_, row): &(Uuid, &Row)| {
            self.is_ours(row)
                && row.get("external_ids", "ovn-extaddr:port") == Some(name)
                && row.get("external_ids", "ovn-extaddr:role") == Some("egress")
                && network(row.text("logical_ip"))
                    == Some((internal, if internal.is_ipv4() { 32 } else { 128 }))
        };
        let owner = nat.get("external_ids", "ovn-extaddr:owner");
        owner.is_some_and(|owner| owner > self.owner.as_str()) && self.nats(router).iter().any(is_override)
    }

    /// The gateway port that rows have to name.
    fn gateway_port(
        &self,
        router: Uuid,
        external: IpAddr,
        internal: &[IpAddr],
        name: &str,
    ) -> Result<Option<Uuid>, &'static str> {
        let ports = self.gateway_ports(router);
        if ports.len() < 2 {
            return Ok(None);
        }
        if !self.database.has_column("NAT", "gateway_port") {
            return Err("no-gateway-port");
        }
        // The instance leaves by the foreign network SNAT with the longest prefix.
        let mut leaves = BTreeSet::new();
        for (_, nat) in self.nats(router) {
            if nat.text("type") == "snat"
                && !self.is_ours(nat)
                && let Some((address, length)) = network(nat.text("logical_ip"))
                && length < if address.is_ipv4() { 32 } else { 128 }
                && internal.iter().any(|internal| contains((address, length), *internal))
                && let Some(Some(port)) = self.heeded(router, nat)
            {
                leaves.insert((std::cmp::Reverse(length), port));
            }
        }
        let leaves: Vec<_> = leaves.into_iter().map(|(_, port)| port).collect();
        let mut homes: Vec<_> =
            ports.iter().filter(|(_, row)| holds(row, external)).map(|(port, _)| *port).collect();
        homes.sort_unstable();
        let both: Vec<_> = leaves.iter().copied().filter(|port| homes.contains(port)).collect();
        let good = [both, homes, leaves].into_iter().find(|ports| !ports.is_empty()).unwrap_or_default();
        // It stays at its present port, if that is possible.
        let mut own: Vec<_> = self.nats(router);
        own.retain(|(_, nat)| {
            let tags: Vec<_> =
                nat.pairs("external_ids").filter(|(key, _)| key.starts_with("ovn-extaddr:")).collect();
            let logical = network(nat.text("logical_ip"));
            tags.len() == 3
                && self.is_ours(nat)
                && nat.get("external_ids", "ovn-extaddr:role") == Some("egress")
                && nat.get("external_ids", "ovn-extaddr:port") == Some(name)
                && nat.text("external_ip").parse() == Ok(external)
                && logical.is_some_and(|(address, length)| {
                    length == if address.is_ipv4() { 32 } else { 128 } && internal.contains(&address)
                })
        });
        let current =
            own.iter().min_by_key(|(uuid, _)| *uuid).and_then(|(_, nat)| nat.refs("gateway_port").next());
        let current = current.filter(|port| good.contains(port));
        current.or_else(|| good.first().copied()).map(Some).ok_or("no-gateway-port")
    }

    /// Whether a row translates the same packets as a row at that gateway port: northd uses it, and for that port.
    fn meets(&self, router: Uuid, nat: &Row, at: Option<Uuid>) -> bool {
        self.heeded(router, nat).is_some_and(|port| port.is_none() || at.is_none() || port == at)
    }

    /// Whether northd uses a NAT row, and the gateway port that the row is for, if it is for one.
    fn heeded(&self, router: Uuid, nat: &Row) -> Option<Option<Uuid>> {
        let is_host = |(address, length): (IpAddr, u8)| length == if address.is_ipv4() { 32 } else { 128 };
        let external = network(nat.text("external_ip")).filter(|prefix| is_host(*prefix))?.0;
        let logical = network(nat.text("logical_ip"))?;
        if family_of(external) != family_of(logical.0) || (nat.text("type") != "snat" && !is_host(logical)) {
            return None;
        }
        // ovn-controller refuses these.
        let translated_to = if nat.text("type") == "snat" { "external_ip" } else { "logical_ip" };
        if nat.text(translated_to).contains('/') {
            return None;
        }
        let has_both = nat.is_set("allowed_ext_ips") && nat.is_set("exempted_ext_ips");
        if has_both || !is_mac(nat.text("external_mac")) {
            return None;
        }
        let ports = self.gateway_ports(router);
        match nat.refs("gateway_port").next() {
            Some(named) => ports.iter().any(|(port, _)| *port == named).then_some(Some(named)),
            None if ports.is_empty() => Some(None),
            None if ports.len() == 1 => Some(Some(ports[0].0)),
            None if !self.database.has_column("NAT", "gateway_port") => Some(None),
            None => {
                let homes = ports.iter().filter(|(_, row)| holds(row, external)).map(|(port, _)| *port);
                homes.min().map(Some)
            }
        }
    }
}

/// Whether a network of the router port holds the address.
fn holds(port: &Row, address: IpAddr) -> bool {
    port.texts("networks").filter_map(network).any(|net| contains(net, address))
}

fn is_instance(port: &Row) -> bool {
    ["", "external"].contains(&port.text("type"))
}

impl Decision {
    /// Whether the intent is for all ports, and there is no forward.
    fn is_idle(&self) -> bool {
        let nothing = match &self.verdict {
            Verdict::Waiting(_) => true,
            Verdict::Rejected(code) => ["no-router", "no-forward-for-auto"].contains(code),
            _ => false,
        };
        nothing && ["router", "config"].contains(&self.source)
    }

    pub(crate) fn rows(&self) -> impl Iterator<Item = &Desired> {
        let rows = if let Verdict::Granted(rows) = &self.verdict { Some(rows) } else { None };
        rows.into_iter().flatten()
    }
}

/// Whether a text is an Ethernet address, or there is none.
fn is_mac(text: &str) -> bool {
    let is_byte = |byte: &str| u8::from_str_radix(byte, 16).is_ok();
    text.is_empty() || text.split(':').count() == 6 && text.split(':').all(is_byte)
}

/// Whether an option that is false by default is true.
fn is_true(text: &str) -> bool {
    text.to_lowercase() == "true"
}
