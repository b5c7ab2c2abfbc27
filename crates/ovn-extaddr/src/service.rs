//! Messages to the service manager (sd_notify(3)): that we are ready, what we are doing, and that we live.
//!
//! Without a service manager nothing happens. That something could not be told is logged once and never fatal.

use std::time::{Duration, Instant};

use sd_notify::NotifyState;
use tracing::warn;

/// The status is told this often at most: each time wakes the service manager.
const STATUS_PAUSE: Duration = Duration::from_secs(1);

/// Our side of the conversation with the service manager.
#[derive(Debug)]
pub(crate) struct Service {
    /// How often a sign of life is due, where one is asked for: twice in the time after which we are given up.
    interval: Option<Duration>,
    alive: Option<Instant>,
    ready: bool,
    status: String,
    /// What was told, and when.
    told: Option<(String, Instant)>,
    failed: bool,
}

impl Service {
    /// Reads what the service manager asks for.
    pub(crate) fn new() -> Self {
        let interval = sd_notify::watchdog_enabled().map(|limit| limit / 2);
        Self { interval, alive: None, ready: false, status: String::new(), told: None, failed: false }
    }

    /// The first decision is made.
    pub(crate) fn ready(&mut self) {
        if !self.ready {
            self.ready = true;
            self.tell(&[NotifyState::Ready]);
        }
    }

    pub(crate) fn is_ready(&self) -> bool {
        self.ready
    }

    /// The configuration is read again. Before we are ready there is nothing to reload in the service manager's eyes.
    pub(crate) fn reloading(&mut self) {
        if self.ready {
            match NotifyState::monotonic_usec_now() {
                Ok(now) => self.tell(&[NotifyState::Reloading, now]),
                Err(error) => warn!(%error, "cannot read the clock"),
            }
        }
    }

    /// The configuration was read.
    pub(crate) fn reloaded(&mut self) {
        if self.ready {
            self.tell(&[NotifyState::Ready]);
        }
    }

    /// We are about to end.
    pub(crate) fn stopping(&mut self, why: &str) {
        self.tell(&[NotifyState::Stopping, NotifyState::Status(why)]);
    }

    /// What we are doing, in a line.
    pub(crate) fn set_status(&mut self, status: String) {
        self.status = status;
    }

    /// Called by the loop each time that it went round: tells what is due.
    pub(crate) fn beat(&mut self, now: Instant) {
        if let Some(interval) = self.interval
            && self.alive.is_none_or(|last| now >= last + interval)
        {
            self.alive = Some(now);
            self.tell(&[NotifyState::Watchdog]);
        }
        if self.told.is_none() || self.status_due().is_some_and(|due| now >= due) {
            let status = self.status.clone();
            self.tell(&[NotifyState::Status(&status)]);
            self.told = Some((status, now));
        }
    }

    /// Returns when [`beat`](Self::beat) is to be called though nothing happens.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        let alive = self.interval.zip(self.alive).map(|(interval, last)| last + interval);
        alive.into_iter().chain(self.status_due()).min()
    }

    /// When a status that is another one than was told is to be told.
    fn status_due(&self) -> Option<Instant> {
        self.told.as_ref().filter(|(text, _)| *text != self.status).map(|(_, at)| *at + STATUS_PAUSE)
    }

    fn tell(&mut self, state: &[NotifyState<'_>]) {
        if let Err(error) = sd_notify::notify(state)
            && !self.failed
        {
            self.failed = true;
            warn!(%error, "cannot reach the service manager");
        }
    }
}
