use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{JoinHandle, sleep, spawn};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Resource, getrlimit, setrlimit};
use socket2::Socket;

use super::probe::{BLINK, Way, abort_on_close, ready};

/// How often every connection sends, in both directions.
const TICK: Duration = Duration::from_millis(500);
/// How many files a process needs to hold all connections of a few tests.
const DESCRIPTORS: u64 = 16384;
/// How long the establishment of connections may take.
const ESTABLISH: Duration = Duration::from_secs(60);
/// How long a connection may be silent in a check: five retransmissions.
const SILENCE: Duration = Duration::from_secs(8);
/// The same if other connections are alive: all connections of an address have the same fate.
const SILENCE_OF_FEW: Duration = Duration::from_secs(40);

/// Established TCP connections, with traffic in both directions all the time. Closed when dropped.
#[derive(Debug)]
pub struct Held {
    pairs: Arc<Mutex<Vec<Pair>>>,
    stop: Option<Sender<()>>,
    talker: Option<JoinHandle<()>>,
}

/// The state of connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counts {
    /// Data that was just sent on them arrived, in both directions.
    pub alive: usize,
    /// The others.
    pub dead: usize,
    /// The source addresses of live connections as the far end sees them, with the number of each.
    pub sources: BTreeMap<IpAddr, usize>,
    /// Why the first of the dead ones is dead.
    pub reason: Option<String>,
}

/// Both ends of a connection.
#[derive(Debug)]
struct Pair {
    near: End,
    far: End,
    /// Its source as the far end sees it.
    source: SocketAddr,
}

#[derive(Debug)]
struct End {
    stream: TcpStream,
    sent: u64,
    received: u64,
    error: Option<String>,
}

impl Held {
    pub(super) fn establish(way: &Way<'_>, count: usize) -> Result<Self> {
        allow_descriptors()?;
        let (listener, to) = way.listener()?;
        let mut near = Vec::new();
        for _ in 0..count {
            near.push(Some(way.connecting(to, 0)?));
        }
        let (mut introduced, mut accepted, mut pairs) = (vec![false; count], Vec::new(), Vec::new());
        let until = Instant::now() + ESTABLISH;
        while pairs.len() < count {
            if Instant::now() > until {
                bail!("only {} of {count} got established within {ESTABLISH:?}", pairs.len());
            }
            // Each connection sends its number: the far end sees a translated address.
            for (number, stream) in near.iter_mut().enumerate() {
                if let Some(stream) = stream
                    && !introduced[number]
                {
                    introduced[number] = ready(stream.write(&(number as u32).to_be_bytes()))?.is_some();
                }
            }
            while let Some((stream, source)) = ready(listener.accept())? {
                stream.set_nonblocking(true)?;
                abort_on_close(&Socket::from(stream.try_clone()?))?;
                accepted.push(Some((stream, source)));
            }
            for slot in &mut accepted {
                let mut number = [0; 4];
                if let Some((stream, source)) = slot
                    && ready(stream.read(&mut number))? == Some(4)
                    && let Some(near) =
                        near.get_mut(u32::from_be_bytes(number) as usize).and_then(Option::take)
                {
                    let far = stream.try_clone()?;
                    pairs.push(Pair { near: End::new(near), far: End::new(far), source: *source });
                    *slot = None;
                }
            }
            sleep(BLINK);
        }
        let pairs = Arc::new(Mutex::new(pairs));
        let (stop, stopped) = channel();
        let shared = Arc::clone(&pairs);
        let talker = spawn(move || {
            while stopped.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
                let mut pairs = lock(&shared);
                pairs.iter_mut().for_each(Pair::talk);
                pairs.iter_mut().for_each(Pair::listen);
            }
        });
        Ok(Self { pairs, stop: Some(stop), talker: Some(talker) })
    }

    /// Sends data on every connection, in both directions, and counts those on which it arrives.
    pub fn check(&self) -> Counts {
        let mut pairs = lock(&self.pairs);
        pairs.iter_mut().for_each(Pair::talk);
        let start = Instant::now();
        loop {
            pairs.iter_mut().for_each(Pair::listen);
            let settled = pairs.iter().filter(|pair| pair.is_settled()).count();
            let patience = if settled == 0 { SILENCE } else { SILENCE_OF_FEW };
            if settled == pairs.len() || start.elapsed() > patience {
                break;
            }
            sleep(BLINK);
        }
        let mut counts = Counts { alive: 0, dead: 0, sources: BTreeMap::new(), reason: None };
        for pair in pairs.iter() {
            match pair.trouble() {
                None => {
                    counts.alive += 1;
                    *counts.sources.entry(pair.source.ip()).or_default() += 1;
                }
                Some(trouble) => {
                    counts.dead += 1;
                    counts.reason.get_or_insert(trouble);
                }
            }
        }
        counts
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(talker) = self.talker.take() {
            // A panic there does not matter here.
            let _ = talker.join();
        }
    }
}

impl Counts {
    /// Whether all are alive, and seen as coming from `address`.
    pub fn all_from(&self, address: IpAddr) -> bool {
        self.dead == 0 && self.sources.keys().eq([&address])
    }
}

impl Pair {
    fn talk(&mut self) {
        self.near.talk();
        self.far.talk();
    }

    fn listen(&mut self) {
        self.near.listen();
        self.far.listen();
    }

    fn is_settled(&self) -> bool {
        self.is_even() || self.near.error.is_some() || self.far.error.is_some()
    }

    fn is_even(&self) -> bool {
        self.near.received == self.far.sent && self.far.received == self.near.sent
    }

    fn trouble(&self) -> Option<String> {
        let error = |name: &str, end: &End| end.error.as_ref().map(|error| format!("{name} end: {error}"));
        error("near", &self.near)
            .or_else(|| error("far", &self.far))
            .or_else(|| (!self.is_even()).then(|| format!("silent for {SILENCE:?} or more")))
    }
}

impl End {
    fn new(stream: TcpStream) -> Self {
        Self { stream, sent: 0, received: 0, error: None }
    }

    fn talk(&mut self) {
        if self.error.is_none() {
            match self.stream.write(b".") {
                Ok(count) => self.sent += count as u64,
                Err(error) => self.fail(&error),
            }
        }
    }

    fn listen(&mut self) {
        let mut buffer = [0; 256];
        while self.error.is_none() {
            match self.stream.read(&mut buffer) {
                Ok(0) => self.error = Some("closed".to_owned()),
                Ok(count) => self.received += count as u64,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => self.fail(&error),
            }
        }
    }

    fn fail(&mut self, error: &std::io::Error) {
        if error.kind() != ErrorKind::WouldBlock {
            self.error = Some(error.to_string());
        }
    }
}

/// Two for each connection are more than the usual soft limit allows.
fn allow_descriptors() -> Result<()> {
    let mut limit = getrlimit(Resource::Nofile);
    let wanted = limit.maximum.map_or(DESCRIPTORS, |most| most.min(DESCRIPTORS));
    if limit.current.is_some_and(|now| now < wanted) {
        limit.current = Some(wanted);
        setrlimit(Resource::Nofile, limit).context("cannot raise the number of open files")?;
    }
    Ok(())
}

fn lock(pairs: &Mutex<Vec<Pair>>) -> MutexGuard<'_, Vec<Pair>> {
    pairs.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Display for Counts {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        write!(out, "{} alive, {} dead", self.alive, self.dead)?;
        if let Some(reason) = &self.reason {
            write!(out, " ({reason})")?;
        }
        Ok(())
    }
}
