//! The task of each source, which listens to events, reads what they name, and reports to the loop.

use std::convert::Infallible;
use std::future::pending;
use std::time::Duration;

use extaddr_core::sources::agenda::{Agenda, Item};
use extaddr_core::sources::instance::Instance;
use extaddr_core::sources::known::KnownInstances;
use extaddr_core::sources::nic::InstanceName;
use extaddr_core::sources::requests::SourceUpdate;
use ovsdb_protocol::Backoff;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};
use tracing::debug;

use super::api::{Api, Failure};
use super::cms::Cms;
use super::events::Events;

/// The maximum number of reports that wait for the loop. A task that is ahead waits, and so does its source.
const MAX_WAITING: usize = 16;

/// The pauses between attempts to reach a source.
const MIN_PAUSE: Duration = Duration::from_millis(250);
const MAX_PAUSE: Duration = Duration::from_secs(20);

/// The time for which a source must be followed until the pauses start from the beginning. Whoever may change an instance
/// can also end the stream of events, after which everything is read again.
const STABLE: Duration = Duration::from_secs(30);

/// The time after which everything is read even without events, to find changes that events do not report.
const RELIST: Duration = Duration::from_secs(30 * 60);

/// The same if the source does not know the intents of some instances.
const RELIST_UNKNOWN: Duration = Duration::from_secs(60);

/// A report of a source.
#[derive(Debug)]
pub struct Report {
    /// The number of the source, counted from 0.
    pub source: usize,
    /// The update.
    pub update: SourceUpdate,
}

/// The tasks of all sources. They end when it is dropped.
#[derive(Debug)]
pub struct Watchers {
    sources: Vec<Cms>,
    reports: mpsc::Receiver<Report>,
    /// The sources that have not reported yet.
    quiet: Vec<bool>,
    _tasks: JoinSet<()>,
}

impl Watchers {
    /// Starts watching these sources.
    pub fn start(sources: &[Cms]) -> Self {
        let (sender, reports) = mpsc::channel(MAX_WAITING);
        let mut tasks = JoinSet::new();
        for (source, cms) in sources.iter().cloned().enumerate() {
            let reporter = Reporter { source, sender: sender.clone() };
            tasks.spawn(async move { watch(&cms, &reporter).await });
        }
        Self { sources: sources.to_vec(), reports, quiet: vec![true; sources.len()], _tasks: tasks }
    }

    /// Returns the sources, in the order of their numbers.
    pub fn sources(&self) -> &[Cms] {
        &self.sources
    }

    /// Returns whether a source has neither reported nor failed yet.
    pub fn is_quiet(&self) -> bool {
        self.quiet.contains(&true)
    }

    /// Waits for the next report; forever if there are no sources.
    ///
    /// # Cancel safety
    /// No report is lost when the future is dropped.
    pub async fn next(&mut self) -> Report {
        match self.reports.recv().await {
            Some(report) => {
                self.quiet[report.source] = false;
                report
            }
            None => pending().await,
        }
    }
}

/// A sender of reports of a source to the loop.
struct Reporter {
    source: usize,
    sender: mpsc::Sender<Report>,
}

impl Reporter {
    async fn report(&self, update: SourceUpdate) {
        // If the loop has ended, this task ends soon too.
        let _ = self.sender.send(Report { source: self.source, update }).await;
    }
}

/// Watches a source forever.
async fn watch(cms: &Cms, reporter: &Reporter) {
    let mut backoff = Backoff::new(MIN_PAUSE, MAX_PAUSE);
    let mut known = KnownInstances::default();
    loop {
        let mut since = None;
        let Err(failure) = follow(cms, reporter, &mut known, &mut since).await;
        if since.is_some_and(|since| since.elapsed() >= STABLE) {
            backoff.reset();
        }
        let pause = backoff.next_wait();
        debug!(%cms, %failure, ?pause, "lost a source");
        reporter.report(SourceUpdate::Lost(failure.to_string())).await;
        sleep(pause).await;
    }
}

/// Reads everything, then follows the events of a source until an error. Stores in `since` when everything was read first.
async fn follow(
    cms: &Cms,
    reporter: &Reporter,
    known: &mut KnownInstances,
    since: &mut Option<Instant>,
) -> Result<Infallible, Failure> {
    // Events first: they report changes that happen while everything is read.
    let mut events = Events::open(cms).await?;
    let mut api = Api::new(cms);
    let mut agenda = Agenda::default();
    agenda.add_everything();
    let mut relist = Instant::now() + RELIST;
    loop {
        let Some(item) = agenda.pop() else {
            tokio::select! {
                event = events.next() => agenda.note(event?),
                () = sleep_until(relist) => agenda.add_everything(),
            }
            continue;
        };
        let (done, ended) = read_beside(&mut events, &mut agenda, read(cms, &mut api, &item)).await;
        let done = match done {
            Ok(done) => done,
            Err(failure) => {
                if let Item::Instance(name) = &item
                    && failure.is_denied()
                {
                    known.forget(name);
                }
                return Err(ended.unwrap_or(failure));
            }
        };
        match done {
            Done::Nothing => {}
            Done::Users(names) => agenda.add_instances(names),
            Done::AnyUser => agenda.add_everything(),
            Done::SourceUpdate(mut update) => {
                let has_unknown = match &update {
                    SourceUpdate::Listed(instances) => {
                        instances.iter().any(|instance| instance.content.is_none())
                    }
                    SourceUpdate::Read(instance) => instance.content.is_none(),
                    SourceUpdate::Gone(_) | SourceUpdate::Lost(_) => false,
                };
                if matches!(update, SourceUpdate::Listed(_)) {
                    relist = Instant::now() + RELIST;
                    since.get_or_insert_with(Instant::now);
                }
                if has_unknown {
                    relist = relist.min(Instant::now() + RELIST_UNKNOWN);
                }
                agenda.add_instances(known.take(&mut update));
                reporter.report(update).await;
            }
        }
        if let Some(failure) = ended {
            return Err(failure);
        }
    }
}

/// Reads an item while events arrive. If their stream ends, the item is still read, and the error returned beside it: a
/// listing is complete without events, and to read it again could end the same way.
async fn read_beside(
    events: &mut Events,
    agenda: &mut Agenda,
    reading: impl Future<Output = Result<Done, Failure>>,
) -> (Result<Done, Failure>, Option<Failure>) {
    tokio::pin!(reading);
    let mut ended = None;
    loop {
        tokio::select! {
            biased;
            event = events.next(), if ended.is_none() => match event {
                Ok(event) => agenda.note(event),
                Err(failure) => ended = Some(failure),
            },
            done = &mut reading => return (done, ended),
        }
    }
}

/// The result of an item of the agenda.
enum Done {
    Nothing,
    Users(Vec<InstanceName>),
    /// Any instance may use the profile.
    AnyUser,
    SourceUpdate(SourceUpdate),
}

async fn read(cms: &Cms, api: &mut Api<'_>, item: &Item) -> Result<Done, Failure> {
    Ok(match item {
        Item::Everything => Done::SourceUpdate(SourceUpdate::Listed(api.list().await?)),
        Item::Profile(profile) => match api.users(profile).await {
            Ok(users) => Done::Users(users),
            Err(failure) if failure.is_of_object() => Done::AnyUser,
            Err(failure) => return Err(failure),
        },
        Item::Instance(name) if !cms.includes_project(&name.project) => Done::Nothing,
        Item::Instance(name) => match api.instance(name).await {
            Ok(Some(instance)) => Done::SourceUpdate(SourceUpdate::Read(instance)),
            Ok(None) => Done::SourceUpdate(SourceUpdate::Gone(name.clone())),
            // An instance on a cluster member that is down, or one with an answer that is too long, must not affect the
            // others.
            Err(failure) if failure.is_of_object() => {
                debug!(%cms, instance = %name, %failure, "cannot read an instance");
                Done::SourceUpdate(SourceUpdate::Read(Instance { name: name.clone(), content: None }))
            }
            Err(failure) => return Err(failure),
        },
    })
}
