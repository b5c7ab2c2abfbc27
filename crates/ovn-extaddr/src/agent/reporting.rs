//! Reports of decisions to the log, the metrics and the service manager.

use std::sync::Arc;

use extaddr_core::intent_stats::StatusChange;
use extaddr_core::reason::Code;
use extaddr_core::report::{self, Entry};
use extaddr_core::state::State;
use tracing::field::display;
use tracing::{info, warn};

use super::{Agent, now};
use crate::metrics::number;

/// The most decisions that are logged one by one; of more only the number is logged.
const MAX_NAMED: usize = 50;

impl Agent {
    /// Reports changed states, and the first synchronisation when it is complete.
    pub(super) fn report(&mut self) {
        self.report_statuses();
        if self.may_decide() && !self.service.is_ready() {
            self.summarize();
            self.service.ready();
        }
    }

    fn report_statuses(&mut self) {
        // Nothing is reported while the copy is out of sync, or new sources are not read, since the intents are not known then.
        if !self.may_decide() {
            return;
        }
        let mut ports = self.tracker.take_unreported();
        ports.extend(self.writing.applier.take_touched());
        // For more, examining some twice costs less than removing repetitions.
        if ports.len() <= 2 * MAX_NAMED {
            ports.sort_unstable();
            ports.dedup();
        }
        // A port whose changes are under way is reported when they are done: the applier marks it then.
        if ports.len() <= MAX_NAMED {
            ports.retain(|port| !self.writing.applier.is_under_way(port));
        }
        if ports.is_empty() {
            return;
        }
        let now = now().instant;
        let (mut changes, mut intents) = (Vec::new(), 0);
        self.tracker.stats.reserve(ports.len());
        for port in ports {
            let obstacle = self.writing.applier.obstacle(&self.engine, &port);
            let statuses = report::statuses(&self.northbound.store, &self.engine, &port, obstacle.as_ref());
            let of_port = self.tracker.stats.update(&port, &statuses, now);
            intents += of_port.len();
            if intents <= MAX_NAMED {
                changes.extend(of_port.into_iter().map(|change| (Arc::clone(&port), change)));
            }
        }
        self.metrics.set_intents(self.tracker.stats.counts());
        for (reason, count) in self.tracker.stats.reasons() {
            self.metrics.reasons.get_or_create(&[("reason", reason.name())]).set(number(*count));
        }
        if intents > MAX_NAMED {
            let to_change = self.engine.unsettled().len();
            info!(intents, to_change, "decided");
        } else {
            changes.sort_by(|(a, _), (b, _)| a.cmp(b));
            changes.iter().for_each(|(port, change)| self.log_change(port, change));
        }
    }

    /// Logs the state of an intent.
    fn log_change(&self, port: &Arc<str>, change: &StatusChange) {
        let family = change.family.to_string();
        let unlogged = Some(change.suppressed).filter(|count| *count > 0);
        if change.state.is_none() {
            info!(%port, %family, unlogged, "intent removed");
            return;
        }
        let obstacle = self.writing.applier.obstacle(&self.engine, port);
        let entries = report::entries(&self.northbound.store, &self.engine, port, obstacle.as_ref());
        for entry in entries.into_iter().filter(|entry| entry.family == family) {
            let Entry { name, state, reason, message, router, external, .. } = entry;
            let (reason, state_name) = (reason.map(Code::name).map(display), display(state.name()));
            let external = external.map(display);
            let (name, router, detail) = (name.map(display), router.map(display), display(message));
            // The level of an event is a constant.
            macro_rules! log {
                ($level:ident) => {
                    $level!(%port, name, %family, state = state_name, reason, router, external, unlogged, detail, "intent status changed")
                };
            }
            match state {
                State::Active | State::Foreign | State::Pending | State::Draining => log!(info),
                _ => log!(warn),
            }
        }
        if change.last {
            warn!(%port, %family, "intent changes too often: not logged for a while");
        }
    }

    /// Reports the agent's status to the service manager.
    pub(super) fn summarize(&mut self) {
        let counts = self.tracker.stats.counts().filter(|(_, count)| *count > 0);
        let counts: Vec<_> = counts.map(|(state, count)| format!("{count} {}", state.name())).collect();
        let counts = if counts.is_empty() { "no intents".to_owned() } else { counts.join(", ") };
        let synced =
            if self.northbound.session.is_synced() { "" } else { "; not synchronised with the database" };
        let wrong =
            if self.configured.wrong.is_some() { "; the configuration files are not in force" } else { "" };
        self.service.set_status(format!("{}: {counts}{synced}{wrong}", self.role().name()));
        self.metrics.set_role(self.role());
        self.metrics.count_received(self.northbound.session.received().0);
        if self.northbound.session.is_synced() {
            self.metrics.seen_synced();
        }
    }

    /// Counts a synchronisation of the copy of the database.
    pub(super) fn count_resync(&self, resumed: bool, bytes: u64) {
        let kind = [("kind", if resumed { "differences" } else { "snapshot" })];
        self.metrics.resyncs.get_or_create(&kind).inc();
        self.metrics.resync_bytes.get_or_create(&kind).inc_by(bytes);
    }

    /// Renders the metrics.
    pub(super) fn exposed(&mut self) -> String {
        self.summarize();
        self.count_sources();
        let metrics = &self.metrics;
        metrics.synced.set(i64::from(self.northbound.session.is_synced()));
        metrics.unsettled.set(number(self.engine.unsettled().len()));
        let oldest = self.tracker.oldest_unsettled().map_or(0.0, |since| since.elapsed().as_secs_f64());
        metrics.oldest_unsettled.set(oldest);
        let name = |id| self.northbound.store.router(id).map(|row| row.name.to_string());
        let routers = self.tracker.stats.routers();
        let routers =
            routers.map(|(router, state, count)| (router.and_then(name).unwrap_or_default(), state, count));
        metrics.set_router_intents(routers);
        metrics.render().unwrap_or_else(|error| format!("# {error}\n"))
    }
}
