//! A look at the database, for the commands that only read.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use anyhow::bail;
use ovn_model::Store;
use ovsdb_protocol::{Session, SessionEvent};
use tokio::time::{interval_at, sleep_until, timeout, timeout_at};

use crate::DATABASE;
use crate::access;
use crate::clock::Now;
use crate::engine::Engine;
use crate::settings::Settings;
use crate::sources::cms::Cms;
use crate::sources::requests::{News, Requests, Standing};
use crate::sources::watcher::Watchers;

/// How often a person who waits is told how far we are; the first time after as long.
const PROGRESS: Duration = Duration::from_millis(400);

/// How long CMSes may take to say what they ask for, unless `--timeout` is shorter.
const SOURCES_TIMEOUT: Duration = Duration::from_secs(10);

/// The database and what an agent would decide on it.
#[derive(Debug)]
pub struct Observer {
    session: Session,
    watchers: Watchers,
    /// The database.
    pub store: Store,
    /// The decisions.
    pub engine: Engine,
}

impl Observer {
    /// Reads the database.
    ///
    /// # Errors
    /// No remote has the database, or not in time.
    pub async fn open(settings: &Settings) -> anyhow::Result<Self> {
        let session = Session::new(settings.reading_session());
        let mut observer = Self {
            session,
            watchers: Watchers::start(&settings.cms),
            store: Store::new(),
            engine: Engine::new(settings.rules.clone()),
        };
        observer.engine.set_requests(&observer.store, Requests::new(settings.cms.iter().map(|cms| cms.kind)));
        synced(settings, &mut observer.session, &mut observer.store).await?;
        observer.hear(settings.timeout.map_or(SOURCES_TIMEOUT, |limit| limit.min(SOURCES_TIMEOUT))).await;
        observer.decide();
        Ok(observer)
    }

    /// Hears every CMS once, be it that it cannot be reached, and tells of those.
    async fn hear(&mut self, limit: Duration) {
        let deadline = tokio::time::Instant::now() + limit;
        while self.watchers.is_quiet() {
            let Ok(report) = timeout_at(deadline, self.watchers.next()).await else { break };
            self.engine.hear(&self.store, report.source, report.news);
        }
        for (cms, standing) in self.watchers.sources().iter().zip(self.engine.requests().standings()) {
            if !standing.is_heard {
                let why = standing.failure.unwrap_or_else(|| format!("it is silent for {limit:?}"));
                // What is printed for programs must not be mixed with it.
                eprintln!("ovn-extaddr: cannot read {cms}, whose intents are missing here: {why}");
            }
        }
    }

    /// Returns the CMSes, and where each stands.
    pub fn sources(&self) -> impl Iterator<Item = (&Cms, Standing)> {
        self.watchers.sources().iter().zip(self.engine.requests().standings())
    }

    /// Waits until something changed.
    ///
    /// # Errors
    /// The connection is lost.
    pub async fn changed(&mut self) -> anyhow::Result<()> {
        loop {
            let event = tokio::select! {
                event = self.session.next(&mut self.store) => event,
                report = self.watchers.next() => {
                    self.engine.hear(&self.store, report.source, report.news);
                    break;
                }
            };
            match event {
                SessionEvent::Updated => break,
                SessionEvent::Disconnected { remote, error, .. } => bail!("lost {remote}: {error:#}"),
                _ => {}
            }
        }
        self.decide();
        Ok(())
    }

    /// Waits until something changed, be it only by time, however often the connection is lost.
    ///
    /// # Cancel safety
    /// Nothing is lost when the future is dropped.
    pub async fn followed(&mut self) {
        loop {
            let due = self.engine.next_deadline().filter(|_| self.session.is_synced()).map(Into::into);
            let event = tokio::select! {
                event = self.session.next(&mut self.store) => event,
                report = self.watchers.next() => {
                    let is_lost = matches!(report.news, News::Lost(_));
                    self.engine.hear(&self.store, report.source, report.news);
                    if self.session.is_synced() && !is_lost { break } else { continue }
                }
                () = sleep_until(due.unwrap_or_else(tokio::time::Instant::now)), if due.is_some() => break,
            };
            match event {
                SessionEvent::Updated | SessionEvent::Synced { .. } if self.session.is_synced() => break,
                SessionEvent::Disconnected { remote, error, .. } => {
                    tracing::warn!(%remote, %error, "disconnected");
                }
                _ => {}
            }
        }
        self.decide();
    }

    fn decide(&mut self) {
        self.engine.catch_up(&mut self.store, Now::at(Instant::now()));
    }
}

/// Waits until the store is in step with the database.
///
/// # Errors
/// As [`Observer::open`].
pub async fn synced(settings: &Settings, session: &mut Session, store: &mut Store) -> anyhow::Result<()> {
    let mut failures = BTreeMap::new();
    let mut progress = Progress::new();
    let attempt = async {
        let mut ticks = interval_at(tokio::time::Instant::now() + PROGRESS, PROGRESS);
        loop {
            let event = tokio::select! {
                event = session.next(store) => event,
                _ = ticks.tick(), if progress.is_wanted => {
                    progress.show(session);
                    continue;
                }
            };
            match event {
                SessionEvent::Synced { .. } => return Ok(()),
                SessionEvent::Disconnected { remote, error, retry } => {
                    let place = access::place(&remote, session.address());
                    tracing::debug!(%place, error = format_args!("{error:#}"), "cannot use the server");
                    let hint = access::hint(&remote, &error);
                    let hint = hint.map_or_else(String::new, |hint| format!(": {hint}"));
                    let failure = format!("{place}: {error:#}{hint}");
                    failures.insert(place, failure);
                    // A pause comes after every server had its turn.
                    if !retry.is_zero() && settings.timeout.is_none() {
                        return Err(());
                    }
                }
                _ => {}
            }
        }
    };
    let within = match settings.timeout {
        None => attempt.await.map_err(|()| String::new()),
        Some(limit) => match timeout(limit, attempt).await {
            Ok(Ok(())) => Ok(()),
            _ => Err(format!(" within {limit:?}")),
        },
    };
    progress.clear();
    let Err(within) = within else { return Ok(()) };
    // Each server by itself, for the one that matters need not be the last.
    let failures: Vec<_> = failures.into_values().collect();
    let why =
        if failures.is_empty() { format!("{} is silent", settings.remotes) } else { failures.join("; ") };
    bail!("cannot read {DATABASE}{within}: {why}")
}

/// A line on the terminal of a person who waits for a large database.
struct Progress {
    is_wanted: bool,
    is_shown: bool,
}

impl Progress {
    fn new() -> Self {
        Self { is_wanted: io::stderr().is_terminal(), is_shown: false }
    }

    fn show(&mut self, session: &Session) {
        let remote = session.remote().map_or_else(String::new, |remote| format!(" from {remote}"));
        let (bytes, rows) = session.received();
        self.say(&format!("Reading {DATABASE}{remote}: {} kB, {rows} rows", bytes / 1000));
        self.is_shown = true;
    }

    fn clear(&self) {
        if self.is_shown {
            self.say("");
        }
    }

    /// Writes over the line. That it cannot be written is no reason to stop.
    fn say(&self, text: &str) {
        let mut terminal = io::stderr().lock();
        let _ = write!(terminal, "\r\x1b[K{text}").and_then(|()| terminal.flush());
    }
}
