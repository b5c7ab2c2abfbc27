//! How long to wait between attempts to connect.

use std::time::Duration;

/// Durations that grow by a quarter from one attempt to the next, so that the last of them is never more than a
/// fifth of the time since the first: an election of a second is not slept through by as much again. With jitter,
/// so that clients which lost the same server do not come back in step.
#[derive(Clone, Debug)]
pub struct Backoff {
    least: Duration,
    most: Duration,
    next: Duration,
}

impl Backoff {
    /// Starts at `least` and goes up to `most`.
    ///
    /// `least` is raised to a millisecond, and `most` to `least`.
    pub fn new(least: Duration, most: Duration) -> Self {
        let least = least.max(Duration::from_millis(1));
        Self { least, most: most.max(least), next: least }
    }

    /// Returns how long to wait now, between half of the nominal duration and all of it.
    pub fn next_wait(&mut self) -> Duration {
        let nominal = self.next;
        self.next = (nominal * 5 / 4).min(self.most);
        nominal.mul_f64(0.5 + fastrand::f64() / 2.0)
    }

    /// Starts over: an attempt succeeded.
    pub fn reset(&mut self) {
        self.next = self.least;
    }
}

impl Default for Backoff {
    /// From 100 ms to 8 s, the upper end being that of Open vSwitch.
    fn default() -> Self {
        Self::new(Duration::from_millis(100), Duration::from_secs(8))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_up_to_the_most_and_start_over() {
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_millis(1900));
        for nominal in [1000, 1250, 1562, 1900, 1900] {
            let nominal = Duration::from_millis(nominal);
            let wait = backoff.next_wait();
            assert!(nominal / 2 <= wait && wait <= nominal, "{wait:?} for {nominal:?}");
        }
        backoff.reset();
        assert!(backoff.next_wait() <= Duration::from_secs(1));
    }
}
