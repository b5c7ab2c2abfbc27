//! A data-plane lab: a complete OVN in its own network namespaces, for tests with real packets.
//!
//! ```text
//! Lab        NB, SB and northd, as many chassis as asked for, an Incus-shaped network, the outside host "wan"
//! Chassis    a namespace with ovs-vswitchd (userspace datapath) and ovn-controller; Geneve between them
//! Host       an instance or "wan": a namespace with addresses
//! Way        from a host to an address, and the host where it is to arrive: probe it, or hold connections on it
//! Outcome    what a probe found: was it answered, and which address and port did the far end see
//! Nodes      not a data plane: central nodes with a server of a cluster and an agent each, to be parted
//! Held       established TCP connections with traffic in both directions
//! hazards    what in the Southbound logical flows can take the replies to an instance's own connections
//! facts      the table of what this OVN release does with our rows
//! cases      what packets show of field cases, without the agent and with it
//! ```
//!
//! ```text
//!   wan 203.0.113.1, 2001:db8::1 --- br-ex  ch0 "gateway-1"  br-under ===Geneve=== br-under  ch1 "chassis-1"  br-int --- c1
//! ```
//!
//! It needs root, no kernel module, and changes nothing outside its own namespaces and directories. Everything is
//! removed when the [`Lab`] is dropped, and also when its process panics, is interrupted or is killed.

pub mod cases;
mod chassis;
mod estate;
pub mod facts;
mod flows;
pub mod hazards;
mod hold;
mod host;
mod icmp;
mod namespace;
mod nodes;
mod probe;

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

pub use chassis::Chassis;
pub use estate::{Found, built, end, found, reap, sweep_leftovers};
pub use flows::Flows;
pub use hold::{Counts, Held};
pub use host::{Family, Host};
pub use namespace::Namespace;
pub use nodes::Nodes;
pub use probe::{Outcome, Proto, Way};

use crate::agent::{Agent, AgentBuilder};
use crate::net::{Addressing, Instance, Net, NetBuilder};
use crate::ovn::Ovn;
use crate::wait::eventually;
use estate::Estate;
use hazards::Hazard;

/// How long anything in a lab may take, on a busy machine.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The chassis that gateway ports are on, as `Net` names it.
const GATEWAY: &str = "gateway-1";

/// The file in a lab's directory that describes the lab to other processes.
const DESCRIPTION: &str = "lab.json";

/// A running lab. All of it is removed when this is dropped.
#[derive(Debug)]
pub struct Lab {
    // In the order in which they have to end.
    chassis: Vec<Chassis>,
    ovn: Ovn,
    net: Net,
    wan: Host,
    hosts: Vec<Host>,
    gateway: usize,
    estate: Estate,
}

/// The configuration of a lab; made by [`Lab::builder`].
#[derive(Clone, Debug)]
pub struct LabBuilder {
    chassis: usize,
    gateway: usize,
    net: NetBuilder,
}

impl Lab {
    /// Describes a lab: by default one chassis with everything on it, and network 1.
    pub fn builder() -> LabBuilder {
        LabBuilder { chassis: 1, gateway: 0, net: Net::builder(1) }
    }

    // === what is in it ===

    /// The prefix of the names of its namespaces.
    pub fn name(&self) -> &str {
        self.estate.name()
    }

    /// Its directory, with the file that describes it to other processes.
    pub fn dir(&self) -> &Path {
        self.estate.dir()
    }

    /// The databases and northd.
    pub fn ovn(&mut self) -> &mut Ovn {
        &mut self.ovn
    }

    /// The network: forwards, annotations, NAT rows. Call [`sync`](Self::sync) after a change.
    pub fn net(&self) -> &Net {
        &self.net
    }

    /// The chassis.
    pub fn chassis(&mut self) -> &mut [Chassis] {
        &mut self.chassis
    }

    /// The number of the chassis that gateway ports are on.
    pub fn gateway(&self) -> usize {
        self.gateway
    }

    /// The host outside.
    pub fn wan(&self) -> &Host {
        &self.wan
    }

    /// Adds an instance to the network, with a namespace on a chassis, and waits until it reaches the outside.
    pub fn instance(&mut self, name: &str, chassis: usize) -> Result<Host> {
        let instance = self.net.add_instance(Addressing::Static)?;
        let gateways = host::Gateways::new(&self.net)?;
        let host = self.place(&instance, name, chassis, gateways)?;
        for family in host.families() {
            eventually(TIMEOUT, &format!("{name} reaches the outside by {family}"), || {
                self.outbound(&host, Proto::Icmp, family, None)?.seen().map(|_| true)
            })?;
        }
        Ok(host)
    }

    /// Adds an instance that a test has created itself, on its own switch. `gateways` are the router's addresses there,
    /// with the length of the network's prefix.
    pub fn guest(
        &mut self,
        instance: &Instance,
        name: &str,
        chassis: usize,
        gateways: &[(IpAddr, u8)],
    ) -> Result<Host> {
        self.place(instance, name, chassis, host::Gateways::from(gateways))
    }

    /// Adds two instances, the second nested in the first: both use one port of the chassis, and the packets of the
    /// second are tagged there.
    pub fn nested(&mut self, parent: &str, child: &str, chassis: usize) -> Result<[Host; 2]> {
        const TAG: u16 = 7;
        let [outer, inner] =
            [self.net.add_instance(Addressing::Static)?, self.net.add_instance(Addressing::Static)?];
        let parent_name = format!("parent_name={}", outer.port);
        let tag = format!("tag_request={TAG}");
        self.ovn.nbctl(&["set", "logical_switch_port", &inner.port, &parent_name, &tag])?;
        let gateways = host::Gateways::new(&self.net)?;
        let namespaces = [self.estate.namespace(parent)?, self.estate.namespace(child)?];
        let machine = self.chassis.get_mut(chassis).with_context(|| format!("no chassis {chassis}"))?;
        machine.nest(&outer.port, [(&namespaces[0], None), (&namespaces[1], Some(TAG))])?;
        let mut hosts = Vec::new();
        for ((instance, namespace), name) in [outer, inner].iter().zip(namespaces).zip([parent, child]) {
            let host = Host::instance(name, namespace, instance, &gateways)?;
            self.ovn.nbctl(&["wait-until", "logical_switch_port", &instance.port, "up=true"])?;
            self.hosts.push(host.clone());
            hosts.push(host);
        }
        self.describe()?;
        self.sync()?;
        hosts.try_into().ok().context("two were made")
    }

    /// Starts the agent with default options for this lab's Northbound database.
    pub fn agent(&self) -> Result<Agent> {
        self.agent_with(|builder| builder)
    }

    /// Starts the agent with more options: a configuration, arguments.
    pub fn agent_with(&self, tell: impl FnOnce(AgentBuilder) -> AgentBuilder) -> Result<Agent> {
        let agent = tell(Agent::builder(self.ovn.nb.remote())).start()?;
        self.estate.adopt(agent.dir())?;
        Ok(agent)
    }

    // === letting things settle ===

    /// Waits until everything written so far is in effect in every chassis, down to its datapath.
    pub fn sync(&self) -> Result<()> {
        self.ovn.nbctl(&["--wait=hv", "sync"])?;
        // The cached flows of the datapath are deleted rather than waited for: Open vSwitch before 3.1.3 can give one
        // the new actions of another that overlaps it, and then leaves it as it is until it is idle for ten seconds.
        self.chassis.iter().try_for_each(|chassis| chassis.appctl(&["revalidator/purge"]).map(drop))
    }

    /// Flushes all connections in every chassis: established ones break.
    pub fn flush(&self) -> Result<()> {
        self.chassis.iter().try_for_each(|chassis| chassis.appctl(&["dpctl/flush-conntrack"]).map(drop))
    }

    // === looking at packets ===

    /// The way from an instance to the outside host.
    pub fn outward<'a>(&'a self, from: &'a Host, family: Family) -> Result<Way<'a>> {
        Way::direct(from, &self.wan, family)
    }

    /// The way from the outside host to a forwarded address and port, to arrive at a port of an instance.
    pub fn inward<'a>(&'a self, forward: SocketAddr, at: &'a Host, port: u16) -> Result<Way<'a>> {
        Way::forwarded(&self.wan, forward, at, port)
    }

    /// The way from an instance to a forwarded address, to arrive at a port of another instance, or, hairpin, its own.
    pub fn across<'a>(
        &'a self,
        from: &'a Host,
        forward: SocketAddr,
        at: &'a Host,
        port: u16,
    ) -> Result<Way<'a>> {
        Way::forwarded(from, forward, at, port)
    }

    /// Sends a probe from an instance to the outside host.
    pub fn outbound(
        &self,
        from: &Host,
        proto: Proto,
        family: Family,
        source_port: Option<u16>,
    ) -> Result<Outcome> {
        self.outward(from, family)?.probe(proto, source_port)
    }

    /// Sends a probe from the outside host to a forwarded address, to arrive at a port of an instance.
    pub fn inbound(&self, forward: SocketAddr, proto: Proto, at: &Host, port: u16) -> Result<Outcome> {
        self.inward(forward, at, port)?.probe(proto, None)
    }

    /// The Southbound logical flows that can match the replies to connections of the network's instances.
    ///
    /// Northd has to have followed: call [`sync`](Self::sync) first.
    pub fn hazards(&self) -> Result<Vec<Hazard>> {
        self.hazards_of(&self.net)
    }

    /// As [`hazards`](Self::hazards), for another network of the same OVN.
    pub fn hazards_of(&self, net: &Net) -> Result<Vec<Hazard>> {
        let flows = self.ovn.lflows(&net.router(), "lr_in_unsnat")?;
        Ok(hazards::find(&flows, &net.nats()?))
    }

    // === inside ===

    fn place(
        &mut self,
        instance: &Instance,
        name: &str,
        chassis: usize,
        gateways: host::Gateways,
    ) -> Result<Host> {
        let chassis = self.chassis.get_mut(chassis).with_context(|| format!("no chassis {chassis}"))?;
        let namespace = self.estate.namespace(name)?;
        chassis.wire("br-int", &namespace, "eth0", Some(&instance.port))?;
        let host = Host::instance(name, namespace, instance, &gateways)?;
        self.ovn.nbctl(&["wait-until", "logical_switch_port", &instance.port, "up=true"])?;
        self.hosts.push(host.clone());
        self.describe()?;
        self.sync()?;
        Ok(host)
    }

    fn describe(&self) -> Result<()> {
        let hosts: Vec<Value> = [&self.wan].into_iter().chain(&self.hosts).map(Host::describe).collect();
        let chassis: Vec<Value> = self
            .chassis
            .iter()
            .map(|chassis| {
                json!({"name": chassis.name(), "netns": chassis.namespace().name(), "dir": chassis.dir()})
            })
            .collect();
        let text = json!({
            "name": self.name(),
            "nb": self.ovn.nb.remote(),
            "sb": self.ovn.sb.remote(),
            "router": self.net.router(),
            "hosts": hosts,
            "chassis": chassis,
        });
        fs::write(self.dir().join(DESCRIPTION), text.to_string()).context("cannot describe the lab")
    }
}

impl LabBuilder {
    /// How many chassis there are.
    #[must_use]
    pub fn chassis(mut self, count: usize) -> Self {
        self.chassis = count;
        self
    }

    /// A network other than [`Net::builder`]`(1)`. Its uplink is 203.0.113.0/24 and 2001:db8::/64 where the outside
    /// host is to be reached.
    #[must_use]
    pub fn net(mut self, net: NetBuilder) -> Self {
        self.net = net;
        self
    }

    /// Starts everything and waits until every chassis has applied northd's flows.
    pub fn start(self) -> Result<Lab> {
        ensure!(
            self.gateway < self.chassis,
            "the gateway is on chassis {} of {}",
            self.gateway,
            self.chassis
        );
        let estate = Estate::new()?;
        let mut ovn = Ovn::start()?;
        estate.adopt(ovn.nb.dir())?;
        estate.adopt(ovn.sb.dir())?;
        estate.adopt_daemon(ovn.northd())?;
        let net = self.net.create(&ovn.nb)?;

        let mut chassis: Vec<Chassis> = Vec::new();
        for number in 0..self.chassis {
            let gateway = number == self.gateway;
            let name = if gateway { GATEWAY.to_owned() } else { format!("chassis-{number}") };
            let mut next = Chassis::start(&estate, number, &name, &ovn.sb.remote(), gateway)?;
            // The underlay is a star around the first one's bridge.
            if let Some(first) = chassis.first_mut() {
                let device = format!("under{number}");
                next.wire("br-under", first.namespace(), &device, None)?;
                first.add_port("br-under", &device)?;
            }
            chassis.push(next);
        }
        let namespace = estate.namespace("wan")?;
        let gateway = chassis.get_mut(self.gateway).context("no gateway chassis")?;
        gateway.wire("br-ex", &namespace, "eth0", None)?;
        let wan = Host::outside(namespace)?;
        let lab = Lab { chassis, ovn, net, wan, hosts: Vec::new(), gateway: self.gateway, estate };
        eventually(TIMEOUT, "every chassis is in the Southbound database", || {
            let list = lab.ovn.sbctl(&["--bare", "--columns=name", "list", "chassis"])?;
            Ok(list.split_whitespace().count() == lab.chassis.len())
        })?;
        lab.sync()?;
        lab.describe()?;
        Ok(lab)
    }
}

/// Reads the description of a lab of any process.
pub fn description(lab: &Found) -> Result<Value> {
    let text =
        fs::read_to_string(lab.dir.join(DESCRIPTION)).with_context(|| format!("{} is not up", lab.name))?;
    serde_json::from_str(&text).context("a lab's description is not JSON")
}

/// Joins two namespaces by a pair of devices.
///
/// A userspace datapath forwards packets with checksums left to the hardware, which does not exist: both ends have to
/// compute them.
fn link(one: &Namespace, device: &str, other: &Namespace, peer: &str) -> Result<()> {
    one.shell(&format!("ip link add {device} type veth peer name {peer} netns {}", other.name()))?;
    for (namespace, device) in [(one, device), (other, peer)] {
        namespace.shell(&format!("ethtool -K {device} tx off >/dev/null; ip link set {device} up"))?;
    }
    Ok(())
}

/// The first of a network's addresses, written `address/length`.
fn first_of(network: &str) -> Result<(IpAddr, u8)> {
    let (address, len) = network.split_once('/').with_context(|| format!("{network}: no /length"))?;
    let first = match address.parse()? {
        IpAddr::V4(address) => IpAddr::V4((address.to_bits() + 1).into()),
        IpAddr::V6(address) => IpAddr::V6((address.to_bits() + 1).into()),
    };
    Ok((first, len.parse()?))
}
