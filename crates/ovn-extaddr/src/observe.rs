//! Reading of the database, for the commands that only read.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::bail;
use extaddr_core::DATABASE;
use extaddr_core::engine::Engine;
use extaddr_core::names::{Directory, PortNames};
use extaddr_core::report::{self, Entry};
use extaddr_core::rules::Rules;
use extaddr_core::sources::requests::{Requests, SourceStatus, SourceUpdate};
use ovn_model::Store;
use ovsdb_protocol::{
    ApplyError, Batch, DatabaseSchema, MonitorRequests, Replica, RowUpdate, SchemaMismatch, Session,
    SessionEvent,
};
use tokio::time::{interval_at, sleep_until, timeout, timeout_at};

use crate::access;
use crate::clock;
use crate::settings::Settings;
use crate::sources::cms::Cms;
use crate::sources::watcher::{Report, Watchers};

/// The interval at which the progress is shown to a waiting person, and the time before the first one.
const PROGRESS: Duration = Duration::from_millis(400);

/// The time that CMSes may take to send their intents, unless `--timeout` is shorter.
pub(crate) const SOURCES_TIMEOUT: Duration = Duration::from_secs(10);

/// The database and the decisions that an agent would make.
#[derive(Debug)]
pub struct Observer {
    session: Session,
    watchers: Watchers,
    directory: Directory,
    /// The database.
    pub store: Store,
    /// The decisions.
    pub engine: Engine,
}

impl Observer {
    /// Reads the database.
    ///
    /// # Errors
    /// No remote has the database in time.
    pub async fn open(settings: &Settings) -> anyhow::Result<Self> {
        let mut session = Session::new(settings.reading_session());
        let mut watchers = Watchers::start(&settings.cms);
        let (mut store, mut directory) = (Store::new(), Directory::default());
        // The time since a forward is gone is not known here. A row without one is shown as about to be deleted.
        let mut engine = Engine::new(Rules { hold_down: Duration::ZERO, ..settings.rules.clone() });
        engine.set_requests(&store, Requests::new(settings.cms.iter().map(|cms| cms.kind)));
        let mut replicas = Both(&mut store, &mut directory);
        synced(settings, &mut session, &mut replicas, Progress::on_terminal()).await?;
        let limit = settings.timeout.map_or(SOURCES_TIMEOUT, |limit| limit.min(SOURCES_TIMEOUT));
        receive_reports(&mut watchers, limit, |report| {
            engine.take_update(&store, report.source, report.update)
        })
        .await;
        tell_silent(watchers.sources().iter().zip(engine.requests().statuses()), limit);
        let mut observer = Self { session, watchers, directory, store, engine };
        observer.decide();
        Ok(observer)
    }

    /// Returns the display names of ports.
    pub fn names(&self) -> PortNames<'_> {
        PortNames::new(&self.directory, self.engine.requests())
    }

    /// Adds to each entry the display name of its port.
    pub fn named(&self, mut entries: Vec<Entry>) -> Vec<Entry> {
        let names = self.names();
        for entry in &mut entries {
            entry.name = names.name(&entry.port).or_else(|| entry.name.take());
        }
        entries
    }

    /// Returns the reports on a port, whether it exists or not, with display names.
    pub fn entries(&self, port: &Arc<str>) -> Vec<Entry> {
        let (store, engine) = (&self.store, &self.engine);
        let mut entries = report::entries(store, engine, port, None);
        if store.port_by_name(port).is_none() {
            entries
                .extend(report::absent(store, engine).filter(|entry| report::is_about_missing(entry, port)));
        }
        self.named(entries)
    }

    /// Returns the CMSes with their status.
    pub fn sources(&self) -> impl Iterator<Item = (&Cms, SourceStatus)> {
        self.watchers.sources().iter().zip(self.engine.requests().statuses())
    }

    /// Waits until something changed, even if only by time, however often the connection is lost.
    ///
    /// # Cancel safety
    /// Nothing is lost when the future is dropped.
    pub async fn followed(&mut self) {
        loop {
            let due = self.engine.next_deadline().filter(|_| self.session.is_synced()).map(Into::into);
            let mut replicas = Both(&mut self.store, &mut self.directory);
            let event = tokio::select! {
                event = self.session.next(&mut replicas) => event,
                report = self.watchers.next() => {
                    let is_lost = matches!(report.update, SourceUpdate::Lost(_));
                    self.engine.take_update(&self.store, report.source, report.update);
                    if self.session.is_synced() && !is_lost { break } else { continue }
                }
                () = sleep_until(due.unwrap_or_else(tokio::time::Instant::now)), if due.is_some() => break,
            };
            match event {
                SessionEvent::Updated | SessionEvent::Synced { .. } if self.session.is_synced() => break,
                SessionEvent::Disconnected { remote, error, .. } => {
                    tracing::warn!(%remote, error = format_args!("{error:#}"), "disconnected");
                }
                _ => {}
            }
        }
        self.decide();
    }

    fn decide(&mut self) {
        self.engine.catch_up(&mut self.store, clock::read(Instant::now()));
    }
}

/// The display names of ports, for commands that need nothing else.
#[derive(Debug)]
pub struct Lookup {
    directory: Directory,
    requests: Requests,
    silent: Vec<String>,
}

impl Lookup {
    /// Reads the names in the database, and those of CMSes that answer within `limit`.
    ///
    /// # Errors
    /// As [`Observer::open`].
    pub async fn open(settings: &Settings, limit: Duration, progress: Progress) -> anyhow::Result<Self> {
        let mut watchers = Watchers::start(&settings.cms);
        let mut directory = Directory::default();
        let mut requests = Requests::new(settings.cms.iter().map(|cms| cms.kind));
        let mut config = settings.session();
        // A follower's copy is sufficient.
        config.leader_only = false;
        synced(settings, &mut Session::new(config), &mut directory, progress).await?;
        receive_reports(&mut watchers, limit, |report| drop(requests.take(report.source, report.update)))
            .await;
        let statuses = watchers.sources().iter().zip(requests.statuses());
        let silent = statuses.filter(|(_, status)| !status.was_read).map(|(cms, _)| cms.to_string());
        let silent = silent.collect();
        Ok(Self { directory, requests, silent })
    }

    /// Returns the CMSes that did not answer, whose names are missing.
    pub fn silent(&self) -> &[String] {
        &self.silent
    }

    /// Returns the display names of ports.
    pub fn names(&self) -> PortNames<'_> {
        PortNames::new(&self.directory, &self.requests)
    }
}

/// Two replicas of one session: each gets the rows that both requested, and ignores those of the other.
struct Both<'a>(&'a mut Store, &'a mut Directory);

impl Replica for Both<'_> {
    fn declare(&mut self, schema: &DatabaseSchema) -> Result<MonitorRequests, SchemaMismatch> {
        let (mut requests, others) = (self.0.declare(schema)?, self.1.declare(schema)?);
        for (table, other) in others {
            let joined = requests.remove(&table).map(|request| request.with_columns_of(&other));
            requests.insert(table, joined.unwrap_or(other));
        }
        Ok(requests)
    }

    fn begin(&mut self, batch: Batch) {
        self.0.begin(batch);
        self.1.begin(batch);
    }

    fn apply(&mut self, update: RowUpdate<'_>) -> Result<(), ApplyError> {
        self.0.apply(update)?;
        self.1.apply(update)
    }

    fn commit(&mut self) {
        self.0.commit();
        self.1.commit();
    }
}

/// Waits for one report of every CMS, even if only that it cannot be reached.
async fn receive_reports(watchers: &mut Watchers, limit: Duration, mut take: impl FnMut(Report)) {
    let deadline = tokio::time::Instant::now() + limit;
    while watchers.is_quiet() {
        let Ok(report) = timeout_at(deadline, watchers.next()).await else { break };
        take(report);
    }
}

/// Prints the sources that did not answer.
fn tell_silent<'a>(sources: impl Iterator<Item = (&'a Cms, SourceStatus)>, limit: Duration) {
    for (cms, status) in sources.filter(|(_, status)| !status.was_read) {
        let why = status.failure.unwrap_or_else(|| format!("it is silent for {limit:?}"));
        // It must not be mixed with output for programs.
        eprintln!("ovn-extaddr: cannot read {cms}, whose intents are missing here: {why}");
    }
}

/// Waits until a replica is in sync with the database.
///
/// # Errors
/// As [`Observer::open`].
pub async fn synced(
    settings: &Settings,
    session: &mut Session,
    replica: &mut impl Replica,
    mut progress: Progress,
) -> anyhow::Result<()> {
    let mut failures = BTreeMap::new();
    let attempt = async {
        let mut ticks = interval_at(tokio::time::Instant::now() + PROGRESS, PROGRESS);
        loop {
            let event = tokio::select! {
                event = session.next(replica) => event,
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
                    // There is a pause once every server was tried.
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
    // Each server is listed, since the relevant one need not be the last.
    let failures: Vec<_> = failures.into_values().collect();
    let why =
        if failures.is_empty() { format!("{} is silent", settings.remotes) } else { failures.join("; ") };
    bail!("cannot read {DATABASE}{within}: {why}")
}

/// A progress line on the terminal while a large database is read.
#[derive(Debug)]
pub struct Progress {
    is_wanted: bool,
    is_shown: bool,
}

impl Progress {
    /// Shows the line if standard error is a terminal.
    pub fn on_terminal() -> Self {
        Self { is_wanted: io::stderr().is_terminal(), is_shown: false }
    }

    /// Shows nothing: a shell that asks for completions may pass its terminal, too.
    pub fn hidden() -> Self {
        Self { is_wanted: false, is_shown: false }
    }

    fn show(&mut self, session: &Session) {
        let remote = session.remote().map_or_else(String::new, |remote| format!(" from {remote}"));
        let (bytes, rows) = session.received();
        self.write_status(&format!("Reading {DATABASE}{remote}: {} kB, {rows} rows", bytes / 1000));
        self.is_shown = true;
    }

    fn clear(&self) {
        if self.is_shown {
            self.write_status("");
        }
    }

    /// Overwrites the line. A failure to write is ignored.
    fn write_status(&self, text: &str) {
        let mut terminal = io::stderr().lock();
        let _ = write!(terminal, "\r\x1b[K{text}").and_then(|()| terminal.flush());
    }
}
