//! Intents that are set and unset without a pause while a cluster has faults, and the expected final rows.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{scope, sleep};
use std::time::Duration;

use anyhow::{Result, ensure};
use fastrand::Rng;
use ovn_extaddr_tests::{Addressing, Agent, Cli, Cluster, Instance, Net, eventually};

use crate::fixture::{OWNER, V4, ip, owned, row, wait_until_settled};

/// Longer than an election and a reconnection take together.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(60);

const ADDRESSES: [&str; 3] = ["203.0.113.101", "203.0.113.102", "203.0.113.103"];

/// A network whose 40 instances have changing intents.
pub(crate) struct Load {
    net: Net,
    instances: Vec<Instance>,
}

impl Load {
    pub(crate) fn on(cluster: &Cluster) -> Result<Self> {
        let mut net = Net::builder(1).ipv4_only().create(cluster)?;
        let instances = net.add_instances(40, Addressing::Static)?;
        for address in ADDRESSES {
            net.add_forward(ip(address), 443, ip("10.57.1.11"), 443)?;
        }
        Ok(Self { net, instances })
    }

    /// Sets and unsets intents for as long as `suffer` takes. Returns how many times, too.
    pub(crate) fn during<T>(&self, suffer: impl FnOnce() -> Result<T>) -> Result<(T, usize)> {
        let stop = AtomicBool::new(false);
        scope(|threads| {
            let work = threads.spawn(|| self.work(&stop));
            let suffered = suffer();
            stop.store(true, Ordering::Relaxed);
            let times = work.join().expect("the load ends");
            Ok((suffered?, times?))
        })
    }

    fn work(&self, stop: &AtomicBool) -> Result<usize> {
        let mut random = Rng::with_seed(0x5eed_0fca_a9a1_6001);
        let mut times = 0;
        while !stop.load(Ordering::Relaxed) {
            let at = random.usize(..self.instances.len());
            let address = ADDRESSES.get(random.usize(..4)).copied();
            self.net.annotate(&self.instances[at].port, V4, address)?;
            times += 1;
            sleep(Duration::from_millis(5));
        }
        Ok(times)
    }

    /// Waits until the rows match the ports' intents, without duplicates and leftovers, and checks that all members'
    /// files agree and that the agents are alive.
    pub(crate) fn settle(&self, cluster: &Cluster, agents: &mut [Agent]) -> Result<()> {
        // Requests to a frozen server may be executed when it continues, so only the database has the actual intents.
        eventually(TIMEOUT, "the rows are what the ports ask for", || {
            let mut wanted = BTreeSet::new();
            for instance in &self.instances {
                let asked = self.net.external_ids(&instance.port)?.remove(V4).zip(instance.ipv4);
                wanted.extend(asked.map(|(external, internal)| row(&self.net, instance, external, internal)));
            }
            let rows = owned(cluster, OWNER)?;
            ensure!(rows == wanted, "they are {rows:#?} instead of {wanted:#?}");
            Ok(true)
        })?;
        wait_until_settled(&Cli::new(cluster.remotes())?)?;
        cluster.check()?;
        for agent in agents {
            ensure!(agent.daemon().is_running() && !agent.log().contains("panic"), "{}", agent.log());
        }
        Ok(())
    }
}

/// The total number of the agents' commits.
pub(crate) fn commits(agents: &[Agent]) -> usize {
    agents.iter().map(|agent| agent.log().matches(" committed ").count()).sum()
}

/// Waits until there are more commits than before.
pub(crate) fn wait_for_commit(agents: &[Agent], before: usize, what: &str) -> Result<()> {
    eventually(TIMEOUT, &format!("an agent commits after {what}"), || Ok(commits(agents) > before))
}

/// Waits until a member has rejoined.
pub(crate) fn wait_for_member(cluster: &Cluster, member: usize) -> Result<()> {
    eventually(TIMEOUT, "the member is back", || {
        let status = cluster.members()[member].cluster_status()?;
        ensure!(status.contains("Status: cluster member") && !status.contains("Leader: unknown"), "{status}");
        Ok(true)
    })
}
