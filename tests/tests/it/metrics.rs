//! Metrics as Prometheus reads them, and the names in what is built on them.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use ovn_extaddr_tests::{Addressing, Agent, Net, Output, OvsdbServer, PROMPT, eventually};
use serde_json::Value;

use crate::fixture::{Fixture, SOON, V4, ip, row};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// Sends a request and returns the whole answer.
fn ask(mut stream: impl Read + Write, request: &str) -> Result<String> {
    write!(stream, "{request} HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// An agent that offers metrics on a Unix socket in its own directory.
fn offering() -> Result<Fixture> {
    let fixture = Fixture::start()?;
    let socket = fixture.agent.dir().join("metrics.sock");
    fixture.agent.write_config(&format!(
        "{PROMPT}metrics = \"unix:{}\"\nmetrics-by-router = true\n\
         [[cms]]\nkind = \"incus\"\nurl = \"unix:/no/such\"\n",
        socket.display()
    ))?;
    eventually(SOON, "it listens", || Ok(socket.exists()))?;
    Ok(fixture)
}

fn scrape(agent: &Agent) -> Result<String> {
    // An agent logs its start before it listens.
    let connect = || Ok(Some(UnixStream::connect(agent.dir().join("metrics.sock"))?));
    let answer = ask(eventually(SOON, "metrics are offered", connect)?, "GET /metrics")?;
    let (head, body) = answer.split_once("\r\n\r\n").context("it is HTTP")?;
    ensure!(head.starts_with("HTTP/1.1 200 ") && head.contains("application/openmetrics-text"), "{head}");
    ensure!(body.ends_with("# EOF\n"), "{body}");
    Ok(body.to_owned())
}

/// The value of a sample, named with its labels.
fn value(metrics: &str, sample: &str) -> Option<f64> {
    metrics.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' ')?.parse().ok())
}

#[test]
fn events_are_counted_in_metrics() -> Result<()> {
    let mut fixture = offering()?;
    let before = scrape(&fixture.agent)?;
    let is = |metrics: &str, sample: &str, expected: f64| {
        assert_eq!(value(metrics, sample), Some(expected), "{sample} in\n{metrics}");
    };
    is(&before, "ovn_extaddr_intents{state=\"active\"}", 0.0);
    is(&before, "ovn_extaddr_transactions_total{outcome=\"committed\"}", 0.0);

    let mut net = Net::builder(1).create(&fixture.server)?;
    let instance = net.add_instance(Addressing::Static)?;
    net.add_forward(ip("203.0.113.101"), 443, instance.v4()?, 443)?;
    net.annotate(&instance.port, V4, Some("203.0.113.101"))?;
    fixture.wait_for_rows([row(&net, &instance, "203.0.113.101", "10.57.1.11")])?;
    let metrics = eventually(SOON, "it is active", || {
        let metrics = scrape(&fixture.agent)?;
        Ok((value(&metrics, "ovn_extaddr_update_to_commit_seconds_count") == Some(1.0)).then_some(metrics))
    })?;
    is(&metrics, "ovn_extaddr_intents{state=\"active\"}", 1.0);
    is(&metrics, "ovn_extaddr_router_intents{router=\"incus-net1-lr\",state=\"active\"}", 1.0);
    is(&metrics, "ovn_extaddr_transactions_total{outcome=\"committed\"}", 1.0);
    is(&metrics, "ovn_extaddr_row_changes_total{action=\"insert\"}", 1.0);
    is(&metrics, "ovn_extaddr_role{role=\"active\"}", 1.0);
    is(&metrics, "ovn_extaddr_role{role=\"standby\"}", 0.0);
    is(&metrics, "ovn_extaddr_lock_epoch", 1.0);
    is(&metrics, "ovn_extaddr_database_synced", 1.0);
    is(&metrics, "ovn_extaddr_resyncs_total{kind=\"snapshot\"}", 1.0);
    is(&metrics, "ovn_extaddr_unsettled", 0.0);
    is(&metrics, "ovn_extaddr_reloads_total{outcome=\"taken\"}", 1.0);
    let took = value(&metrics, "ovn_extaddr_update_to_commit_seconds_sum").context("a sum")?;
    assert!(took > 0.0, "{took}");

    net.annotate(&instance.port, V4, Some("203.0.113.99"))?;
    eventually(SOON, "it is rejected", || {
        let metrics = scrape(&fixture.agent)?;
        Ok(value(&metrics, "ovn_extaddr_intent_reasons{reason=\"not-a-forward\"}") == Some(1.0)
            && value(&metrics, "ovn_extaddr_intents{state=\"active\"}") == Some(0.0)
            && value(&metrics, "ovn_extaddr_row_changes_total{action=\"delete\"}") == Some(1.0))
    })?;
    fixture.server.stop()?;
    eventually(SOON, "it is out of step", || {
        let metrics = scrape(&fixture.agent)?;
        let lost = value(&metrics, "ovn_extaddr_disconnects_total").unwrap_or_default();
        Ok(value(&metrics, "ovn_extaddr_database_synced") == Some(0.0) && lost >= 1.0)
    })?;
    fixture.server.start()?;
    fixture.agent.wait_for_log("synchronised with the database resumed=")
}

#[test]
fn metrics_port_speaks_http_and_follows_the_configuration() -> Result<()> {
    let server = OvsdbServer::northbound()?;
    let free = || -> Result<String> { Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string()) };
    let (one, two) = (free()?, free()?);
    let config = |place: &str| format!("{PROMPT}metrics = \"{place}\"\n");
    let agent = Agent::builder(server.remote()).config(&config(&one)).start()?;
    let get = |place: &str, request: &str| ask(TcpStream::connect(place)?, request);
    eventually(SOON, "it answers", || Ok(get(&one, "GET /metrics")?.starts_with("HTTP/1.1 200 ")))?;
    assert!(get(&one, "GET /")?.contains("see /metrics"));
    assert!(get(&one, "GET /etc/passwd")?.starts_with("HTTP/1.1 404 "));
    let post = get(&one, "POST /metrics")?;
    assert!(post.starts_with("HTTP/1.1 405 ") && post.contains("allow: GET, HEAD"), "{post}");
    assert!(get(&one, "HEAD /metrics")?.ends_with("\r\n\r\n"));
    // Invalid requests do no harm.
    let mut stream = TcpStream::connect(&one)?;
    stream.write_all(b"\x16\x03\x01nonsense\r\n\r\n")?;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);

    agent.write_config(&config(&two))?;
    eventually(SOON, "it has moved", || Ok(get(&two, "GET /metrics").is_ok()))?;
    assert!(get(&one, "GET /metrics").is_err());
    // The same port, of all addresses.
    let all = two.replace("127.0.0.1", "0.0.0.0");
    agent.write_config(&config(&all))?;
    eventually(SOON, "it listens everywhere", || Ok(agent.appctl(&["status"])?.contains(&all)))?;
    assert!(get(&two, "GET /metrics")?.starts_with("HTTP/1.1 200 "));
    agent.write_config(PROMPT)?;
    eventually(SOON, "it is off", || Ok(get(&two, "GET /metrics").is_err()))
}

#[test]
fn occupied_metrics_port_is_an_error_at_start() -> Result<()> {
    let server = OvsdbServer::northbound()?;
    let taken = TcpListener::bind("127.0.0.1:0")?;
    let place = taken.local_addr()?.to_string();
    let mut agent = Agent::builder(server.remote()).config(&format!("metrics = \"{place}\"")).spawn()?;
    let status = agent.daemon().wait(SOON)?;
    assert_eq!(status.code(), Some(1));
    assert!(agent.log().contains(&format!("cannot serve metrics on {place}")), "{}", agent.log());
    Ok(())
}

/// The names of families in an exposition, as they are written in queries.
fn families(metrics: &str) -> BTreeSet<String> {
    let samples = metrics.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    let names = samples.filter_map(|line| line.split(['{', ' ']).next());
    names.map(|name| name.replace("_bucket", "").replace("_sum", "").replace("_count", "")).collect()
}

/// The names of our metrics that a text mentions.
fn mentioned(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    let ours = words.filter(|word| word.starts_with("ovn_extaddr_"));
    ours.map(|name| name.replace("_bucket", "").replace("_sum", "").replace("_count", "")).collect()
}

#[test]
fn documentation_alerts_and_dashboard_name_existing_metrics() -> Result<()> {
    let fixture = offering()?;
    let mut net = Net::builder(1).create(&fixture.server)?;
    let instance = net.add_instance(Addressing::Static)?;
    net.annotate(&instance.port, V4, Some("203.0.113.99"))?;
    let offered = eventually(SOON, "there is a reason", || {
        let families = families(&scrape(&fixture.agent)?);
        Ok(families.contains("ovn_extaddr_intent_reasons").then_some(families))
    })?;
    let read = |path: &str| fs::read_to_string(format!("{ROOT}/{path}")).with_context(|| path.to_owned());
    assert_eq!(mentioned(&read("docs/metrics.md")?), offered, "docs/metrics.md describes every metric");
    for path in
        ["dist/prometheus/alerts.yml", "dist/grafana/ovn-extaddr.json", "dist/prometheus/alerts.test.yml"]
    {
        let named = mentioned(&read(path)?);
        let unknown: Vec<_> = named.difference(&offered).collect();
        assert!(unknown.is_empty() && !named.is_empty(), "{path} names {unknown:?}");
    }
    let dashboard: Value = serde_json::from_str(&read("dist/grafana/ovn-extaddr.json")?)?;
    let panels = dashboard["panels"].as_array().context("there are panels")?;
    assert!(panels.len() >= 10);
    let mute: Vec<_> =
        panels.iter().filter(|panel| panel["description"].as_str().is_none_or(str::is_empty)).collect();
    assert!(mute.is_empty(), "what to do about these is not said: {mute:?}");
    let (alerts, runbook) = (read("dist/prometheus/alerts.yml")?, read("docs/runbook.md")?);
    let named = |text: &str, before: &str| -> Vec<String> {
        text.lines().filter_map(|line| line.trim().strip_prefix(before)).map(str::to_owned).collect()
    };
    assert_eq!(named(&alerts, "- alert: "), named(&runbook, "## "), "docs/runbook.md has each alert");
    Ok(())
}

#[test]
fn alert_rules_are_valid_and_fire_as_tested() -> Result<()> {
    for arguments in [["check", "rules", "alerts.yml"], ["test", "rules", "alerts.test.yml"]] {
        let mut command = Command::new("promtool");
        command.current_dir(format!("{ROOT}/dist/prometheus")).args(arguments);
        let output = Output::capture(command)?;
        assert!(output.status.success(), "{output:?}");
    }
    let mut command = Command::new("promtool");
    command.current_dir(format!("{ROOT}/dist/prometheus")).args([
        "check",
        "config",
        "--syntax-only",
        "scrape.yml",
    ]);
    assert!(Output::capture(command)?.status.success());
    Ok(())
}
