//! The task of each source: it listens to events, reads what they name, and tells the loop.

use std::convert::Infallible;
use std::future::pending;
use std::time::Duration;

use extaddr_core::sources::agenda::{Agenda, Item};
use extaddr_core::sources::instance::Instance;
use extaddr_core::sources::nic::InstanceName;
use extaddr_core::sources::requests::News;
use ovsdb_protocol::Backoff;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};
use tracing::debug;

use super::api::{Api, Failure};
use super::cms::Cms;
use super::events::Events;

/// News that wait for the loop. A task that is ahead of it waits, and so does what it reads from.
const MAX_WAITING: usize = 16;

/// The pauses between attempts to reach a source.
const MIN_PAUSE: Duration = Duration::from_millis(250);
const MAX_PAUSE: Duration = Duration::from_secs(20);

/// After this time everything is read although nothing was told: what events do not tell of is noticed by then.
const RELIST: Duration = Duration::from_secs(30 * 60);

/// The same where the source cannot say what some instances ask for.
const RELIST_UNKNOWN: Duration = Duration::from_secs(60);

/// Something that came of a source.
#[derive(Debug)]
pub struct Report {
    /// Which, counted from 0.
    pub source: usize,
    /// What.
    pub news: News,
}

/// The tasks of all sources. They end when it is dropped.
#[derive(Debug)]
pub struct Watchers {
    sources: Vec<Cms>,
    reports: mpsc::Receiver<Report>,
    /// Those who have not reported yet.
    quiet: Vec<bool>,
    _tasks: JoinSet<()>,
}

impl Watchers {
    /// Begins to watch these sources.
    pub fn start(sources: &[Cms]) -> Self {
        let (sender, reports) = mpsc::channel(MAX_WAITING);
        let mut tasks = JoinSet::new();
        for (source, cms) in sources.iter().cloned().enumerate() {
            let teller = Teller { source, sender: sender.clone() };
            tasks.spawn(async move { watch(&cms, &teller).await });
        }
        Self { sources: sources.to_vec(), reports, quiet: vec![true; sources.len()], _tasks: tasks }
    }

    /// Returns the sources, in the order of their numbers.
    pub fn sources(&self) -> &[Cms] {
        &self.sources
    }

    /// Returns whether a source has neither been heard nor failed yet.
    pub fn is_quiet(&self) -> bool {
        self.quiet.contains(&true)
    }

    /// Waits for the next report; for ever where there are no sources.
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

/// Tells the loop of a source.
struct Teller {
    source: usize,
    sender: mpsc::Sender<Report>,
}

impl Teller {
    async fn tell(&self, news: News) {
        // Where the loop is gone, so is this task soon.
        let _ = self.sender.send(Report { source: self.source, news }).await;
    }
}

/// Watches a source for ever.
async fn watch(cms: &Cms, teller: &Teller) {
    let mut backoff = Backoff::new(MIN_PAUSE, MAX_PAUSE);
    loop {
        let Err(failure) = follow(cms, teller, &mut backoff).await;
        let pause = backoff.next_wait();
        debug!(%cms, %failure, ?pause, "lost a source");
        teller.tell(News::Lost(failure.to_string())).await;
        sleep(pause).await;
    }
}

/// Listens to a source, after a look at everything, as long as that goes well.
async fn follow(cms: &Cms, teller: &Teller, backoff: &mut Backoff) -> Result<Infallible, Failure> {
    // Events first: what changes while everything is read is told by one.
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
        let reading = read(cms, &mut api, item);
        tokio::pin!(reading);
        let done = loop {
            tokio::select! {
                biased;
                event = events.next() => agenda.note(event?),
                done = &mut reading => break done?,
            }
        };
        match done {
            Done::Nothing => {}
            Done::Users(names) => agenda.add_instances(names),
            Done::News(news) => {
                let unknown = |news: &News| match news {
                    News::Listed(instances) => instances.iter().any(|instance| instance.content.is_none()),
                    News::Read(instance) => instance.content.is_none(),
                    News::Gone(_) | News::Lost(_) => false,
                };
                let has_unknown = unknown(&news);
                if has_unknown || matches!(news, News::Listed(_)) {
                    relist = Instant::now() + if has_unknown { RELIST_UNKNOWN } else { RELIST };
                }
                if matches!(news, News::Listed(_)) {
                    backoff.reset();
                }
                teller.tell(news).await;
            }
        }
    }
}

/// What came of an item of the agenda.
enum Done {
    Nothing,
    Users(Vec<InstanceName>),
    News(News),
}

async fn read(cms: &Cms, api: &mut Api<'_>, item: Item) -> Result<Done, Failure> {
    Ok(match item {
        Item::Everything => Done::News(News::Listed(api.list().await?)),
        Item::Profile(profile) => Done::Users(api.users(&profile).await?),
        Item::Instance(name) if !cms.heeds(&name.project) => Done::Nothing,
        Item::Instance(name) => match api.instance(&name).await {
            Ok(Some(instance)) => Done::News(News::Read(instance)),
            Ok(None) => Done::News(News::Gone(name)),
            // One on a member of its cluster that is down, for which the others are not to blame.
            Err(failure) if failure.status.is_some_and(|status| status.is_server_error()) => {
                Done::News(News::Read(Instance { name, content: None }))
            }
            Err(failure) => return Err(failure),
        },
    })
}
