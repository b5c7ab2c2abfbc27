//! The server that an agent uses: names whose address changes, lists that change, servers whose role changes, and those
//! that are only for readers.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use anyhow::{Result, ensure};
use ovn_extaddr_tests::{
    Addressing, Agent, Cli, Cluster, Net, Output, OvsdbServer, PROMPT, Relay, eventually,
};

use crate::fixture::{OWNER, SOON, V4, ip, owned, row, wait_for_rows};

const ADDRESS: &str = "203.0.113.101";

const LEFT: &str = "disconnected ";

/// A program that runs the agent with this file as /etc/hosts, without other name services.
fn agent_with_hosts(dir: &Path) -> Result<(String, String)> {
    let hosts = dir.join("hosts").display().to_string();
    let program = dir.join("agent").display().to_string();
    // A user other than root may have a separate file system as root of a user namespace.
    let unshare = if fs::metadata("/proc/self")?.uid() == 0 { "--mount" } else { "--map-root-user --mount" };
    let text = format!(
        "#!/bin/sh\n\
         exec unshare {unshare} sh -c 'mount --bind \"$0\" /etc/hosts && mount --bind \"$0.only\" /etc/nsswitch.conf && \
         exec \"$@\"' {hosts} {} \"$@\"\n",
        Agent::built()?.display()
    );
    fs::write(format!("{hosts}.only"), "hosts: files\n")?;
    fs::write(&program, text)?;
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755))?;
    Ok((hosts, program))
}

#[test]
fn host_name_is_resolved_for_every_connection() -> Result<()> {
    let server = OvsdbServer::northbound()?;
    let mut net = Net::builder(1).ipv4_only().create(&server)?;
    let instances = net.add_instances(2, Addressing::Static)?;
    net.add_forward(ip(ADDRESS), 443, instances[0].v4()?, 443)?;
    let remote = server.tcp_remote();
    let port = remote.rsplit(':').next().unwrap_or_default();
    let listen = |how: &str, host: &str| server.appctl(&[how, &format!("ptcp:{port}:{host}")]);
    let (hosts, program) = agent_with_hosts(server.dir())?;

    listen("ovsdb-server/add-remote", "127.0.0.2")?;
    fs::write(&hosts, "127.0.0.2 nb.test\n")?;
    let mut agent = Agent::builder(format!("tcp:nb.test:{port}")).binary(program).start()?;
    agent.wait_for_log("synchronised with the database")?;
    net.annotate(&instances[0].port, V4, Some(ADDRESS))?;
    wait_for_rows(&server, OWNER, [row(&net, &instances[0], ADDRESS, instances[0].v4()?)])?;

    // The name is missing for a while, and then that of another machine.
    fs::write(&hosts, "127.0.0.1 localhost\n")?;
    listen("ovsdb-server/remove-remote", "127.0.0.2")?;
    agent.wait_for_log("failed to lookup address information")?;
    listen("ovsdb-server/add-remote", "127.0.0.3")?;
    fs::write(&hosts, "127.0.0.3 nb.test\n")?;
    net.annotate(&instances[1].port, V4, Some(ADDRESS))?;
    let rows = instances.iter().map(|i| Ok(row(&net, i, ADDRESS, i.v4()?))).collect::<Result<Vec<_>>>()?;
    wait_for_rows(&server, OWNER, rows)
}

/// Regression: ovs-issues#204, kube-ovn#3668 and helm-charts#7958: only one of a name's addresses is ever tried.
#[test]
fn field_case_7_every_address_of_a_host_name_is_tried() -> Result<()> {
    let mut cluster = Cluster::northbound(3)?;
    let mut net = Net::builder(1).ipv4_only().create(&cluster)?;
    let instance = net.add_instance(Addressing::Static)?;
    net.add_forward(ip(ADDRESS), 443, instance.v4()?, 443)?;
    net.annotate(&instance.port, V4, Some(ADDRESS))?;
    // There is no server at the first; the second one accepts and never sends anything; the leader is the last.
    let silent = TcpListener::bind("127.0.0.3:0")?;
    let port = silent.local_addr()?.port();
    let leader = cluster.leader()?;
    let place = |n: usize| 4 + (n + 2 - leader) % 3;
    for n in 0..3 {
        let how = format!("ptcp:{port}:127.0.0.{}", place(n));
        cluster.member(n).appctl(&["ovsdb-server/add-remote", &how])?;
    }
    let (hosts, program) = agent_with_hosts(cluster.dir())?;
    fs::write(&hosts, (2..=6).map(|n| format!("127.0.0.{n} nb.test\n")).collect::<String>())?;
    let mut agent = Agent::builder(format!("tcp:[nb.test]:{port}")).binary(program).start()?;
    wait_for_rows(&cluster, OWNER, [row(&net, &instance, ADDRESS, instance.v4()?)])?;
    let at = |agent: &Agent, n: usize| {
        let place = format!("database: tcp:nb.test:{port} (127.0.0.{}) (synchronised)", place(n));
        eventually(SOON, &place, || Ok(agent.appctl(&["status"])?.contains(&place)))
    };
    at(&agent, leader)?;
    let new = cluster.transfer_leadership()?;
    net.annotate(&instance.port, V4, None)?;
    wait_for_rows(&cluster, OWNER, [])?;
    at(&agent, new)?;
    agent.wait_for_log("error=Connection refused (os error 111) address=127.0.0.2")
}

/// Rule: ovsdb(7) and Open vSwitch's programs: brackets around any host, `cid:` among the remotes, sockets by relative
/// names, commas in names of files.
#[test]
fn field_case_1_remotes_are_parsed_as_by_open_vswitch() -> Result<()> {
    let cluster = Cluster::northbound(1)?;
    let member = &cluster.members()[0];
    let id = member.appctl(&["cluster/cid", "OVN_Northbound"])?;
    let id = id.trim();
    let socket = cluster.dir().join("db,1.sock");
    member.appctl(&["ovsdb-server/add-remote", &format!("punix:{}", socket.display())])?;
    let tcp = member.tcp_remote().replace("127.0.0.1", "[127.0.0.1]");
    for remotes in [
        format!("unix:{}", socket.display()),
        format!("unix:/nowhere,{tcp}"),
        format!("unix:db,1.sock, cid:{id}"),
        format!("cid:{id},{tcp}"),
    ] {
        let cli = Cli::new(&remotes)?;
        let mut command = cli.command(&["list"]);
        command.env("OVS_RUNDIR", cluster.dir());
        Output::capture(command)?.success()?;
    }
    let other = "11111111-1111-4111-8111-111111111111";
    let output = Cli::new(format!("{tcp},cid:{other}"))?.run(&["list"])?;
    let why = format!("the server belongs to cluster {id}, not to {other}");
    ensure!(output.code() == Some(1) && output.stderr.contains(&why), "{output:?}");
    let twice = Cli::new(format!("{tcp},cid:{id}"))?;
    twice.write_config(&format!("cluster-id = \"{other}\"\n"))?;
    let output = twice.run(&["list"])?;
    ensure!(output.stderr.contains("configuration key cluster-id names"), "{output:?}");
    Ok(())
}

#[test]
fn changed_list_of_remotes_keeps_only_a_listed_connection() -> Result<()> {
    let server = OvsdbServer::northbound()?;
    let (first, second) = (server.remote(), server.tcp_remote());
    let config = |remotes: &str| format!("{PROMPT}db = \"{remotes}\"\n");
    let mut agent = Agent::builder("").config(&config(&first)).start()?;
    agent.wait_for_log("active: this agent has the lock")?;
    let at = |remote: &str| {
        eventually(SOON, &format!("the agent is at {remote}"), || {
            Ok(agent.appctl(&["status"])?.contains(&format!("database: {remote} (synchronised)")))
        })
    };
    at(&first)?;
    for listed in [format!("{second},{first}"), format!("{first},{second},tcp:127.0.0.1:1")] {
        agent.write_config(&config(&listed))?;
        eventually(SOON, "it has read it", || {
            Ok(agent.log().contains(&format!("remotes changed remotes={listed}")))
        })?;
        at(&first)?;
        ensure!(!agent.log().contains(LEFT), "{}", agent.log());
    }
    agent.write_config(&config(&second))?;
    at(&second)?;
    ensure!(agent.log().contains("the server is no longer among the remotes"), "{}", agent.log());
    Ok(())
}

/// A cluster restored from a backup under its old id looks like an outdated server.
#[test]
fn restored_cluster_is_stale_until_the_index_is_reset() -> Result<()> {
    let mut cluster = Cluster::northbound(1)?;
    let mut net = Net::builder(1).ipv4_only().create(&cluster)?;
    let instances = net.add_instances(2, Addressing::Static)?;
    net.add_forward(ip(ADDRESS), 443, instances[0].v4()?, 443)?;
    net.annotate(&instances[0].port, V4, Some(ADDRESS))?;
    let (file, backup) = (cluster.dir().join("0.db"), cluster.dir().join("backup"));
    cluster.member(0).kill9()?;
    fs::copy(&file, &backup)?;
    cluster.member(0).restart()?;
    cluster.leader()?;

    let mut agent = Agent::start(cluster.remotes())?;
    let expected = |n: usize| -> Result<String> { Ok(row(&net, &instances[n], ADDRESS, instances[n].v4()?)) };
    wait_for_rows(&cluster, OWNER, [expected(0)?])?;
    net.annotate(&instances[1].port, V4, Some(ADDRESS))?;
    wait_for_rows(&cluster, OWNER, [expected(0)?, expected(1)?])?;

    cluster.member(0).kill9()?;
    fs::copy(&backup, &file)?;
    cluster.member(0).restart()?;
    agent.wait_for_log("the server is stale: it has applied the cluster's log up to ")?;
    ensure!(owned(&cluster, OWNER)?.is_empty(), "it wrote to a server that it takes for a stale one");
    agent.appctl(&["nb-cluster-state-reset"])?;
    wait_for_rows(&cluster, OWNER, [expected(0)?])
}

/// Followers and relays may lag behind, which a reader may accept. Our rows are written only at the leader.
#[test]
fn reading_commands_may_use_any_server() -> Result<()> {
    let cluster = Cluster::northbound(3)?;
    let mut net = Net::builder(1).ipv4_only().create(&cluster)?;
    let instance = net.add_instance(Addressing::Static)?;
    net.annotate(&instance.port, V4, Some(ADDRESS))?;
    let follower = (cluster.leader()? + 1) % 3;
    let mut relay = Relay::start(&cluster.remotes())?;
    let places = [
        (cluster.members()[follower].remote(), "is not the leader of its cluster"),
        (relay.server().remote(), "is a relay, and only the leader will do"),
    ];
    for (remote, why) in places {
        let cli = Cli::new(&remote)?;
        eventually(SOON, "the server has caught up", || {
            let list = cli.run(&["list", "--json", "--no-leader-only"])?;
            ensure!(list.code() == Some(0) && list.stdout.contains(&instance.port), "{list:?}");
            Ok(true)
        })?;
        for refused in [vec!["list"], vec!["cleanup"], vec!["cleanup", "--no-leader-only"]] {
            let output = cli.run(&refused)?;
            ensure!(output.code() == Some(1) && output.stderr.contains(why), "{refused:?}: {output:?}");
        }
    }
    Ok(())
}

/// A backup of a standalone server accepts neither locks nor writes.
#[test]
fn backup_server_is_left_for_the_active_one() -> Result<()> {
    let (active, backup) = (OvsdbServer::northbound()?, OvsdbServer::northbound()?);
    backup.appctl(&["ovsdb-server/set-active-ovsdb-server", &active.remote()])?;
    backup.appctl(&["ovsdb-server/connect-active-ovsdb-server"])?;
    let mut net = Net::builder(1).ipv4_only().create(&active)?;
    let instance = net.add_instance(Addressing::Static)?;
    net.add_forward(ip(ADDRESS), 443, instance.v4()?, 443)?;
    net.annotate(&instance.port, V4, Some(ADDRESS))?;
    let mut agent = Agent::start(format!("{},{}", backup.remote(), active.remote()))?;
    agent.wait_for_log(&format!(
        "disconnected remote={} error=the server answered with an error: ",
        backup.remote()
    ))?;
    let rows = [row(&net, &instance, ADDRESS, instance.v4()?)];
    wait_for_rows(&active, OWNER, rows.clone())?;
    wait_for_rows(&backup, OWNER, rows)?;

    // The backup takes over.
    backup.appctl(&["ovsdb-server/disconnect-active-ovsdb-server"])?;
    drop(active);
    let mut next = Net::builder(2).ipv4_only().create(&backup)?;
    let other = next.add_instance(Addressing::Static)?;
    next.add_forward(ip("203.0.113.102"), 443, other.v4()?, 443)?;
    next.annotate(&other.port, V4, Some("203.0.113.102"))?;
    let rows =
        [row(&net, &instance, ADDRESS, instance.v4()?), row(&next, &other, "203.0.113.102", other.v4()?)];
    wait_for_rows(&backup, OWNER, rows)
}

/// A member that is cut off from the others still answers, and has the database.
#[test]
fn set_skips_a_partitioned_cluster_member() -> Result<()> {
    let cluster = Cluster::northbound(3)?;
    let mut net = Net::builder(1).ipv4_only().create(&cluster)?;
    let instance = net.add_instance(Addressing::Static)?;
    for first in [cluster.leader()?, (cluster.leader()? + 1) % 3] {
        let member = &cluster.members()[first];
        member.appctl(&["cluster/failure-test", "stop-raft-rpc"])?;
        eventually(SOON, "it knows that it is alone", || {
            Ok(member.cluster_status()?.contains("Status: disconnected from the cluster"))
        })?;
        cluster.leader_but(Some(first))?;
        let others = (1..3).map(|n| cluster.members()[(first + n) % 3].remote());
        let remotes: Vec<_> = [member.remote()].into_iter().chain(others).collect();
        let cli = Cli::new(remotes.join(","))?;
        for arguments in [vec!["set", "--ipv4", ADDRESS], vec!["unset"]] {
            let output = cli.run(&[&arguments[..], &[&instance.port, "--timeout", "10"]].concat())?;
            ensure!(output.code() == Some(0), "{arguments:?}: {output:?}");
        }
        member.appctl(&["cluster/failure-test", "clear"])?;
        crate::load::wait_for_member(&cluster, first)?;
    }
    Ok(())
}

/// A cluster that was deleted and created again has another id, and is not the one that the operator configured.
#[test]
fn field_case_10_only_the_cluster_with_the_configured_id_is_used() -> Result<()> {
    let cluster = Cluster::northbound(1)?;
    let mut net = Net::builder(1).ipv4_only().create(&cluster)?;
    let instance = net.add_instance(Addressing::Static)?;
    let id = cluster.members()[0].appctl(&["cluster/cid", "OVN_Northbound"])?;
    let pinned = |id: &str| format!("{PROMPT}cluster-id = \"{}\"\n", id.trim());
    let other = "11111111-1111-4111-8111-111111111111";
    let (mut right, mut wrong) = (
        Agent::builder(cluster.remotes()).config(&pinned(&id)).start()?,
        Agent::builder(cluster.remotes()).config(&pinned(other)).start()?,
    );
    right.wait_for_log("synchronised with the database")?;
    let why = format!("the server belongs to cluster {}, not to {other}", id.trim());
    wrong.wait_for_log(&why)?;
    for arguments in [vec!["list"], vec!["set", &instance.port, "--ipv4", ADDRESS]] {
        let output = wrong.cli(&arguments)?;
        ensure!(output.code() == Some(1) && output.stderr.contains(&why), "{arguments:?}: {output:?}");
        ensure!(right.cli(&arguments)?.code() == Some(0), "{arguments:?}");
    }
    ensure!(!wrong.log().contains("synchronised with the database"), "{}", wrong.log());
    Ok(())
}
