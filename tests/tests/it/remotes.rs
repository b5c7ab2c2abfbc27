//! Commands with servers of which some or all are unusable.

use std::os::unix::net::UnixListener;
use std::thread::scope;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use ovn_extaddr_tests::{Addressing, Cli, Cluster, Net, OvsdbServer, eventually};

use crate::cli::COMMANDS;
use crate::fixture::{SOON, V4};

/// How long a server may be silent by default.
const TIMEOUT: Duration = Duration::from_secs(5);

/// A socket that accepts connections and never sends anything, as that of a frozen server.
fn silent(server: &OvsdbServer) -> Result<(UnixListener, String)> {
    let path = server.dir().join("silent.sock");
    Ok((UnixListener::bind(&path)?, format!("unix:{}", path.display())))
}

#[test]
fn silent_server_is_abandoned_without_a_timeout_option() -> Result<()> {
    let server = OvsdbServer::northbound()?;
    let (_silent, remote) = silent(&server)?;
    let cli = Cli::new(&remote)?;
    scope(|threads| {
        let run = |arguments: &'static [&'static str]| {
            let (cli, remote) = (&cli, &remote);
            threads.spawn(move || -> Result<()> {
                let start = Instant::now();
                let output = cli.run(arguments)?;
                let took = start.elapsed();
                ensure!(output.code() == Some(1), "{arguments:?}: {output:?}");
                ensure!(output.stderr.contains(remote) && output.stderr.contains("silent"), "{output:?}");
                ensure!(took >= TIMEOUT, "{arguments:?} took {took:?}");
                Ok(())
            })
        };
        let all = COMMANDS.map(run);
        all.into_iter().try_for_each(|one| one.join().expect("the thread ends"))
    })
}

#[test]
fn silent_server_is_left_for_the_next_remote() -> Result<()> {
    let server = OvsdbServer::northbound()?;
    let (_silent, remote) = silent(&server)?;
    let mut net = Net::builder(1).create(&server)?;
    let (one, two) = (net.add_instance(Addressing::Static)?, net.add_instance(Addressing::Static)?);
    let cli = Cli::new(format!("{remote},{}", server.remote()))?;
    let set = |port: &str, more: &[&str]| -> Result<Duration> {
        let start = Instant::now();
        cli.run(&[&["set", port, "--ipv4=auto"], more].concat())?.success()?;
        ensure!(net.external_ids(port)?.get(V4).map(String::as_str) == Some("auto"));
        Ok(start.elapsed())
    };
    let took = set(&one.port, &[])?;
    ensure!(took >= TIMEOUT, "it took {took:?}");
    // Each server has a share of a given timeout.
    let took = set(&two.port, &["--timeout=8"])?;
    ensure!(took >= Duration::from_secs(4), "it took {took:?}");
    Ok(())
}

/// It accepts connections and transactions, and would answer these when its cluster is back.
#[test]
fn partitioned_member_is_not_waited_for() -> Result<()> {
    let mut cluster = Cluster::northbound(3)?;
    let mut net = Net::builder(1).create(&cluster)?;
    let instance = net.add_instance(Addressing::Static)?;
    let alone = cluster.member(0).remote();
    let follower = (cluster.leader()? + 1) % 3;
    let found = Cli::new(cluster.member(follower).remote())?.run(&["doctor"])?;
    ensure!(found.stdout.contains("a follower in its cluster"), "{found:?}");
    ensure!(found.stdout.contains("name all members of the cluster in db"), "{found:?}");
    for n in [1, 2] {
        cluster.member(n).kill9()?;
    }
    let cli = Cli::new(&alone)?;
    let found = eventually(SOON, "it knows that it is alone", || {
        let output = cli.run(&["doctor", "--json"])?;
        // The cure is only given for the server itself.
        Ok(output.stdout.contains("cluster/status").then_some(output))
    })?;
    ensure!(
        found.code() == Some(1) && found.stdout.contains("has lost the majority of its cluster"),
        "{found:?}"
    );
    let output = cli.run(&["set", &instance.port, "--ipv4=auto"])?;
    ensure!(output.code() == Some(1), "{output:?}");
    ensure!(
        output.stderr.contains(&format!("{alone}: the server has lost the majority of its cluster")),
        "{output:?}"
    );
    for n in [1, 2] {
        cluster.member(n).restart()?;
    }
    eventually(SOON, "it is taken again", || {
        Ok(cli.run(&["set", &instance.port, "--ipv4=auto"])?.status.success())
    })
}

#[test]
fn connection_error_names_the_fault_of_every_remote() -> Result<()> {
    let server = OvsdbServer::southbound()?;
    let cli = Cli::new(format!("unix:/no/such/socket,{}", server.remote()))?;
    for arguments in COMMANDS {
        for more in [&[][..], &["--timeout=2"]] {
            let output = cli.run(&[arguments, more].concat())?;
            ensure!(output.code() == Some(1) && output.stderr.lines().count() == 1, "{output:?}");
            let (first, second) =
                output.stderr.split_once("; ").with_context(|| format!("both servers: {output:?}"))?;
            ensure!([first, second].iter().any(|part| part.contains("/no/such/socket: ")), "{output:?}");
            ensure!([first, second].iter().any(|part| part.contains(&server.remote())), "{output:?}");
        }
    }
    Ok(())
}
