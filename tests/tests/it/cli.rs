//! The command line as scripts and people use it: exit statuses, one clear line, and JSON with a stable structure.

use std::io::pipe;
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::process::Stdio;
use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use ovn_extaddr_tests::{
    Addressing, Agent, Cli, Daemon, DefaultTarget, Instance, Net, Output, Ovn, OvsdbServer, Protocol,
    eventually,
};
use serde_json::{Value, json};

use crate::fixture::{Fixture, OWNER, SOON, V4, V6, ip, row, wait_for_rows, wait_until_settled};

/// Every command that needs a database.
pub(crate) const COMMANDS: [&[&str]; 8] = [
    &["plan"],
    &["list"],
    &["explain", "some-port"],
    &["forwards"],
    &["set", "some-port", "--ipv4", "auto"],
    &["unset", "some-port"],
    &["cleanup"],
    &["list", "--json"],
];

/// Asserts that a command failed correctly: status 1, one line that names the program, and nothing on standard output.
#[track_caller]
fn assert_fails(output: &Output, parts: &[&str]) {
    assert_eq!(output.code(), Some(1), "{output:?}");
    assert_eq!(output.stdout, "", "{output:?}");
    assert_eq!(output.stderr.lines().count(), 1, "one line, not\n{}", output.stderr);
    assert!(output.stderr.starts_with("ovn-extaddr: ") && !output.stderr.contains("panicked"), "{output:?}");
    for part in parts {
        assert!(output.stderr.contains(part), "\"{part}\" is not in {}", output.stderr);
    }
}

#[test]
fn invalid_arguments_are_usage_errors() -> Result<()> {
    let cli = Cli::new("unix:/no/such")?;
    assert!(cli.run(&["lits"])?.stderr.contains("'list'"), "a suggestion");
    let bad: [&[&str]; 18] = [
        &["no-such-command"],
        &["list", "--no-such-option"],
        &["list", "--state", "happy"],
        &["list", "superfluous"],
        &["explain"],
        &["set"],
        &["set", "port"],
        &["set", "port", "--ipv4"],
        &["set", "port", "--ipv4", "2001:db8::1"],
        &["set", "port", "--ipv4", "203.0.113.010"],
        &["set", "port", "--ipv6", "203.0.113.1"],
        &["set", "port", "--ipv4", "203.0.113.1/32"],
        &["set", "port", "--ipv4", "auto", "--wait=forever"],
        &["unset"],
        &["list", "--db", "carrier-pigeon:1"],
        &["list", "--db", "tcp:localhost:99999999"],
        &["list", "--owner", "not a name"],
        &["list", "--timeout", "soon"],
    ];
    for arguments in bad {
        let output = cli.run(arguments)?;
        assert_eq!(output.code(), Some(2), "{arguments:?}: {output:?}");
        assert!(
            output.stdout.is_empty() && output.stderr.starts_with("error: "),
            "{arguments:?}: {output:?}"
        );
    }
    assert_eq!(cli.run(&[])?.code(), Some(2));
    assert!(cli.run(&["--help"])?.success()?.contains("explain"));
    assert!(cli.run(&["--version"])?.success()?.starts_with("ovn-extaddr "));
    Ok(())
}

#[test]
fn unreachable_database_is_an_error_of_one_line() -> Result<()> {
    for remote in ["unix:/no/such/socket", "tcp:127.0.0.1:1", "tcp:[::1]:1,unix:/no/such/socket"] {
        let cli = Cli::new(remote)?;
        for arguments in COMMANDS {
            assert_fails(&cli.run(arguments)?, &[remote.rsplit(',').next().unwrap_or_default()]);
        }
    }
    Ok(())
}

#[test]
fn server_with_another_database_is_an_error_of_one_line() -> Result<()> {
    let server = OvsdbServer::southbound()?;
    let cli = Cli::new(server.remote())?;
    for arguments in COMMANDS {
        assert_fails(&cli.run(arguments)?, &["OVN_Northbound"]);
    }
    Ok(())
}

#[test]
fn invalid_configuration_is_an_error_that_names_the_file() -> Result<()> {
    let server = OvsdbServer::northbound()?;
    let cli = Cli::new(server.remote())?;
    let path = cli.config_path().display().to_string();
    let bad = [
        ("owner = ", "TOML"),
        ("owner = 3", "owner"),
        ("no-such-key = 1", "no-such-key"),
        ("owner = \"a b\"", "owner"),
    ];
    for (text, part) in bad {
        cli.write_config(text)?;
        let output = cli.run(&["list"])?;
        assert_eq!(output.code(), Some(1), "{text}: {output:?}");
        assert!(
            output.stderr.starts_with("ovn-extaddr: ") && !output.stderr.contains("panicked"),
            "{output:?}"
        );
        assert!(output.stderr.contains(part) || output.stderr.contains(&path), "{text}: {output:?}");
    }
    std::fs::remove_file(cli.config_path())?;
    assert_fails(&cli.run(&["list"])?, &[&path, "No such file"]);
    Ok(())
}

/// Regression: mulgadc/spinifex#456: half-open sockets hang their users.
#[test]
fn silent_server_is_abandoned_after_the_timeout() -> Result<()> {
    let (tcp, dir) = (TcpListener::bind("127.0.0.1:0")?, OvsdbServer::northbound()?);
    let socket = dir.dir().join("silent.sock");
    let _unix = UnixListener::bind(&socket)?;
    for remote in [format!("tcp:{}", tcp.local_addr()?), format!("unix:{}", socket.display())] {
        assert_all_time_out(&Cli::new(&remote)?, &remote)?;
    }
    Ok(())
}

#[test]
fn timeout_bounds_the_whole_command() -> Result<()> {
    let mut fixture = Fixture::start()?;
    let (_, instance) = network(&fixture.server)?;
    fixture.agent.stop()?;
    // There is no agent to do what it waits for.
    let output =
        fixture.cli.run(&["set", &instance.port, "--ipv4", "203.0.113.101", "--wait=sb", "--timeout=5"])?;
    assert_fails(&output, &["the intent is set"]);
    // A server that stops in the middle.
    fixture.server.daemon().signal("STOP")?;
    assert_all_time_out(&fixture.cli, "unix:")?;
    fixture.server.daemon().signal("CONT")
}

#[test]
fn missing_port_or_router_is_an_error_of_one_line() -> Result<()> {
    let fixture = Fixture::start()?;
    network(&fixture.server)?;
    let before = fixture.server.dump()?;
    let absent: [&[&str]; 5] = [
        &["explain", "no-such-port"],
        &["set", "no-such-port", "--ipv4", "auto"],
        &["unset", "no-such-port"],
        &["forwards", "no-such-port"],
        &["explain", ""],
    ];
    for arguments in absent {
        assert_fails(&fixture.cli.run(arguments)?, &[arguments[1]]);
    }
    assert_eq!(fixture.server.dump()?, before);
    Ok(())
}

#[test]
fn closed_pipe_never_panics() -> Result<()> {
    let fixture = Fixture::start()?;
    let (_, instance) = network(&fixture.server)?;
    let commands: [&[&str]; 8] = [
        &["list"],
        &["list", "--json"],
        &["plan"],
        &["plan", "--json"],
        &["forwards"],
        &["forwards", "--json"],
        &["explain", &instance.port],
        &["--help"],
    ];
    for arguments in commands {
        let (reader, writer) = pipe()?;
        drop(reader);
        let mut command = fixture.cli.command(arguments);
        let output = command.stdout(writer).stderr(Stdio::piped()).output()?;
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && stderr.is_empty(), "{arguments:?}: {} {stderr}", output.status);
    }
    Ok(())
}

/// Rule: an insertion into a map does not change an existing key; it has to be deleted first.
#[test]
fn set_and_unset_write_only_the_given_keys() -> Result<()> {
    let fixture = Fixture::start()?;
    let (net, instance) = network(&fixture.server)?;
    net.annotate(&instance.port, "ipv4.address", Some("10.57.1.11"))?;
    let before = net.external_ids(&instance.port)?;
    let run = |arguments: &[&str]| -> Result<(Option<String>, Option<String>)> {
        let output = fixture.cli.run(arguments)?;
        assert!(
            output.status.success() && output.stdout.is_empty() && output.stderr.lines().count() <= 1,
            "{output:?}"
        );
        // For an instance of Incus, the output explains how an intent outlives its port.
        assert_eq!(output.stderr.contains("with --keep it stays"), arguments[0] == "set", "{output:?}");
        let mut ids = net.external_ids(&instance.port)?;
        let found = (ids.remove(V4), ids.remove(V6));
        assert_eq!(ids, before, "other keys are left alone");
        Ok(found)
    };
    let is = |v4: Option<&str>, v6: Option<&str>| (v4.map(str::to_owned), v6.map(str::to_owned));
    let port = instance.port.as_str();
    assert_eq!(run(&["set", port, "--ipv4", "203.0.113.101"])?, is(Some("203.0.113.101"), None));
    assert_eq!(run(&["set", port, "--ipv4", "203.0.113.101"])?, is(Some("203.0.113.101"), None));
    assert_eq!(
        run(&["set", port, "--ipv6", "2001:DB8:0::65"])?,
        is(Some("203.0.113.101"), Some("2001:db8::65"))
    );
    assert_eq!(run(&["set", port, "--ipv4=auto", "--ipv6=none"])?, is(Some("auto"), Some("none")));
    assert_eq!(run(&["unset", port, "--ipv6"])?, is(Some("auto"), None));
    assert_eq!(run(&["unset", port, "--ipv6"])?, is(Some("auto"), None));
    assert_eq!(run(&["set", port, "--ipv6=auto"])?, is(Some("auto"), Some("auto")));
    assert_eq!(run(&["unset", port])?, is(None, None));
    // It is written as requested, with a warning that it has no effect.
    let router_port = format!("{}-lsp-router", net.internal_switch());
    let output = fixture.cli.run(&["set", &router_port, "--ipv4=auto"])?;
    assert!(output.status.success() && output.stderr.contains("type router"), "{output:?}");
    Ok(())
}

#[test]
fn set_waits_for_the_effect_on_request() -> Result<()> {
    let ovn = Ovn::start()?;
    let (_agent, cli) = (Agent::start(ovn.nb.remote())?, Cli::new(ovn.nb.remote())?);
    let (net, instance) = network(&ovn.nb)?;
    let output = cli.run(&["set", &instance.port, "--ipv4=203.0.113.101", "--wait=sb", "--timeout=20"])?;
    assert_eq!(
        output.success()?,
        format!("{} ipv4: active: 10.57.1.11 leaves as 203.0.113.101\n", instance.port)
    );
    // Immediately afterwards northd has it.
    let flows = ovn.lflows(&net.router(), "lr_out_snat")?;
    assert!(flows.iter().any(|flow| flow.contains("ct_snat(203.0.113.101,")), "{flows:#?}");

    // A refused intent does not change by waiting, and is a failure.
    let output = cli.run(&["set", &instance.port, "--ipv4=203.0.113.99", "--wait=sb", "--timeout=20"])?;
    assert_eq!(output.code(), Some(1), "{output:?}");
    assert!(output.stdout.contains("rejected"), "{output:?}");
    // So is one that waits for its port.
    let output = cli.run(&["set", "p9", "--keep", "--ipv4=203.0.113.99", "--wait=sb", "--timeout=20"])?;
    assert_eq!(output.code(), Some(1), "{output:?}");
    assert!(output.stdout.starts_with("p9 ipv4: waiting: "), "{output:?}");
    let output = cli.run(&["set", &instance.port, "--ipv4=none", "--wait=sb", "--timeout=20"])?;
    assert_eq!((output.code(), output.stdout.as_str()), (Some(0), ""), "{output:?}");
    let flows = ovn.lflows(&net.router(), "lr_out_snat")?;
    assert!(!flows.iter().any(|flow| flow.contains("ct_snat(203.0.113.101,")), "{flows:#?}");
    Ok(())
}

/// Like `ovn-nbctl --wait`, it reconnects without a timeout, and continues waiting.
#[test]
fn set_wait_survives_a_restart_of_the_server() -> Result<()> {
    let mut fixture = Fixture::start()?;
    let (_, instance) = network(&fixture.server)?;
    fixture.server.transact(vec![json!({"op": "insert", "table": "NB_Global", "row": {}})])?;
    let command = fixture.cli.command(&["set", &instance.port, "--ipv4=203.0.113.101", "--wait=hv"]);
    let log = fixture.server.dir().join("set.log");
    fixture.agent.stop()?;
    let mut waiting = Daemon::spawn(command, &log)?;
    // It waits for an agent, and then for northd.
    eventually(SOON, "the intent is set", || {
        let ports = fixture.server.snapshot()?;
        Ok(ports.rows("Logical_Switch_Port").any(|(_, row)| row["external_ids"].to_string().contains(V4)))
    })?;
    sleep(Duration::from_secs(1));
    fixture.server.stop()?;
    // Its connections wait between attempts now, each for a different time.
    sleep(Duration::from_secs(4));
    fixture.server.start()?;
    let _agent = Agent::start(fixture.server.remote())?;
    waiting.wait_for_log("active", SOON)?;
    let global = |server: &OvsdbServer| -> Result<_> {
        let snapshot = server.snapshot()?;
        snapshot.rows("NB_Global").next().map(|(_, row)| row.clone()).context("a row")
    };
    eventually(SOON, "nb_cfg is higher", || Ok(global(&fixture.server)?["nb_cfg"] == 1))?;
    // The outcome of that transaction must not be lost.
    sleep(Duration::from_secs(1));
    fixture.server.restart()?;
    sleep(Duration::from_secs(2));
    assert!(waiting.is_running(), "{}", waiting.log());
    // ovn-northd writes this when all chassis are done.
    fixture
        .server
        .transact(vec![json!({"op": "update", "table": "NB_Global", "where": [], "row": {"hv_cfg": 1}})])?;
    eventually(SOON, "the wait is over", || Ok(waiting.try_wait()?.is_some()))?;
    assert!(waiting.try_wait()?.is_some_and(|status| status.success()), "{}", waiting.log());
    Ok(())
}

#[test]
fn plan_exit_code_reports_pending_changes() -> Result<()> {
    let server = OvsdbServer::northbound()?;
    let cli = Cli::new(server.remote())?;
    let (net, instance) = network(&server)?;
    let status = |arguments: &[&str]| Ok::<_, anyhow::Error>(cli.run(arguments)?.code());
    assert_eq!(status(&["plan", "--exit-code"])?, Some(0));
    assert_eq!(cli.run(&["plan"])?.success()?, "Nothing to change.\n");
    // A time that no clock reaches is not a limit.
    assert_eq!(status(&["plan", "--timeout", &u64::MAX.to_string()])?, Some(0));
    let doctor = cli.run(&["doctor", "--timeout", &u64::MAX.to_string()])?.success()?;
    assert!(doctor.contains("0 problems"), "{doctor}");
    assert_eq!(json_of(&cli, &["plan", "--json"])?, json!([]));

    net.annotate(&instance.port, V4, Some("203.0.113.101"))?;
    let before = server.dump()?;
    assert_eq!(status(&["plan"])?, Some(0));
    assert_eq!(status(&["plan", "--exit-code"])?, Some(3));
    assert_eq!(status(&["plan", "--exit-code", "--json"])?, Some(3));
    let text = cli.run(&["plan"])?.success()?;
    assert!(text.contains("  + snat 203.0.113.101 for 10.57.1.11 ports 1024-65535  # "), "{text}");
    assert!(text.ends_with("1 to insert, 0 to update, 0 to delete.\n"), "{text}");
    let port = &instance.port;
    assert_eq!(server.dump()?, before, "it only looks");

    let mut agent = Agent::start(server.remote())?;
    wait_for_rows(&server, OWNER, [row(&net, &instance, "203.0.113.101", "10.57.1.11")])?;
    wait_until_settled(&cli)?;
    agent.stop()?;
    net.annotate(port, V4, Some("203.0.113.102"))?;
    let text = cli.run(&["plan"])?.success()?;
    assert!(
        text.contains("  ~ snat row of 10.57.1.11") && text.contains("- external_ip 203.0.113.101"),
        "{text}"
    );
    // A forward that is gone is no less gone because a command has just started.
    net.annotate(port, V4, Some("203.0.113.101"))?;
    assert_eq!(status(&["plan", "--exit-code"])?, Some(0));
    net.remove_forward(ip("203.0.113.101"))?;
    assert_eq!(status(&["plan", "--exit-code"])?, Some(3));
    assert_eq!(cli.list_json()?[0]["state"], "rejected");
    net.annotate(port, V4, None)?;
    let text = cli.run(&["plan"])?.success()?;
    assert!(
        text.contains("\n  - snat 203.0.113.101")
            && text.ends_with("0 to insert, 0 to update, 1 to delete.\n"),
        "{text}"
    );
    Ok(())
}

#[test]
fn json_output_keeps_its_form() -> Result<()> {
    let server = OvsdbServer::northbound()?;
    let cli = Cli::new(server.remote())?;
    let (net, instance) = network(&server)?;
    let port = &instance.port;
    assert_eq!(json_of(&cli, &["list", "--json"])?, json!([]));
    assert_eq!(
        json_of(&cli, &["explain", port, "--json"])?,
        json!({"port": port, "name": null, "intents": []})
    );
    net.annotate(port, V4, Some("203.0.113.101"))?;
    net.annotate(port, V6, Some("2001:db8::bad"))?;

    let plan = json_of(&cli, &["plan", "--json"])?;
    let uuid = plan[0]["nat"].as_str().context("a row's UUID")?.to_owned();
    assert_eq!(uuid.len(), 36);
    let content = |external: &str| json!({"role": "egress", "external_ip": external, "logical_ip": "10.57.1.11", "port_range": "1024-65535", "gateway_port": null});
    let change = |action: &str, from: Value, to: Value| json!([{"action": action, "port": port, "name": null, "router": "incus-net1-lr", "nat": uuid, "from": from, "to": to, "load_balancer": null, "vip": null}]);
    assert_eq!(plan, change("insert", Value::Null, content("203.0.113.101")));

    let granted = |state: &str, message: &str, nat: Value| {
        json!({
            "port": port, "name": null, "switch": "incus-net1-ls-int", "router": "incus-net1-lr", "family": "ipv4",
            "wanted": "203.0.113.101", "source": "annotation", "internal": ["10.57.1.11"],
            "external": "203.0.113.101", "state": state, "reason": null, "message": message, "nat": nat,
            "port_range": "1024-65535", "gateway_port": null,
        })
    };
    let mut list = json_of(&cli, &["list", "--json"])?;
    let refusal = list[1]["message"].take();
    assert!(refusal.as_str().is_some_and(|text| text.contains("ovn-extaddr forwards")), "{refusal}");
    let refused = json!({
        "port": port, "name": null, "switch": "incus-net1-ls-int", "router": null, "family": "ipv6",
        "wanted": "2001:db8::bad", "source": "annotation", "internal": ["fd42:57:1::b"],
        "external": null, "state": "rejected", "reason": "not-a-forward", "message": null, "nat": [],
        "port_range": null, "gateway_port": null,
    });
    let pending = "10.57.1.11 will leave as 203.0.113.101 once the agent has written it";
    assert_eq!(list, json!([granted("pending", pending, json!([])), refused]));

    let mut agent = Agent::start(server.remote())?;
    wait_for_rows(&server, OWNER, [row(&net, &instance, "203.0.113.101", "10.57.1.11")])?;
    agent.stop()?;
    let active = granted("active", "10.57.1.11 leaves as 203.0.113.101", json!([uuid]));
    assert_eq!(json_of(&cli, &["list", "--json", "--state", "active"])?, json!([active]));
    assert_eq!(json_of(&cli, &["list", "--json", "--state", "conflict", "--state", "foreign"])?, json!([]));
    let both = json_of(&cli, &["list", "--json", "--state", "active", "--state", "rejected"])?;
    assert_eq!(both.as_array().map(Vec::len), Some(2));

    let mut explained = json_of(&cli, &["explain", port, "--json"])?;
    let checks = explained["intents"][0]["checks"].take();
    let steps: Vec<&str> =
        checks.as_array().into_iter().flatten().filter_map(|c| c["step"].as_str()).collect();
    assert_eq!(
        steps,
        ["intent", "switch", "internal", "routers", "forward", "place", "port-range", "change"]
    );
    let exact =
        |check: &Value| check.as_object().is_some_and(|c| c.len() == 3) && check["detail"].is_string();
    assert!(checks.as_array().into_iter().flatten().all(exact), "{checks}");
    let intent = explained["intents"][0].as_object_mut().context("an object")?;
    intent.remove("checks");
    assert_eq!(explained["intents"][0], active);
    assert_eq!(
        explained.as_object().map(|object| object.keys().cloned().collect()),
        Some(["intents", "name", "port"].map(str::to_owned).to_vec())
    );

    net.annotate(port, V4, Some("203.0.113.102"))?;
    assert_eq!(
        json_of(&cli, &["plan", "--json"])?,
        change("update", content("203.0.113.101"), content("203.0.113.102"))
    );
    net.annotate(port, V4, None)?;
    assert_eq!(json_of(&cli, &["plan", "--json"])?, change("delete", content("203.0.113.101"), Value::Null));
    Ok(())
}

#[test]
fn forwards_are_listed_with_kind_targets_and_users() -> Result<()> {
    let fixture = Fixture::start()?;
    let mut net = Net::builder(1).create(&fixture.server)?;
    let instance = net.add_instance(Addressing::Static)?;
    let port = &instance.port;
    assert_eq!(json_of(&fixture.cli, &["forwards", "--json"])?, json!([]));
    net.add_forward(ip("203.0.113.101"), 443, instance.v4()?, 8443)?;
    net.add_forwards(Protocol::Udp, &[("203.0.113.101:53".parse()?, "10.57.1.99:5353".parse()?)])?;
    net.add_default_target(ip("2001:db8::65"), instance.v6()?, DefaultTarget::Vip)?;
    let dnat = net.add_nat("dnat", ip("203.0.113.102"), "10.57.1.11")?;
    net.annotate(port, V4, Some("203.0.113.101"))?;
    fixture.wait_for_rows([row(&net, &instance, "203.0.113.101", "10.57.1.11")])?;

    let vip = |protocol: &str, port: u16, target: Value, from: &str| {
        json!({"router": "incus-net1-lr", "address": "203.0.113.101", "kind": "port", "protocol": protocol,
            "port": port, "targets": [target], "from": from, "ignored": null, "used_by": [instance.port], "used_by_names": [null]})
    };
    let default = |protocol: &str| {
        json!({"router": "incus-net1-lr", "address": "2001:db8::65", "kind": "default-target", "protocol": null,
            "port": null, "targets": [{"address": "fd42:57:1::b", "port": null, "instance": port, "name": null}],
            "from": format!("incus-net1-lb-2001:db8::65-{protocol}"), "ignored": null, "used_by": [], "used_by_names": []})
    };
    let mut found = json_of(&fixture.cli, &["forwards", "--json"])?;
    found.as_array_mut().context("an array")?[3..].sort_by_key(|forward| forward["from"].to_string());
    assert_eq!(
        found,
        json!([
            vip("udp", 53, json!({"address": "10.57.1.99", "port": 5353, "instance": null, "name": null}), "incus-net1-lb-203.0.113.101-udp"),
            vip("tcp", 443, json!({"address": "10.57.1.11", "port": 8443, "instance": port, "name": null}), "incus-net1-lb-203.0.113.101-tcp"),
            {"router": "incus-net1-lr", "address": "203.0.113.102", "kind": "dnat", "protocol": null, "port": null,
                "targets": [{"address": "10.57.1.11", "port": null, "instance": port, "name": null}], "from": dnat, "ignored": null, "used_by": [], "used_by_names": []},
            default("tcp"),
            default("udp"),
        ])
    );
    assert_eq!(
        json_of(&fixture.cli, &["forwards", "incus-net1-lr", "--json"])?.as_array().map(Vec::len),
        Some(5)
    );
    let table = fixture.cli.run(&["forwards"])?.success()?;
    assert!(table.contains("10.57.1.11:8443") && table.contains("[") == table.contains("]:"), "{table}");
    Ok(())
}

/// Runs all commands at once, and asserts that each gives up after a second, with a message.
fn assert_all_time_out(cli: &Cli, part: &str) -> Result<()> {
    scope(|threads| {
        let run = |arguments: &'static [&'static str]| {
            threads.spawn(move || -> Result<()> {
                let start = Instant::now();
                let output = cli.run(&[arguments, &["--timeout=1"]].concat())?;
                let took = start.elapsed();
                assert_fails(&output, &[part, " 1s"]);
                assert!(took >= Duration::from_secs(1), "{arguments:?} took {took:?}");
                Ok(())
            })
        };
        let all = COMMANDS.map(run);
        all.into_iter().try_for_each(|one| one.join().expect("the command is as asserted"))
    })
}

fn json_of(cli: &Cli, arguments: &[&str]) -> Result<Value> {
    let text = cli.run(arguments)?.success()?;
    serde_json::from_str(&text).with_context(|| format!("{arguments:?} printed no JSON:\n{text}"))
}

/// A network with an instance and two forward addresses.
fn network(server: &OvsdbServer) -> Result<(Net, Instance)> {
    let mut net = Net::builder(1).create(server)?;
    let instance = net.add_instance(Addressing::Static)?;
    net.add_forward(ip("203.0.113.101"), 443, instance.v4()?, 443)?;
    net.add_forward(ip("203.0.113.102"), 443, instance.v4()?, 443)?;
    Ok((net, instance))
}
