//! Help for people: doctor, check-config, formats, colours, completions, manual pages.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use ovn_extaddr_tests::{
    Addressing, Agent, Authority, Certified, Cli, Daemon, DefaultTarget, Net, Output, OvsdbServer, Pki,
    eventually, json_map,
};
use serde_json::{Value, json};

use crate::fixture::{Fixture, OWNER, SOON, V4, ip, row, wait_for_rows};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

fn read(path: &str) -> Result<String> {
    fs::read_to_string(format!("{ROOT}/{path}")).with_context(|| path.to_owned())
}

/// The findings of `doctor`, by check: level and message.
fn doctor(cli: &Cli) -> Result<(Option<i32>, Vec<Value>)> {
    let output = cli.run(&["doctor", "--json"])?;
    let found = serde_json::from_str(&output.stdout).with_context(|| format!("{output:?}"))?;
    Ok((output.code(), found))
}

fn finding<'a>(found: &'a [Value], check: &str) -> Option<&'a Value> {
    found.iter().find(|finding| finding["check"] == check)
}

#[test]
fn doctor_finds_nothing_in_a_healthy_network() -> Result<()> {
    let mut fixture = Fixture::start()?;
    fixture.agent.wait_for_log("active: this agent has the lock")?;
    let mut net = Net::builder(1).create(&fixture.server)?;
    net.add_instance(Addressing::Static)?;
    let before = fixture.server.dump()?;
    let output = fixture.cli.run(&["doctor"])?;
    assert_eq!(output.code(), Some(0), "{output:?}");
    assert_eq!(fixture.server.dump()?, before, "it only looks");
    for line in ["✓ connection", "✓ lock", "✓ database", "✓ network", "✓ intents"] {
        assert!(output.stdout.contains(line), "{line} is not in\n{}", output.stdout);
    }
    assert!(output.stdout.ends_with("0 problems, 0 warnings.\n"), "{}", output.stdout);
    // The holder of the lock has not changed.
    let status = fixture.agent.appctl(&["status"])?;
    assert!(status.contains("held since") && status.contains("epoch 1"), "{status}");
    Ok(())
}

#[test]
fn doctor_reports_hazards_intents_and_owners_with_cures() -> Result<()> {
    let server = OvsdbServer::northbound()?;
    let cli = Cli::new(server.remote())?;
    let mut net = Net::builder(1).create(&server)?;
    let instance = net.add_instance(Addressing::Static)?;
    let second = net.add_instance(Addressing::Static)?;
    net.add_default_target(ip("203.0.113.105"), instance.v4()?, DefaultTarget::Vip)?;
    let other = net.add_nat("snat", ip("203.0.113.7"), &second.v4()?.to_string())?;
    server.transact(vec![
        json!({"op": "update", "table": "NAT", "where": [["_uuid", "==", ["uuid", other]]],
        "row": {"external_ids": json_map([("ovn-extaddr:owner", "gone")])}}),
    ])?;
    net.annotate(&second.port, V4, Some("203.0.113.99"))?;
    net.add_instance(Addressing::Raw(vec!["nonsense".to_owned()]))?;
    let granted = net.add_instance(Addressing::Static)?;
    net.add_forward(ip("203.0.113.121"), 80, granted.v4()?, 80)?;
    net.annotate(&granted.port, V4, Some("203.0.113.121"))?;

    let (status, found) = doctor(&cli)?;
    assert_eq!(status, Some(0), "{found:#?}");
    for (check, level, part) in [
        ("values", "warning", "\"nonsense\""),
        ("pending", "warning", "1 overrides are not written"),
        ("default-target", "note", "203.0.113.105 on incus-net1-lr"),
        ("other-owner", "note", "1 rows of owner gone"),
        ("intents", "warning", "1 rejected"),
        ("lock", "warning", "no agent of owner ovn-extaddr is active"),
    ] {
        let finding = finding(&found, check).with_context(|| format!("{check} is not in {found:#?}"))?;
        assert_eq!(finding["level"], level, "{finding}");
        assert!(finding["message"].as_str().is_some_and(|text| text.contains(part)), "{part}: {finding}");
        assert!(finding["cure"].as_str().is_some_and(|cure| cure.len() > 3), "{finding}");
    }
    Ok(())
}

#[test]
fn doctor_reports_connection_problems() -> Result<()> {
    let server = OvsdbServer::northbound()?;
    let cli = Cli::new(format!("unix:/no/such/socket,{}", server.remote()))?;
    let (status, found) = doctor(&cli)?;
    assert_eq!(status, Some(1));
    assert_eq!(finding(&found, "connection").map(|f| &f["level"]), Some(&json!("problem")), "{found:#?}");
    assert!(finding(&found, "database").is_some_and(|f| f["level"] == "good"), "the other server answers");

    cli.write_config("drian = 3")?;
    let output = cli.run(&["doctor"])?;
    assert_eq!(output.code(), Some(1));
    assert!(
        output.stdout.contains("✗ configuration") && output.stdout.contains("did you mean drain?"),
        "{output:?}"
    );

    // An agent that is frozen.
    let mut agent = Agent::start(server.remote())?;
    agent.wait_for_log("synchronised")?;
    agent.daemon().signal("STOP")?;
    let output = agent.cli(&["doctor", "--timeout", "1"])?;
    agent.daemon().signal("CONT")?;
    assert!(output.stdout.contains("the agent does not answer within 1s"), "{output:?}");
    Ok(())
}

#[test]
fn doctor_reports_the_expiry_of_certificates() -> Result<()> {
    let pki = Pki::new()?;
    let server = OvsdbServer::northbound()?;
    let cli = Cli::new(server.remote())?;
    let config = |certified: &Certified, ca: &Path| {
        cli.write_config(&format!(
            "private-key = \"{}\"\ncertificate = \"{}\"\nca-cert = \"{}\"\n",
            certified.private_key.display(),
            certified.certificate.display(),
            ca.display()
        ))
    };
    let good = pki.issue("agent", Authority::Switch)?;
    config(&good, &pki.ca_cert(Authority::Controller))?;
    let (_, found) = doctor(&cli)?;
    let certificates: Vec<_> = found.iter().filter(|finding| finding["check"] == "certificates").collect();
    assert!(certificates.len() >= 2, "{found:#?}");
    for finding in certificates {
        assert_eq!(finding["level"], "good", "{finding}");
        assert!(
            finding["message"].as_str().is_some_and(|text| text.contains("is good until 20")),
            "{finding}"
        );
    }
    let of_ours = |found: &[Value]| -> Result<(Value, String)> {
        let first = finding(found, "certificates").context("a finding")?;
        Ok((first["level"].clone(), first["message"].as_str().unwrap_or_default().to_owned()))
    };
    let over = pki.issue_between("old", Authority::Switch, "20200101000000Z", "20210203040506Z")?;
    config(&over, &pki.ca_cert(Authority::Controller))?;
    let (status, found) = doctor(&cli)?;
    let (level, message) = of_ours(&found)?;
    assert_eq!((status, level), (Some(1), json!("problem")));
    assert!(message.ends_with("expired on 2021-02-03T04:05:06.000Z"), "{message}");
    config(&good, Path::new("/no/such/file.pem"))?;
    let (status, found) = doctor(&cli)?;
    assert_eq!((status, of_ours(&found)?.0), (Some(1), json!("problem")));
    Ok(())
}

#[test]
fn check_config_shows_effective_settings_and_errors() -> Result<()> {
    let cli = Cli::new("unix:/no/such")?;
    let path = cli.config_path().display().to_string();
    cli.write_config("drain = 7\nmetrics = \"127.0.0.1:9477\"\n")?;
    let shown: Value = serde_json::from_str(&cli.run(&["check-config", "--json"])?.success()?)?;
    let of =
        |key: &str| shown.as_array().into_iter().flatten().find(|setting| setting["key"] == key).cloned();
    assert_eq!(of("drain"), Some(json!({"key": "drain", "value": "7", "file": path})));
    assert_eq!(of("hold-down"), Some(json!({"key": "hold-down", "value": "2", "file": null})));
    let text = cli.run(&["check-config"])?.success()?;
    assert!(text.ends_with("The configuration file is right.\n"), "{text}");

    for (config, part) in [
        ("\nhold_down = 3", ":2: unknown key hold_down; did you mean hold-down?"),
        ("policy = \"/no/such/policy.toml\"", "cannot read /no/such/policy.toml"),
        ("drain = -1", ":1: "),
    ] {
        cli.write_config(config)?;
        let output = cli.run(&["check-config"])?;
        assert_eq!(output.code(), Some(1), "{config}: {output:?}");
        assert!(output.stderr.contains(part) && output.stderr.lines().count() == 1, "{config}: {output:?}");
    }
    let policy = cli.dir().join("policy.toml");
    fs::write(&policy, "[[rule]]\nport = \"a\"\nipv4 = \"auto\"\n\n[[rule]]\nprot = \"b\"\n")?;
    cli.write_config(&format!("policy = \"{}\"", policy.display()))?;
    let output = cli.run(&["check-config"])?;
    let expected = format!("{}:", policy.display());
    assert!(output.stderr.contains(&expected) && output.stderr.contains("did you mean port?"), "{output:?}");
    Ok(())
}

/// Every key is in the documentation and in the default configuration, and each of those is a key.
#[test]
fn every_configuration_key_is_documented() -> Result<()> {
    let cli = Cli::new("unix:/no/such")?;
    cli.write_config("no-such-key = 1")?;
    let refused = cli.run(&["check-config"])?.stderr;
    let known = refused.trim().split_once("known are ").with_context(|| refused.clone())?.1;
    let keys: BTreeSet<_> = known.split(", ").map(str::to_owned).collect();
    assert!(keys.len() > 15, "{refused}");

    let documentation = read("docs/configuration.md")?;
    let rows = documentation.lines().filter(|line| line.starts_with("| `"));
    let documented: BTreeSet<_> = rows
        .flat_map(|line| line.split('|').nth(1).unwrap_or_default().split('`').skip(1).step_by(2))
        .map(str::to_owned)
        .collect();
    assert_eq!(documented, keys);
    let config = read("dist/config.toml")?;
    let lines = config.lines().filter_map(|line| line.strip_prefix('#'));
    let shown = lines.filter(|line| !line.starts_with(' ')).filter_map(|line| {
        let key = line.strip_prefix("[[").and_then(|line| line.split("]]").next());
        key.or_else(|| line.split_once(" = ").map(|(key, _)| key))
    });
    // These are within [[allow]] and [[cms]].
    let within = ["router", "prefixes", "kind", "url", "projects", "native"];
    let shown: BTreeSet<_> = shown.filter(|key| !within.contains(key)).map(str::to_owned).collect();
    assert_eq!(shown, keys);
    // The shipped file sets nothing, and is valid without its # signs.
    cli.write_config(&config)?;
    cli.run(&["check-config"])?.success()?;
    let uncommented: Vec<_> = config
        .lines()
        .filter(|line| {
            !line.contains("bootstrap-ca-cert") && !line.contains("ssl:") && !line.contains("policy")
        })
        .map(|line| if line.starts_with("# ") { "" } else { line.trim_start_matches('#') })
        .collect();
    cli.write_config(&uncommented.join("\n"))?;
    cli.run(&["check-config"])?.success()?;
    Ok(())
}

#[test]
fn output_formats_agree_and_colours_follow_the_option() -> Result<()> {
    let server = OvsdbServer::northbound()?;
    let cli = Cli::new(server.remote())?;
    let mut net = Net::builder(1).create(&server)?;
    let instance = net.add_instance(Addressing::Static)?;
    net.add_forward(ip("203.0.113.101"), 443, instance.v4()?, 443)?;
    net.annotate(&instance.port, V4, Some("203.0.113.101"))?;
    // Text that others write into the database must not control a terminal.
    net.annotate(&instance.port, "ipv6.address.external", Some("\u{1b}[31mred\n"))?;
    for command in [&["list"][..], &["plan"], &["forwards"], &["doctor"], &["check-config"]] {
        let run = |more: &[&str]| cli.run(&[command, more].concat()).map(|output| output.stdout);
        let json: Vec<Value> = serde_json::from_str(&run(&["--format", "json"])?)?;
        let short: Vec<Value> = serde_json::from_str(&run(&["--json"])?)?;
        // The time that a server took differs each time.
        let timeless = *command != ["doctor"];
        assert!(json.len() == short.len() && (json == short || !timeless), "{json:#?} {short:#?}");
        let lines: Vec<Value> =
            run(&["--format=jsonl"])?.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
        assert!(lines.len() == json.len() && !json.is_empty(), "{command:?}");
        let plain = run(&[])?;
        assert!(!plain.contains('\u{1b}'), "{command:?}: {plain}");
        if timeless {
            assert_eq!(run(&["--color", "never"])?, plain, "{command:?}");
        }
        let colored = run(&["--color", "always"])?;
        assert!(colored.contains("\u{1b}[") && !colored.contains("\u{1b}[31mred"), "{command:?}: {colored}");
    }
    // On a terminal they are used by default, unless the terminal does not support them or the user disables them.
    let on_terminal = |variable: (&str, &str)| -> Result<String> {
        let mut command = Command::new("script");
        let list = format!("{} list --db {}", Agent::built()?.display(), server.remote());
        command.args(["--quiet", "--return", "--command", &list, "/dev/null"]);
        command.env("TERM", "xterm").env_remove("NO_COLOR").env_remove("OVN_EXTADDR_CONFIG");
        Output::capture({
            command.env(variable.0, variable.1);
            command
        })?
        .success()
    };
    for (variable, expected) in [(("A", "b"), true), (("NO_COLOR", "1"), false), (("TERM", "dumb"), false)] {
        let text = on_terminal(variable)?;
        assert!(
            text.contains("\u{1b}[1m") == expected && text.contains("rejected"),
            "{variable:?}: {text:?}"
        );
    }
    let explained = cli.run(&["explain", &instance.port, "--color=always"])?.success()?;
    assert!(explained.contains("\u{1b}[32m✓") && explained.contains("\\u{1b}[31mred"), "{explained}");
    Ok(())
}

#[test]
fn text_output_is_unchanged() -> Result<()> {
    let server = OvsdbServer::northbound()?;
    let cli = Cli::new(server.remote())?;
    let mut net = Net::builder(1).create(&server)?;
    let instance = net.add_instance(Addressing::Static)?;
    let port = instance.port.as_str();
    net.add_forward(ip("203.0.113.101"), 443, instance.v4()?, 443)?;
    net.add_forward(ip("203.0.113.102"), 443, instance.v4()?, 443)?;
    net.annotate(port, V4, Some("203.0.113.101"))?;
    assert_eq!(
        cli.run(&["plan"])?.success()?,
        format!(
            "router incus-net1-lr\n  + snat 203.0.113.101 for 10.57.1.11 ports 1024-65535  # {port}\n\
             1 to insert, 0 to update, 0 to delete.\n"
        )
    );
    let explained = cli.run(&["explain", port])?.success()?;
    let head = format!(
        "{port} ipv4: pending\n\
         ├─ ✓ intent        ipv4.address.external of the port asks for 203.0.113.101\n\
         ├─ ✓ switch        incus-net1-ls-int\n\
         ├─ ✓ internal      10.57.1.11\n\
         ├─ ✓ routers       incus-net1-lr\n\
         ├─ ✓ forward       "
    );
    assert!(explained.starts_with(&head), "{explained}");
    let last = "└─ = 10.57.1.11 will leave as 203.0.113.101 once the agent has written it\n";
    assert!(explained.ends_with(last), "{explained}");
    let mut agent = Agent::start(server.remote())?;
    wait_for_rows(&server, OWNER, [row(&net, &instance, "203.0.113.101", "10.57.1.11")])?;
    agent.stop()?;
    net.annotate(port, V4, Some("203.0.113.102"))?;
    assert_eq!(
        cli.run(&["plan"])?.success()?,
        format!(
            "router incus-net1-lr\n  ~ snat row of 10.57.1.11  # {port}\n      - external_ip 203.0.113.101\n      \
             + external_ip 203.0.113.102\n0 to insert, 1 to update, 0 to delete.\n"
        )
    );
    net.annotate(port, V4, Some("203.0.113.99"))?;
    let explained = cli.run(&["explain", port])?.success()?;
    let last = explained.lines().find(|line| line.contains('✗')).context("a refusal")?;
    assert!(last.starts_with("├─ ✗ not-a-forward 203.0.113.99 is not a forward address"), "{explained}");
    let list = cli.run(&["list"])?.success()?;
    let heading = list.lines().next().context("a heading")?;
    assert!(heading.starts_with("PORT ") && heading.ends_with("  STATE     REASON"), "{list}");
    assert!(list.lines().nth(1).is_some_and(|line| line.ends_with("  rejected  not-a-forward")), "{list}");
    let list = cli.run(&["list", "--wide"])?.success()?;
    let heading = format!(
        "NAME  {:<width$}  WANTED        SOURCE      INTERNAL    EXTERNAL  STATE     MESSAGE",
        "PORT",
        width = port.len()
    );
    assert_eq!(list.lines().next(), Some(heading.as_str()), "{list}");
    Ok(())
}

#[test]
fn list_watch_prints_changes() -> Result<()> {
    let server = OvsdbServer::northbound()?;
    let cli = Cli::new(server.remote())?;
    let mut net = Net::builder(1).create(&server)?;
    let instance = net.add_instance(Addressing::Static)?;
    let mut child = cli.command(&["list", "--watch"]).stdout(Stdio::piped()).spawn()?;
    let mut lines = BufReader::new(child.stdout.take().context("a pipe")?).lines();
    let mut next = || -> Result<String> { Ok(lines.next().context("it goes on")??) };
    let result = (|| -> Result<()> {
        net.annotate(&instance.port, V4, Some("203.0.113.101"))?;
        let line = next()?;
        ensure!(line.contains(": rejected: not-a-forward: "), "{line}");
        net.add_forward(ip("203.0.113.101"), 443, instance.v4()?, 443)?;
        let line = next()?;
        ensure!(line.contains(": pending: "), "{line}");
        let agent = Agent::start(server.remote())?;
        let line = next()?;
        ensure!(line.ends_with(": active: 10.57.1.11 leaves as 203.0.113.101"), "{line}");
        drop(agent);
        net.annotate(&instance.port, V4, None)?;
        // The agent is gone, and so is the intent; its row stays.
        let line = next()?;
        ensure!(line.ends_with(": no intent any more"), "{line}");
        Ok(())
    })();
    child.kill()?;
    child.wait()?;
    result
}

/// An intent that is not in the state any more is not withdrawn.
#[test]
fn list_watch_of_a_state_shows_what_leaves_it() -> Result<()> {
    let server = OvsdbServer::northbound()?;
    let cli = Cli::new(server.remote())?;
    let mut net = Net::builder(1).create(&server)?;
    let instance = net.add_instance(Addressing::Static)?;
    net.annotate(&instance.port, V4, Some("203.0.113.101"))?;
    let mut child = cli
        .command(&["list", "--watch", "--state", "rejected", "--format", "jsonl"])
        .stdout(Stdio::piped())
        .spawn()?;
    let mut lines = BufReader::new(child.stdout.take().context("a pipe")?).lines();
    let mut state = || -> Result<Value> {
        let line = lines.next().context("it goes on")??;
        Ok(serde_json::from_str::<Value>(&line)?["state"].clone())
    };
    let result = (|| -> Result<()> {
        ensure!(state()? == "rejected");
        net.add_forward(ip("203.0.113.101"), 443, instance.v4()?, 443)?;
        ensure!(state()? == "pending");
        net.annotate(&instance.port, V4, Some("203.0.113.102"))?;
        ensure!(state()? == "rejected");
        net.annotate(&instance.port, V4, None)?;
        ensure!(state()?.is_null());
        Ok(())
    })();
    child.kill()?;
    child.wait()?;
    result
}

#[test]
fn manual_and_completions_match_the_repository() -> Result<()> {
    let cli = Cli::new("unix:/no/such")?;
    let directory = cli.dir().join("man");
    fs::create_dir(&directory)?;
    cli.run(&["man", "--directory", &directory.display().to_string()])?.success()?;
    let pages = |path: &str| -> Result<BTreeSet<String>> {
        fs::read_dir(path)?.map(|entry| Ok(entry?.file_name().display().to_string())).collect()
    };
    let made = pages(&directory.display().to_string())?;
    assert_eq!(made, pages(&format!("{ROOT}/dist/man"))?);
    let is_same = |file: &str, made: &str| -> Result<()> {
        let kept = read(file)?;
        let different = made.lines().zip(kept.lines()).find(|(made, kept)| made != kept);
        ensure!(made == kept, "{file} is out of date, run scripts/generate: {different:#?}");
        Ok(())
    };
    for page in &made {
        is_same(&format!("dist/man/{page}"), &fs::read_to_string(directory.join(page))?)?;
    }
    is_same("dist/man/ovn-extaddr.8", &cli.run(&["man"])?.success()?)?;
    for (shell, file) in [("bash", "ovn-extaddr.bash"), ("zsh", "_ovn-extaddr"), ("fish", "ovn-extaddr.fish")]
    {
        is_same(&format!("dist/completions/{file}"), &cli.run(&["completions", shell])?.success()?)?;
    }
    // Every command has a page, and is named in the main one.
    let help = cli.run(&["--help"])?.success()?;
    let listed =
        help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    // Lines with more indentation continue a description.
    let names = listed.filter_map(|line| line.strip_prefix("  ")?.split(' ').next());
    let commands: Vec<_> = names.filter(|name| !name.is_empty() && *name != "help").collect();
    assert_eq!(commands.len() + 1, made.len(), "{commands:?}");
    for command in commands {
        assert!(made.contains(&format!("ovn-extaddr-{command}.8")), "{command}");
    }
    Ok(())
}

#[test]
fn shell_completes_commands_options_and_database_names() -> Result<()> {
    let server = OvsdbServer::northbound()?;
    let mut net = Net::builder(1).create(&server)?;
    let instance = net.add_instance(Addressing::Static)?;
    let binary = Agent::built()?;
    // As bash does, with the installed script.
    let complete = |words: &[&str]| -> Result<Vec<String>> {
        let script = format!(
            "PATH={}:$PATH; source {ROOT}/dist/completions/ovn-extaddr.bash; COMP_WORDS=({}); COMP_LINE='{}'; \
             COMP_POINT=${{#COMP_LINE}}; COMP_CWORD={}; \
             _ovn_extaddr ovn-extaddr \"${{COMP_WORDS[COMP_CWORD]}}\"; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
            binary.parent().context("a directory")?.display(),
            words.iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(" "),
            words.join(" "),
            words.len() - 1,
        );
        let mut command = Command::new("bash");
        command.args(["-c", &script]).env("OVN_NB_DB", "unix:/no/such").env_remove("OVN_EXTADDR_CONFIG");
        let text = Output::capture(command)?.success()?;
        Ok(text.lines().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()).collect())
    };
    assert_eq!(complete(&["ovn-extaddr", "expl"])?, ["explain"]);
    assert!(complete(&["ovn-extaddr", "list", "--st"])?.contains(&"--state".to_owned()));
    assert!(complete(&["ovn-extaddr", "list", "--state", "re"])?.contains(&"rejected".to_owned()));
    let remote = server.remote();
    // On a busy machine the first attempts may time out.
    eventually(SOON, "ports are offered", || {
        let ports = complete(&["ovn-extaddr", "explain", "--db", &remote, "incus-net1-inst"])?;
        ensure!(ports == [instance.port.as_str()], "{ports:?}");
        Ok(true)
    })?;
    let ids = [("incus_switch_port", instance.port.as_str())];
    server.transact(vec![json!({"op": "insert", "table": "DNS", "row": {
        "external_ids": json_map(ids), "records": json_map([("web1.incus", "10.57.1.11")])}})])?;
    eventually(SOON, "names of instances are offered", || {
        let ports = complete(&["ovn-extaddr", "explain", "--db", &remote, "w"])?;
        ensure!(ports == ["web1/eth0"], "{ports:?}");
        Ok(true)
    })?;
    eventually(SOON, "routers are offered", || {
        let routers = complete(&["ovn-extaddr", "forwards", "--db", &remote, ""])?;
        ensure!(routers.contains(&"incus-net1-lr".to_owned()), "{routers:?}");
        Ok(true)
    })?;
    // Without a database there are no completions, and no errors.
    assert!(complete(&["ovn-extaddr", "explain", "x"])?.is_empty());
    Ok(())
}

/// A person who waits for a large database sees the progress.
#[test]
fn progress_of_a_slow_load_is_shown_on_a_terminal() -> Result<()> {
    let mut server = OvsdbServer::northbound()?;
    let cli = Cli::new(server.remote())?;
    let log = cli.dir().join("terminal.log");
    server.daemon().signal("STOP")?;
    let mut command = Command::new("script");
    let list = format!(
        "{} list --db {} --config {}",
        Agent::built()?.display(),
        server.remote(),
        cli.config_path().display()
    );
    command.args(["--quiet", "--return", "--command", &list, "/dev/null"]);
    let mut terminal = Daemon::spawn(command, &log)?;
    let shown = terminal.wait_for_log("Reading OVN_Northbound from unix:", SOON);
    server.daemon().signal("CONT")?;
    shown?;
    let status = terminal.wait(SOON)?;
    ensure!(status.success(), "{status}");
    let log = terminal.log();
    ensure!(log.contains("\r\u{1b}[K") && log.contains("REASON"), "{log:?}");
    Ok(())
}

#[test]
fn socket_without_permission_is_an_error_with_its_cure() -> Result<()> {
    let server = OvsdbServer::northbound()?;
    let path = server.socket();
    let directory = path.parent().context("a directory")?;
    // Everybody may see the socket, and its owner may use it.
    let mode = |path: &Path, mode: &str| -> Result<String> {
        let mut command = Command::new("chmod");
        command.arg(mode).arg(path);
        Output::capture(command)?.success()
    };
    mode(directory, "755")?;
    mode(&path, "750")?;
    let run_as_nobody = |arguments: &[&str]| -> Result<Output> {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(Agent::built()?);
        command.args(arguments).args(["--db", &server.remote()]).env_remove("OVN_EXTADDR_CONFIG");
        Output::capture(command)
    };
    let run = || run_as_nobody(&["list"]);
    eventually(SOON, "it is refused", || {
        let output = run()?;
        ensure!(output.code() == Some(1), "{output:?}");
        ensure!(
            output.stderr.contains("belongs to root:root with mode 0750, and the user is nobody"),
            "{output:?}"
        );
        ensure!(output.stderr.contains("a drop-in with User=root"), "{output:?}");
        Ok(true)
    })?;
    let cure = "Permission denied (os error 13): ";
    let output = run_as_nobody(&["set", "p", "--ipv4=auto"])?;
    ensure!(output.stderr.contains(cure) && output.stderr.contains("with User=root"), "{output:?}");
    let found: Vec<Value> = serde_json::from_str(&run_as_nobody(&["doctor", "--json"])?.stdout)?;
    let connection = finding(&found, "connection").context("a finding")?;
    ensure!(connection["cure"].as_str().is_some_and(|cure| cure.contains("with User=root")), "{connection}");
    mode(&path, "770")?;
    let output = run()?;
    ensure!(output.stderr.contains("SupplementaryGroups=root"), "{output:?}");
    mode(&path, "777")?;
    ensure!(run()?.status.success());
    Ok(())
}
