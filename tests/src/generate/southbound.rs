//! The Southbound database of an estate, as ovn-northd of OVN 23.03 would make it: bindings, the flows of NAT rows and
//! load balancers in the stages that translate sources, and other flows up to a number.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::{Estate, Kind, LISTEN, Network, Record, uuid, write_record};
use crate::ovsdb_server::installed_schema;
use crate::row::{json_map, uuid_ref};

/// An override whose flows are included.
#[derive(Clone, Debug)]
pub(crate) struct Translation {
    /// The number of its network.
    pub(crate) network: u32,
    /// The `NAT` row's UUID.
    pub(crate) nat: String,
    /// The instance's address.
    pub(crate) internal: String,
    /// The address that it gets.
    pub(crate) external: String,
    /// `external_port_range`
    pub(crate) ports: String,
}

/// The kinds of rows of a Southbound database.
#[derive(Clone, Copy)]
enum Row {
    Datapath = 100,
    Gateway,
    Port,
    Chassis,
    Encap,
    PrivateChassis,
    Flow,
}

/// Stages of the other flows.
const OTHERS: [(&str, &str); 4] = [
    ("ls_in_arp_rsp", "ingress"),
    ("ls_in_l2_lkup", "ingress"),
    ("lr_in_arp_resolve", "ingress"),
    ("ls_out_pre_lb", "egress"),
];

/// The chassis that has everything.
const CHASSIS: &str = "gateway-1";

impl Estate {
    /// Writes the Southbound database with at least this many flows, as a file of a standalone ovsdb-server.
    pub(crate) fn write_southbound(&self, translations: &[Translation], flows: u64, to: &Path) -> Result<()> {
        let schema = fs::read(installed_schema("ovn-sb.ovsschema")?)?;
        let schema: Value = serde_json::from_slice(&schema).context("the schema is not JSON")?;
        let file = File::create(to).with_context(|| format!("cannot create {}", to.display()))?;
        let mut file = BufWriter::new(file);
        write_record(&mut file, &schema)?;
        write_record(&mut file, &chassis())?;
        let networks = u64::from(self.all_networks());
        for number in 0..self.all_networks() {
            let network = self.network(number);
            let mut record = Record::default();
            network.write_bindings(&mut record);
            let mut made = Flows { network: &network, count: 0, record: &mut record };
            made.base();
            translations
                .iter()
                .filter(|wanted| wanted.network == number)
                .for_each(|wanted| made.translation(wanted));
            made.balancers();
            made.others(flows.div_ceil(networks));
            write_record(&mut file, &Value::Object(record.0))?;
        }
        file.flush().with_context(|| format!("cannot write {}", to.display()))
    }
}

fn id(row: Row, network: u32, number: u32) -> String {
    // The kinds of the Northbound precede these.
    let (low, high) = (u64::from(number), u64::from(network));
    super::uuid_of(row as u64, high << 32 | low)
}

fn chassis() -> Value {
    let (chassis, encap) = (id(Row::Chassis, 0, 0), id(Row::Encap, 0, 0));
    let mut record = Record::default();
    record.add("SB_Global", id(Row::Datapath, u32::MAX, 0), json!({"nb_cfg": 0}));
    let encapsulation = json!({"type": "geneve", "ip": "192.0.2.1", "chassis_name": CHASSIS});
    record.add("Encap", encap.clone(), encapsulation);
    record.add(
        "Chassis",
        chassis.clone(),
        json!({"name": CHASSIS, "hostname": CHASSIS, "encaps": uuid_ref(&encap)}),
    );
    record.add(
        "Chassis_Private",
        id(Row::PrivateChassis, 0, 0),
        json!({"name": CHASSIS, "chassis": uuid_ref(&chassis)}),
    );
    Value::Object(record.0)
}

impl Network {
    fn gateway_port(&self) -> String {
        format!("{}-lr-lrp-ext", self.name())
    }

    fn write_bindings(&self, record: &mut Record) {
        let (router, switch) = (id(Row::Datapath, self.number, 0), id(Row::Datapath, self.number, 1));
        let ids = |key: &str, kind: Kind| json_map([(key, uuid(kind, self.number, 0))]);
        let number = self.number * 2;
        let of_router =
            json!({"tunnel_key": number + 1, "external_ids": ids("logical-router", Kind::Router)});
        let of_switch =
            json!({"tunnel_key": number + 2, "external_ids": ids("logical-switch", Kind::InternalSwitch)});
        record.add("Datapath_Binding", router.clone(), of_router);
        record.add("Datapath_Binding", switch.clone(), of_switch);
        let port = self.gateway_port();
        let here = uuid_ref(&id(Row::Chassis, 0, 0));
        record.add(
            "Port_Binding",
            id(Row::Gateway, self.number, 0),
            json!({
                "logical_port": format!("cr-{port}"), "type": "chassisredirect", "datapath": uuid_ref(&router),
                "tunnel_key": 1, "options": json_map([("distributed-port", &port)]), "chassis": here,
            }),
        );
        for instance in 0..self.instances {
            record.add(
                "Port_Binding",
                id(Row::Port, self.number, instance),
                json!({
                    "logical_port": self.member(instance).name, "datapath": uuid_ref(&switch),
                    "tunnel_key": instance + 1, "chassis": here, "up": true,
                }),
            );
        }
    }
}

/// The flows of a network.
struct Flows<'a> {
    network: &'a Network,
    count: u32,
    record: &'a mut Record,
}

impl Flows<'_> {
    fn add(&mut self, stage: (&str, &str), priority: u32, matching: &str, actions: &str, hint: &str) {
        let datapath = id(Row::Datapath, self.network.number, u32::from(stage.0.starts_with("ls")));
        let mut ids = vec![("source", "northd.c:13958"), ("stage-name", stage.0)];
        ids.extend((!hint.is_empty()).then_some(("stage-hint", hint)));
        let flow = json!({
            "logical_datapath": uuid_ref(&datapath), "pipeline": stage.1, "table_id": self.count % 24,
            "priority": priority, "match": matching, "actions": actions, "external_ids": json_map(ids),
        });
        self.record.add("Logical_Flow", id(Row::Flow, self.network.number, self.count), flow);
        self.count += 1;
    }

    /// The flows of every router.
    fn base(&mut self) {
        self.add(("lr_out_snat", "egress"), 120, "nd_ns", "next;", "");
        self.add(("lr_out_snat", "egress"), 0, "1", "next;", "");
        self.add(("lr_in_unsnat", "ingress"), 0, "1", "next;", "");
    }

    fn translation(&mut self, wanted: &Translation) {
        let Translation { nat, internal, external, ports, .. } = wanted;
        let (port, hint) = (self.network.gateway_port(), &nat[..8]);
        let resident = format!("is_chassis_resident(\"cr-{port}\")");
        let range = if ports.is_empty() { String::new() } else { format!(",{ports}") };
        let (egress, ingress) = (("lr_out_snat", "egress"), ("lr_in_unsnat", "ingress"));
        let out = format!("ip && ip4.src == {internal} && outport == \"{port}\" && {resident}");
        self.add(egress, 161, &out, &format!("ct_snat_in_czone({external}{range});"), hint);
        let local = format!("{out} && reg9[4] == 1");
        self.add(egress, 162, &local, &format!("reg9[4] = 0; ct_snat({external}{range});"), hint);
        let back = format!("ip && ip4.dst == {external} && inport == \"{port}\"");
        self.add(
            ingress,
            100,
            &format!("{back} && flags.loopback == 0 && {resident}"),
            "ct_snat_in_czone;",
            hint,
        );
        let hairpin = format!("{back} && flags.loopback == 1 && flags.use_snat_zone == 1 && {resident}");
        self.add(ingress, 100, &hairpin, "ct_snat;", hint);
    }

    /// The flows by which packets to a VIP that is also a NAT address pass.
    fn balancers(&mut self) {
        for index in 0..self.network.forwards {
            let address = self.network.forward(index);
            for protocol in ["tcp", "udp"] {
                for port in LISTEN {
                    let matching =
                        format!("ip4 && ip4.dst == {address} && {protocol} && {protocol}.dst == {port}");
                    self.add(("lr_in_unsnat", "ingress"), 120, &matching, "next;", "0badbad0");
                }
            }
        }
    }

    /// Other flows, up to this total number.
    fn others(&mut self, flows: u64) {
        while u64::from(self.count) < flows {
            let number = self.count;
            let stage = OTHERS[number as usize % OTHERS.len()];
            let [_, _, high, low] = number.to_be_bytes();
            let matching = format!("outport == \"port-{number}\" && reg0 == 10.200.{high}.{low}");
            let actions = format!("eth.dst = 02:00:00:00:{high:02x}:{low:02x}; next;");
            self.add(stage, 100, &matching, &actions, "0badbad1");
        }
    }
}
