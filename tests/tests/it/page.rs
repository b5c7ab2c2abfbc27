//! The status page and its API, as a browser and programs read them.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use ovn_extaddr_tests::{Addressing, Agent, Cli, Instance, Net, OvsdbServer, PROMPT, eventually, json_map};
use serde_json::{Value, json};
use tempfile::{NamedTempFile, TempPath};

use crate::fixture::{Fixture, SOON, V4, ip, row};

/// A name of a port and a value of a key with an injection attempt.
const EVIL: &str = "\"><script>alert('1')</script>";

/// An answer, read to its end.
#[derive(Debug)]
struct Answer {
    status: u16,
    headers: BTreeMap<String, String>,
    body: String,
}

/// A network with two instances, one with an override and one with an intent for an address that is not a forward; an
/// intent for a missing port; and an agent with the page on a TCP port.
struct Stage {
    fixture: Fixture,
    net: Net,
    instances: Vec<Instance>,
    place: String,
    audit: TempPath,
}

fn free_place() -> Result<String> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string())
}

/// Sends a request over any stream, and reads to the end of the connection.
fn exchange(mut stream: impl Read + Write, request: &str) -> Result<String> {
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

fn parse(answer: &str) -> Result<Answer> {
    let (head, body) = answer.split_once("\r\n\r\n").with_context(|| format!("no HTTP: {answer}"))?;
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).context("no status")?.parse()?;
    let headers = lines.filter_map(|line| line.split_once(": "));
    let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    Ok(Answer { status, headers, body: body.to_owned() })
}

fn ask(place: &str, method: &str, target: &str, host: &str) -> Result<Answer> {
    let request = format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    parse(&exchange(TcpStream::connect(place)?, &request)?)
}

impl Stage {
    fn new() -> Result<Self> {
        let place = free_place()?;
        let audit = NamedTempFile::new()?.into_temp_path();
        let config = format!(
            "{PROMPT}metrics = \"{place}\"\nstatus-page = \"local\"\naudit = \"{}\"\n",
            audit.display()
        );
        let fixture = Fixture::with_config(&config)?;
        let kept = json_map([(format!("ovn-extaddr:ipv4.address.external:{EVIL}"), "auto")]);
        fixture
            .server
            .transact(vec![json!({"op": "insert", "table": "NB_Global", "row": {"external_ids": kept}})])?;
        let mut net = Net::builder(1).create(&fixture.server)?;
        let instances = net.add_instances(2, Addressing::Static)?;
        net.add_forward(ip("203.0.113.101"), 443, instances[0].v4()?, 443)?;
        net.annotate(&instances[0].port, V4, Some("203.0.113.101"))?;
        net.annotate(&instances[1].port, V4, Some(&format!("<img src=x>{EVIL}")))?;
        fixture.wait_for_rows([row(&net, &instances[0], "203.0.113.101", instances[0].v4()?)])?;
        let stage = Self { fixture, net, instances, place, audit };
        eventually(SOON, "the agent has told all", || {
            let status: Value = serde_json::from_str(&stage.get("/api/v1/status")?.body)?;
            ensure!(status["intents"]["active"] == 1 && status["intents"]["rejected"] == 1, "{status}");
            Ok(true)
        })?;
        Ok(stage)
    }

    fn get(&self, target: &str) -> Result<Answer> {
        ask(&self.place, "GET", target, &self.place)
    }

    fn json(&self, target: &str) -> Result<Value> {
        let answer = self.get(target)?;
        ensure!(answer.status == 200 && answer.headers["content-type"] == "application/json", "{answer:?}");
        Ok(serde_json::from_str(&answer.body)?)
    }

    fn html(&self, target: &str) -> Result<String> {
        let answer = self.get(target)?;
        ensure!(
            answer.status == 200 && answer.headers["content-type"].starts_with("text/html"),
            "{answer:?}"
        );
        ensure!(!answer.body.contains("<script") && !answer.body.contains("<img"), "{}", answer.body);
        Ok(answer.body)
    }
}

#[test]
fn page_shows_every_intent_with_state_reason_and_cure() -> Result<()> {
    let stage = Stage::new()?;
    let [good, bad] = [0, 1].map(|number| stage.instances[number].port.clone());
    let page = stage.html("/")?;
    for part in
        [&*good, &bad, "203.0.113.101", "invalid-address", "no-port", "role", "active", &stage.net.router()]
    {
        assert!(page.contains(part), "{part} is not in\n{page}");
    }
    assert!(page.contains("&#60;script&#62;") || page.contains("&lt;script&gt;"), "{page}");
    assert!(page.contains("<html lang=\"en\">") && page.contains("Skip to the content"));
    // The agent's transaction is among the recent changes.
    assert!(page.contains("committed") && page.contains("<code>insert</code>"), "{page}");

    let active = stage.html("/?state=active")?;
    assert!(active.contains(&good) && !active.contains(&format!(">{bad}<")), "{active}");
    let found = stage.html("/?q=INVALID-addr")?;
    assert!(found.contains(&format!(">{bad}<")) && !found.contains(&format!(">{good}<")), "{found}");
    let found = stage.html("/?q=%22%3E%3Cscript")?;
    assert!(found.contains("no-port") && found.contains("value=\"&#34;&#62;&#60;script\""), "{found}");
    assert!(stage.html("/?q=nobody")?.contains("No intent matches"));

    let port = stage.html(&format!("/port/{good}"))?;
    for part in
        ["<svg", "role=\"img\"", "<title", "leaves as 203.0.113.101", &stage.net.internal_switch(), "passed"]
    {
        assert!(port.contains(part), "{part} is not in\n{port}");
    }
    let port = stage.html(&format!("/port/{bad}"))?;
    assert!(
        port.contains("invalid-address") && port.contains("set ipv4.address.external to an address"),
        "{port}"
    );
    // The link in the list works for an intent of a missing port.
    let link = page
        .split("href=\"")
        .filter_map(|rest| rest.split('"').next())
        .find(|link| link.contains("%3Cscript"));
    assert!(stage.html(link.context("no link")?)?.contains("no-port"));
    let style = stage.get("/style.css")?;
    assert_eq!((style.status, &*style.headers["content-type"]), (200, "text/css; charset=utf-8"));
    Ok(())
}

#[test]
fn page_api_serves_the_json_of_the_commands() -> Result<()> {
    let stage = Stage::new()?;
    let listed = Value::Array(stage.fixture.cli.list_json()?);
    assert_eq!(stage.json("/api/v1/intents")?, listed);
    for instance in &stage.instances {
        let explained = stage.fixture.cli.run(&["explain", &instance.port, "--json"])?;
        let explained: Value = serde_json::from_str(&explained.success()?)?;
        assert_eq!(stage.json(&format!("/api/v1/ports/{}", instance.port))?, explained);
    }
    let only = |state: &str| -> Vec<Value> {
        let all = listed.as_array().into_iter().flatten();
        all.filter(|entry| entry["state"] == state).cloned().collect()
    };
    assert_eq!(stage.json("/api/v1/intents?state=rejected")?, Value::Array(only("rejected")));
    assert_eq!(stage.json("/api/v1/intents?q=203.0.113.101")?, Value::Array(only("active")));

    // Page by page, following the header.
    let (mut target, mut parts) = ("/api/v1/intents?limit=1".to_owned(), Vec::new());
    loop {
        let answer = stage.get(&target)?;
        let Value::Array(part) = serde_json::from_str(&answer.body)? else { bail!("{answer:?}") };
        assert_eq!(part.len(), 1);
        parts.extend(part);
        let Some(link) = answer.headers.get("link") else { break };
        let next = link.strip_prefix('<').and_then(|rest| rest.strip_suffix(">; rel=\"next\""));
        next.with_context(|| link.clone())?.clone_into(&mut target);
    }
    assert_eq!(Value::Array(parts), listed);

    let status = stage.json("/api/v1/status")?;
    assert_eq!((&status["role"], &status["database"]["server"]), (&json!("active"), &json!("standalone")));
    for (target, code, part) in [
        ("/api/v1/intents?state=fine", 400, "none of active"),
        ("/api/v1/intents?limit=0", 400, "from 1 to 1000"),
        ("/api/v1/intents?page=2", 400, "unknown parameter"),
        ("/api/v1/ports/nobody", 404, "there is no port nobody"),
        ("/api/v1/ports/%FF", 400, "UTF-8"),
        ("/api/v1/", 404, "/api/v1/intents"),
        ("/api/v2/intents", 404, "/api/v1/intents"),
    ] {
        let answer = stage.get(target)?;
        let error: Value =
            serde_json::from_str(&answer.body).with_context(|| format!("{target}: {answer:?}"))?;
        let text = error["error"].as_str().unwrap_or_default();
        assert!(answer.status == code && text.contains(part), "{target}: {answer:?}");
    }
    Ok(())
}

#[test]
fn page_is_read_only_and_sends_security_headers() -> Result<()> {
    let stage = Stage::new()?;
    let port = format!("/port/{}", stage.instances[0].port);
    for (target, status) in [
        ("/", 200),
        (&*port, 200),
        ("/style.css", 200),
        ("/api/v1/status", 200),
        ("/api/v1/intents", 200),
        ("/?state=nonsense", 400),
        ("/port/nobody", 404),
        ("/etc/passwd", 404),
        ("/../../etc/passwd", 404),
        ("/favicon.ico", 404),
    ] {
        let answer = stage.get(target)?;
        assert_eq!(answer.status, status, "{target}");
        let policy = &answer.headers["content-security-policy"];
        for part in ["default-src 'none'", "style-src 'self'", "frame-ancestors 'none'", "base-uri 'none'"] {
            assert!(policy.contains(part), "{target}: {policy}");
        }
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "no-referrer"),
            ("x-frame-options", "DENY"),
            ("cross-origin-resource-policy", "same-origin"),
            ("cache-control", "no-store"),
        ] {
            assert_eq!(answer.headers[name], value, "{target}");
        }
        let head = ask(&stage.place, "HEAD", target, &stage.place)?;
        assert!(head.status == status && head.body.is_empty(), "{head:?}");
    }
    for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "BREW"] {
        let answer = ask(&stage.place, method, "/", &stage.place)?;
        assert_eq!((answer.status, &*answer.headers["allow"]), (405, "GET, HEAD"), "{method}");
        assert!(answer.headers.contains_key("content-security-policy"), "{method}");
    }
    let long = stage.get(&format!("/?q={}", "a".repeat(5000)))?;
    assert_eq!(long.status, 414);
    let huge = exchange(
        TcpStream::connect(&stage.place)?,
        &format!("GET / HTTP/1.1\r\nHost: {}\r\nX: {}\r\n\r\n", stage.place, "a".repeat(60_000)),
    );
    assert!(huge.is_err() || huge.is_ok_and(|answer| answer.starts_with("HTTP/1.1 431 ")));

    // A name that somebody may have pointed here is refused; behind a proxy it is never seen.
    for (host, status) in [
        ("localhost", 200),
        ("127.0.0.1", 200),
        ("[::1]:80", 200),
        ("evil.example", 421),
        ("localhost.evil.example", 421),
    ] {
        assert_eq!(ask(&stage.place, "GET", "/", host)?.status, status, "{host}");
        assert_eq!(ask(&stage.place, "GET", "/api/v1/intents", host)?.status, status, "{host}");
        assert_eq!(ask(&stage.place, "GET", "/metrics", host)?.status, 200, "{host}");
    }
    Ok(())
}

/// The head of an answer without its date, and the body without changing numbers.
fn steady(answer: &str) -> String {
    let lines = answer.split_inclusive('\n').filter(|line| !line.starts_with("date: "));
    lines
        .filter(|line| !line.contains("content-length: "))
        .take_while(|line| !line.contains("# EOF"))
        .take(8)
        .collect()
}

#[test]
fn disabled_page_leaves_the_metrics_unchanged() -> Result<()> {
    let server = OvsdbServer::northbound()?;
    let place = free_place()?;
    let config = |page: &str| format!("{PROMPT}metrics = \"{place}\"\n{page}");
    let agent = Agent::builder(server.remote()).config(&config("")).start()?;
    let raw = |target: &str| -> Result<String> {
        let request = format!("GET {target} HTTP/1.1\r\nHost: {place}\r\nConnection: close\r\n\r\n");
        exchange(TcpStream::connect(&place)?, &request)
    };
    let metrics = eventually(SOON, "it answers", || Ok(raw("/metrics").ok()))?;
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\n\
                content-length: ";
    assert!(metrics.starts_with(head), "{metrics}");
    let names = |answer: &str| -> Vec<String> {
        let head = answer.split("\r\n\r\n").next().unwrap_or_default();
        head.lines().skip(1).filter_map(|line| Some(line.split_once(':')?.0.to_owned())).collect()
    };
    assert_eq!(names(&metrics), ["content-type", "content-length", "connection", "date"]);
    let home = raw("/")?;
    assert!(home.ends_with("\r\n\r\novn-extaddr: see /metrics\n"), "{home}");
    assert_eq!(names(&home), names(&metrics));
    for target in ["/style.css", "/api/v1/intents", "/port/a"] {
        let answer = raw(target)?;
        assert!(
            answer.starts_with("HTTP/1.1 404 ") && answer.ends_with("there is only /metrics\n"),
            "{answer}"
        );
    }
    // It is switched on and off by the configuration, and metrics stay.
    agent.write_config(&config("status-page = \"local\"\n"))?;
    eventually(SOON, "the page is there", || Ok(raw("/")?.contains("<!doctype html>")))?;
    assert_eq!(steady(&raw("/metrics")?), steady(&metrics));
    assert!(agent.appctl(&["status"])?.contains("status page: local\n"));
    agent.write_config(&config("status-page = \"any\"\n"))?;
    eventually(SOON, "any name will do", || Ok(ask(&place, "GET", "/", "a.example")?.status == 200))?;
    agent.write_config(&config(""))?;
    eventually(SOON, "the page is gone", || Ok(raw("/")?.contains("see /metrics")))?;
    Ok(())
}

#[test]
fn local_page_on_a_public_address_is_refused() -> Result<()> {
    let server = OvsdbServer::northbound()?;
    let cli = Cli::new(server.remote())?;
    for (config, part) in [
        ("status-page = \"local\"", "they are off: set metrics to a loopback address"),
        ("status-page = \"any\"", "they are off"),
        ("metrics = \"0.0.0.0:9477\"\nstatus-page = \"local\"", "others may reach 0.0.0.0:9477"),
        ("metrics = \"127.0.0.1:9477\"\nstatus-page = \"yes\"", "`off`, `local`, `any`"),
    ] {
        cli.write_config(config)?;
        let output = cli.run(&["check-config"])?;
        ensure!(output.code() == Some(1) && output.stderr.contains(part), "{config}: {output:?}");
    }
    Ok(())
}

#[test]
fn page_on_a_unix_socket_accepts_any_host_header() -> Result<()> {
    let fixture = Fixture::start()?;
    let socket = fixture.agent.dir().join("page.sock");
    fixture.agent.write_config(&format!(
        "{PROMPT}metrics = \"unix:{}\"\nstatus-page = \"local\"\n",
        socket.display()
    ))?;
    // It exists before it can be connected to.
    eventually(SOON, "it listens", || Ok(UnixStream::connect(&socket).is_ok()))?;
    let request = "GET / HTTP/1.1\r\nHost: ovn.example.org\r\nConnection: close\r\n\r\n";
    let answer = parse(&exchange(UnixStream::connect(&socket)?, request)?)?;
    ensure!(answer.status == 200 && answer.body.contains("There are no intents yet"), "{answer:?}");
    Ok(())
}

#[test]
fn slow_clients_are_disconnected_and_do_not_block_the_metrics() -> Result<()> {
    let stage = Stage::new()?;
    let slow = (0..8).map(|_| {
        let mut stream = TcpStream::connect(&stage.place)?;
        stream.write_all(b"GET / HTTP/1.1\r\nHost: local")?;
        Ok(stream)
    });
    let mut slow = slow.collect::<Result<Vec<_>>>()?;
    // These request much, and do not read it.
    let greedy = (0..8).map(|_| {
        let mut stream = TcpStream::connect(&stage.place)?;
        let request = format!("GET / HTTP/1.1\r\nHost: {}\r\n\r\n", stage.place);
        stream.write_all(request.repeat(20).as_bytes())?;
        Ok(stream)
    });
    let greedy = greedy.collect::<Result<Vec<_>>>()?;
    let start = Instant::now();
    assert_eq!(ask(&stage.place, "GET", "/metrics", &stage.place)?.status, 200);
    assert_eq!(stage.get("/")?.status, 200);
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    let mut stream = slow.remove(0);
    stream.set_read_timeout(Some(SOON))?;
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).context("a client that does not ask is left")?;
    drop((slow, greedy));
    Ok(())
}

#[test]
fn unreadable_audit_file_is_reported_on_the_page() -> Result<()> {
    let stage = Stage::new()?;
    fs::remove_file(&stage.audit)?;
    let page = stage.html("/")?;
    assert!(page.contains("The audit file cannot be read") && page.contains("No such file"), "{page}");
    Ok(())
}
