//! Messages to the service manager (sd_notify(3)): readiness, status, and watchdog signals.
//!
//! Without a service manager nothing happens. A message that cannot be sent is logged once and never fatal.

use std::time::{Duration, Instant};

use sd_notify::NotifyState;
use tracing::warn;

/// The minimum time between two status messages: each wakes the service manager.
const STATUS_PAUSE: Duration = Duration::from_secs(1);

/// The connection to the service manager.
#[derive(Debug)]
pub(crate) struct Service {
    /// The interval of watchdog signals, if requested: half of the watchdog's timeout.
    interval: Option<Duration>,
    last_watchdog: Option<Instant>,
    ready: bool,
    status: String,
    /// The last status sent, with the time.
    last_status: Option<(String, Instant)>,
    failed: bool,
}

impl Service {
    /// Reads the service manager's requests.
    pub(crate) fn new() -> Self {
        let interval = sd_notify::watchdog_enabled().map(|limit| limit / 2);
        Self {
            interval,
            last_watchdog: None,
            ready: false,
            status: String::new(),
            last_status: None,
            failed: false,
        }
    }

    /// Reports readiness, after the first decision.
    pub(crate) fn ready(&mut self) {
        if !self.ready {
            self.ready = true;
            self.notify(&[NotifyState::Ready]);
        }
    }

    pub(crate) fn is_ready(&self) -> bool {
        self.ready
    }

    /// Reports that the configuration is read again. The service manager does not expect a reload before readiness.
    pub(crate) fn reloading(&mut self) {
        if self.ready {
            match NotifyState::monotonic_usec_now() {
                Ok(now) => self.notify(&[NotifyState::Reloading, now]),
                Err(error) => warn!(%error, "cannot read the clock"),
            }
        }
    }

    /// Reports that the configuration was read.
    pub(crate) fn reloaded(&mut self) {
        if self.ready {
            self.notify(&[NotifyState::Ready]);
        }
    }

    /// Reports that the agent is about to end.
    pub(crate) fn stopping(&mut self, why: &str) {
        self.notify(&[NotifyState::Stopping, NotifyState::Status(why)]);
    }

    /// Sets the status line.
    pub(crate) fn set_status(&mut self, status: String) {
        self.status = status;
    }

    /// Sends the messages that are due. Called by the loop in each iteration.
    pub(crate) fn send_due(&mut self, now: Instant) {
        if let Some(interval) = self.interval
            && self.last_watchdog.is_none_or(|last| now >= last + interval)
        {
            self.last_watchdog = Some(now);
            self.notify(&[NotifyState::Watchdog]);
        }
        if self.last_status.is_none() || self.status_due().is_some_and(|due| now >= due) {
            let status = self.status.clone();
            self.notify(&[NotifyState::Status(&status)]);
            self.last_status = Some((status, now));
        }
    }

    /// Returns the time at which [`send_due`](Self::send_due) is to be called even if nothing happens.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        let last_watchdog = self.interval.zip(self.last_watchdog).map(|(interval, last)| last + interval);
        last_watchdog.into_iter().chain(self.status_due()).min()
    }

    /// Returns the time at which a changed status is to be sent.
    fn status_due(&self) -> Option<Instant> {
        self.last_status.as_ref().filter(|(text, _)| *text != self.status).map(|(_, at)| *at + STATUS_PAUSE)
    }

    fn notify(&mut self, state: &[NotifyState<'_>]) {
        if let Err(error) = sd_notify::notify(state)
            && !self.failed
        {
            self.failed = true;
            warn!(%error, "cannot reach the service manager");
        }
    }
}
