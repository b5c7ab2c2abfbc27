//! Random operations of operators and CMSes on a cluster, with random faults, and at each rest point a comparison with
//! an independent record.
//!
//! The seed is printed. To replay, or to run longer: `OVN_EXTADDR_SEED=7 OVN_EXTADDR_STEPS=5000 cargo test -p
//! ovn-extaddr-tests --test it random_operations -- --nocapture`

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use fastrand::Rng;
use ovn_extaddr_tests::{Addressing, Agent, Cli, Cluster, Instance, Net, eventually};
use serde_json::Value;

use crate::fixture::{OWNER, V4, ip, owned, row, seed_and_steps, wait_until_settled};
use crate::schema::{another, convert};

/// The default number of steps of a run.
const STEPS: u64 = 400;

/// Steps between two rest points.
const STRETCH: u64 = 40;

const TIMEOUT: Duration = Duration::from_secs(60);

/// A network, with our own record of its content.
struct Site {
    net: Net,
    instances: Vec<Instance>,
    /// The intent of each port.
    asked: BTreeMap<String, String>,
    /// The target of each forward address.
    forwards: BTreeMap<IpAddr, IpAddr>,
}

struct Run {
    random: Rng,
    sites: Vec<Site>,
    agents: Vec<Agent>,
    cluster: Cluster,
    /// The original schema, while a converted one is in force.
    before: Option<Value>,
    /// The operations since the last rest point.
    story: Vec<String>,
}

#[test]
fn rows_match_the_record_after_random_operations_and_faults() -> Result<()> {
    let (seed, steps) = seed_and_steps(STEPS)?;
    let mut run = Run::begin(seed)?;
    for step in 1..=steps {
        let done = run.step().and_then(|()| if step % STRETCH == 0 { run.rest() } else { Ok(()) });
        done.with_context(|| {
            format!("seed {seed}, step {step}; since the last rest:\n  {}", run.story.join("\n  "))
        })?;
    }
    run.end().with_context(|| format!("the end of the run with seed {seed}"))
}

// ===== impl Run =====

impl Run {
    fn begin(seed: u64) -> Result<Self> {
        let cluster = Cluster::northbound(3)?;
        let mut sites = Vec::new();
        for id in 1..=3 {
            let mut net = Net::builder(id).ipv4_only().create(&cluster)?;
            let instances = net.add_instances(6, Addressing::Static)?;
            sites.push(Site { net, instances, asked: BTreeMap::new(), forwards: BTreeMap::new() });
        }
        let agents = vec![Agent::start(cluster.remotes())?, Agent::start(cluster.tcp_remotes())?];
        Ok(Self { random: Rng::with_seed(seed), sites, agents, cluster, before: None, story: Vec::new() })
    }

    /// One operation, and sometimes a fault right after it.
    fn step(&mut self) -> Result<()> {
        let site = self.random.usize(..self.sites.len());
        let told = self.sites[site].change(&mut self.random)?;
        self.story.push(format!("network {}: {told}", site + 1));
        let told = match self.random.u64(..60) {
            0..3 => {
                let agent = self.random.usize(..2);
                self.agents[agent].restart()?;
                format!("agent {agent} is killed and started")
            }
            3 => {
                let new = self.cluster.transfer_leadership()?;
                format!("leadership goes to {new}")
            }
            4 => {
                let old = self.cluster.leader()?;
                self.cluster.member(old).kill9()?;
                let new = self.cluster.leader_but(Some(old))?;
                self.cluster.member(old).restart()?;
                format!("leader {old} is killed, {new} follows")
            }
            5 => {
                let member = self.random.usize(..3);
                self.cluster.members()[member].compact()?;
                format!("member {member} compacts its file")
            }
            6 => {
                let member = self.random.usize(..3);
                self.cluster.members()[member].appctl(&["ovsdb-server/reconnect"])?;
                format!("member {member} breaks all connections")
            }
            7 => {
                let old = self.cluster.leader()?;
                self.cluster.member(old).daemon().signal("STOP")?;
                let new = self.cluster.leader_but(Some(old))?;
                self.cluster.member(old).daemon().signal("CONT")?;
                format!("leader {old} is frozen until {new} leads")
            }
            8 => {
                let remote = self.cluster.members()[self.cluster.leader()?].remote();
                let before = self.before.take();
                let there_and_back = |schema: &mut Value| match &before {
                    None => another(schema),
                    Some(before) => before.clone_into(schema),
                };
                let old = convert(&remote, self.cluster.dir(), there_and_back)?;
                self.before = Some(old).filter(|_| before.is_none());
                "the schema is converted".to_owned()
            }
            _ => return Ok(()),
        };
        self.story.push(told);
        // The test's own writes must be executed once: it waits for a leader, unlike the agents.
        self.cluster.leader()?;
        Ok(())
    }

    /// Waits until the database is in the expected state.
    fn rest(&mut self) -> Result<()> {
        let wanted: BTreeSet<String> = self.sites.iter().flat_map(Site::rows).collect();
        eventually(TIMEOUT, "the rows are as they should be", || {
            let rows = owned(&self.cluster, OWNER)?;
            let (less, more) = (wanted.difference(&rows), rows.difference(&wanted));
            ensure!(
                rows == wanted,
                "missing {:#?}, too many {:#?}",
                less.collect::<Vec<_>>(),
                more.collect::<Vec<_>>()
            );
            Ok(true)
        })?;
        wait_until_settled(&Cli::new(self.cluster.remotes())?)?;
        for site in &self.sites {
            let base = site.net.nats()?.into_iter().filter(|nat| nat.external_ids.is_empty()).count();
            ensure!(base == 1, "{} has {base} rows of its own", site.net.router());
        }
        for agent in &mut self.agents {
            ensure!(agent.daemon().is_running() && !agent.log().contains("panic"), "{}", agent.log());
        }
        self.story.clear();
        Ok(())
    }

    fn end(mut self) -> Result<()> {
        self.rest()?;
        for mut agent in std::mem::take(&mut self.agents) {
            ensure!(agent.stop()?.success(), "{}", agent.log());
        }
        let cleanup = Cli::new(self.cluster.remotes())?.run(&["cleanup"])?;
        ensure!(cleanup.code() == Some(0), "{cleanup:?}");
        // A member that has just been elected may not have applied yet what the leader before it has committed.
        eventually(TIMEOUT, "cleanup leaves no rows", || {
            let left = owned(&self.cluster, OWNER)?;
            ensure!(left.is_empty(), "{left:?} are left, {}", cleanup.stdout);
            Ok(true)
        })?;
        self.cluster.check()
    }
}

// ===== impl Site =====

impl Site {
    /// Makes an edit, and describes it.
    fn change(&mut self, random: &mut Rng) -> Result<String> {
        let mut below = |end: usize| random.usize(..end);
        let address = ip(&format!("203.0.113.{}", 101 + below(5)));
        let instance = self.instances[below(self.instances.len())].clone();
        Ok(match below(20) {
            0..11 => {
                let value = match below(8) {
                    0 => Some("auto".to_owned()),
                    1 => Some("none".to_owned()),
                    2 => Some("no address".to_owned()),
                    3 | 4 => None,
                    _ => Some(address.to_string()),
                };
                self.net.annotate(&instance.port, V4, value.as_deref())?;
                let told = format!("{} asks for {value:?}", instance.port);
                match value {
                    Some(value) => drop(self.asked.insert(instance.port, value)),
                    None => drop(self.asked.remove(&instance.port)),
                }
                told
            }
            11..14 => {
                // As in Incus, an edit also deletes the balancer and creates another.
                self.net.remove_forward(address)?;
                self.net.add_forward(address, 443, instance.v4()?, 443)?;
                self.forwards.insert(address, instance.v4()?);
                format!("{address} leads to {}", instance.port)
            }
            14 | 15 => {
                self.net.remove_forward(address)?;
                self.forwards.remove(&address);
                format!("{address} leads nowhere")
            }
            16 => {
                self.net.wipe_snat()?;
                "all SNAT rows are rewritten".to_owned()
            }
            17 => {
                let ours: Vec<_> =
                    self.net.nats()?.into_iter().filter(|nat| !nat.external_ids.is_empty()).collect();
                if let Some(nat) = ours.first() {
                    self.net.remove_nat(&nat.uuid)?;
                }
                "somebody removes a row of ours".to_owned()
            }
            18 if self.instances.len() > 3 => {
                self.net.remove_instance(&instance.port)?;
                self.instances.retain(|other| other.port != instance.port);
                self.asked.remove(&instance.port);
                format!("{} is gone", instance.port)
            }
            _ => {
                let instance = self.net.add_instance(Addressing::Static)?;
                let told = format!("{} is there", instance.port);
                self.instances.push(instance);
                told
            }
        })
    }

    /// The expected rows.
    fn rows(&self) -> Vec<String> {
        let granted = |instance: &Instance| {
            let (asked, internal) = (self.asked.get(&instance.port)?, instance.v4().ok()?);
            let external = if asked == "auto" {
                let mut leading = self.forwards.iter().filter(|(_, target)| **target == internal);
                let sole = leading.next().map(|(address, _)| *address)?;
                Some(sole).filter(|_| leading.next().is_none())?
            } else {
                asked.parse().ok().filter(|address| self.forwards.contains_key(address))?
            };
            Some(row(&self.net, instance, external, internal))
        };
        self.instances.iter().filter_map(granted).collect()
    }
}
