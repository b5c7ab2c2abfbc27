//! The pauses between attempts to connect.

use std::time::Duration;

/// Pauses that grow by a quarter from one attempt to the next, so that the last is about a fifth of the time since the
/// first: an election of a second costs little more than a second. They have jitter, so that clients that lost the same
/// server do not all return at the same time.
#[derive(Clone, Debug)]
pub struct Backoff {
    min: Duration,
    max: Duration,
    next: Duration,
}

impl Backoff {
    /// Creates pauses that start at `min` and grow to `max`.
    ///
    /// `min` is raised to a millisecond, and `max` to `min`.
    pub fn new(min: Duration, max: Duration) -> Self {
        let min = min.max(Duration::from_millis(1));
        Self { min, max: max.max(min), next: min }
    }

    /// Returns the next pause, between half of the nominal duration and all of it.
    pub fn next_wait(&mut self) -> Duration {
        let nominal = self.next;
        self.next = nominal.saturating_add(nominal / 4).min(self.max);
        nominal.mul_f64(0.5 + fastrand::f64() / 2.0)
    }

    /// Starts from the beginning, after an attempt succeeded.
    pub fn reset(&mut self) {
        self.next = self.min;
    }
}

impl Default for Backoff {
    /// Returns pauses from 100 ms to 8 s, which is also the maximum of Open vSwitch.
    fn default() -> Self {
        Self::new(Duration::from_millis(100), Duration::from_secs(8))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn longest_pause_stays() {
        let mut backoff = Backoff::new(Duration::MAX, Duration::MAX);
        for _ in 0..2 {
            assert!(backoff.next_wait() >= Duration::MAX / 2);
        }
    }

    #[test]
    fn backoff_grows_to_its_maximum_and_resets() {
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
