//! A throttle for repeated log messages. Pure: time is an argument.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

/// The same message is logged again after this time.
const PAUSE: Duration = Duration::from_secs(60);

/// The recent messages.
#[derive(Debug, Default)]
pub(crate) struct LogThrottle {
    said: HashMap<&'static str, Said>,
}

/// A message that is to be logged.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Admitted {
    /// How often it was suppressed since it was logged last.
    pub(crate) repeated: Option<NonZeroU32>,
}

#[derive(Debug)]
struct Said {
    text: String,
    at: Instant,
    unsaid: u32,
}

impl LogThrottle {
    /// Returns `Some` if `text` about `topic` is to be logged. A topic has one text at a time, so that alternating texts
    /// are logged each time.
    pub(crate) fn admit(&mut self, topic: &'static str, text: &str, now: Instant) -> Option<Admitted> {
        match self.said.get_mut(topic) {
            Some(said) if said.text == text && now < said.at + PAUSE => {
                said.unsaid += 1;
                None
            }
            before => {
                let unsaid = before
                    .filter(|said| said.text == text)
                    .map_or(0, |said| std::mem::take(&mut said.unsaid));
                self.said.insert(topic, Said { text: text.to_owned(), at: now, unsaid: 0 });
                Some(Admitted { repeated: NonZeroU32::new(unsaid) })
            }
        }
    }

    /// Ends a topic: the next message about it is new.
    pub(crate) fn forget(&mut self, topic: &'static str) {
        self.said.remove(topic);
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
        assert_eq!(repeats.admit("a", "refused", start + PAUSE), logged(10));
        assert_eq!(repeats.admit("a", "lost", start + PAUSE), logged(0));
        repeats.forget("a");
        assert_eq!(repeats.admit("a", "lost", start + PAUSE), logged(0));
    }
}
