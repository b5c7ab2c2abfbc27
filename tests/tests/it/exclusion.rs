//! Two agents that both think they are active: a lock belongs to one server process, so this happens, and it must be
//! harmless.

use std::collections::BTreeSet;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use fastrand::Rng;
use ovn_extaddr_tests::{Addressing, Agent, Cli, DefaultTarget, Net, OvsdbServer, Proxy, eventually};

use crate::fixture::{OWNER, SOON, V4, ip, owned, row, versions, wait_for_rows, wait_until_settled};
use crate::protocol::client;

const ADDRESSES: [&str; 2] = ["203.0.113.101", "203.0.113.102"];

/// The content that the test itself rewrites.
const WIPED: [&str; 2] = ["NAT", "Logical_Router.nat"];

/// Of the same length, so that nothing else moves.
const LOCK: [&str; 2] = ["\"ovn_extaddr\"", "\"ovn_extaddR\""];

/// Rule: `assert` does not fence off a client across a failover.
#[test]
fn two_active_agents_end_with_the_requested_rows() -> Result<()> {
    let server = OvsdbServer::northbound()?;
    let mut net = Net::builder(1).ipv4_only().create(&server)?;
    let instances = net.add_instances(20, Addressing::Static)?;
    for address in ADDRESSES {
        net.add_forward(ip(address), 443, instances[0].v4()?, 443)?;
    }
    // This one has to be converted, by both at once.
    net.add_default_target(ip("203.0.113.103"), instances[1].v4()?, DefaultTarget::Vip)?;
    let before = server.dump_without(&WIPED)?;

    let proxy = Proxy::start(
        server.dir().join("other-lock.sock"),
        &server.socket(),
        |text| text.replace(LOCK[0], LOCK[1]),
        |text| text.replace(LOCK[1], LOCK[0]),
    )?;
    let mut agents = [Agent::start(server.remote())?, Agent::start(proxy.remote())?];
    for agent in &mut agents {
        agent.wait_for_log("active: this agent has the lock")?;
        agent.wait_for_log("synchronised with the database")?;
    }
    let mut random = Rng::with_seed(0x0dd5_eed5_0000_0001);
    for _ in 0..300 {
        let at = random.usize(..instances.len());
        let address = ADDRESSES.get(random.usize(..3)).copied();
        net.annotate(&instances[at].port, V4, address)?;
        if random.u64(..10) == 0 {
            let address = ["203.0.113.103", "none"][random.usize(..2)];
            net.annotate(&instances[1].port, V4, Some(address))?;
        }
        if random.u64(..30) == 0 {
            net.wipe_snat()?;
        }
    }
    net.annotate(&instances[1].port, V4, Some("none"))?;

    let mut wanted = BTreeSet::new();
    for instance in &instances {
        let asked = net.external_ids(&instance.port)?.remove(V4).filter(|text| text != "none");
        wanted.extend(asked.zip(instance.ipv4).map(|(ext, int)| row(&net, instance, ext, int)));
    }
    ensure!(wanted.len() > 3, "too little is asked for to prove anything: {wanted:#?}");
    eventually(SOON, "the rows are as the ports ask", || {
        let rows = owned(&server, OWNER)?;
        ensure!(rows == wanted, "they are {rows:#?}");
        Ok(true)
    })?;
    let cli = Cli::new(server.remote())?;
    wait_until_settled(&cli)?;
    for agent in &agents {
        ensure!(agent.log().contains(" committed "), "only one of them wrote: {}", agent.log());
        ensure!(!agent.log().contains("contested"), "{}", agent.log());
    }
    let settled = versions(&server, OWNER)?;
    sleep(Duration::from_millis(300));
    ensure!(versions(&server, OWNER)? == settled, "they go on writing over each other");

    for instance in &instances {
        net.annotate(&instance.port, V4, None)?;
    }
    eventually(SOON, "the database is what it was", || {
        ensure!(owned(&server, OWNER)?.is_empty());
        let after = server.dump_without(&WIPED)?;
        ensure!(after == before, "before:\n{before}\nafter:\n{after}");
        Ok(true)
    })?;
    wait_until_settled(&cli)
}

/// A lock that another client steals repeatedly and in the middle of transactions: transactions that assert it are
/// refused, and nothing is written until it is back.
#[tokio::test]
async fn agent_writes_nothing_while_its_lock_is_stolen() -> Result<()> {
    let server = OvsdbServer::northbound()?;
    let mut net = Net::builder(1).ipv4_only().create(&server)?;
    let instances = net.add_instances(20, Addressing::Static)?;
    for address in ADDRESSES {
        net.add_forward(ip(address), 443, instances[0].v4()?, 443)?;
    }
    let mut agent = Agent::start(server.remote())?;
    agent.wait_for_log("active: this agent has the lock")?;
    let thief = client(&server).await?;
    let name = "ovn_extaddr".parse()?;

    let mut random = Rng::with_seed(0x0dd5_eed5_0000_0002);
    let change = |random: &mut Rng| {
        let at = random.usize(..instances.len());
        net.annotate(&instances[at].port, V4, ADDRESSES.get(random.usize(..3)).copied())
    };
    for _ in 0..60 {
        let mut lock = thief.lock(&name).await?;
        lock.steal().await?;
        change(&mut random)?;
        lock.release().await?;
        // The agent is active again, and has changes to make when the lock is stolen next.
        change(&mut random)?;
    }
    // It takes the lock back, until it gives way.
    let start = Instant::now();
    // For a moment it is on standby even while it takes the lock back.
    let yields = || {
        let log = agent.log();
        let told = [log.rfind("taking it back"), log.rfind("another agent has taken the lock back")];
        told[1] > told[0]
    };
    let mut lock = thief.lock(&name).await?;
    while !(yields() && agent.appctl(&["status"])?.contains("role: standby")) {
        ensure!(start.elapsed() < SOON, "the agent does not give way: {}", agent.log());
        lock.steal().await?;
    }
    let before = versions(&server, OWNER)?;
    for _ in 0..20 {
        change(&mut random)?;
    }
    eventually(SOON, "it has seen what is to be done", || {
        Ok(!agent.appctl(&["status"])?.contains("to change: 0"))
    })?;
    ensure!(versions(&server, OWNER)? == before, "it wrote without the lock: {}", agent.log());

    // When a connection ends, its lock is granted to the waiting client. It ends when the driver learns that its
    // handles are dropped, for which this task, which only blocks from now on, has to yield.
    drop((lock, thief));
    tokio::time::sleep(Duration::from_millis(100)).await;
    let mut wanted = BTreeSet::new();
    for instance in &instances {
        let asked = net.external_ids(&instance.port)?.remove(V4).zip(instance.ipv4);
        wanted.extend(asked.map(|(external, internal)| row(&net, instance, external, internal)));
    }
    wait_for_rows(&server, OWNER, wanted)?;
    wait_until_settled(&Cli::new(server.remote())?)
}
