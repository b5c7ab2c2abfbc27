//! The clocks of the system.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use extaddr_core::clock::Now;
use humantime::format_rfc3339_millis;

/// Returns an instant with the wall-clock time.
pub(crate) fn read(instant: Instant) -> Now {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Now { instant, wall: since.as_secs() }
}

/// Formats a time as in RFC 3339, in UTC, to the millisecond. Times outside the years 1970 to 9999, which a certificate
/// may have, become the nearest one inside.
pub(crate) fn rfc3339(time: SystemTime) -> String {
    let last = UNIX_EPOCH + Duration::from_secs(253_402_300_799);
    format_rfc3339_millis(time.clamp(UNIX_EPOCH, last)).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_timestamp_panics() {
        for (time, text) in [
            (UNIX_EPOCH - Duration::from_secs(1), "1970-01-01T00:00:00.000Z"),
            (UNIX_EPOCH + Duration::from_millis(951_782_400_001), "2000-02-29T00:00:00.001Z"),
            (UNIX_EPOCH + Duration::from_secs(1 << 40), "9999-12-31T23:59:59.000Z"),
        ] {
            assert_eq!(rfc3339(time), text);
        }
    }
}
