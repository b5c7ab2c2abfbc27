use std::net::{IpAddr, Ipv4Addr};

use anyhow::Result;

use super::estate::Estate;
use super::namespace::Namespace;
use crate::agent::{Agent, PROMPT};
use crate::cluster::Cluster;

/// Seconds for which changes may be outstanding. The server does not notice every agent that is cut off.
const TAKEOVER: u32 = 10;

/// Central nodes: each a namespace with a member of a cluster and an agent, joined by one router.
#[derive(Debug)]
pub struct Nodes {
    // In the order in which they have to go.
    agents: Vec<Agent>,
    cluster: Cluster,
    nodes: Vec<(Namespace, IpAddr)>,
    wire: Namespace,
    _estate: Estate,
}

impl Nodes {
    /// Makes this many nodes, with all servers and agents running. Each agent names all servers, its own first.
    pub fn start(count: usize) -> Result<Self> {
        let estate = Estate::new()?;
        let wire = estate.namespace("wire")?;
        wire.shell("sysctl -qw net.ipv4.ip_forward=1")?;
        let mut nodes = Vec::new();
        for n in 0..count {
            let node = estate.namespace(&format!("node{n}"))?;
            let (near, far) = (Ipv4Addr::new(10, 99, n as u8, 2), Ipv4Addr::new(10, 99, n as u8, 1));
            wire.shell(&format!(
                "ip link add n{n} type veth peer name eth0 netns {}; ip addr add {far}/24 dev n{n}; ip link set n{n} up",
                node.name()
            ))?;
            node.shell(&format!(
                "ip addr add {near}/24 dev eth0; ip link set eth0 up; ip route add default via {far}"
            ))?;
            nodes.push((node, near.into()));
        }
        let cluster = Cluster::spread(&nodes)?;
        estate.adopt(cluster.dir())?;
        let mut agents = Vec::new();
        for (n, (node, _)) in nodes.iter().enumerate() {
            let remotes = (0..count).map(|k| format!("tcp:{}:6641", nodes[(n + k) % count].1));
            let remotes = remotes.collect::<Vec<_>>().join(",");
            let builder = Agent::builder(remotes).config(&format!("{PROMPT}takeover = {TAKEOVER}\n"));
            let agent = node.run(|| builder.start())?;
            estate.adopt(agent.dir())?;
            agents.push(agent);
        }
        Ok(Self { agents, cluster, nodes, wire, _estate: estate })
    }

    /// The servers. Their Unix sockets are reached from everywhere, partitioned or not.
    pub fn cluster(&mut self) -> &mut Cluster {
        &mut self.cluster
    }

    /// The agents.
    pub fn agents(&mut self) -> &mut [Agent] {
        &mut self.agents
    }

    /// Starts an agent that was killed.
    pub fn restart(&mut self, n: usize) -> Result<()> {
        let agent = &mut self.agents[n];
        self.nodes[n].0.run(|| agent.restart())
    }

    /// Silently drops all packets from and to a node.
    pub fn part(&self, n: usize) -> Result<()> {
        let address = self.nodes[n].1;
        self.wire
            .shell(&format!(
                "sysctl -qw net.ipv4.conf.n{n}.forwarding=0; ip route add blackhole {address}/32"
            ))
            .map(drop)
    }

    /// Lets packets through again.
    pub fn join(&self, n: usize) -> Result<()> {
        let address = self.nodes[n].1;
        self.wire
            .shell(&format!(
                "ip route del blackhole {address}/32; sysctl -qw net.ipv4.conf.n{n}.forwarding=1"
            ))
            .map(drop)
    }
}
