//! Two databases with the same edits, one of them with northd and an agent.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use fastrand::Rng;
use ovn_extaddr_tests::lab::hazards;
use ovn_extaddr_tests::{
    Addressing, Agent, Cli, Net, Ovn, OvsdbServer, Protocol, eventually, json_map, json_set, set_column,
    uuid_ref,
};
use serde_json::{Value, json};

use super::expected_state::{ExpectedState, Forward, Guest, Kind, Shape};
use super::view;
use crate::fixture::{SOON, V4, wait_until_settled};
use crate::rules::ours;

const KINDS: [Kind; 4] = [Kind::Incus72, Kind::Incus73, Kind::Lxd, Kind::Neutron];
const GUESTS: u32 = 4;
const PROTOCOLS: [Protocol; 2] = [Protocol::Tcp, Protocol::Udp];

/// Fewer than make rows contested, which another test covers.
const MAX_LOSSES: u32 = 8;

pub(super) struct World {
    agent: Agent,
    cli: Cli,
    ovn: Ovn,
    /// The database with the same edits without an agent.
    twin: OvsdbServer,
    networks: Vec<Network>,
    random: Rng,
    /// How often rows of the agent were removed since it was started.
    losses: u32,
}

struct Network {
    expected: ExpectedState,
    /// In the database with the agent, and in its twin.
    nets: [Net; 2],
    addresses: [Ipv4Addr; 3],
    floating: Ipv4Addr,
}

impl World {
    pub(super) fn start(seed: u64, config: &str) -> Result<Self> {
        let (ovn, twin) = (Ovn::start()?, OvsdbServer::northbound()?);
        let cli = Cli::new(ovn.nb.remote())?;
        cli.write_config(config)?;
        let mut networks = Vec::new();
        for (kind, id) in KINDS.into_iter().zip(1_u8..) {
            let mut nets = [&ovn.nb, &twin].into_iter().map(|server| Net::builder(id.into()).create(server));
            let mut nets = [nets.next().context("two")??, nets.next().context("two")??];
            let made = nets.each_mut().map(|net| net.add_instances(GUESTS, Addressing::Static));
            let [made, _] = made;
            let guests = made?.into_iter().map(|instance| {
                let address = instance.ipv4.context("it has one")?;
                Ok(Guest { port: instance.port, address, running: true, wish: None, floating: None })
            });
            let address = |last: u8| Ipv4Addr::new(203, 0, 113, 100 + 10 * id + last);
            networks.push(Network {
                expected: ExpectedState {
                    kind,
                    forwards: BTreeMap::new(),
                    guests: guests.collect::<Result<_>>()?,
                },
                nets,
                addresses: [address(0), address(1), address(2)],
                floating: address(5),
            });
        }
        let agent = Agent::builder(ovn.nb.remote()).config(config).start()?;
        Ok(Self { agent, cli, ovn, twin, networks, random: Rng::with_seed(seed), losses: 0 })
    }

    /// Makes an edit, and describes it.
    pub(super) fn step(&mut self) -> Result<String> {
        let at = self.random.usize(..self.networks.len());
        let kind = self.networks[at].expected.kind;
        let said = match self.random.usize(..20) {
            0..=4 => self.edit_forward(at)?,
            5 => self.delete_forward(at)?,
            6..=10 => self.wish(at)?,
            11 => self.stop_or_start(at)?,
            12 => self.readdress(at)?,
            13 | 14 if kind != Kind::Neutron => self.network_set(at)?,
            13 | 14 => self.float(at)?,
            15 => self.delete_by_external(at)?,
            16 => self.write_whole_router(at)?,
            17 => self.recreate_gateway(at)?,
            18 => self.restart_agent()?,
            _ => self.upgrade(at)?,
        };
        if self.losses >= MAX_LOSSES {
            self.restart_agent()?;
        }
        // Often at once, sometimes with time for the agent in between.
        if self.random.usize(..3) == 0 {
            sleep(Duration::from_micros(self.random.u64(..20_000)));
        }
        Ok(format!("{kind:?}: {said}"))
    }

    /// Checks everything that has to hold at rest.
    pub(super) fn rests(&self) -> Result<()> {
        let expected: BTreeSet<String> =
            self.networks.iter().flat_map(|network| network.expected.rows()).collect();
        eventually(SOON, "the agent's rows are those that the records call for", || {
            let found = ours(&self.ovn.nb)?;
            let missing: Vec<_> = expected.difference(&found).collect();
            let extra: Vec<_> = found.difference(&expected).collect();
            ensure!(missing.is_empty() && extra.is_empty(), "missing {missing:#?}, too many {extra:#?}");
            Ok(true)
        })?;
        wait_until_settled(&self.cli)?;
        self.compare()?;
        self.ovn.sync()?;
        for network in &self.networks {
            let [net, _] = &network.nets;
            let found = hazards::find(&self.ovn.lflows(&net.router(), "lr_in_unsnat")?, &net.nats()?);
            ensure!(found.is_empty(), "{found:#?}");
        }
        Ok(())
    }

    /// Removes everything of the agent.
    pub(super) fn ends(&mut self) -> Result<()> {
        self.rests()?;
        self.agent.stop()?;
        self.cli.run(&["cleanup"])?.success()?;
        ensure!(ours(&self.ovn.nb)?.is_empty(), "rows are left");
        self.compare()
    }

    fn compare(&self) -> Result<()> {
        let (found, expected) = (view::foreign(&self.ovn.nb)?, view::foreign(&self.twin)?);
        let missing: Vec<_> = expected.difference(&found).collect();
        let extra: Vec<_> = found.difference(&expected).collect();
        ensure!(
            missing.is_empty() && extra.is_empty(),
            "others' rows: missing {missing:#?}, too many {extra:#?}"
        );
        Ok(())
    }

    // === what managements do ===

    fn edit_forward(&mut self, at: usize) -> Result<String> {
        let listen = self.address(at);
        let mut forward = Forward::default();
        for _ in 0..self.random.u64(..3) {
            let (protocol, port) = (PROTOCOLS[self.random.usize(..2)], 1000 * (1 + self.random.u64(..60)));
            let target = self.target(at);
            forward.ports.insert((protocol, port.try_into()?), (target, 80));
        }
        if self.random.usize(..2) == 0 {
            let shape = match self.networks[at].expected.kind {
                Kind::Incus72 => Some(Shape::Vips),
                Kind::Incus73 => Some(Shape::Dnat),
                Kind::Lxd => Some(Shape::TcpVip),
                Kind::Neutron => None,
            };
            forward.default = shape.map(|shape| (self.target(at), shape));
        }
        if forward.targets().is_empty() {
            forward.ports.insert((Protocol::Tcp, 80), (self.target(at), 80));
        }
        self.write_forward(at, listen, &forward)?;
        let said = format!("{listen} is {forward:?}");
        self.networks[at].expected.forwards.insert(listen, forward);
        Ok(said)
    }

    fn delete_forward(&mut self, at: usize) -> Result<String> {
        let listen = self.address(at);
        self.write_forward(at, listen, &Forward::default())?;
        self.networks[at].expected.forwards.remove(&listen);
        Ok(format!("{listen} is not a forward"))
    }

    fn write_forward(&self, at: usize, listen: Ipv4Addr, forward: &Forward) -> Result<()> {
        let Network { expected, nets, .. } = &self.networks[at];
        for net in nets {
            match expected.kind {
                Kind::Incus72 | Kind::Incus73 => {
                    // One transaction to delete rows, one for the balancers, one for the new row.
                    if expected.kind == Kind::Incus73 {
                        remove_nats(net, &["dnat"], listen)?;
                    }
                    for protocol in PROTOCOLS {
                        net.set_vips(protocol, listen.into(), &forward.vips(listen, protocol))?;
                    }
                    if let Some((target, Shape::Dnat)) = forward.default {
                        net.add_nat("dnat", listen.into(), &target.to_string())?;
                    }
                }
                Kind::Lxd | Kind::Neutron => {
                    let server = if std::ptr::eq(net, &nets[0]) { &self.ovn.nb } else { &self.twin };
                    let old = expected.forwards.get(&listen).cloned().unwrap_or_default();
                    for protocol in PROTOCOLS {
                        edit_in_place(server, net, protocol, listen, &old, forward)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn network_set(&mut self, at: usize) -> Result<String> {
        self.losses += 1;
        self.networks[at].nets.iter().try_for_each(Net::wipe_snat)?;
        Ok("network set: all snat rows again".to_owned())
    }

    fn delete_by_external(&mut self, at: usize) -> Result<String> {
        self.losses += 1;
        let address = self.address(at);
        for net in &self.networks[at].nets {
            remove_nats(net, &["snat", "dnat_and_snat"], address)?;
        }
        Ok(format!("snat rows of {address} deleted"))
    }

    fn float(&mut self, at: usize) -> Result<String> {
        let who = self.random.usize(..GUESTS as usize);
        let Network { expected, nets, floating, .. } = &mut self.networks[at];
        let guest = &mut expected.guests[who];
        let wanted = guest.floating.is_none().then_some(*floating);
        for guest in &mut expected.guests {
            guest.floating = None;
        }
        let guest = &mut expected.guests[who];
        guest.floating = wanted;
        for net in &*nets {
            remove_nats(net, &["dnat_and_snat"], *floating)?;
            if let Some(floating) = wanted {
                net.add_nat("dnat_and_snat", floating.into(), &guest.address.to_string())?;
            }
        }
        Ok(format!("{} floats as {wanted:?}", guest.address))
    }

    fn stop_or_start(&mut self, at: usize) -> Result<String> {
        let who = self.random.usize(..GUESTS as usize);
        let Network { expected, nets, .. } = &mut self.networks[at];
        let guest = &mut expected.guests[who];
        if guest.floating.is_some() {
            return Ok("nothing".to_owned());
        }
        guest.running = !guest.running;
        if guest.running {
            // Keys of the port were deleted with it.
            guest.wish = None;
            for (net, server) in nets.iter().zip([&self.ovn.nb, &self.twin]) {
                server.transact(vec![
                    json!({"op": "insert", "table": "Logical_Switch_Port", "uuid-name": "port", "row": {
                        "name": guest.port, "addresses": addresses(guest), "enabled": true,
                    }}),
                    json!({"op": "mutate", "table": "Logical_Switch", "where": [["name", "==", net.internal_switch()]],
                        "mutations": [["ports", "insert", ["named-uuid", "port"]]]}),
                ])?;
            }
        } else {
            nets.iter().try_for_each(|net| net.remove_instance(&guest.port))?;
        }
        Ok(format!("{} runs: {}", guest.address, guest.running))
    }

    /// An instance gets another address, or two swap their addresses.
    fn readdress(&mut self, at: usize) -> Result<String> {
        let (one, two) = (self.random.usize(..GUESTS as usize), self.random.usize(..GUESTS as usize));
        let Network { expected, .. } = &mut self.networks[at];
        let guests = &mut expected.guests;
        if guests[one].floating.is_some() || guests[two].floating.is_some() {
            return Ok("nothing".to_owned());
        }
        if one == two {
            let [a, b, c, last] = guests[one].address.octets();
            guests[one].address = Ipv4Addr::new(a, b, c, last ^ 0x40);
        } else {
            let address = guests[one].address;
            guests[one].address = guests[two].address;
            guests[two].address = address;
        }
        let write = |who: usize| {
            json!({"op": "update", "table": "Logical_Switch_Port", "where": [["name", "==", guests[who].port]],
                "row": {"addresses": addresses(&guests[who])}})
        };
        for server in [&self.ovn.nb, &self.twin] {
            server.transact(vec![write(one), write(two)])?;
        }
        Ok(format!("{} is {}, {} is {}", one, guests[one].address, two, guests[two].address))
    }

    /// Writes a router as it was stored earlier, whatever changed meanwhile.
    fn write_whole_router(&mut self, at: usize) -> Result<String> {
        // The VIPs that were removed from balancers are not in a router row, so nothing here could restore them.
        let is_mixed = |forward: &Forward| forward.default.is_some() && !forward.ports.is_empty();
        if self.networks[at].expected.forwards.values().any(is_mixed) {
            return Ok("nothing".to_owned());
        }
        let router = self.networks[at].nets[0].router();
        let found = self.ovn.nb.transact(vec![json!({
            "op": "select", "table": "Logical_Router", "where": [["name", "==", router]], "columns": ["nat", "load_balancer"],
        })])?;
        let row = &found[0]["rows"][0];
        let said = self.wish(at)?;
        sleep(Duration::from_micros(self.random.u64(..5_000)));
        self.losses += 1;
        let written = self.ovn.nb.transact(vec![
            json!({"op": "update", "table": "Logical_Router", "where": [["name", "==", router]], "row": row}),
        ]);
        // A deleted row cannot be referred to: such an update fails, as in Incus.
        Ok(format!("{said}; a whole router written: {}", written.is_ok()))
    }

    /// Creates the gateway port again, as Incus does when the uplink changes.
    fn recreate_gateway(&self, at: usize) -> Result<String> {
        let Network { nets, .. } = &self.networks[at];
        for (net, server) in nets.iter().zip([&self.ovn.nb, &self.twin]) {
            let name = net.gateway_port();
            let found = server.transact(vec![
                json!({"op": "select", "table": "Logical_Router_Port", "where": [["name", "==", name]]}),
            ])?;
            let row = &found[0]["rows"][0];
            let uuid = set_column(&row["_uuid"]).pop().context("no gateway port")?;
            let copy = json!({
                "name": name, "mac": row["mac"], "networks": row["networks"],
                "ha_chassis_group": row["ha_chassis_group"],
            });
            let ports = |verb: &str, port: Value| {
                json!({"op": "mutate", "table": "Logical_Router", "where": [["name", "==", net.router()]],
                    "mutations": [["ports", verb, json_set([port])]]})
            };
            server.transact(vec![
                ports("delete", uuid_ref(uuid.as_str().context("a UUID")?)),
                json!({"op": "insert", "table": "Logical_Router_Port", "uuid-name": "again", "row": copy}),
                ports("insert", json!(["named-uuid", "again"])),
            ])?;
        }
        Ok("gateway port again".to_owned())
    }

    /// Incus gets a new version: forwards stay as they were written until they are edited.
    fn upgrade(&mut self, at: usize) -> Result<String> {
        // Rarely, since this cannot be undone.
        let now = self.random.usize(..5) == 0;
        let kind = &mut self.networks[at].expected.kind;
        if *kind != Kind::Incus72 || !now {
            return Ok("nothing".to_owned());
        }
        *kind = Kind::Incus73;
        Ok("upgraded".to_owned())
    }

    // === what operators do ===

    fn wish(&mut self, at: usize) -> Result<String> {
        let (who, what) = (self.random.usize(..GUESTS as usize), self.random.usize(..8));
        let Network { expected, nets, addresses, .. } = &mut self.networks[at];
        let guest = &mut expected.guests[who];
        if !guest.running {
            return Ok("nothing".to_owned());
        }
        guest.wish = match what {
            0 => None,
            1 => Some("none".to_owned()),
            2 | 3 => Some("auto".to_owned()),
            other => Some(addresses[other % 3].to_string()),
        };
        nets.iter().try_for_each(|net| net.annotate(&guest.port, V4, guest.wish.as_deref()))?;
        Ok(format!("{} wants {:?}", guest.address, guest.wish))
    }

    fn restart_agent(&mut self) -> Result<String> {
        self.losses = 0;
        self.agent.restart()?;
        Ok("the agent is killed and started again".to_owned())
    }

    // === inside ===

    fn address(&mut self, at: usize) -> Ipv4Addr {
        let which = self.random.usize(..3);
        self.networks[at].addresses[which]
    }

    /// A target for a forward: an instance, whose address may change later.
    fn target(&mut self, at: usize) -> Ipv4Addr {
        let who = self.random.usize(..GUESTS as usize);
        self.networks[at].expected.guests[who].address
    }
}

fn addresses(guest: &Guest) -> String {
    format!("0a:00:00:00:00:01 {}", guest.address)
}

/// Removes rows by their external address, whatever their owner.
fn remove_nats(net: &Net, kinds: &[&str], external: Ipv4Addr) -> Result<()> {
    let rows = net.nats()?.into_iter();
    let mut such = rows.filter(|nat| kinds.contains(&&*nat.kind) && nat.external_ip == external.to_string());
    such.try_for_each(|nat| net.remove_nat(&nat.uuid))
}

/// Changes a balancer from one state to another by single keys, as lb-add and lb-del do.
fn edit_in_place(
    server: &OvsdbServer,
    net: &Net,
    protocol: Protocol,
    listen: Ipv4Addr,
    old: &Forward,
    new: &Forward,
) -> Result<()> {
    let (old, new) = (old.vips(listen, protocol), new.vips(listen, protocol));
    let name = net.balancer(protocol, listen.into());
    match (old.is_empty(), new.is_empty()) {
        (true, true) => return Ok(()),
        (true, false) | (false, true) => return net.set_vips(protocol, listen.into(), &new),
        (false, false) => {}
    }
    // Removing a key that the agent has removed already has no visible effect.
    let default = listen.to_string();
    if old.contains_key(&default) && !new.contains_key(&default) {
        return net.set_vips(protocol, listen.into(), &new);
    }
    let gone: Vec<Value> =
        old.keys().filter(|key| old.get(*key) != new.get(*key)).map(|key| json!(key)).collect();
    let come: Vec<_> = new.iter().filter(|(key, value)| old.get(*key) != Some(*value)).collect();
    for mutation in [json!(["vips", "delete", json_set(gone)]), json!(["vips", "insert", json_map(come)])] {
        let done = server.transact(vec![
            json!({"op": "mutate", "table": "Load_Balancer", "where": [["name", "==", name]], "mutations": [mutation]}),
        ])?;
        if done[0]["count"] != 1 {
            bail!("no balancer {name}");
        }
    }
    Ok(())
}
