//! Ports by their display names, with a real database and a scripted CMS.

use std::io::Write;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use ovn_extaddr_tests::{
    Addressing, Agent, Cli, CmsApi, Fault, Instance, Net, OvsdbServer, PROMPT, cms_instance, eventually,
    json_map,
};
use serde_json::{Value, json};
use tempfile::NamedTempFile;

use crate::fixture::{SOON, V4, ip};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

const ONE: &str = "203.0.113.101";

/// The columns of a standard table.
const TERMINAL: usize = 100;

/// A network with three instances, of which the first is forwarded to. No agent runs.
struct Stage {
    server: OvsdbServer,
    cli: Cli,
    net: Net,
    instances: Vec<Instance>,
}

impl Stage {
    fn new() -> Result<Self> {
        let server = OvsdbServer::northbound()?;
        server.transact(vec![json!({"op": "insert", "table": "NB_Global", "row": {}})])?;
        let cli = Cli::new(server.remote())?;
        cli.write_config(PROMPT)?;
        let mut net = Net::builder(1).ipv4_only().create(&server)?;
        let instances = net.add_instances(3, Addressing::Static)?;
        net.add_forward(ip(ONE), 443, instances[0].v4()?, 443)?;
        Ok(Self { server, cli, net, instances })
    }

    fn port(&self, number: usize) -> &str {
        &self.instances[number].port
    }

    /// Writes host names as Incus does: the number of an instance and its name.
    fn add_hosts(&self, hosts: &[(usize, &str)]) -> Result<()> {
        for (number, name) in hosts {
            let address = self.instances[*number].v4()?.to_string();
            let ids = [
                ("incus_switch", self.net.internal_switch()),
                ("incus_switch_port", self.port(*number).to_owned()),
            ];
            self.server.transact(vec![json!({"op": "insert", "table": "DNS", "row": {
                "external_ids": json_map(ids), "records": json_map([(format!("{name}.incus"), address)])}})])?;
        }
        Ok(())
    }

    /// Configures commands to read a CMS.
    fn ask(&self, socket: &std::path::Path) -> Result<()> {
        self.cli.write_config(&format!(
            "{PROMPT}[[cms]]\nkind = \"incus\"\nurl = \"unix:{}\"\n",
            socket.display()
        ))
    }

    /// An instance of a CMS, with one of the stage's ports.
    fn instance(&self, name: &str, number: usize, config: &[(&str, &str)]) -> Value {
        let uuid = self.port(number).split_once("-instance-").map_or("", |(_, rest)| &rest[..36]);
        cms_instance(name, uuid, config, &[("eth0", &[])])
    }

    /// The error line of a command.
    fn error(&self, arguments: &[&str]) -> Result<String> {
        let output = self.cli.run(arguments)?;
        ensure!(output.code() == Some(1) && output.stderr.lines().count() == 1, "{arguments:?}: {output:?}");
        Ok(output.stderr)
    }

    /// The output of a command.
    fn print(&self, arguments: &[&str]) -> Result<String> {
        self.cli.run(arguments)?.success()
    }
}

#[test]
fn port_is_addressed_and_shown_by_its_host_name() -> Result<()> {
    let stage = Stage::new()?;
    stage.add_hosts(&[(0, "web1"), (1, "db")])?;
    let port = stage.port(0);
    let set = stage.cli.run(&["set", "web1", "--ipv4", ONE])?;
    ensure!(set.status.success() && set.stderr.contains("--keep"), "{set:?}");
    ensure!(stage.net.external_ids(port)?.get(V4).map(String::as_str) == Some(ONE));
    let list = stage.print(&["list"])?;
    ensure!(list.lines().nth(1).is_some_and(|line| line.starts_with("web1/eth0  ")), "{list}");
    ensure!(!list.contains(port), "{list}");
    let wide = stage.print(&["list", "--wide"])?;
    ensure!(wide.contains("web1/eth0") && wide.contains(port), "{wide}");
    let json = &stage.cli.list_json()?[0];
    ensure!(json["port"] == port && json["name"] == "web1/eth0", "{json}");
    for name in ["web1", "web1/eth0", port] {
        let explained = stage.print(&["explain", name])?;
        ensure!(
            explained.starts_with("web1/eth0 ipv4: pending\n├─ ✓ port          incus-net1-"),
            "{explained}"
        );
    }
    let explained: Value = serde_json::from_str(&stage.print(&["explain", "web1", "--json"])?)?;
    ensure!(explained["port"] == port && explained["name"] == "web1/eth0", "{explained}");
    let plan = stage.print(&["plan"])?;
    ensure!(plan.contains("  # web1/eth0\n"), "{plan}");
    ensure!(stage.print(&["plan", "--wide"])?.contains(&format!("  # web1/eth0 {port}\n")));
    let plan: Value = serde_json::from_str(&stage.print(&["plan", "--json"])?)?;
    ensure!(plan[0]["port"] == port && plan[0]["name"] == "web1/eth0", "{plan}");
    let forwards = stage.print(&["forwards"])?;
    ensure!(forwards.contains("10.57.1.11:443 (web1/eth0)  web1/eth0\n"), "{forwards}");
    ensure!(stage.print(&["forwards", "--wide"])?.contains(&format!("web1/eth0 {port}")));
    let forwards: Value = serde_json::from_str(&stage.print(&["forwards", "--json"])?)?;
    let target = &forwards[0]["targets"][0];
    ensure!(target["instance"] == port && target["name"] == "web1/eth0", "{forwards}");
    ensure!(forwards[0]["used_by"] == json!([port]) && forwards[0]["used_by_names"] == json!(["web1/eth0"]));
    stage.print(&["unset", "WEB1/eth0"])?;
    ensure!(stage.cli.list_json()?.is_empty());
    Ok(())
}

#[test]
fn port_is_addressed_by_its_neutron_or_kubernetes_name() -> Result<()> {
    let stage = Stage::new()?;
    let ports = [
        ("9f1c0e52-2b1d-4f0a-9d6e-6a8c2f0d1b7e", vec![("neutron:port_name", "mail")], "mail"),
        ("shop_cart-0", vec![("pod", "true"), ("namespace", "shop")], "shop/cart-0"),
        ("cart-1.shop", vec![("pod", "shop/cart-1"), ("vendor", "kube-ovn")], "shop/cart-1"),
    ];
    for (port, ids, name) in ports {
        stage.server.transact(vec![json!({"op": "insert", "table": "Logical_Switch_Port", "uuid-name": "p", "row": {
            "name": port, "external_ids": json_map(ids)}}),
            json!({"op": "mutate", "table": "Logical_Switch", "where": [["name", "==", stage.net.internal_switch()]],
                "mutations": [["ports", "insert", ["named-uuid", "p"]]]})])?;
        let set = stage.cli.run(&["set", name, "--ipv4", "auto"])?;
        // The output explains what a CMS will do.
        let told = if name == "mail" { "makes its gateway port again" } else { "with --keep it stays" };
        ensure!(set.status.success() && set.stderr.contains(told), "{set:?}");
        ensure!(stage.net.external_ids(port)?.contains_key(V4), "{port}");
        let list = stage.cli.list_json()?;
        ensure!(list.iter().any(|entry| entry["port"] == port && entry["name"] == name), "{list:?}");
        stage.print(&["unset", name])?;
        ensure!(!stage.net.external_ids(port)?.contains_key(V4), "{port}");
    }
    Ok(())
}

#[test]
fn unknown_or_ambiguous_name_is_an_error_with_suggestions() -> Result<()> {
    let stage = Stage::new()?;
    let socket = stage.server.dir().join("incus.socket");
    let api = CmsApi::start(&socket)?;
    for (name, number) in [("web1", 0), ("shop:web1", 1), ("shop:db", 2)] {
        api.put(stage.instance(name, number, &[]));
    }
    api.put(cms_instance("shop:idle", "00000000-0000-4000-8000-000000000000", &[], &[("eth0", &[])]));
    stage.ask(&socket)?;
    for command in [&["explain"][..], &["set", "--ipv4", "auto"], &["unset"]] {
        let fails = |name: &str| stage.error(&[command, &[name]].concat());
        let error = fails("web1")?;
        let switch = stage.net.internal_switch();
        for (name, number) in [("default:web1/eth0", 0), ("shop:web1/eth0", 1)] {
            let listed = format!("{name} (port {} on switch {switch})", stage.port(number));
            ensure!(error.contains("any of 2 ports") && error.contains(&listed), "{error}");
        }
        ensure!(
            fails("wbe1")?.contains("there is no port wbe1") && fails("wbe1")?.contains("did you mean web1?")
        );
        ensure!(fails("shop:db/eht0")?.contains("did you mean shop:db/eth0?"));
        for name in ["idle", "shop:idle", "shop:idle/eth0"] {
            ensure!(fails(name)?.contains("instance shop:idle"), "{name}");
        }
        ensure!(!fails("something-else-altogether")?.contains("did you mean"));
    }
    ensure!(stage.error(&["forwards", "incus-net1-rl"])?.contains("did you mean incus-net1-lr?"));
    stage.print(&["set", "shop:web1", "--ipv4", "auto"])?;
    ensure!(stage.net.external_ids(stage.port(1))?.contains_key(V4));
    ensure!(stage.cli.list_json()?[0]["name"] == "shop:web1/eth0");
    // The database may have what the CMS does not report.
    api.set_fault(Fault::Status(403));
    let error = stage.error(&["set", "shop:db", "--ipv4", "auto"])?;
    ensure!(error.contains("there is no port shop:db") && error.contains("incus.socket"), "{error}");
    stage.add_hosts(&[(2, "db")])?;
    ensure!(stage.cli.run(&["explain", "db"])?.status.success());
    ensure!(stage.error(&["set", "shop:db", "--ipv4", "auto"])?.contains("did you mean db?"));
    Ok(())
}

#[test]
fn intent_is_kept_for_a_stopped_instance() -> Result<()> {
    let stage = Stage::new()?;
    stage.add_hosts(&[(0, "web1")])?;
    let port = stage.port(0);
    // Incus 6 and LXD delete the port, and keep the row with its name.
    stage.net.remove_instance(port)?;
    ensure!(stage.error(&["set", "web1", "--ipv4", ONE])?.contains("instance web1/eth0 has no port web1"));
    ensure!(stage.error(&["explain", "web1"])?.contains("start the instance"));
    let set = stage.cli.run(&["set", "web1", "--ipv4", ONE, "--keep"])?;
    ensure!(set.status.success() && set.stderr.contains(&format!("there is no port {port} now")), "{set:?}");
    let list = stage.cli.list_json()?;
    ensure!(list[0]["port"] == port && list[0]["name"] == "web1/eth0", "{list:?}");
    ensure!(stage.print(&["explain", "web1"])?.contains("web1/eth0"));
    stage.print(&["unset", "web1"])?;
    ensure!(stage.cli.list_json()?.is_empty());
    Ok(())
}

/// Readline splits words at colons, and completions must be neither missing nor duplicated.
#[test]
fn interactive_bash_completes_names_with_a_colon() -> Result<()> {
    let stage = Stage::new()?;
    let socket = stage.server.dir().join("incus.socket");
    let api = CmsApi::start(&socket)?;
    for (name, number) in [("web1", 0), ("shop:web1", 1), ("shop:db", 2)] {
        api.put(stage.instance(name, number, &[]));
    }
    stage.ask(&socket)?;
    let remote = stage.server.remote();
    for (typed, expected) in [
        // bash completes at a tabulator; the completed line is run.
        ("explain shop:we\t", "shop:web1/eth0: no intent"),
        ("explain default:\t", "default:web1/eth0: no intent"),
        ("explain shop:db/\t", "shop:db/eth0: no intent"),
        ("explain de\t", "default:web1/eth0: no intent"),
        (&format!("explain --db {remote} shop:d\t"), "shop:db/eth0: no intent"),
        (&format!("explain --db={remote} --color=nev\t db/\t"), "shop:db/eth0: no intent"),
        ("list --state=rej\t --format=j\tl\t", ""),
    ] {
        // On a busy machine the first attempts may time out.
        eventually(SOON, "bash completes", || {
            let printed = typed_at_bash(&stage.cli, &format!("ovn-extaddr {typed}"))?;
            ensure!(printed == expected, "{typed:?} leads to {printed:?}");
            Ok(true)
        })?;
    }
    Ok(())
}

/// Types a command in an interactive bash, on its own terminal, and returns the command's output.
fn typed_at_bash(cli: &Cli, line: &str) -> Result<String> {
    let printed = NamedTempFile::new()?;
    let binary = Agent::built()?;
    let typed = format!(
        "source {ROOT}/dist/completions/ovn-extaddr.bash\n{line} >{} 2>&1\nexit\n",
        printed.path().display()
    );
    let mut command = Command::new("script");
    command.args(["--quiet", "--command", "bash --norc --noprofile -i", "/dev/null"]);
    command.envs(cli.command(&[]).get_envs().filter_map(|(name, value)| Some((name, value?))));
    command.env("OVN_EXTADDR_CONFIG", cli.config_path());
    let path = std::env::var("PATH").unwrap_or_default();
    let path = format!("{}:{path}", binary.parent().context("a directory")?.display());
    command.env("PATH", path).env("TERM", "dumb").env("INPUTRC", "/dev/null");
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    child.stdin.take().context("a terminal to type at")?.write_all(typed.as_bytes())?;
    child.wait()?;
    Ok(std::fs::read_to_string(printed.path())?.trim_end().to_owned())
}

#[test]
fn tables_fit_the_width_of_a_terminal() -> Result<()> {
    let stage = Stage::new()?;
    let socket = stage.server.dir().join("incus.socket");
    let api = CmsApi::start(&socket)?;
    let names = ["customer-4711:frontend-production-01", "customer-4711:mail", "web1"];
    for (number, name) in names.into_iter().enumerate() {
        api.put(stage.instance(name, number, &[("user.eth0.ipv4.address.external", "auto")]));
    }
    for number in 0..3 {
        let target = stage.instances[number].v4()?;
        stage.net.add_forward(ip("203.0.113.120"), 8000 + u16::try_from(number)?, target, 443)?;
    }
    let check = || -> Result<()> {
        for command in ["list", "forwards"] {
            let table = stage.print(&[command])?;
            let width = table.lines().map(|line| line.chars().count()).max().unwrap_or_default();
            ensure!(width <= TERMINAL && table.lines().count() >= 4, "{width}\n{table}");
            let wide = stage.print(&[command, "--wide"])?;
            ensure!(wide.contains(stage.port(0)) && !wide.contains('…'), "{wide}");
        }
        Ok(())
    };
    // Once with the CMS's names, once without any name.
    stage.ask(&socket)?;
    check()?;
    ensure!(stage.print(&["list"])?.contains("customer-4711:mail/eth0"));
    stage.cli.write_config(PROMPT)?;
    for number in 0..3 {
        stage.net.annotate(stage.port(number), V4, Some("auto"))?;
    }
    check()
}
