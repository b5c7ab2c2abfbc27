//! Broken or hostile servers: the agent continues with bounded memory, and reports the error.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ovn_extaddr_tests::{Addressing, Agent, Net, OvsdbServer};

use crate::fixture::{OWNER, V4, ip, row, wait_for_rows};

/// More than twice the longest accepted value, as a growing buffer may need, plus the program itself.
const MAX_MEMORY: u64 = 256 << 20;

/// Data that a server sends to every client, until the client closes the connection.
struct Flood {
    head: &'static [u8],
    /// This text is repeated.
    body: &'static [u8],
    /// Whether it reads the client's data.
    listens: bool,
    /// The agent's error.
    complaint: &'static str,
}

const ECHO: &[u8] =
    br#"{"id":"echo","method":"echo","params":["a text that makes the answer a bit longer"]}"#;

fn floods() -> [Flood; 8] {
    let flood = |head, body, complaint| Flood { head, body, listens: true, complaint };
    [
        flood(b"HTTP/1.1 400 Bad Request\r\n", b"", "does not speak OVSDB: expected a JSON object at byte 0"),
        flood(b"\xff\xfe\x00", b"\x00", "does not speak OVSDB: expected a JSON object at byte 0"),
        // More than a gigabyte, if it were accepted.
        flood(
            b"{\"id\":1,\"error\":null,\"result\":\"",
            b"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
            "more than 16777216 bytes",
        ),
        flood(b"{\"id\":1,\"result\":", b"[", "does not speak OVSDB"),
        flood(b"{\"id\":1,\"result\":", b"[[]],", "does not speak OVSDB"),
        flood(b"", b" \n", "before the requested rows"),
        // Which of two bounds it reaches first depends on the size of the kernel's buffers.
        Flood { listens: false, ..flood(b"", ECHO, "error=the server ") },
        flood(
            b"",
            br#"{"id":null,"method":"update3","params":["nobody's","00000000-0000-0000-0000-000000000000",{}]}"#,
            "there is no monitor",
        ),
    ]
}

#[test]
fn agent_survives_hostile_servers() -> Result<()> {
    let server = OvsdbServer::northbound()?;
    let mut net = Net::builder(1).ipv4_only().create(&server)?;
    let instance = net.add_instance(Addressing::Static)?;
    net.add_forward(ip("203.0.113.101"), 443, instance.v4()?, 443)?;
    net.annotate(&instance.port, V4, Some("203.0.113.101"))?;
    for flood in floods() {
        let what = String::from_utf8_lossy(&[flood.head, flood.body].concat()).into_owned();
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let remote = format!("tcp:{}", listener.local_addr()?);
        let complaint = flood.complaint;
        thread::spawn(move || {
            // Once: later attempts are refused, so that the agent continues with the good server.
            if let Ok((stream, _)) = listener.accept() {
                drop(listener);
                pour(stream, &flood);
            }
        });
        let mut agent = Agent::start(format!("{remote},{}", server.remote()))?;
        let mut check = || -> Result<()> {
            agent.wait_for_log(complaint)?;
            wait_for_rows(&server, OWNER, [row(&net, &instance, "203.0.113.101", instance.v4()?)])?;
            let most = peak(agent.daemon().pid())?;
            ensure!(most < MAX_MEMORY, "it took {} MiB", most >> 20);
            ensure!(!agent.log().contains("panic"), "{}", agent.log());
            Ok(())
        };
        check().with_context(|| format!("a server that sends {what:?}"))?;
        ensure!(agent.stop()?.success(), "{}", agent.log());
    }
    Ok(())
}

/// Sends until the client closes the connection.
fn pour(mut stream: TcpStream, flood: &Flood) {
    if flood.listens
        && let Ok(mut reader) = stream.try_clone()
    {
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            while reader.read(&mut buffer).is_ok_and(|read| read > 0) {}
        });
    }
    if stream.write_all(flood.head).is_err() {
        return;
    }
    if flood.body.is_empty() {
        // It has sent everything, and waits.
        let _ = stream.set_read_timeout(Some(Duration::from_secs(30)));
        let _ = stream.read(&mut [0; 1]);
        return;
    }
    let body = flood.body.repeat((1 << 16) / flood.body.len());
    while stream.write_all(&body).is_ok() {}
}

/// The most memory that a process ever had, in bytes.
fn peak(pid: u32) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no VmHWM")?;
    let kilobytes: u64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kilobytes << 10)
}
