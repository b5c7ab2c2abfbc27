//! A throttle for repeated log messages. Pure: time is an argument.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

/// The same message is logged again after this time.
const PAUSE: Duration = Duration::from_secs(60);

/// Messages older than this are forgotten, so that few are kept however often texts change.
const MAX_AGE: Duration = Duration::from_secs(600);

/// The recent messages.
#[derive(Debug, Default)]
pub(crate) struct LogThrottle {
    /// By topic and text.
    said: HashMap<(&'static str, String), Said>,
}

/// A message that is to be logged.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Admitted {
    /// How often it was suppressed since it was logged last.
    pub(crate) repeated: Option<NonZeroU32>,
}

#[derive(Debug)]
struct Said {
    at: Instant,
    unsaid: u32,
}

impl LogThrottle {
    /// Returns `Some` if `text` about `topic` is to be logged.
    pub(crate) fn admit(&mut self, topic: &'static str, text: &str, now: Instant) -> Option<Admitted> {
        self.said.retain(|_, said| now < said.at + MAX_AGE);
        let key = (topic, text.to_owned());
        let unsaid = match self.said.get_mut(&key) {
            Some(said) if now < said.at + PAUSE => {
                said.unsaid += 1;
                return None;
            }
            before => before.map_or(0, |said| said.unsaid),
        };
        self.said.insert(key, Said { at: now, unsaid: 0 });
        Some(Admitted { repeated: NonZeroU32::new(unsaid) })
    }

    /// Ends a topic: the next message about it is new.
    pub(crate) fn forget(&mut self, topic: &'static str) {
        self.said.retain(|(about, _), _| *about != topic);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeated_message_is_logged_once_a_minute_and_a_new_one_at_once() {
        let logged = |suppressed| Some(Admitted { repeated: NonZeroU32::new(suppressed) });
        let (mut repeats, start) = (LogThrottle::default(), Instant::now());
        assert_eq!(repeats.admit("a", "refused", start), logged(0));
        for _ in 0..10 {
            assert_eq!(repeats.admit("a", "refused", start + PAUSE / 2), None);
        }
        assert_eq!(repeats.admit("b", "refused", start), logged(0), "another topic");
        // As by several servers in turn.
        assert_eq!(repeats.admit("a", "silent", start), logged(0));
        assert_eq!(repeats.admit("a", "refused", start + PAUSE / 2), None);
        assert_eq!(repeats.admit("a", "silent", start + PAUSE / 2), None);
        assert_eq!(repeats.admit("a", "refused", start + PAUSE), logged(11));
        assert_eq!(repeats.admit("a", "lost", start + PAUSE), logged(0));
        repeats.forget("a");
        assert_eq!(repeats.admit("a", "lost", start + PAUSE), logged(0));
        assert_eq!(repeats.admit("b", "refused", start + MAX_AGE), logged(0));
        assert_eq!(repeats.said.len(), 2, "the others are forgotten");
    }
}
