//! The time, as an argument.

use std::time::{Duration, Instant};

/// A point in time on both clocks: waits are measured on one; times in the database are from the other, since they must
/// outlive the process.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// The clock that never jumps.
    pub instant: Instant,
    /// The second, counted from 1970.
    pub wall: u64,
}

impl Now {
    /// Returns when the wall clock will show that second.
    pub fn when(self, wall: u64) -> Instant {
        // A date too far away to wait for is treated as one in a year.
        let ahead = wall.saturating_sub(self.wall).min(365 * 24 * 3600);
        self.instant + Duration::from_secs(ahead)
    }
}
