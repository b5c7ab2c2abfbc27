//! The status page of an agent with very many intents: how long a person waits, and the effect on other work.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::Bench;
use super::figure::{Figure, Goal, Series};
use super::ground::{Ground, asking, withdrawing};
use super::observer::Observer;
use super::subject::Subject;
use crate::agent::PROMPT;
use crate::generate::Estate;

/// Requests of each kind.
const REQUESTS: usize = 20;

/// Intents that are set while pages are read, and while not.
const INTENTS: usize = 200;

/// Between two of them.
const PAUSE: Duration = Duration::from_millis(1);

/// A time that a person does not notice.
const GOAL: f64 = 0.2;

/// Measures the page with as many intents as ports, except a few that are set one by one.
pub(super) fn measure(bench: &Bench) -> Result<Vec<Figure>> {
    let estate = Estate::of_ports(bench.ports);
    let ground = Ground::open(estate.asking(estate.instances - 1))?;
    let place = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let intents = ground.estate.intents() as usize;
    bench.say(format_args!("an agent writes {intents} overrides"));
    let mut observer = Observer::open(&ground.socket())?;
    let config = format!("{PROMPT}metrics = \"{place}\"\nstatus-page = \"local\"\n");
    let agent = Subject::configured(&ground.remote(), &config, &[])?;
    observer.inserted(intents)?;
    while !get(place, "/api/v1/status")?.1.contains(&format!("\"active\": {intents}")) {
        sleep(Duration::from_millis(100));
    }
    sleep(bench.rest);

    let before = agent.usage()?;
    let last = ground.estate.member(ground.estate.networks - 1, 7);
    let targets = [
        ("first page", "/".to_owned()),
        (
            "a page in the middle",
            format!("/?after={}", ground.estate.member(ground.estate.networks / 2, 0).name),
        ),
        ("search for a port", format!("/?q={}", last.name)),
        ("search for an address", format!("/?q={}", last.external)),
        ("search for what all have", "/?q=incus".to_owned()),
        ("search for nothing", "/?q=no-such-name".to_owned()),
        ("state active", "/?state=active".to_owned()),
        ("state rejected", "/?state=rejected".to_owned()),
        ("page of a port", format!("/port/{}", last.name)),
        ("1000 ports of the API", "/api/v1/intents?limit=1000".to_owned()),
        ("metrics", "/metrics".to_owned()),
    ];
    let mut figures = Vec::new();
    for (what, target) in &targets {
        let cpu = agent.usage()?.cpu;
        let waited = (0..REQUESTS).map(|_| Ok(get(place, target)?.0)).collect::<Result<Vec<_>>>()?;
        let cpu = (agent.usage()?.cpu - cpu) / REQUESTS as u32;
        let what = format!("{what}, {intents} intents");
        figures
            .push(Figure::new(format!("{what}: first byte"), Series::times(waited)).goal(Goal::Most(GOAL)));
        figures.push(Figure::new(format!("{what}: CPU"), Series::times([cpu])));
    }
    let after = agent.usage()?;
    figures.push(
        Figure::new(
            format!("memory after {} pages", targets.len() * REQUESTS),
            Series::bytes([after.resident]),
        )
        .beside("before", Series::bytes([before.resident])),
    );
    figures.push(
        Figure::new("most memory while they were made", Series::bytes([after.peak]))
            .beside("before", Series::bytes([before.peak])),
    );

    // Whatever is requested, updates of the database have priority; so do metrics.
    let quiet = latencies(&ground, &mut observer)?;
    let over = Arc::new(AtomicBool::new(false));
    let pages = Arc::new(AtomicUsize::new(0));
    let readers: Vec<_> = (0..4)
        .map(|_| {
            let (over, pages) = (Arc::clone(&over), Arc::clone(&pages));
            thread::spawn(move || -> Result<()> {
                while !over.load(Ordering::Relaxed) {
                    get(place, "/?q=no-such-name")?;
                    pages.fetch_add(1, Ordering::Relaxed);
                }
                Ok(())
            })
        })
        .collect();
    let busy = latencies(&ground, &mut observer);
    let scrapes = (0..REQUESTS).map(|_| Ok(get(place, "/metrics")?.0)).collect::<Result<Vec<_>>>();
    over.store(true, Ordering::Relaxed);
    for reader in readers {
        reader.join().map_err(|_| anyhow::anyhow!("a reader panicked"))??;
    }
    let (busy, scrapes) = (busy?, scrapes?);
    bench.say(format_args!("{} pages were read meanwhile", pages.load(Ordering::Relaxed)));
    let while_searched = "one intent to its row, while four search all the time";
    figures.push(Figure::new(while_searched, busy.clone()).beside("nobody does", quiet.clone()));
    figures.push(
        Figure::new(format!("{while_searched}, p99"), busy.only(0.99))
            .beside("nobody does", quiet.only(0.99)),
    );
    figures.push(Figure::new("metrics, while four search all the time: last byte", Series::times(scrapes)));
    agent.stop()?;
    Ok(figures)
}

/// From an intent to its row, one after the other.
fn latencies(ground: &Ground, observer: &mut Observer) -> Result<Series> {
    let mut operator = ground.connect()?;
    let estate = ground.estate;
    let mut times = Vec::new();
    for number in 0..INTENTS {
        let member = estate.member(number as u32 % estate.networks, estate.instances - 1);
        let members = std::slice::from_ref(&member);
        sleep(PAUSE);
        let start = Instant::now();
        operator.send(&asking(members))?;
        times.push(observer.inserted(1)? - start);
        operator.reply()?;
        sleep(PAUSE);
        operator.transact(&withdrawing(members))?;
        observer.deleted(1)?;
    }
    Ok(Series::times(times))
}

/// Requests a target. Returns the time to the first byte and to the end, and the answer.
fn get(place: SocketAddr, target: &str) -> Result<(Duration, String)> {
    let start = Instant::now();
    let mut stream = TcpStream::connect(place)?;
    write!(stream, "GET {target} HTTP/1.1\r\nHost: {place}\r\nConnection: close\r\n\r\n")?;
    let mut answer = vec![0; 1];
    stream.read_exact(&mut answer)?;
    let waited = start.elapsed();
    stream.read_to_end(&mut answer)?;
    let answer = String::from_utf8(answer).context("the answer is not text")?;
    ensure!(answer.starts_with("HTTP/1.1 200 "), "{target}: {}", answer.lines().next().unwrap_or_default());
    Ok((waited, answer))
}
