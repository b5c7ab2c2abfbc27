use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};

/// How long a poll sleeps: short compared with anything worth waiting for, long compared with a call to a server.
const INTERVAL: Duration = Duration::from_millis(15);

/// What the closure of [`eventually`] may answer: `true` or `Some` ends the wait.
pub trait Settled {
    /// What the wait returns.
    type Value;

    /// The value, once there is one.
    fn settled(self) -> Option<Self::Value>;
}

impl Settled for bool {
    type Value = ();

    fn settled(self) -> Option<()> {
        self.then_some(())
    }
}

impl<T> Settled for Option<T> {
    type Value = T;

    fn settled(self) -> Self {
        self
    }
}

/// Polls `probe` until it answers `true` or `Some`, and returns what it found.
///
/// An error of `probe` means "not yet" and is kept as the last state seen, so a probe best says
/// `bail!("still {n} rows")`. The probe runs at least once, and once more at the deadline.
pub fn eventually<S: Settled>(
    timeout: Duration,
    what: &str,
    mut probe: impl FnMut() -> Result<S>,
) -> Result<S::Value> {
    let start = Instant::now();
    loop {
        let late = start.elapsed() >= timeout;
        let last = match probe() {
            Ok(answer) => match answer.settled() {
                Some(value) => return Ok(value),
                None => anyhow!("it is simply not so"),
            },
            Err(error) => error,
        };
        if late {
            return Err(last.context(format!("waited {timeout:?} for this in vain: {what}")));
        }
        sleep(INTERVAL);
    }
}
