//! The harness itself: the assumptions of the scenarios.

use std::net::IpAddr;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, bail};
use ovn_extaddr_tests::{
    Addressing, Agent, Daemon, DefaultTarget, Net, Output, Ovn, OvsdbServer, Protocol, eventually,
};
use serde_json::json;

const SOON: Duration = Duration::from_secs(20);

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address written in a test")
}

#[test]
fn server_answers_on_all_its_sockets() -> Result<()> {
    let server = OvsdbServer::northbound()?;
    assert_eq!(server.database(), "OVN_Northbound");
    for remote in [server.remote(), server.tcp_remote()] {
        let mut command = Command::new("ovsdb-client");
        command.args(["list-dbs", &remote]);
        assert!(Output::capture(command)?.success()?.contains("OVN_Northbound"), "{remote}");
    }
    assert!(server.appctl(&["ovsdb-server/list-dbs"])?.contains("OVN_Northbound"));
    Ok(())
}

#[test]
fn server_restart_keeps_data_and_addresses() -> Result<()> {
    let mut server = OvsdbServer::northbound()?;
    Net::builder(1).create(&server)?.add_instance(Addressing::Static)?;
    let (before, tcp) = (server.dump()?, server.tcp_remote());
    assert!(before.contains("incus-net1-lr"), "{before}");

    server.restart()?;
    assert_eq!(server.dump()?, before);
    assert_eq!(server.tcp_remote(), tcp);

    server.stop()?;
    assert!(server.dump().is_err());
    server.start()?;
    assert_eq!(server.dump()?, before);
    Ok(())
}

#[test]
fn failed_transaction_names_its_operation_and_changes_nothing() -> Result<()> {
    let server = OvsdbServer::northbound()?;
    let before = server.dump()?;
    let error = server
        .transact(vec![
            json!({"op": "insert", "table": "Logical_Router", "row": {"name": "lr"}}),
            json!({"op": "abort"}),
        ])
        .expect_err("the transaction aborts itself");
    assert!(error.to_string().contains("operation 1 of 2"), "{error}");
    assert_eq!(server.dump()?, before);
    Ok(())
}

#[test]
fn dump_omits_the_given_tables_and_columns() -> Result<()> {
    let server = OvsdbServer::northbound()?;
    let net = Net::builder(1).create(&server)?;
    let dump = server.dump_without(&["NAT", "Logical_Router.options"])?;
    assert!(!dump.contains("\nNAT "), "{dump}");
    assert!(!dump.contains("dynamic_neigh_routers"), "{dump}");
    assert!(dump.contains(&net.router()), "{dump}");
    assert_eq!(server.snapshot()?.rows("NAT").count(), 2);
    Ok(())
}

#[test]
fn missing_or_failing_program_is_an_error() -> Result<()> {
    let server = OvsdbServer::northbound()?;
    let log = server.dir().join("test.log");
    let missing =
        Daemon::spawn(Command::new("no-such-ovsdb-server"), &log).expect_err("there is no such program");
    assert!(missing.to_string().contains("scripts/setup"), "{missing}");

    let mut failing = Command::new("sh");
    failing.args(["-c", "echo the reason; exit 3"]);
    let error = Daemon::spawn(failing, &log)?.wait_ready(SOON, || false).expect_err("it never gets ready");
    assert!(error.to_string().contains("the reason"), "{error}");
    assert!(error.to_string().contains('3'), "{error}");
    Ok(())
}

#[test]
fn failed_agent_start_shows_its_log() -> Result<()> {
    // A program that prints its arguments, and ends.
    let error = Agent::builder("unix:/no/such").binary("echo").args(&["--owner", "me"]).start();
    let text = error.expect_err("echo just ends").to_string();
    assert!(text.contains("\nrun --config "), "{text}");
    assert!(text.ends_with("config.toml --db unix:/no/such --owner me"), "{text}");
    Ok(())
}

#[test]
fn eventually_reports_its_condition_and_the_last_error() {
    let mut count = 0;
    let error = eventually(Duration::from_millis(50), "the sky falls", || -> Result<bool> {
        count += 1;
        bail!("it hangs, look {count}")
    })
    .expect_err("it does not");
    let text = format!("{error:#}");
    assert!(text.contains("the sky falls") && text.contains(&format!("look {count}")), "{text}");
    assert_eq!(eventually(SOON, "three", || Ok((count > 0).then_some(3))).expect("it is"), 3);
}

#[test]
fn northd_ignores_nat_without_a_gateway() -> Result<()> {
    let ovn = Ovn::start()?;
    let net = Net::builder(1).without_gateway().create(&ovn.nb)?;
    ovn.sync()?;
    assert_eq!(net.nats()?.len(), 2);
    let flows = ovn.lflows(&net.router(), "lr_out_snat")?;
    assert!(!flows.iter().any(|flow| flow.contains("ct_snat(203.0.113.2)")), "{flows:#?}");
    Ok(())
}

#[test]
fn generated_network_looks_like_one_of_incus() -> Result<()> {
    let ovn = Ovn::start()?;
    let mut net = Net::builder(7).create(&ovn.nb)?;
    let instance = net.add_instance(Addressing::Static)?;
    let listen = ip("203.0.113.101");
    net.add_forwards(
        Protocol::Udp,
        &[
            ("203.0.113.101:53".parse()?, "10.57.7.11:53".parse()?),
            ("203.0.113.101:54".parse()?, "10.57.7.11:54".parse()?),
        ],
    )?;

    let show = ovn.nbctl(&["show", &net.router()])?;
    for part in
        ["incus-net7-lr-lrp-ext", "203.0.113.8/24", "2001:db8::8/64", "incus-net7-lr-lrp-int", "10.57.7.1/24"]
    {
        assert!(show.contains(part), "{part} is not in\n{show}");
    }
    assert!(ovn.nbctl(&["lr-nat-list", &net.router()])?.contains("10.57.7.0/24"));
    let balancer = net.balancer(Protocol::Udp, listen);
    assert_eq!(balancer, "incus-net7-lb-203.0.113.101-udp");
    for lister in [["lr-lb-list", &net.router()], ["ls-lb-list", &net.internal_switch()]] {
        let list = ovn.nbctl(&lister)?;
        assert!(list.contains("203.0.113.101:53") && list.contains("203.0.113.101:54"), "{list}");
    }
    assert_eq!(net.external_ids(&instance.port)?["incus_switch"], "incus-net7-ls-int");
    assert!(ovn.nbctl_wait_sb(&["lsp-get-addresses", &instance.port])?.contains("10.57.7.11"));
    Ok(())
}

#[test]
fn additions_to_a_network_can_be_removed() -> Result<()> {
    let server = OvsdbServer::northbound()?;
    let empty = server.dump()?;
    let mut net = Net::builder(1).create(&server)?;
    let bare = server.dump()?;
    let listen = ip("203.0.113.101");

    let instance = net.add_instance(Addressing::Static)?;
    net.annotate(&instance.port, "ipv4.address.external", Some("auto"))?;
    net.annotate(&instance.port, "ipv4.address.external", Some("203.0.113.101"))?;
    assert_eq!(net.external_ids(&instance.port)?["ipv4.address.external"], "203.0.113.101");
    net.annotate(&instance.port, "ipv4.address.external", None)?;
    assert!(!net.external_ids(&instance.port)?.contains_key("ipv4.address.external"));
    net.annotate_router("address.external", Some("auto"))?;
    net.annotate_router("address.external", None)?;

    net.add_forward(listen, 80, instance.v4()?, 8080)?;
    net.add_default_target(listen, instance.v4()?, DefaultTarget::Vip)?;
    net.add_default_target(listen, instance.v4()?, DefaultTarget::Dnat)?;
    assert_eq!(net.vips(Protocol::Tcp, listen)?.len(), 2);
    assert_eq!(net.vips(Protocol::Udp, listen)?.len(), 1);
    assert_eq!(net.nats()?.len(), 3);
    net.remove_forward(listen)?;

    let foreign = net.add_nat("snat", listen, "10.57.1.11")?;
    net.remove_nat(&foreign)?;
    net.remove_instance(&instance.port)?;
    assert_eq!(server.dump()?, bare);

    net.add_nat("snat", listen, "10.57.1.11")?;
    net.wipe_snat()?;
    assert_eq!(net.nats()?.len(), 2);
    net.remove()?;
    assert_eq!(server.dump()?, empty);
    Ok(())
}

#[test]
fn northd_requires_a_gateway_port_in_rows_beside_a_second_one() -> Result<()> {
    let ovn = Ovn::start()?;
    let net = Net::builder(1).create(&ovn.nb)?;
    net.add_second_gateway(&["198.51.100.2/24"])?;
    net.add_nat("snat", ip("192.0.2.1"), "10.57.1.11")?;
    ovn.sync()?;
    let flows = ovn.lflows(&net.router(), "lr_out_snat")?;
    assert!(!flows.iter().any(|flow| flow.contains("192.0.2.1")), "{flows:#?}");
    assert!(flows.iter().any(|flow| flow.contains("ct_snat(203.0.113.2)")), "{flows:#?}");
    Ok(())
}

#[test]
fn dropped_servers_leave_no_processes_and_files() -> Result<()> {
    let (pids, dirs) = {
        let mut ovn = Ovn::start()?;
        let pids = [ovn.northd().pid(), ovn.nb.daemon().pid(), ovn.sb.daemon().pid()];
        (pids, [ovn.nb.dir().to_path_buf(), ovn.sb.dir().to_path_buf()])
    };
    for pid in pids {
        assert!(!PathBuf::from(format!("/proc/{pid}")).exists(), "{pid} still runs");
    }
    if std::env::var_os("OVN_EXTADDR_TESTS_KEEP").is_none() {
        assert!(dirs.iter().all(|dir| !dir.exists()), "{dirs:?}");
    }
    Ok(())
}
