//! The faults that ovsdb-server can simulate, one after the other, while intents are set and unset.

use anyhow::{Context, Result, ensure};
use ovn_extaddr_tests::{Agent, Cluster, eventually};

use crate::load::{Load, TIMEOUT, commits, wait_for_commit, wait_for_member};
use crate::schema::{another, convert};

/// The member that is to fail.
#[derive(Clone, Copy, Debug)]
enum Victim {
    Leader,
    /// The follower that forwards the load's transactions.
    Follower,
}

/// Scenarios of `cluster/failure-test` in which the process ends, at a point where a transaction under way may be known
/// to no member, to some or to all.
const CRASHES: [(Victim, &str); 7] = [
    (Victim::Leader, "crash-before-sending-append-request"),
    (Victim::Leader, "crash-after-sending-append-request"),
    (Victim::Leader, "crash-before-sending-execute-command-reply"),
    (Victim::Leader, "crash-after-sending-execute-command-reply"),
    (Victim::Follower, "crash-before-sending-execute-command-request"),
    (Victim::Follower, "crash-after-sending-execute-command-request"),
    (Victim::Follower, "crash-after-receiving-append-request-update"),
];

/// A cluster under load with two agents, which has these faults and reaches the correct final state.
fn under_load(suffer: impl FnOnce(&mut Cluster, &[Agent]) -> Result<()>) -> Result<()> {
    let mut cluster = Cluster::northbound(3)?;
    let load = Load::on(&cluster)?;
    let mut agents = [Agent::start(cluster.remotes())?, Agent::start(cluster.tcp_remotes())?];
    let ((), intents) = load.during(|| suffer(&mut cluster, &agents))?;
    ensure!(intents > 20, "{intents} intents are no load");
    load.settle(&cluster, &mut agents)
}

/// Waits until an agent has committed something after the fault.
fn commits_after(agents: &[Agent], what: &str, fault: impl FnOnce() -> Result<()>) -> Result<()> {
    fault().context(what.to_owned())?;
    // One commit may have been under way; the next one is on another connection.
    for _ in 0..2 {
        wait_for_commit(agents, commits(agents), what)?;
    }
    Ok(())
}

/// Gives the leadership to a member other than the first, which then forwards the load's transactions.
fn first_follows(cluster: &Cluster) -> Result<usize> {
    eventually(TIMEOUT, "another one than the first leads", || {
        if cluster.leader()? == 0 {
            cluster.transfer_leadership()?;
        }
        Ok(Some(cluster.leader()?).filter(|leader| *leader != 0))
    })
}

#[test]
fn crashes_within_a_transaction_neither_lose_nor_double_rows() -> Result<()> {
    under_load(|cluster, agents| {
        for (victim, scenario) in CRASHES {
            let leader = first_follows(cluster)?;
            let member = if let Victim::Leader = victim { leader } else { 0 };
            cluster.members()[member].appctl(&["cluster/failure-test", scenario])?;
            eventually(TIMEOUT, &format!("{scenario} ends the {victim:?}"), || {
                Ok(!cluster.member(member).daemon().is_running())
            })?;
            commits_after(agents, scenario, || cluster.leader_but(Some(member)).map(drop))?;
            cluster.member(member).restart()?;
            wait_for_member(cluster, member)?;
        }
        Ok(())
    })
}

#[test]
fn silent_members_and_long_elections_are_survived() -> Result<()> {
    under_load(|cluster, agents| {
        let leader = first_follows(cluster)?;
        commits_after(agents, "a leader that hands over in the middle", || {
            let scenario = "transfer-leadership-after-sending-append-request";
            cluster.members()[leader].appctl(&["cluster/failure-test", scenario])?;
            cluster.leader_but(Some(leader)).map(drop)
        })?;
        for _ in 0..2 {
            let leader = first_follows(cluster)?;
            // It is cut off in both directions: its clients see it alive and without a majority.
            commits_after(agents, "a leader that is silent to the others", || {
                cluster.members()[leader].appctl(&["cluster/failure-test", "stop-raft-rpc"])?;
                cluster.leader_but(Some(leader)).map(drop)
            })?;
            cluster.members()[leader].appctl(&["cluster/failure-test", "clear"])?;
            wait_for_member(cluster, leader)?;
        }
        let leader = first_follows(cluster)?;
        commits_after(agents, "an election that takes long", || {
            for follower in (0..3).filter(|member| *member != leader) {
                cluster.members()[follower].appctl(&["cluster/failure-test", "delay-election"])?;
            }
            cluster.member(leader).kill9()?;
            cluster.leader_but(Some(leader)).map(drop)
        })?;
        cluster.member(leader).restart()?;
        wait_for_member(cluster, leader)
    })
}

/// Events that occur in every cluster.
#[test]
fn compaction_conversion_and_broken_connections_are_survived() -> Result<()> {
    under_load(everyday)
}

/// The same with servers of Open vSwitch before 2.6, as far as their clients can tell: they support neither conditional
/// monitors nor resuming from a transaction.
#[test]
fn faults_of_servers_without_conditional_monitors_are_survived() -> Result<()> {
    under_load(|cluster, agents| {
        for member in 0..3 {
            commits_after(agents, "a server that becomes an old one", || {
                cluster.members()[member].appctl(&["ovsdb-server/disable-monitor-cond"]).map(drop)
            })?;
        }
        everyday(cluster, agents)?;
        for agent in agents {
            let log = agent.log();
            let last = log.lines().rfind(|line| line.contains("synchronised with the database"));
            ensure!(last.is_some_and(|line| line.contains("resumed=false")), "{last:?}");
        }
        Ok(())
    })
}

fn everyday(cluster: &mut Cluster, agents: &[Agent]) -> Result<()> {
    for member in 0..3 {
        commits_after(agents, "a compaction", || cluster.members()[member].compact())?;
        commits_after(agents, "broken connections", || {
            cluster.members()[member].appctl(&["ovsdb-server/reconnect"]).map(drop)
        })?;
    }
    let convert = |change: &mut dyn FnMut(&mut serde_json::Value)| {
        let remote = cluster.members()[cluster.leader()?].remote();
        convert(&remote, cluster.dir(), change)
    };
    let mut old = serde_json::Value::Null;
    commits_after(agents, "a conversion", || {
        old = convert(&mut another)?;
        Ok(())
    })?;
    commits_after(agents, "a conversion back", || convert(&mut |schema| *schema = old.clone()).map(drop))
}
