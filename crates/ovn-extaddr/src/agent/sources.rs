//! The sources: their reports go to the engine, and their status to the log and the metrics.

use std::time::{Duration, Instant, SystemTime};

use extaddr_core::sources::requests::{SourceStatus, SourceUpdate};
use tracing::{info, warn};

use super::{Agent, now};
use crate::clock::rfc3339;
use crate::log_throttle::Admitted;
use crate::metrics::number;
use crate::sources::cms::Cms;
use crate::sources::watcher::{Report, Watchers};

/// How long the first decisions wait for sources that have neither reported nor failed yet. A long list takes a while,
/// and rules for all ports would apply to those that the source excludes.
const FIRST_REPORT_TIMEOUT: Duration = Duration::from_secs(10);

/// The CMSes, those whose first report is awaited, and when each was last read and lost.
#[derive(Debug)]
pub(super) struct Sources {
    /// In the order of the reports of their watchers.
    cms: Vec<Cms>,
    /// Their names in the log, in `status` and in metrics, all different.
    names: Vec<String>,
    until: Option<Instant>,
    times: Vec<Times>,
}

/// When a source was last read and lost.
#[derive(Clone, Debug, Default)]
struct Times {
    has_reported: bool,
    last_report: Option<SystemTime>,
    lost: Option<SystemTime>,
}

impl Sources {
    /// Waits for these sources from now on.
    pub(super) fn new(cms: Vec<Cms>, now: Instant) -> Self {
        let until = (!cms.is_empty()).then(|| now + FIRST_REPORT_TIMEOUT);
        Self { until, times: vec![Times::default(); cms.len()], names: names(&cms), cms }
    }

    fn has_all_reports(&self) -> bool {
        self.times.iter().all(|times| times.has_reported)
    }

    /// The end of the wait, until it was noticed.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.until
    }

    /// Ends the wait when its time is over.
    pub(super) fn end_wait(&mut self, now: Instant) {
        self.until = self.until.filter(|until| now < *until);
    }
}

impl Agent {
    /// Whether decisions can be made: the database is read, and each source has reported or the wait is over. Without
    /// the sources' intents many rows would be written and removed again.
    pub(super) fn may_decide(&self) -> bool {
        self.northbound.session.is_synced() && self.sources.deadline().is_none()
    }

    /// Takes in a report of a source.
    pub(super) fn take_source_report(&mut self, report: Report) {
        let Report { source, update } = report;
        let Sources { names, times, .. } = &mut self.sources;
        let (Some(name), Some(times)) = (names.get(source).cloned(), times.get_mut(source)) else {
            return;
        };
        let label = [("source", name.clone())];
        times.has_reported = true;
        match &update {
            SourceUpdate::Lost(why) => {
                times.lost = Some(SystemTime::now());
                self.metrics.source_failures.get_or_create(&label).inc();
                if let Some(Admitted { repeated }) =
                    self.repeats.admit("source", &format!("{name}: {why}"), now().instant)
                {
                    warn!(source = %name, error = %why, repeated, "cannot read a source: it withdraws nothing");
                }
            }
            SourceUpdate::Listed(instances) => {
                let was_lost = times.lost.take().is_some();
                if was_lost {
                    self.repeats.forget("source");
                }
                if times.last_report.is_none() || was_lost {
                    info!(source = %name, instances = instances.len(), "reading a source");
                }
                times.last_report = Some(SystemTime::now());
                self.metrics.source_listings.get_or_create(&label).inc();
            }
            SourceUpdate::Read(_) | SourceUpdate::Gone(_) => {
                times.last_report = Some(SystemTime::now());
                self.metrics.source_updates.get_or_create(&label).inc();
            }
        }
        self.engine.take_update(&self.northbound.store, source, update);
        if self.sources.has_all_reports() {
            self.sources.until = None;
        }
    }

    /// Switches to other sources. Until new ones are read, rows that may be for their intents stay unchanged.
    pub(super) fn watch_others(&mut self, cms: Vec<Cms>, watchers: &mut Watchers) {
        if cms == self.sources.cms {
            return;
        }
        info!(sources = cms.len(), "sources changed");
        *watchers = Watchers::start(&cms);
        let former: Vec<_> =
            cms.iter().map(|cms| self.sources.cms.iter().position(|former| former == cms)).collect();
        let kinds = cms.iter().map(|cms| cms.kind);
        self.engine.change_sources(&self.northbound.store, kinds.zip(former.iter().copied()));
        let times = former.into_iter().map(|former| Some(self.sources.times.get(former?)?.clone()));
        let times = times.map(Option::unwrap_or_default).collect();
        self.sources = Sources { times, ..Sources::new(cms, now().instant) };
        if self.sources.has_all_reports() {
            self.sources.until = None;
        }
        self.metrics.forget_sources();
    }

    /// Returns a line for each source, for `status`.
    pub(super) fn source_lines(&self) -> Vec<String> {
        let statuses = self.engine.requests().statuses();
        let sources = self.sources.names.iter().zip(statuses).zip(&self.sources.times);
        let line = |((name, status), times): ((&String, SourceStatus), &Times)| {
            let when = |time: Option<SystemTime>| {
                time.map_or_else(String::new, |time| format!(" at {}", rfc3339(time)))
            };
            match &status.failure {
                Some(why) => format!("{name}: cannot be read{}: {why}; {status}", when(times.lost)),
                None => format!("{name}: {status}{}", when(times.last_report)),
            }
        };
        sources.map(line).collect()
    }

    /// Updates the metrics of sources.
    pub(super) fn count_sources(&self) {
        for (name, status) in self.sources.names.iter().zip(self.engine.requests().statuses()) {
            let label = [("source", name.clone())];
            let reached = status.was_read && status.failure.is_none();
            self.metrics.source_reached.get_or_create(&label).set(i64::from(reached));
            self.metrics.source_instances.get_or_create(&label).set(number(status.instances));
            self.metrics.source_unknown.get_or_create(&label).set(number(status.unknown));
            self.metrics.source_requests.get_or_create(&label).set(number(status.asking));
            let counters =
                [&self.metrics.source_listings, &self.metrics.source_updates, &self.metrics.source_failures];
            counters.into_iter().for_each(|counter| drop(counter.get_or_create(&label)));
        }
    }
}

/// Names CMSes by their places. Several may have the same one, such as a server with a certificate for each project.
fn names(cms: &[Cms]) -> Vec<String> {
    let places: Vec<_> = cms.iter().map(Cms::to_string).collect();
    let number = |n: usize| 1 + places[..n].iter().filter(|place| **place == places[n]).count();
    let name = |(n, place): (usize, &String)| match number(n) {
        1 => place.clone(),
        number => format!("{place} #{number}"),
    };
    places.iter().enumerate().map(name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cmses_with_one_url_have_different_names() {
        let cms = |url: &str| toml::from_str(&format!("kind = \"incus\"\nurl = \"unix:{url}\"")).unwrap();
        let names = names(&[cms("/a"), cms("/ab"), cms("/a"), cms("/a")]);
        assert_eq!(
            names,
            ["Incus at unix:/a", "Incus at unix:/ab", "Incus at unix:/a #2", "Incus at unix:/a #3"]
        );
    }
}
