//! Advisory locks of the server (RFC 7047 section 4.1.8, ovsdb-server(7)).
//!
//! A lock belongs to one connection and one server process. Two members of a cluster may each have granted the same
//! lock, so it elects a writer but does not fence off a former one.

use std::fmt;
use std::str::FromStr;

/// The name of a lock: an `<id>` of RFC 7047 section 3.1. ovsdb-server refuses any other.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LockName(String);

/// A text that is not an `<id>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidLockName(String);

/// The status of a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockStatus {
    /// It is not requested, or there is no reply yet.
    None,
    /// Another client holds it; this one is in the queue.
    Waiting,
    /// This client holds it. The number is the epoch, which increases each time that the lock is granted.
    Held(u64),
}

/// The state of one lock.
#[derive(Clone, Debug)]
pub(crate) struct Lock {
    name: LockName,
    status: LockStatus,
    epoch: u64,
    /// The number of requests, and the number of the last one that has a reply.
    times: u64,
    answered: u64,
    asked: bool,
    /// Whether it was requested by `steal`.
    stolen: bool,
}

// ===== impl LockName =====

impl LockName {
    /// Makes a name of any text: characters that an `<id>` cannot contain become underscores.
    pub fn sanitized(text: &str) -> Self {
        let mut name: String =
            text.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
        if !name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
            name.insert(0, '_');
        }
        Self(name)
    }

    /// Returns the name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the `params` of a request about this lock. An `<id>` needs no escapes.
    pub(crate) fn params(&self) -> String {
        format!("[\"{}\"]", self.0)
    }
}

impl FromStr for LockName {
    type Err = InvalidLockName;

    fn from_str(text: &str) -> Result<Self, InvalidLockName> {
        let name = Self::sanitized(text);
        if name.0 == text { Ok(name) } else { Err(InvalidLockName(text.to_owned())) }
    }
}

impl fmt::Display for LockName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for InvalidLockName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "\"{}\" is not a valid lock name: use letters, digits and underscores, no digit first",
            self.0
        )
    }
}

impl std::error::Error for InvalidLockName {}

// ===== impl Lock =====

impl Lock {
    pub(crate) fn new(name: LockName) -> Self {
        Self { name, status: LockStatus::None, epoch: 0, times: 0, answered: 0, asked: false, stolen: false }
    }

    /// Changes the name. The numbers of requests continue, so that replies about the previous lock are not taken for those
    /// about the new one.
    pub(crate) fn rename(&mut self, name: LockName) {
        self.name = name;
        self.asked = false;
        self.stolen = false;
    }

    pub(crate) fn name(&self) -> &LockName {
        &self.name
    }

    pub(crate) fn status(&self) -> LockStatus {
        self.status
    }

    /// Returns true if it was requested since it was last lost.
    pub(crate) fn is_asked(&self) -> bool {
        self.asked
    }

    /// Returns true if another client stole it and the server has no place in the queue for this one: a client that stole
    /// the lock itself has none (`ovsdb_server_lock` in ovsdb/server.c).
    pub(crate) fn is_forgotten(&self) -> bool {
        self.stolen && self.is_answered() && self.status == LockStatus::Waiting
    }

    /// Records a request by `lock`, or by `steal`. Returns its number, for [`answered`](Self::answered).
    pub(crate) fn ask(&mut self, stolen: bool) -> u64 {
        self.asked = true;
        self.stolen = stolen;
        self.times += 1;
        self.times
    }

    /// Handles the reply `{"locked": ...}`. Returns whether the status changed.
    pub(crate) fn answered(&mut self, time: u64, locked: bool) -> bool {
        // It was released before the reply arrived.
        if !self.asked || time != self.times {
            return false;
        }
        self.answered = time;
        if locked { self.acquire() } else { self.set(LockStatus::Waiting) }
    }

    /// Handles the notifications `locked` and `stolen`. Returns whether the status changed.
    pub(crate) fn notified(&mut self, method: &str, name: &str) -> bool {
        match method {
            _ if name != self.name.0 => false,
            // A notification before the reply belongs to an earlier request.
            _ if !self.asked || !self.is_answered() => false,
            "locked" => self.acquire(),
            // A victim stays in the queue, unless it is forgotten.
            "stolen" => self.set(LockStatus::Waiting),
            _ => false,
        }
    }

    /// Handles the end of the connection or of the server's leadership, which end the lock. Returns whether the status
    /// changed.
    pub(crate) fn lost(&mut self) -> bool {
        self.asked = false;
        self.set(LockStatus::None)
    }

    fn is_answered(&self) -> bool {
        self.answered == self.times
    }

    fn acquire(&mut self) -> bool {
        if let LockStatus::Held(_) = self.status {
            return false;
        }
        self.epoch += 1;
        self.set(LockStatus::Held(self.epoch))
    }

    fn set(&mut self, status: LockStatus) -> bool {
        std::mem::replace(&mut self.status, status) != status
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rule: the name of a lock is an `<id>`; anything else is a syntax error.
    #[test]
    fn names_are_ids() {
        assert!("ovn_extaddr".parse::<LockName>().is_ok());
        for text in ["ovn-extaddr", "", "1a", "a b"] {
            assert!(text.parse::<LockName>().is_err(), "{text}");
        }
        assert_eq!(LockName::sanitized("ovn-extaddr").as_str(), "ovn_extaddr");
        assert_eq!(LockName::sanitized("1a").as_str(), "_1a");
    }

    #[test]
    fn every_acquisition_is_another_epoch() {
        let mut lock = Lock::new(LockName::sanitized("l"));
        assert_eq!(lock.ask(false), 1);
        assert!(!lock.notified("locked", "l"), "nothing was answered yet");
        assert!(lock.answered(1, false));
        assert_eq!(lock.status(), LockStatus::Waiting);
        assert!(!lock.notified("locked", "other"));
        assert!(lock.notified("locked", "l"));
        assert_eq!(lock.status(), LockStatus::Held(1));
        assert!(!lock.notified("locked", "l"));
        assert!(lock.notified("stolen", "l"));
        assert_eq!(lock.status(), LockStatus::Waiting);
        assert!(lock.notified("locked", "l"));
        assert_eq!(lock.status(), LockStatus::Held(2));
        assert!(lock.lost());
        assert!(!lock.answered(1, true) && !lock.notified("locked", "l"));
        assert_eq!(lock.ask(false), 2);
        assert!(!lock.answered(1, true), "the answer to an earlier time");
        assert!(lock.answered(2, true));
        assert_eq!(lock.status(), LockStatus::Held(3));
    }

    #[test]
    fn what_was_on_its_way_when_it_is_asked_for_again_does_not_count() {
        let mut lock = Lock::new(LockName::sanitized("l"));
        lock.ask(false);
        assert!(lock.answered(1, false) && !lock.is_forgotten());
        lock.ask(true);
        assert!(!lock.notified("locked", "l"), "that was before it was given back");
        assert_eq!(lock.status(), LockStatus::Waiting);
        assert!(lock.answered(2, true) && !lock.is_forgotten());
        assert_eq!(lock.status(), LockStatus::Held(1));
        assert!(lock.notified("stolen", "l") && lock.is_forgotten());
        lock.ask(false);
        assert!(!lock.is_forgotten() && !lock.answered(3, false) && !lock.is_forgotten());
    }
}
