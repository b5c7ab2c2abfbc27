//! The same from scratch, by searching all rows of a plain database for every question.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ovsdb_protocol::Uuid;

use super::database::{Database, Row, Value};
use super::view::{PORTS, ROUTER_OPTIONS, ROUTER_PORTS, View, addresses, see};
use crate::{
    BothExternalIps, ExternalIps, Family, Mac, PortAddresses, PortKind, Vip, is_host, keys, parse_ip,
    parse_prefix,
};

/// Answers by searching all rows.
pub(super) struct Scratch<'a>(pub(super) &'a Database);

impl<'a> Scratch<'a> {
    fn rows(&self, table: &str) -> impl Iterator<Item = (Uuid, &'a Row)> {
        self.0.iter().filter(move |((t, _), _)| *t == table).map(|((_, uuid), row)| (*uuid, row))
    }

    fn has(&self, table: &'static str, uuid: Uuid) -> bool {
        self.0.contains_key(&(table, uuid))
    }

    /// The row of least UUID that has `uuid` in a column.
    fn owner(&self, table: &str, column: &str, uuid: Uuid) -> Option<Uuid> {
        self.rows(table).find(|(_, row)| row[column].refs().contains(&uuid)).map(|(owner, _)| owner)
    }

    fn router_port_line(&self, uuid: Uuid, row: &Row) -> String {
        let mut networks: Vec<_> =
            row["networks"].texts().iter().filter_map(|text| parse_prefix(text)).collect();
        networks.sort_unstable();
        let networks: Vec<_> = networks.iter().map(ToString::to_string).collect();
        let gateway =
            !row["gateway_chassis"].refs().is_empty() || row["ha_chassis_group"] != Value::MaybeRef(None);
        let peer = row["peer"].maybe();
        let redistribute = row["options"].map().get("dynamic-routing-redistribute");
        format!(
            "{:?}",
            (
                row["name"].text(),
                networks,
                gateway,
                peer,
                redistribute,
                self.owner("Logical_Router", "ports", uuid)
            )
        )
    }

    fn leads_to(row: &Row) -> Option<&str> {
        if row["type"].text() == "router" {
            row["options"].map().get("router-port").map(|name| &**name)
        } else {
            None
        }
    }

    fn switch_peer(row: &Row) -> Option<&str> {
        let Value::Maybe(Some(peer)) = &row["peer"] else { return None };
        (row["type"].text() == "switch").then_some(peer)
    }

    fn parents(row: &Row) -> Vec<&str> {
        let text = row["options"].map().get("virtual-parents").filter(|_| row["type"].text() == "virtual");
        text.map_or("", |text| text).split(',').filter(|name| !name.is_empty()).collect()
    }

    /// The pairs of ports by which a switch is joined with others directly.
    fn joints(&self, switch: Uuid) -> BTreeSet<(Uuid, Uuid)> {
        let mut joints = BTreeSet::new();
        for (port, row) in self.rows("Logical_Switch_Port") {
            for (other, peer) in self.rows("Logical_Switch_Port") {
                if self.owner("Logical_Switch", "ports", port) == Some(switch)
                    && Self::switch_peer(row) == Some(peer["name"].text())
                    && Self::switch_peer(peer) == Some(row["name"].text())
                {
                    joints.insert((port, other));
                }
            }
        }
        joints
    }

    /// The ports of a switch that lead to physical networks.
    fn physical(&self, switch: Uuid) -> BTreeSet<Uuid> {
        let ports = self.rows("Logical_Switch_Port").filter(|(_, row)| row["type"].text() == "localnet");
        ports
            .map(|(port, _)| port)
            .filter(|port| self.owner("Logical_Switch", "ports", *port) == Some(switch))
            .collect()
    }

    /// The instances' ports on a switch that have an address.
    fn with_address(&self, switch: Uuid, address: IpAddr) -> BTreeSet<Uuid> {
        let has = |row: &Row| {
            let dynamic = Some(row["dynamic_addresses"].text()).filter(|text| !text.is_empty());
            let mut texts = row["addresses"].texts().iter().map(|s| &**s).chain(dynamic);
            texts.any(|text| {
                Family::ALL.iter().any(|f| {
                    PortAddresses::new([text], None).addresses().assigned(*f).any(|other| other == address)
                })
            })
        };
        let ports = self.rows("Logical_Switch_Port");
        let ports = ports.filter(|(_, row)| ["", "external"].contains(&row["type"].text()) && has(row));
        ports
            .map(|(uuid, _)| uuid)
            .filter(|port| self.owner("Logical_Switch", "ports", *port) == Some(switch))
            .collect()
    }

    fn balancer_options(row: &Row) -> [bool; 4] {
        let is =
            |key| row["options"].map().get(key).is_some_and(|text: &String| text.to_lowercase() == "true");
        ["template", "skip_snat", "distributed", "use_stateless_nat"].map(is)
    }

    fn tagged(row: &Row) -> Option<&str> {
        let tags = row["external_ids"].map();
        let any = tags.keys().any(|key| key.starts_with(keys::PREFIX));
        any.then(|| tags.get(keys::PORT).map_or("", |port| port))
    }

    fn external(text: &str) -> Option<IpAddr> {
        parse_prefix(text).filter(is_host).map(|prefix| prefix.addr())
    }

    fn has_external_network(row: &Row) -> bool {
        parse_prefix(row["external_ip"].text()).is_some_and(|network| !is_host(&network))
    }

    fn logical(row: &Row) -> Option<IpAddr> {
        parse_prefix(row["logical_ip"].text()).filter(is_host).map(|prefix| prefix.addr())
    }

    fn is_host_snat(row: &Row) -> bool {
        row["type"].text() == "snat" && Self::logical(row).is_some()
    }

    fn is_network_snat(row: &Row) -> bool {
        let prefix = parse_prefix(row["logical_ip"].text());
        row["type"].text() == "snat" && prefix.is_some_and(|prefix| !is_host(&prefix))
    }

    fn vips(row: &Row) -> Vec<Vip> {
        let mut vips: Vec<_> = row["vips"].map().iter().filter_map(|(k, v)| Vip::parse(k, v)).collect();
        vips.sort_by(|a, b| a.order().cmp(&b.order()));
        vips
    }

    fn attachment(&self, router: &Row, balancer: Uuid) -> Option<bool> {
        let groups = router["load_balancer_group"].refs();
        let grouped = |(group, row): (Uuid, &Row)| {
            groups.contains(&group) && row["load_balancer"].refs().contains(&balancer)
        };
        if router["load_balancer"].refs().contains(&balancer) {
            Some(true)
        } else {
            self.rows("Load_Balancer_Group").any(grouped).then_some(false)
        }
    }

    fn is_grouped(&self, balancer: Uuid) -> bool {
        self.rows("Load_Balancer_Group").any(|(_, row)| row["load_balancer"].refs().contains(&balancer))
    }

    fn problems(&self) -> BTreeSet<(&'static str, Uuid, &'static str)> {
        let mut problems = BTreeSet::new();
        for ((table, uuid), row) in self.0 {
            for (column, value) in row {
                let bad = match (*table, *column) {
                    (_, "addresses") => PortAddresses::new(value.texts().iter().map(|s| &**s), None)
                        .addresses()
                        .complaint()
                        .is_some(),
                    (_, "dynamic_addresses") => value.text() == "what",
                    (_, "networks") => value.texts().iter().any(|text| parse_prefix(text).is_none()),
                    (_, "vips") => {
                        value.map().iter().any(|(k, v)| Vip::parse(k, v).is_none_or(|vip| vip.is_doubtful()))
                    }
                    ("NAT", "type") => !["snat", "dnat", "dnat_and_snat", ""].contains(&value.text()),
                    (_, "external_ip") => !value.text().is_empty() && Self::external(value.text()).is_none(),
                    (_, "logical_ip") => !value.text().is_empty() && parse_prefix(value.text()).is_none(),
                    _ => false,
                };
                if bad {
                    problems.insert((*table, *uuid, *column));
                }
            }
        }
        problems
    }

    pub(super) fn view(&self) -> View {
        let mut view = View::new();
        let v = &mut view;
        let uuids = |table: &str, with: &dyn Fn(&Row) -> bool| -> BTreeSet<Uuid> {
            self.rows(table).filter(|(_, row)| with(row)).map(|(uuid, _)| uuid).collect()
        };
        for (uuid, row) in self.rows("Logical_Switch_Port") {
            let kind = match row["type"].text() {
                "" => PortKind::Instance,
                "external" => PortKind::External,
                "virtual" => PortKind::Virtual,
                "router" => PortKind::Router,
                "switch" => PortKind::Switch,
                "localnet" => PortKind::Localnet,
                _ => PortKind::Other,
            };
            let dynamic: BTreeSet<_> =
                [row["dynamic_addresses"].text()].into_iter().filter(|s| !s.is_empty()).collect();
            let sets = row["addresses"].texts().iter().map(|s| &**s).chain(dynamic.iter().copied());
            let internal = Family::ALL.map(|family| {
                let all: BTreeSet<_> = sets
                    .clone()
                    .flat_map(|text| {
                        PortAddresses::new([text], None).addresses().assigned(family).collect::<Vec<_>>()
                    })
                    .collect();
                all.into_iter().collect::<Vec<_>>()
            });
            let ids = row["external_ids"].map();
            let external = [ids.get(keys::PORT_IPV4), ids.get(keys::PORT_IPV6)];
            see(v, ("port", uuid), (row["name"].text(), kind, row["addresses"].texts(), &dynamic));
            see(v, ("port", uuid), (internal, external, row["options"].map().get("router-port")));
            let ip = row["options"].map().get("virtual-ip").filter(|_| kind == PortKind::Virtual);
            let ip = ip.and_then(|text| parse_ip(text));
            see(v, ("port", uuid), (row["enabled"].flag(), Self::switch_peer(row), ip, Self::parents(row)));
            see(v, ("port", uuid), ("on", self.owner("Logical_Switch", "ports", uuid)));
        }
        for (uuid, row) in self.rows("Logical_Switch") {
            let there: BTreeSet<_> = row["ports"]
                .refs()
                .iter()
                .filter(|port| self.has("Logical_Switch_Port", **port))
                .copied()
                .collect();
            let leading: BTreeSet<_> = there
                .iter()
                .filter(|port| self.0[&("Logical_Switch_Port", **port)]["type"].text() == "router")
                .filter(|port| self.owner("Logical_Switch", "ports", **port) == Some(uuid))
                .collect();
            see(v, ("switch", uuid), (row["name"].text(), leading));
            see(v, ("switch", uuid), there);
            see(v, ("switch", uuid), ("joints", self.joints(uuid)));
            see(v, ("switch", uuid), ("physical", self.physical(uuid)));
            for address in addresses() {
                see(v, ("switch", uuid), (address, self.with_address(uuid, address)));
            }
        }
        for name in PORTS {
            let named = uuids("Logical_Switch_Port", &|row| row["name"].text() == name);
            see(v, ("port named", name), named.first());
            see(v, ("tagged", name), uuids("NAT", &|row| Self::tagged(row) == Some(name)));
            let kept = Family::ALL.map(|family| {
                let key = keys::kept_key(family, name);
                self.rows("NB_Global").find_map(|(_, row)| row["external_ids"].map().get(&key))
            });
            see(v, ("kept", name), kept);
            let is_parent = |row: &Row| Self::parents(row).contains(&name);
            see(v, ("virtuals of", name), uuids("Logical_Switch_Port", &is_parent));
        }
        see(v, "tagged", uuids("NAT", &|row| Self::tagged(row).is_some()));
        for name in ROUTER_PORTS {
            let named = uuids("Logical_Router_Port", &|row| row["name"].text() == name);
            see(v, ("router port named", name), named.first());
            see(
                v,
                ("leading to", name),
                uuids("Logical_Switch_Port", &|row| Self::leads_to(row) == Some(name)),
            );
            let peer = Value::Maybe(Some(name.to_owned()));
            see(v, ("peers of", name), uuids("Logical_Router_Port", &|row| row["peer"] == peer));
        }
        for (uuid, row) in self.rows("Logical_Router_Port") {
            v.entry(format!("{:?}", ("router port", uuid)))
                .or_default()
                .insert(self.router_port_line(uuid, row));
        }
        for (uuid, row) in self.rows("Load_Balancer") {
            let protocol = match row["protocol"].text() {
                "" => None,
                text => Some(text[..1].to_uppercase() + &text[1..]),
            };
            see(v, ("balancer", uuid), (row["name"].text(), protocol));
            see(v, ("balancer", uuid), (Self::vips(row), self.is_grouped(uuid)));
            see(v, ("balancer", uuid), Self::balancer_options(row));
            for (router, row) in self.rows("Logical_Router") {
                if let Some(direct) = self.attachment(row, uuid) {
                    see(v, ("attached", router, uuid), direct);
                }
            }
        }
        for address in addresses() {
            let vip = |row: &Row| Self::vips(row).iter().any(|vip| vip.endpoint.address == address);
            see(v, ("vip", address), uuids("Load_Balancer", &vip));
            let backend = |row: &Row| {
                Self::vips(row)
                    .iter()
                    .flat_map(|v| v.backends().iter())
                    .any(|backend| backend.address == address)
            };
            see(v, ("backend", address), uuids("Load_Balancer", &backend));
        }
        for (uuid, row) in self.rows("Logical_Router") {
            let chassis = row["options"].map().get("chassis");
            see(
                v,
                ("router", uuid),
                (row["name"].text(), chassis, row["external_ids"].map().get(keys::ROUTER)),
            );
            let options = ROUTER_OPTIONS.map(|key| row["options"].map().get(key));
            see(v, ("router", uuid), options);
            let mine: BTreeSet<_> =
                row["nat"].refs().iter().filter(|nat| self.has("NAT", **nat)).copied().collect();
            let owned = |nat: &Uuid| self.owner("Logical_Router", "nat", *nat) == Some(uuid);
            for address in addresses() {
                let external = |nat: &Uuid| {
                    Self::external(self.0[&("NAT", *nat)]["external_ip"].text()) == Some(address)
                };
                let logical = |nat: &Uuid| Self::logical(&self.0[&("NAT", *nat)]) == Some(address);
                let snat = |nat: &Uuid| Self::is_host_snat(&self.0[&("NAT", *nat)]);
                let externals = mine.iter().filter(|nat| owned(nat) && external(nat));
                let (snats, externals): (BTreeSet<&Uuid>, BTreeSet<_>) = externals.partition(|nat| snat(nat));
                let logicals: BTreeSet<_> = mine.iter().filter(|nat| owned(nat) && logical(nat)).collect();
                see(v, ("external", uuid, address), externals);
                see(v, ("host snats", uuid, address), snats);
                see(v, ("logical", uuid, address), logicals);
            }
            let network = |nat: &Uuid| Self::is_network_snat(&self.0[&("NAT", *nat)]);
            let networks: BTreeSet<_> = mine.iter().filter(|nat| owned(nat) && network(nat)).collect();
            see(v, ("network snats", uuid), networks);
            let network = |nat: &Uuid| Self::has_external_network(&self.0[&("NAT", *nat)]);
            let networks: BTreeSet<_> = mine.iter().filter(|nat| owned(nat) && network(nat)).collect();
            see(v, ("external networks", uuid), networks);
            see(v, ("nats", uuid), mine);
        }
        for (uuid, row) in self.rows("NAT") {
            let texts =
                (row["external_ip"].text(), row["logical_ip"].text(), row["external_port_range"].text());
            let kind =
                Some(row["type"].text()).filter(|kind| ["snat", "dnat", "dnat_and_snat"].contains(kind));
            see(v, ("nat", uuid), (kind, texts));
            let text = row["options"].map().get("stateless");
            let stateless = text.map(|value| value == "true");
            let tags: BTreeMap<_, _> =
                row["external_ids"].map().iter().filter(|(key, _)| key.starts_with(keys::PREFIX)).collect();
            let text = text.map_or("", |text| text);
            see(v, ("nat", uuid), (stateless, text, tags, row["match"].text()));
            let peers = match (&row["allowed_ext_ips"], &row["exempted_ext_ips"]) {
                (Value::MaybeRef(Some(_)), Value::MaybeRef(Some(_))) => Err(BothExternalIps),
                (Value::MaybeRef(Some(allowed)), _) => Ok(Some(ExternalIps::Allowed(*allowed))),
                (_, Value::MaybeRef(exempted)) => Ok(exempted.map(ExternalIps::Exempted)),
                _ => unreachable!(),
            };
            let text =
                |column: &str| if let Value::Maybe(text) = &row[column] { text.as_deref() } else { None };
            let mac = text("external_mac");
            let is_distributed = row["type"].text() == "dnat_and_snat" && mac.is_some();
            let at = text("logical_port").filter(|_| is_distributed);
            see(v, ("nat", uuid), (peers, mac.is_some_and(|mac| Mac::parse(mac).is_none()), at));
            see(v, ("nat", uuid), ("on", self.owner("Logical_Router", "nat", uuid)));
            let Value::MaybeRef(gateway) = row["gateway_port"] else { unreachable!() };
            see(
                v,
                ("nat", uuid),
                ("by", gateway.is_some(), gateway.filter(|port| self.has("Logical_Router_Port", *port))),
            );
        }
        see(v, "problems", self.problems());
        view
    }

    /// The subjects of [`Change`](crate::Change)s, by their kind and name.
    pub(super) fn subjects(&self) -> View {
        let view = self.view();
        let mut subjects = View::new();
        let s = &mut subjects;
        let seen = |table: &str, uuid: Uuid| view.get(&format!("{:?}", (table, uuid))).cloned();
        for (uuid, row) in self.rows("Logical_Switch_Port") {
            see(s, ("port", row["name"].text()), (uuid, seen("port", uuid)));
            for parent in Self::parents(row) {
                see(s, ("port", parent), ("virtual", uuid, seen("port", uuid)));
            }
            let Some(switch) = self.owner("Logical_Switch", "ports", uuid) else { continue };
            for address in addresses() {
                let there = self.with_address(switch, address);
                for other in there.iter().filter(|other| **other != uuid && there.contains(&uuid)) {
                    see(s, ("port", row["name"].text()), ("rival", address, other, seen("port", *other)));
                }
            }
        }
        let named = |name: &str| {
            let ports = self.rows("Logical_Router_Port").filter(move |(_, row)| row["name"].text() == name);
            ports.map(|(uuid, row)| (uuid, self.router_port_line(uuid, row))).collect::<Vec<_>>()
        };
        let is_disabled = |row: &Row| row["enabled"].flag() == Some(false);
        let leading = |name: &str| {
            let ports = self.rows("Logical_Switch_Port").filter(|(_, row)| Self::leads_to(row) == Some(name));
            let line = |(uuid, row): (Uuid, &Row)| {
                let switch = self.owner("Logical_Switch", "ports", uuid);
                (uuid, switch, is_disabled(row))
            };
            ports.map(line).collect::<Vec<_>>()
        };
        for (uuid, row) in self.rows("Logical_Switch") {
            see(s, ("switch", uuid), row["name"].text());
            for (port, peer) in self.joints(uuid) {
                let end = |port| {
                    let row = &self.0[&("Logical_Switch_Port", port)];
                    (port, row["enabled"].flag() == Some(false), self.owner("Logical_Switch", "ports", port))
                };
                see(s, ("switch", uuid), (end(port), end(peer)));
            }
            for (port, row) in self.rows("Logical_Switch_Port") {
                if row["type"].text() == "router" && self.owner("Logical_Switch", "ports", port) == Some(uuid)
                {
                    see(s, ("switch", uuid), (port, Self::leads_to(row).map(|name| (name, named(name)))));
                    see(s, ("switch", uuid), (port, row["enabled"].flag() == Some(false)));
                }
            }
        }
        for (uuid, row) in self.rows("Logical_Router") {
            let (key, chassis) = (("router", uuid), row["options"].map().get("chassis"));
            see(s, key, (row["name"].text(), chassis, row["external_ids"].map().get(keys::ROUTER)));
            see(s, key, ROUTER_OPTIONS.map(|key| row["options"].map().get(key)));
            for (port, row) in self.rows("Logical_Router_Port") {
                if self.owner("Logical_Router", "ports", port) != Some(uuid) {
                    continue;
                }
                let name = row["name"].text();
                see(s, key, (port, self.router_port_line(port, row), leading(name)));
                let naming = self.rows("Logical_Router_Port");
                let naming = naming.filter(|(_, row)| row["peer"] == Value::Maybe(Some(name.to_owned())));
                let naming: Vec<_> = naming.map(|(peer, row)| self.router_port_line(peer, row)).collect();
                if let Value::Maybe(Some(peer)) = &row["peer"] {
                    see(s, key, (port, "peer", named(peer)));
                }
                see(s, key, (port, "named by", naming));
            }
            for (balancer, row_of) in self.rows("Load_Balancer") {
                let Some(direct) = self.attachment(row, balancer) else { continue };
                for vip in Self::vips(row_of) {
                    let options = (row_of["protocol"].text(), Self::balancer_options(row_of));
                    let line = (balancer, direct, &vip, options, row_of["name"].text());
                    see(s, ("address", uuid, vip.endpoint.address), line);
                    for backend in vip.backends() {
                        see(s, ("address", uuid, backend.address), ("backend", &line));
                    }
                }
            }
        }
        for (uuid, row) in self.rows("Load_Balancer") {
            let routers = self.rows("Logical_Router");
            let on: Vec<_> = routers.filter_map(|(id, on)| Some((id, self.attachment(on, uuid)?))).collect();
            see(s, ("balancer", uuid), (Self::vips(row), row["name"].text(), row["protocol"].text()));
            see(s, ("balancer", uuid), (on, self.is_grouped(uuid), Self::balancer_options(row)));
        }
        for (uuid, row) in self.rows("NAT") {
            // Whether the row of its gateway port exists concerns the router.
            let mut line = seen("nat", uuid).unwrap_or_default();
            line.retain(|seen| !seen.starts_with("(\"by\""));
            let line = (uuid, line, &row["gateway_port"]);
            if let Some(router) = self.owner("Logical_Router", "nat", uuid) {
                if let Some(address) = Self::external(row["external_ip"].text()) {
                    let what = if Self::is_host_snat(row) { "host snat" } else { "address" };
                    see(s, (what, router, address), &line);
                }
                if let Some(address) = Self::logical(row) {
                    see(s, ("address", router, address), &line);
                }
            }
            let network = parse_prefix(row["logical_ip"].text()).filter(|prefix| !is_host(prefix));
            if let (Some(router), Some(_)) = (self.owner("Logical_Router", "nat", uuid), network) {
                see(s, ("router", router), &line);
            }
            if let Some(name) = Self::tagged(row) {
                see(s, ("tagged", name), &line);
            }
        }
        for (uuid, row) in self.rows("NB_Global") {
            for (key, text) in row["external_ids"].map() {
                let prefixes = Family::ALL.map(keys::kept_prefix);
                if let Some(port) = prefixes.iter().find_map(|prefix| key.strip_prefix(prefix)) {
                    see(s, ("port", port), (uuid, key, text));
                }
            }
        }
        subjects
    }
}
