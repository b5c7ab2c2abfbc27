use std::collections::BTreeSet;

use ovsdb_protocol::{Batch, Columns, Replica, RowChange, RowUpdate, declared_schema};
use serde_json::{Value, json};
use uuid::Uuid;

use super::rows::{HostRow, KeptRow, PortRow, SwitchRow};
use super::*;
use crate::sources::Kind;
use crate::sources::instance::{Instance, InstanceJson};
use crate::sources::requests::SourceUpdate;
use crate::testing::map;
use ovsdb_protocol::Table;

const A: &str = "00000000-0000-4000-8000-00000000000a";
const B: &str = "00000000-0000-4000-8000-00000000000b";
const C: &str = "00000000-0000-4000-8000-00000000000c";

/// A database and the instances of a CMS.
struct World {
    directory: Directory,
    requests: Requests,
}

impl World {
    /// Creates a database with these rows: a table's name and the columns of each.
    fn new(rows: &[(&'static str, Value)]) -> Self {
        let mut directory = Directory::default();
        let specs = [PortRow::TABLE, SwitchRow::TABLE, HostRow::TABLE, KeptRow::TABLE];
        directory.declare(&declared_schema(crate::DATABASE, &specs, |_, _| true)).unwrap();
        directory.begin(Batch::Snapshot);
        for (number, (table, columns)) in rows.iter().enumerate() {
            let text = columns.to_string();
            let change = RowChange::Insert(Columns::new(&text));
            directory.apply(RowUpdate { table, uuid: uuid(number), change }).unwrap();
        }
        directory.commit();
        Self { directory, requests: Requests::default() }
    }

    /// Adds a CMS with these instances: project, name, UUID.
    fn with(mut self, instances: &[(&str, &str, &str)]) -> Self {
        self.requests = Requests::new([Kind::Incus]);
        let instances = instances.iter().map(|(project, name, uuid)| instance(project, name, uuid));
        self.requests.take(0, SourceUpdate::Listed(instances.collect()));
        self
    }

    fn names(&self) -> PortNames<'_> {
        PortNames::new(&self.directory, &self.requests)
    }

    /// The port that a text means, or the error.
    fn find(&self, text: &str) -> Result<String, String> {
        self.names().find(text).port(text)
    }
}

fn uuid(number: usize) -> Uuid {
    Uuid::from_u128(number as u128 + 1)
}

fn instance(project: &str, name: &str, uuid: &str) -> Instance {
    let json = json!({"name": name, "project": project, "config": {"volatile.uuid": uuid},
        "expanded_devices": {"eth0": {"type": "nic", "network": "ovn0"}}});
    serde_json::from_value::<InstanceJson>(json).unwrap().read(false)
}

fn nic(uuid: &str, device: &str) -> String {
    format!("incus-net2-instance-{uuid}-{device}")
}

fn port(name: &str, ids: &[(&str, &str)]) -> (&'static str, Value) {
    ("Logical_Switch_Port", json!({"name": name, "external_ids": map(ids)}))
}

/// A row as Incus writes it, for a host name and an address.
fn host(port: &str, name: &str) -> (&'static str, Value) {
    let reverse = "2.0.57.10.in-addr.arpa";
    let records = if name.is_empty() { map(&[]) } else { map(&[(reverse, name), (name, "10.57.0.2")]) };
    let ids = map(&[("incus_switch", "incus-net2-ls-int"), ("incus_switch_port", port)]);
    ("DNS", json!({"external_ids": ids, "records": records}))
}

#[test]
fn port_is_named_by_the_records_of_its_cms() {
    for (row, more, expected) in [
        (port("p1", &[]), None, None),
        (port("9f1c", &[("neutron:port_name", "web")]), None, Some("web")),
        (port("9f1c", &[("neutron:port_name", "")]), None, None),
        (port("shop_web-0", &[("pod", "true"), ("namespace", "shop")]), None, Some("shop/web-0")),
        (port("blue.net_shop_web-0", &[("pod", "true"), ("namespace", "shop")]), None, Some("shop/web-0")),
        (port("shop_web-0", &[("pod", "true"), ("namespace", "other")]), None, None),
        (port("web-0", &[("pod", "true"), ("namespace", "shop")]), None, None),
        (port("web-0.shop", &[("pod", "shop/web-0"), ("vendor", "kube-ovn")]), None, Some("shop/web-0")),
        (port(&nic(A, "eth0"), &[]), Some(host(&nic(A, "eth0"), "web1.incus")), Some("web1/eth0")),
        (port(&nic(A, "eth0"), &[]), Some(host(&nic(A, "eth0"), "")), None),
        (port("p1", &[]), Some(host("p1", "web1.example.net")), Some("web1")),
    ] {
        let name = row.1["name"].as_str().unwrap().to_owned();
        let world = World::new(&[Some(row), more].into_iter().flatten().collect::<Vec<_>>());
        assert_eq!(world.names().name(&name).as_deref(), expected, "{name}");
        if let Some(expected) = expected {
            assert_eq!(world.find(expected).as_deref(), Ok(&*name));
        }
        assert_eq!(world.find(&name).as_deref(), Ok(&*name));
    }
}

#[test]
fn instance_is_found_by_each_of_its_names() {
    let rows = [port(&nic(A, "eth0"), &[]), port(&nic(B, "eth0"), &[]), port(&nic(B, "eth1"), &[])];
    let world = World::new(&rows).with(&[("default", "Web1", A), ("shop", "db", B)]);
    for text in ["Web1", "Web1/eth0", "default:Web1", "default:Web1/eth0"] {
        assert_eq!(world.find(text), Ok(nic(A, "eth0")), "{text}");
    }
    for text in ["db/eth1", "shop:db/eth1"] {
        assert_eq!(world.find(text), Ok(nic(B, "eth1")), "{text}");
    }
    assert_eq!(world.names().name(&nic(B, "eth1")).as_deref(), Some("shop:db/eth1"));
    assert!(world.find("web1").unwrap_err().ends_with("; did you mean Web1?"));
}

#[test]
fn name_of_the_source_precedes_the_lower_case_host_name() {
    let rows = [port(&nic(A, "eth0"), &[]), host(&nic(A, "eth0"), "web1.incus")];
    let world = World::new(&rows);
    assert_eq!(world.find("Web1"), Ok(nic(A, "eth0")));
    assert_eq!(world.find("WEB1/eth0"), Ok(nic(A, "eth0")));
    let error = world.find("shop:web1").unwrap_err();
    assert!(error.contains("did you mean web1? (of which project"), "{error}");
    let world = world.with(&[("shop", "Web1", A)]);
    assert_eq!(world.names().name(&nic(A, "eth0")).as_deref(), Some("shop:Web1/eth0"));
    assert_eq!(world.find("web1"), Ok(nic(A, "eth0")));
}

#[test]
fn ambiguous_name_is_an_error_that_lists_the_ports() {
    let switch = json!({"name": "S", "ports": ["set", [["uuid", uuid(0)], ["uuid", uuid(1)]]]});
    let rows = [
        port(&nic(A, "eth0"), &[]),
        port(&nic(B, "eth0"), &[]),
        port(&nic(B, "eth1"), &[]),
        ("Logical_Switch", switch),
    ];
    let world = World::new(&rows).with(&[("default", "web1", A), ("shop", "web1", B)]);
    let (a, b) = (nic(A, "eth0"), nic(B, "eth0"));
    let expected = format!(
        "web1/eth0 may be any of 2 ports, name one: default:web1/eth0 (port {a} on switch S), shop:web1/eth0 (port {b} on switch S)"
    );
    assert_eq!(world.find("web1/eth0"), Err(expected));
    let error = world.find("shop:web1").unwrap_err();
    assert!(
        error.contains("any of 2 ports") && error.contains(&format!("(port {})", nic(B, "eth1"))),
        "{error}"
    );
    assert_eq!(world.find("shop:web1/eth1"), Ok(nic(B, "eth1")));
    let many: Vec<_> = (0..25).map(|n| port(&n.to_string(), &[("neutron:port_name", "web")])).collect();
    assert!(World::new(&many).find("web").unwrap_err().ends_with(" and 15 more"));
}

#[test]
fn port_name_precedes_the_display_name_of_another_port() {
    let rows = [port("web", &[]), port("p2", &[("neutron:port_name", "web")])];
    assert_eq!(World::new(&rows).find("web").as_deref(), Ok("web"));
}

#[test]
fn instances_with_the_same_uuid_do_not_name_a_port() {
    let rows = [port(&nic(A, "eth0"), &[]), host(&nic(A, "eth0"), "web1.incus")];
    let world = World::new(&rows).with(&[("default", "web1", A), ("evil", "bank", A)]);
    assert_eq!(world.names().name(&nic(A, "eth0")).as_deref(), Some("web1/eth0"));
    assert_eq!(world.find("web1"), Ok(nic(A, "eth0")), "by its host name");
    assert!(world.find("bank").is_err());
}

#[test]
fn absent_instance_is_distinguished_from_a_mistyped_name() {
    let rows = [port(&nic(A, "eth0"), &[]), port("p1", &[("neutron:port_name", "mail")])];
    let world = World::new(&rows).with(&[("default", "web1", A), ("shop", "db", B)]);
    for text in ["db", "shop:db", "db/eth0"] {
        assert!(world.find(text).unwrap_err().starts_with("instance shop:db has no port"), "{text}");
    }
    for (text, guess) in [
        ("wbe1", "; did you mean web1?"),
        ("web1/eht0", "; did you mean web1/eth0?"),
        ("default:web2/eth0", "; did you mean default:web1/eth0?"),
        ("mial", "; did you mean mail?"),
        ("something-else", ""),
    ] {
        let expected = format!("there is no port {text} in the Northbound database{guess}");
        assert_eq!(world.find(text), Err(expected));
    }
}

#[test]
fn absent_port_with_a_kept_intent_is_found_by_its_names() {
    let key = ovn_model::keys::kept_key(ovn_model::Family::V4, &nic(A, "eth0"));
    let kept = ("NB_Global", json!({"external_ids": map(&[(&key, "auto")])}));
    let world = World::new(&[kept]).with(&[("default", "web1", A)]);
    assert_eq!(world.find("web1"), Ok(nic(A, "eth0")));
    assert_eq!(world.find(&nic(A, "eth0")), Ok(nic(A, "eth0")));
}

#[test]
fn stopped_instance_is_found_by_its_host_name() {
    // A row that LXD leaves behind, or that Incus has before the first start, has no name.
    let rows = [host(&nic(A, "eth0"), "web1.incus"), host(&nic(B, "eth0"), "")];
    let absent = |name: &str, uuid| Meaning::Absent { name: name.to_owned(), port: Some(nic(uuid, "eth0")) };
    let world = World::new(&rows);
    assert_eq!(world.names().find("web1"), absent("web1/eth0", A));
    assert_eq!(world.names().find("db"), Meaning::Unknown(String::new()));
    assert_eq!(
        world.find("Web1/eth0").unwrap_err(),
        "instance web1/eth0 has no port Web1/eth0 in OVN: start the instance, or see which NICs it has"
    );
    let world = world.with(&[("default", "web1", A), ("shop", "db", B)]);
    assert_eq!(world.names().find("web1"), absent("default:web1/eth0", A));
    assert_eq!(world.names().find("shop:db"), absent("shop:db/eth0", B));
    // Of several, none is taken, not even the only running one.
    let hosts = [host(&nic(A, "eth0"), "web1.incus"), host(&nic(B, "eth0"), "web1.incus")];
    let running = port(&nic(B, "eth0"), &[]);
    for rows in [&hosts[..], &[hosts.as_slice(), &[running]].concat()] {
        assert!(World::new(rows).find("web1").unwrap_err().contains("any of 2 ports"));
    }
    // A kept intent for it does not make it a second port.
    let key = ovn_model::keys::kept_key(ovn_model::Family::V4, &nic(A, "eth0"));
    let kept = ("NB_Global", json!({"external_ids": map(&[(&key, "auto")])}));
    assert_eq!(World::new(&[hosts[0].clone(), kept]).find("web1"), Ok(nic(A, "eth0")));
}

#[test]
fn completions_are_the_shortest_unambiguous_names() {
    let rows = [
        port(&nic(A, "eth0"), &[]),
        port(&nic(B, "eth0"), &[]),
        port(&nic(C, "eth0"), &[]),
        port("plain", &[]),
        ("Logical_Switch_Port", json!({"name": "S-R", "type": "router"})),
    ];
    let world = World::new(&rows).with(&[("default", "web1", A), ("shop", "web1", B), ("shop", "db", C)]);
    let offered = |text| world.names().completions(text).into_iter().collect::<Vec<_>>();
    assert_eq!(offered(""), ["db/eth0", "default:web1/eth0", "plain", "shop:web1/eth0"]);
    assert_eq!(offered("d"), ["db/eth0", "default:web1/eth0"]);
    assert_eq!(offered("shop:d"), ["shop:db"]);
    assert_eq!(offered("incus-").len(), 3);
    assert_eq!(offered("S"), [""; 0]);
    let all: BTreeSet<_> = offered("").into_iter().map(|name| world.find(&name).unwrap()).collect();
    assert_eq!(all.len(), 4);
    let rows = [port(&nic(A, "eth0"), &[]), host(&nic(B, "eth0"), "")];
    let world = World::new(&rows).with(&[("default", "web1", A), ("shop", "web1", B)]);
    assert_eq!(Vec::from_iter(world.names().completions("")), ["default:web1/eth0"]);
}
