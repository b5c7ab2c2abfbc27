//! The visible content of a store, found by a search of all rows.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ovsdb_protocol::Uuid;

use super::view::{PORTS, ROUTER_OPTIONS, ROUTER_PORTS, View, addresses, see};
use crate::testing::{Database, Row};
use crate::{
    BothExternalIps, ExternalIps, Family, Mac, PortAddresses, PortKind, Vip, is_host, keys, parse_ip,
    parse_prefix,
};

/// Answers by searching all rows.
pub(super) struct Scratch<'a>(pub(super) &'a Database);

impl<'a> Scratch<'a> {
    fn rows(&self, table: &str) -> impl Iterator<Item = (Uuid, &'a Row)> {
        self.0.rows.iter().filter(move |((t, _), _)| *t == table).map(|((_, uuid), row)| (*uuid, row))
    }

    fn has(&self, table: &'static str, uuid: Uuid) -> bool {
        self.0.row(table, uuid).is_some()
    }

    /// The row of least UUID that has `uuid` in a column.
    fn owner(&self, table: &str, column: &str, uuid: Uuid) -> Option<Uuid> {
        self.rows(table).find(|(_, row)| row.has(column, uuid)).map(|(owner, _)| owner)
    }

    fn router_port_line(&self, uuid: Uuid, row: &Row) -> String {
        let mut networks: Vec<_> = row.texts("networks").filter_map(parse_prefix).collect();
        networks.sort_unstable();
        let networks: Vec<_> = networks.iter().map(ToString::to_string).collect();
        let gateway = row.is_set("gateway_chassis") || row.is_set("ha_chassis_group");
        let peer = row.texts("peer").next();
        let redistribute = row.get("options", "dynamic-routing-redistribute");
        format!(
            "{:?}",
            (
                row.text("name"),
                networks,
                gateway,
                peer,
                redistribute,
                self.owner("Logical_Router", "ports", uuid)
            )
        )
    }

    fn leads_to(row: &Row) -> Option<&str> {
        if row.text("type") == "router" { row.get("options", "router-port") } else { None }
    }

    fn switch_peer(row: &Row) -> Option<&str> {
        row.texts("peer").next().filter(|_| row.text("type") == "switch")
    }

    fn parents(row: &Row) -> Vec<&str> {
        let text = row.get("options", "virtual-parents").filter(|_| row.text("type") == "virtual");
        text.unwrap_or_default().split(',').filter(|name| !name.is_empty()).collect()
    }

    /// The pairs of ports by which a switch is joined with others directly.
    fn joints(&self, switch: Uuid) -> BTreeSet<(Uuid, Uuid)> {
        let mut joints = BTreeSet::new();
        for (port, row) in self.rows("Logical_Switch_Port") {
            for (other, peer) in self.rows("Logical_Switch_Port") {
                if self.owner("Logical_Switch", "ports", port) == Some(switch)
                    && Self::switch_peer(row) == Some(peer.text("name"))
                    && Self::switch_peer(peer) == Some(row.text("name"))
                {
                    joints.insert((port, other));
                }
            }
        }
        joints
    }

    /// The ports of a switch that lead to physical networks.
    fn physical(&self, switch: Uuid) -> BTreeSet<Uuid> {
        let ports = self.rows("Logical_Switch_Port").filter(|(_, row)| row.text("type") == "localnet");
        ports
            .map(|(port, _)| port)
            .filter(|port| self.owner("Logical_Switch", "ports", *port) == Some(switch))
            .collect()
    }

    /// The instances' ports on a switch that have an address.
    fn with_address(&self, switch: Uuid, address: IpAddr) -> BTreeSet<Uuid> {
        let has = |row: &Row| {
            let dynamic = Some(row.text("dynamic_addresses")).filter(|text| !text.is_empty());
            let mut texts = row.texts("addresses").chain(dynamic);
            texts.any(|text| {
                Family::ALL.iter().any(|f| {
                    PortAddresses::new([text], None).addresses().assigned(*f).any(|other| other == address)
                })
            })
        };
        let ports = self.rows("Logical_Switch_Port");
        let ports = ports.filter(|(_, row)| ["", "external"].contains(&row.text("type")) && has(row));
        ports
            .map(|(uuid, _)| uuid)
            .filter(|port| self.owner("Logical_Switch", "ports", *port) == Some(switch))
            .collect()
    }

    fn balancer_options(row: &Row) -> [bool; 5] {
        let is = |key| row.get("options", key).is_some_and(|text| text.to_lowercase() == "true");
        let [template, skip_snat, distributed, stateless] =
            ["template", "skip_snat", "distributed", "use_stateless_nat"].map(is);
        [template, skip_snat, distributed, stateless, row.is_set("health_check")]
    }

    fn tagged(row: &Row) -> Option<&str> {
        let any = row.pairs("external_ids").any(|(key, _)| key.starts_with(keys::PREFIX));
        any.then(|| row.get("external_ids", keys::PORT).unwrap_or_default())
    }

    fn external(text: &str) -> Option<IpAddr> {
        parse_prefix(text).filter(is_host).map(|prefix| prefix.addr())
    }

    fn has_external_network(row: &Row) -> bool {
        parse_prefix(row.text("external_ip")).is_some_and(|network| !is_host(&network))
    }

    fn logical(row: &Row) -> Option<IpAddr> {
        parse_prefix(row.text("logical_ip")).filter(is_host).map(|prefix| prefix.addr())
    }

    fn is_host_snat(row: &Row) -> bool {
        row.text("type") == "snat" && Self::logical(row).is_some()
    }

    fn is_network_snat(row: &Row) -> bool {
        let prefix = parse_prefix(row.text("logical_ip"));
        row.text("type") == "snat" && prefix.is_some_and(|prefix| !is_host(&prefix))
    }

    fn vips(row: &Row) -> Vec<Vip> {
        let mut vips: Vec<_> = row.pairs("vips").filter_map(|(k, v)| Vip::parse(k, v)).collect();
        vips.sort_by(|a, b| a.order().cmp(&b.order()));
        vips
    }

    fn attachment(&self, router: &Row, balancer: Uuid) -> Option<bool> {
        let groups = router.refs("load_balancer_group").collect::<BTreeSet<_>>();
        let grouped =
            |(group, row): (Uuid, &Row)| groups.contains(&group) && row.has("load_balancer", balancer);
        if router.has("load_balancer", balancer) {
            Some(true)
        } else {
            self.rows("Load_Balancer_Group").any(grouped).then_some(false)
        }
    }

    fn is_grouped(&self, balancer: Uuid) -> bool {
        self.rows("Load_Balancer_Group").any(|(_, row)| row.has("load_balancer", balancer))
    }

    fn problems(&self) -> BTreeSet<(&'static str, Uuid, &'static str)> {
        let mut problems = BTreeSet::new();
        for ((table, uuid), row) in &self.0.rows {
            for column in row.0.keys() {
                let bad = match (*table, *column) {
                    (_, "addresses") => {
                        PortAddresses::new(row.texts(column), None).addresses().complaint().is_some()
                    }
                    (_, "dynamic_addresses") => row.text(column) == "what",
                    (_, "networks") => row.texts(column).any(|text| parse_prefix(text).is_none()),
                    (_, "vips") => {
                        row.pairs(column).any(|(k, v)| Vip::parse(k, v).is_none_or(|vip| vip.is_doubtful()))
                    }
                    ("NAT", "type") => !["snat", "dnat", "dnat_and_snat", ""].contains(&row.text(column)),
                    (_, "external_ip") => {
                        !row.text(column).is_empty() && Self::external(row.text(column)).is_none()
                    }
                    (_, "logical_ip") => {
                        !row.text(column).is_empty() && parse_prefix(row.text(column)).is_none()
                    }
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
            let kind = match row.text("type") {
                "" => PortKind::Instance,
                "external" => PortKind::External,
                "virtual" => PortKind::Virtual,
                "router" => PortKind::Router,
                "switch" => PortKind::Switch,
                "localnet" => PortKind::Localnet,
                _ => PortKind::Other,
            };
            let dynamic: BTreeSet<_> =
                [row.text("dynamic_addresses")].into_iter().filter(|s| !s.is_empty()).collect();
            let internal = Family::ALL.map(|family| {
                let texts = row.texts("addresses").chain(dynamic.iter().copied());
                let all: BTreeSet<_> = texts
                    .flat_map(|text| {
                        PortAddresses::new([text], None).addresses().assigned(family).collect::<Vec<_>>()
                    })
                    .collect();
                all.into_iter().collect::<Vec<_>>()
            });
            let external = Family::ALL.map(|family| row.get("external_ids", keys::port_key(family)));
            see(
                v,
                ("port", uuid),
                (row.text("name"), kind, row.texts("addresses").collect::<BTreeSet<_>>(), &dynamic),
            );
            see(v, ("port", uuid), (internal, external, row.get("options", "router-port")));
            let ip = row.get("options", "virtual-ip").filter(|_| kind == PortKind::Virtual);
            let ip = ip.and_then(parse_ip);
            see(v, ("port", uuid), (row.flag("enabled"), Self::switch_peer(row), ip, Self::parents(row)));
            see(v, ("port", uuid), ("on", self.owner("Logical_Switch", "ports", uuid)));
        }
        for (uuid, row) in self.rows("Logical_Switch") {
            let there: BTreeSet<_> =
                row.refs("ports").filter(|port| self.has("Logical_Switch_Port", *port)).collect();
            let leading: BTreeSet<_> = there
                .iter()
                .filter(|port| self.0.rows[&("Logical_Switch_Port", **port)].text("type") == "router")
                .filter(|port| self.owner("Logical_Switch", "ports", **port) == Some(uuid))
                .collect();
            see(v, ("switch", uuid), (row.text("name"), leading));
            see(v, ("switch", uuid), there);
            see(v, ("switch", uuid), ("joints", self.joints(uuid)));
            see(v, ("switch", uuid), ("physical", self.physical(uuid)));
            for address in addresses() {
                see(v, ("switch", uuid), (address, self.with_address(uuid, address)));
            }
        }
        for name in PORTS {
            let named = uuids("Logical_Switch_Port", &|row| row.text("name") == name);
            see(v, ("port named", name), named.first());
            see(v, ("tagged", name), uuids("NAT", &|row| Self::tagged(row) == Some(name)));
            let kept = Family::ALL.map(|family| {
                let key = keys::kept_key(family, name);
                self.rows("NB_Global").find_map(|(_, row)| row.get("external_ids", &key))
            });
            see(v, ("kept", name), kept);
            let is_parent = |row: &Row| Self::parents(row).contains(&name);
            see(v, ("virtuals of", name), uuids("Logical_Switch_Port", &is_parent));
        }
        see(v, "tagged", uuids("NAT", &|row| Self::tagged(row).is_some()));
        for name in ROUTER_PORTS {
            let named = uuids("Logical_Router_Port", &|row| row.text("name") == name);
            see(v, ("router port named", name), named.first());
            see(
                v,
                ("leading to", name),
                uuids("Logical_Switch_Port", &|row| Self::leads_to(row) == Some(name)),
            );
            let is_peer = |row: &Row| row.texts("peer").next() == Some(name);
            see(v, ("peers of", name), uuids("Logical_Router_Port", &is_peer));
        }
        for (uuid, row) in self.rows("Logical_Router_Port") {
            v.entry(format!("{:?}", ("router port", uuid)))
                .or_default()
                .insert(self.router_port_line(uuid, row));
        }
        for (uuid, row) in self.rows("Load_Balancer") {
            let protocol = match row.text("protocol") {
                "" => None,
                text => Some(text[..1].to_uppercase() + &text[1..]),
            };
            see(v, ("balancer", uuid), (row.text("name"), protocol));
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
            let chassis = row.get("options", "chassis");
            see(v, ("router", uuid), (row.text("name"), chassis, row.get("external_ids", keys::ROUTER)));
            let options = ROUTER_OPTIONS.map(|key| row.get("options", key));
            see(v, ("router", uuid), options);
            let mine: BTreeSet<_> = row.refs("nat").filter(|nat| self.has("NAT", *nat)).collect();
            let owned = |nat: &Uuid| self.owner("Logical_Router", "nat", *nat) == Some(uuid);
            for address in addresses() {
                let external = |nat: &Uuid| {
                    Self::external(self.0.rows[&("NAT", *nat)].text("external_ip")) == Some(address)
                };
                let logical = |nat: &Uuid| Self::logical(&self.0.rows[&("NAT", *nat)]) == Some(address);
                let snat = |nat: &Uuid| Self::is_host_snat(&self.0.rows[&("NAT", *nat)]);
                let externals = mine.iter().filter(|nat| owned(nat) && external(nat));
                let (snats, externals): (BTreeSet<&Uuid>, BTreeSet<_>) = externals.partition(|nat| snat(nat));
                let logicals: BTreeSet<_> = mine.iter().filter(|nat| owned(nat) && logical(nat)).collect();
                see(v, ("external", uuid, address), externals);
                see(v, ("host snats", uuid, address), snats);
                see(v, ("logical", uuid, address), logicals);
            }
            let network = |nat: &Uuid| Self::is_network_snat(&self.0.rows[&("NAT", *nat)]);
            let networks: BTreeSet<_> = mine.iter().filter(|nat| owned(nat) && network(nat)).collect();
            see(v, ("network snats", uuid), networks);
            let network = |nat: &Uuid| Self::has_external_network(&self.0.rows[&("NAT", *nat)]);
            let networks: BTreeSet<_> = mine.iter().filter(|nat| owned(nat) && network(nat)).collect();
            see(v, ("external networks", uuid), networks);
            see(v, ("nats", uuid), mine);
        }
        for (uuid, row) in self.rows("NAT") {
            let texts = (row.text("external_ip"), row.text("logical_ip"), row.text("external_port_range"));
            let kind = Some(row.text("type")).filter(|kind| ["snat", "dnat", "dnat_and_snat"].contains(kind));
            see(v, ("nat", uuid), (kind, texts));
            let text = row.get("options", "stateless");
            let stateless = text.map(|value| value.to_lowercase() == "true");
            let tags: BTreeMap<_, _> =
                row.pairs("external_ids").filter(|(key, _)| key.starts_with(keys::PREFIX)).collect();
            let text = text.unwrap_or_default();
            see(v, ("nat", uuid), (stateless, text, tags, row.text("match")));
            let peers = match ["allowed_ext_ips", "exempted_ext_ips"].map(|column| row.refs(column).next()) {
                [Some(_), Some(_)] => Err(BothExternalIps),
                [Some(allowed), None] => Ok(Some(ExternalIps::Allowed(allowed))),
                [None, exempted] => Ok(exempted.map(ExternalIps::Exempted)),
            };
            let mac = row.texts("external_mac").next();
            let is_distributed = row.text("type") == "dnat_and_snat" && mac.is_some();
            let at = row.texts("logical_port").next().filter(|_| is_distributed);
            see(v, ("nat", uuid), (peers, mac.is_some_and(|mac| Mac::parse(mac).is_none()), at));
            see(v, ("nat", uuid), ("on", self.owner("Logical_Router", "nat", uuid)));
            let gateway = row.refs("gateway_port").next();
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
            see(s, ("port", row.text("name")), (uuid, seen("port", uuid)));
            for parent in Self::parents(row) {
                see(s, ("port", parent), ("virtual", uuid, seen("port", uuid)));
            }
            let Some(switch) = self.owner("Logical_Switch", "ports", uuid) else { continue };
            for address in addresses() {
                let there = self.with_address(switch, address);
                for other in there.iter().filter(|other| **other != uuid && there.contains(&uuid)) {
                    see(s, ("port", row.text("name")), ("rival", address, other, seen("port", *other)));
                }
            }
        }
        let named = |name: &str| {
            let ports = self.rows("Logical_Router_Port").filter(move |(_, row)| row.text("name") == name);
            ports.map(|(uuid, row)| (uuid, self.router_port_line(uuid, row))).collect::<Vec<_>>()
        };
        let is_disabled = |row: &Row| row.flag("enabled") == Some(false);
        let leading = |name: &str| {
            let ports = self.rows("Logical_Switch_Port").filter(|(_, row)| Self::leads_to(row) == Some(name));
            let line = |(uuid, row): (Uuid, &Row)| {
                let switch = self.owner("Logical_Switch", "ports", uuid);
                (uuid, switch, is_disabled(row))
            };
            ports.map(line).collect::<Vec<_>>()
        };
        for (uuid, row) in self.rows("Logical_Switch") {
            see(s, ("switch", uuid), row.text("name"));
            for (port, peer) in self.joints(uuid) {
                let end = |port| {
                    let row = &self.0.rows[&("Logical_Switch_Port", port)];
                    (port, row.flag("enabled") == Some(false), self.owner("Logical_Switch", "ports", port))
                };
                see(s, ("switch", uuid), (end(port), end(peer)));
            }
            for (port, row) in self.rows("Logical_Switch_Port") {
                if row.text("type") == "router" && self.owner("Logical_Switch", "ports", port) == Some(uuid) {
                    see(s, ("switch", uuid), (port, Self::leads_to(row).map(|name| (name, named(name)))));
                    see(s, ("switch", uuid), (port, row.flag("enabled") == Some(false)));
                }
            }
        }
        for (uuid, row) in self.rows("Logical_Router") {
            let (key, chassis) = (("router", uuid), row.get("options", "chassis"));
            see(s, key, (row.text("name"), chassis, row.get("external_ids", keys::ROUTER)));
            see(s, key, ROUTER_OPTIONS.map(|key| row.get("options", key)));
            for (port, row) in self.rows("Logical_Router_Port") {
                if self.owner("Logical_Router", "ports", port) != Some(uuid) {
                    continue;
                }
                let name = row.text("name");
                see(s, key, (port, self.router_port_line(port, row), leading(name)));
                let naming = self.rows("Logical_Router_Port");
                let naming = naming.filter(|(_, row)| row.texts("peer").next() == Some(name));
                let naming: Vec<_> = naming.map(|(peer, row)| self.router_port_line(peer, row)).collect();
                if let Some(peer) = row.texts("peer").next() {
                    see(s, key, (port, "peer", named(peer)));
                }
                see(s, key, (port, "named by", naming));
            }
            for (balancer, row_of) in self.rows("Load_Balancer") {
                let Some(direct) = self.attachment(row, balancer) else { continue };
                for vip in Self::vips(row_of) {
                    let options = (row_of.text("protocol"), Self::balancer_options(row_of));
                    let line = (balancer, direct, &vip, options, row_of.text("name"));
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
            see(s, ("balancer", uuid), (Self::vips(row), row.text("name"), row.text("protocol")));
            see(s, ("balancer", uuid), (on, self.is_grouped(uuid), Self::balancer_options(row)));
        }
        for (uuid, row) in self.rows("NAT") {
            // Whether the row of its gateway port exists concerns the router.
            let mut line = seen("nat", uuid).unwrap_or_default();
            line.retain(|seen| !seen.starts_with("(\"by\""));
            let line = (uuid, line, row.refs("gateway_port").next());
            if let Some(router) = self.owner("Logical_Router", "nat", uuid) {
                if let Some(address) = Self::external(row.text("external_ip")) {
                    let what = if Self::is_host_snat(row) { "host snat" } else { "address" };
                    see(s, (what, router, address), &line);
                }
                if let Some(address) = Self::logical(row) {
                    see(s, ("address", router, address), &line);
                }
            }
            let network = parse_prefix(row.text("logical_ip")).filter(|prefix| !is_host(prefix));
            if let (Some(router), Some(_)) = (self.owner("Logical_Router", "nat", uuid), network) {
                see(s, ("router", router), &line);
            }
            if let Some(name) = Self::tagged(row) {
                see(s, ("tagged", name), &line);
            }
        }
        for (uuid, row) in self.rows("NB_Global") {
            for (key, text) in row.pairs("external_ids") {
                let prefixes = Family::ALL.map(keys::kept_prefix);
                if let Some(port) = prefixes.iter().find_map(|prefix| key.strip_prefix(prefix)) {
                    see(s, ("port", port), (uuid, key, text));
                }
            }
        }
        subjects
    }
}
