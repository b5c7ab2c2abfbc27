//! Northbound databases of any size, as files that an ovsdb-server opens.
//!
//! The content of one depends only on its [`Estate`], byte for byte, including UUIDs. Its networks are those of Incus
//! ([`Net`](crate::Net) makes the same through a server, one by one, which takes hours for 100,000 instances):
//!
//! | network `n` has | |
//! |---|---|
//! | router `incus-netN-lr` | gateway port with a chassis group, internal port, default route, SNAT for both families |
//! | switch `incus-netN-ls-ext` | the uplink: a port to the router and a `localnet` port |
//! | switch `incus-netN-ls-int` | a port to the router, and the instances |
//! | instances | IPv4 and IPv6; every other one with static addresses, the others with dynamic ones |
//! | forwards | each an address with a TCP and a UDP balancer of three ports, which lead to one instance |
//!
//! A network is a record of the file, that is a transaction. Rows that no rule of the agent reads are omitted (ACLs,
//! DHCP options, DNS records), because the agent does not monitor them.

mod southbound;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde_json::{Map, Value, json};
use sha1_smol::Sha1;

use crate::ovsdb_server::installed_schema;
use crate::row::{json_map, json_set, uuid_ref};
pub(crate) use southbound::Translation;

/// Networks, instances and forwards of a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Estate {
    /// The number of networks, without the [crowded](Self::crowd) one.
    pub networks: u32,
    /// Instances in each network.
    pub instances: u32,
    /// Forward addresses of each network, which lead to its first instances.
    pub forwards: u32,
    /// The number of first instances in each network with an intent for a forward address.
    pub asking: u32,
    /// Instances in one more network, which is much larger than the others; 0: there is no such network. They have no
    /// intents.
    pub crowd: u32,
}

/// A port of an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The row's UUID.
    pub uuid: String,
    /// The port's name.
    pub name: String,
    /// The forward address that it requests, or would request.
    pub external: Ipv4Addr,
}

/// One network of an estate.
#[derive(Clone, Copy, Debug)]
struct Network {
    number: u32,
    instances: u32,
    forwards: u32,
    asking: u32,
    /// The router's internal address; instances follow.
    base: Ipv4Addr,
    prefix: u8,
}

/// The kinds of rows, which distinguish the UUIDs of a network.
#[derive(Clone, Copy)]
enum Kind {
    Router,
    GatewayPort,
    InternalPort,
    Group,
    Chassis,
    Route,
    Snat4,
    Snat6,
    ExternalSwitch,
    InternalSwitch,
    Uplink,
    Provider,
    Downlink,
    Tcp,
    Udp,
    Instance,
}

/// Tables of a record: rows by UUID.
#[derive(Default)]
struct Record(Map<String, Value>);

/// The ports that every forward forwards.
const LISTEN: [u16; 3] = [80, 443, 8080];

/// Networks of the usual size have this prefix length, and room for this many instances.
const USUAL: (u8, u32) = (22, 1000);

/// Room in the crowded network.
const MAX_CROWDED: u32 = 60_000;

/// The first instance's distance from the router's address.
const FIRST: u32 = 9;

// === impl Estate ===

impl Estate {
    /// Networks of 200 instances and 20 forward addresses each, with about this many instances in all, without intents.
    pub fn of_ports(ports: u32) -> Self {
        Self { networks: ports.div_ceil(200).max(1), instances: 200, forwards: 20, asking: 0, crowd: 0 }
    }

    /// The same, with intents of the first `asking` instances of every network for a forward address.
    #[must_use]
    pub fn asking(self, asking: u32) -> Self {
        Self { asking, ..self }
    }

    /// The same, with another network of `crowd` instances.
    #[must_use]
    pub fn crowded(self, crowd: u32) -> Self {
        Self { crowd, ..self }
    }

    /// The number of instances, which is the number of ports without those of routers and uplinks.
    pub fn ports(&self) -> u32 {
        self.networks * self.instances + self.crowd
    }

    /// The number of networks, the crowded one included: it is the last.
    pub fn all_networks(&self) -> u32 {
        self.networks + u32::from(self.crowd > 0)
    }

    /// The number of instances with intents in this file.
    pub fn intents(&self) -> u32 {
        self.networks * self.asking
    }

    /// One of the instances.
    pub fn member(&self, network: u32, instance: u32) -> Member {
        self.network(network).member(instance)
    }

    /// Writes the database as a file of a standalone ovsdb-server.
    pub fn write(&self, to: &Path) -> Result<()> {
        ensure!(self.instances <= USUAL.1, "a network has room for {} instances", USUAL.1);
        ensure!(self.crowd <= MAX_CROWDED, "the crowded network has room for {MAX_CROWDED} instances");
        ensure!(self.networks <= 1 << 14, "there are addresses for {} networks", 1 << 14);
        ensure!(self.all_networks() * self.forwards <= 1 << 17, "there are {} forward addresses", 1 << 17);
        ensure!(self.asking <= self.instances && self.forwards > 0, "there is nothing to ask for");
        let schema: Value = serde_json::from_str(&schema()?).context("the schema is not JSON")?;
        let file = File::create(to).with_context(|| format!("cannot create {}", to.display()))?;
        let mut file = BufWriter::new(file);
        write_record(&mut file, &schema)?;
        for number in 0..self.all_networks() {
            write_record(&mut file, &self.network(number).record())?;
        }
        file.flush().with_context(|| format!("cannot write {}", to.display()))
    }

    /// The reply of a server with this database to a `monitor_cond_since` request with the id 0 for the columns for
    /// which `is_monitored` returns true, of their table and name.
    pub fn reply(&self, is_monitored: impl Fn(&str, &str) -> bool) -> String {
        let mut tables: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for number in 0..self.all_networks() {
            let record = self.network(number).record();
            for (table, rows) in record.as_object().into_iter().flatten() {
                for (uuid, row) in rows.as_object().into_iter().flatten() {
                    let columns = row.as_object().into_iter().flatten();
                    let kept = columns.filter(|(name, _)| is_monitored(table, name));
                    let kept: Map<String, Value> =
                        kept.map(|(name, value)| (name.clone(), value.clone())).collect();
                    if !kept.is_empty() {
                        let row = format!("\"{uuid}\":{}", json!({"initial": kept}));
                        tables.entry(table.clone()).or_default().push(row);
                    }
                }
            }
        }
        let tables = tables.iter().map(|(table, rows)| format!("\"{table}\":{{{}}}", rows.join(",")));
        let (tables, last) = (tables.collect::<Vec<_>>().join(","), uuid(Kind::Router, 0, 0));
        format!("{{\"id\":0,\"result\":[false,\"{last}\",{{{tables}}}],\"error\":null}}")
    }

    fn network(&self, number: u32) -> Network {
        let Self { instances, forwards, asking, .. } = *self;
        if number == self.networks {
            let base = Ipv4Addr::new(172, 16, 0, 1);
            return Network { number, instances: self.crowd, forwards, asking: 0, base, prefix: 16 };
        }
        let base = Ipv4Addr::from_bits(Ipv4Addr::new(10, 0, 0, 1).to_bits() + (number << (32 - USUAL.0)));
        Network { number, instances, forwards, asking, base, prefix: USUAL.0 }
    }
}

/// The schema of the Northbound database that is installed, as text.
pub fn schema() -> Result<String> {
    let path = installed_schema("ovn-nb.ovsschema")?;
    fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
}

// === impl Network ===

impl Network {
    fn name(&self) -> String {
        format!("incus-net{}", self.number)
    }

    fn member(&self, instance: u32) -> Member {
        let of = uuid(Kind::Instance, self.number, instance | 1 << 31);
        Member {
            uuid: uuid(Kind::Instance, self.number, instance),
            name: format!("{}-instance-{of}-eth0", self.name()),
            external: self.forward(instance % self.forwards),
        }
    }

    fn forward(&self, index: u32) -> Ipv4Addr {
        Ipv4Addr::from_bits(Ipv4Addr::new(198, 18, 0, 0).to_bits() + self.number * self.forwards + index)
    }

    fn ipv4(&self, instance: u32) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.base.to_bits() + FIRST + instance)
    }

    fn ipv6(&self, host: u32) -> Ipv6Addr {
        let prefix = Ipv6Addr::new(0xfd42, (self.number >> 16) as u16, self.number as u16, 0, 0, 0, 0, 0);
        Ipv6Addr::from_bits(prefix.to_bits() + u128::from(host))
    }

    fn uuid(&self, kind: Kind) -> String {
        uuid(kind, self.number, 0)
    }

    fn refer(&self, kind: Kind) -> Value {
        uuid_ref(&self.uuid(kind))
    }

    /// All rows of the network.
    fn record(&self) -> Value {
        let mut record = Record::default();
        self.write_router(&mut record);
        self.write_uplink(&mut record);
        self.write_forwards(&mut record);
        self.write_instances(&mut record);
        record.0.insert("_comment".to_owned(), json!(format!("generated: {}", self.name())));
        Value::Object(record.0)
    }

    fn write_router(&self, record: &mut Record) {
        let (name, net) = (format!("{}-lr", self.name()), self.number);
        let outside = Ipv4Addr::from_bits(Ipv4Addr::new(100, 64, 0, 2).to_bits() + net);
        let outside6 = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, (net >> 16) as u16 + 1, net as u16);
        let external_port = format!("{name}-lrp-ext");
        record.add(
            "HA_Chassis",
            self.uuid(Kind::Chassis),
            json!({"chassis_name": "gateway-1", "priority": 100}),
        );
        record.add(
            "HA_Chassis_Group",
            self.uuid(Kind::Group),
            json!({
                "name": self.name(), "ha_chassis": self.refer(Kind::Chassis),
            }),
        );
        record.add(
            "Logical_Router_Port",
            self.uuid(Kind::GatewayPort),
            json!({
                "name": external_port,
                "mac": mac(0xff, net),
                "networks": json_set([json!(format!("{outside}/10")), json!(format!("{outside6}/64"))]),
                "ha_chassis_group": self.refer(Kind::Group),
            }),
        );
        record.add(
            "Logical_Router_Port",
            self.uuid(Kind::InternalPort),
            json!({
                "name": format!("{name}-lrp-int"),
                "mac": mac(0xfe, net),
                "networks": json_set([
                    json!(format!("{}/{}", self.base, self.prefix)),
                    json!(format!("{}/64", self.ipv6(1))),
                ]),
            }),
        );
        record.add(
            "Logical_Router_Static_Route",
            self.uuid(Kind::Route),
            json!({
                "ip_prefix": "0.0.0.0/0", "nexthop": "100.64.0.1", "output_port": external_port,
            }),
        );
        let subnet = Ipv4Addr::from_bits(self.base.to_bits() & (u32::MAX << (32 - self.prefix)));
        let snat = |external: String, logical: String| {
            json!({
                "type": "snat", "external_ip": external, "logical_ip": logical,
                "options": json_map([("stateless", "false")]),
            })
        };
        record.add(
            "NAT",
            self.uuid(Kind::Snat4),
            snat(outside.to_string(), format!("{subnet}/{}", self.prefix)),
        );
        record.add("NAT", self.uuid(Kind::Snat6), snat(outside6.to_string(), format!("{}/64", self.ipv6(0))));
        record.add("Logical_Router", self.uuid(Kind::Router), json!({
            "name": name,
            "ports": json_set([self.refer(Kind::GatewayPort), self.refer(Kind::InternalPort)]),
            "static_routes": self.refer(Kind::Route),
            "nat": json_set([self.refer(Kind::Snat4), self.refer(Kind::Snat6)]),
            "load_balancer": self.balancers(),
            "options": json_map([("always_learn_from_arp_request", "false"), ("dynamic_neigh_routers", "true")]),
        }));
    }

    fn write_uplink(&self, record: &mut Record) {
        let name = format!("{}-ls-ext", self.name());
        record.add(
            "Logical_Switch_Port",
            self.uuid(Kind::Uplink),
            json!({
                "name": format!("{name}-lsp-router"), "type": "router", "addresses": "router",
                "options": json_map([
                    ("router-port", format!("{}-lr-lrp-ext", self.name()).as_str()),
                    ("nat-addresses", "router"),
                ]),
            }),
        );
        record.add(
            "Logical_Switch_Port",
            self.uuid(Kind::Provider),
            json!({
                "name": format!("{name}-lsp-provider"), "type": "localnet", "addresses": "unknown",
                "options": json_map([("network_name", "uplink")]),
            }),
        );
        record.add(
            "Logical_Switch",
            self.uuid(Kind::ExternalSwitch),
            json!({
                "name": name, "ports": json_set([self.refer(Kind::Uplink), self.refer(Kind::Provider)]),
            }),
        );
    }

    fn write_forwards(&self, record: &mut Record) {
        for index in 0..self.forwards {
            let (listen, target) = (self.forward(index), self.ipv4(index));
            for (kind, protocol) in [(Kind::Tcp, "tcp"), (Kind::Udp, "udp")] {
                let vips = LISTEN.map(|port| (format!("{listen}:{port}"), format!("{target}:{port}")));
                record.add(
                    "Load_Balancer",
                    uuid(kind, self.number, index),
                    json!({
                        "name": format!("{}-lb-{listen}-{protocol}", self.name()),
                        "protocol": protocol,
                        "vips": json_map(vips),
                    }),
                );
            }
        }
    }

    fn write_instances(&self, record: &mut Record) {
        let switch = format!("{}-ls-int", self.name());
        for instance in 0..self.instances {
            let Member { uuid, name, external } = self.member(instance);
            let mac = mac(0, self.number << 16 | instance);
            let (ipv4, ipv6) = (self.ipv4(instance), self.ipv6(FIRST + 1 + instance));
            let addresses = format!("{mac} {ipv4} {ipv6}");
            let asked = external.to_string();
            let mut ids = vec![("incus_switch", switch.as_str()), ("incus_location", "node1")];
            ids.extend((instance < self.asking).then_some(("ipv4.address.external", asked.as_str())));
            let mut row = json!({"name": name, "enabled": true, "external_ids": json_map(ids)});
            if instance % 2 == 0 {
                row["addresses"] = json!(addresses);
            } else {
                row["addresses"] = json!(format!("{mac} dynamic"));
                row["dynamic_addresses"] = json!(addresses);
            }
            record.add("Logical_Switch_Port", uuid, row);
        }
        record.add(
            "Logical_Switch_Port",
            self.uuid(Kind::Downlink),
            json!({
                "name": format!("{switch}-lsp-router"), "type": "router", "addresses": "router",
                "options": json_map([("router-port", format!("{}-lr-lrp-int", self.name()))]),
            }),
        );
        let instances = (0..self.instances).map(|instance| uuid_ref(&self.member(instance).uuid));
        record.add(
            "Logical_Switch",
            self.uuid(Kind::InternalSwitch),
            json!({
                "name": switch,
                "ports": json_set(std::iter::once(self.refer(Kind::Downlink)).chain(instances)),
                "load_balancer": self.balancers(),
                "other_config": json_map([
                    ("subnet", format!("{}/{}", self.base, self.prefix)),
                    ("ipv6_prefix", self.ipv6(0).to_string()),
                ]),
            }),
        );
    }

    fn balancers(&self) -> Value {
        let both = |index| [Kind::Tcp, Kind::Udp].map(|kind| uuid_ref(&uuid(kind, self.number, index)));
        json_set((0..self.forwards).flat_map(both))
    }
}

// === impl Record ===

impl Record {
    fn add(&mut self, table: &str, uuid: String, row: Value) {
        let rows = self.0.entry(table).or_insert_with(|| Value::Object(Map::new()));
        rows[uuid] = row;
    }
}

/// A record of ovsdb(5): a line with length and SHA-1, then the JSON.
fn write_record(file: &mut impl Write, json: &Value) -> Result<()> {
    let mut text = serde_json::to_vec(json)?;
    text.push(b'\n');
    let sum = Sha1::from(&text).digest();
    writeln!(file, "OVSDB JSON {} {sum}", text.len())?;
    Ok(file.write_all(&text)?)
}

/// A UUID of version 4 whose random bits are derived from the row's identity. They must look random: ovsdb-server uses
/// the first 32 of them as the hash.
fn uuid(kind: Kind, network: u32, number: u32) -> String {
    uuid_of(kind as u64, u64::from(network) << 32 | u64::from(number))
}

fn uuid_of(kind: u64, seed: u64) -> String {
    let high = mix(seed ^ mix(kind + 1));
    let low = mix(high ^ seed);
    let bits = u128::from(high) << 64 | u128::from(low);
    let bits = bits & !(0xf << 76) & !(0x3 << 62) | 0x4 << 76 | 0x2 << 62;
    let text = format!("{bits:032x}");
    format!("{}-{}-{}-{}-{}", &text[..8], &text[8..12], &text[12..16], &text[16..20], &text[20..])
}

/// Spreads the bits of a number over all 64, so that no two numbers have the same result (Steele, Lea and Flood:
/// Fast splittable pseudorandom number generators, 2014).
fn mix(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn mac(first: u8, number: u32) -> String {
    let [a, b, c, d] = number.to_be_bytes();
    format!("02:{first:02x}:{a:02x}:{b:02x}:{c:02x}:{d:02x}")
}
