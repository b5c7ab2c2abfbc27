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
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is not a valid lock name: use letters, digits and underscores, no digit first")]
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

/// The method of a lock request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LockMethod {
    /// The client waits in the server's queue if another one holds the lock.
    Lock,
    /// The client takes the lock from its holder.
    Steal,
}

/// A notification about a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LockNotice {
    /// It was granted to a client in the queue.
    Locked,
    /// It was stolen from its holder.
    Stolen,
}

/// The state of one lock, across connections.
///
/// ```text
/// Idle     -- ask ------------>  Asked
/// Asked    -- locked: true --->  Held
/// Asked    -- locked: false -->  Waiting
/// Waiting  -- locked --------->  Held
/// Waiting  -- ask ------------>  Asked
/// Held     -- stolen --------->  Waiting
/// any      -- lost ----------->  Idle
/// ```
///
/// It can be requested again as long as it is not held. A reply counts only if it is that of the last request, and a
/// notification only if that has a reply: others belong to earlier requests.
#[derive(Clone, Debug)]
pub(crate) struct Lock {
    name: LockName,
    state: State,
    /// The epoch of the last grant.
    epoch: u64,
    /// The number of requests, which identifies the last one.
    requests: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Not requested on this connection.
    Idle,
    /// The last request has no reply; `is_waiting` if it was in the queue before.
    Asked { method: LockMethod, is_waiting: bool },
    /// Another client holds it.
    Waiting { method: LockMethod },
    /// This client holds it, since this epoch.
    Held { method: LockMethod, epoch: u64 },
}

// ===== impl LockMethod =====

impl LockMethod {
    /// Returns the method's name in RFC 7047.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Lock => "lock",
            Self::Steal => "steal",
        }
    }
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

impl From<&LockName> for String {
    fn from(name: &LockName) -> Self {
        name.0.clone()
    }
}

impl fmt::Display for LockName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

// ===== impl Lock =====

impl Lock {
    pub(crate) fn new(name: LockName) -> Self {
        Self { name, state: State::Idle, epoch: 0, requests: 0 }
    }

    /// Changes the name of a lock that is not requested. The numbers of requests continue, so that replies about the
    /// previous lock are not taken for those about the new one.
    pub(crate) fn rename(&mut self, name: LockName) {
        self.name = name;
        self.state = State::Idle;
    }

    /// Records a request. Returns its number, for [`answered`](Self::answered).
    pub(crate) fn ask(&mut self, method: LockMethod) -> u64 {
        debug_assert!(!matches!(self.state, State::Held { .. }), "a lock that is held is not requested");
        self.state = State::Asked { method, is_waiting: self.status() == LockStatus::Waiting };
        self.requests += 1;
        self.requests
    }

    /// Handles the reply `{"locked": ...}` to the request with this number. Returns the status if it changed.
    pub(crate) fn answered(&mut self, number: u64, locked: bool) -> Option<LockStatus> {
        match self.state {
            State::Asked { method, .. } if number == self.requests => {
                if locked {
                    self.acquire(method)
                } else {
                    self.set(State::Waiting { method })
                }
            }
            // It was released, or requested again, before the reply arrived.
            State::Idle | State::Asked { .. } | State::Waiting { .. } | State::Held { .. } => None,
        }
    }

    /// Handles a notification. Returns the status if it changed.
    pub(crate) fn notified(&mut self, notice: LockNotice, name: &str) -> Option<LockStatus> {
        if name != self.name.0 {
            return None;
        }
        match (self.state, notice) {
            (State::Waiting { method }, LockNotice::Locked) => self.acquire(method),
            // A victim stays in the queue, unless it is forgotten.
            (State::Held { method, .. }, LockNotice::Stolen) => self.set(State::Waiting { method }),
            (State::Waiting { .. }, LockNotice::Stolen) | (State::Held { .. }, LockNotice::Locked) => None,
            // It belongs to an earlier request.
            (State::Idle | State::Asked { .. }, _) => None,
        }
    }

    /// Handles the end of the connection or of the server's leadership, which end the lock. Returns the status if it changed.
    pub(crate) fn lost(&mut self) -> Option<LockStatus> {
        self.set(State::Idle)
    }

    pub(crate) fn name(&self) -> &LockName {
        &self.name
    }

    pub(crate) fn status(&self) -> LockStatus {
        match self.state {
            State::Idle | State::Asked { is_waiting: false, .. } => LockStatus::None,
            State::Waiting { .. } | State::Asked { is_waiting: true, .. } => LockStatus::Waiting,
            State::Held { epoch, .. } => LockStatus::Held(epoch),
        }
    }

    /// Returns true if it was requested since it was last lost.
    pub(crate) fn is_asked(&self) -> bool {
        self.state != State::Idle
    }

    /// Returns true if a request to steal it has no reply yet.
    pub(crate) fn is_stealing(&self) -> bool {
        matches!(self.state, State::Asked { method: LockMethod::Steal, .. })
    }

    /// Returns true if another client stole it and the server has no place in the queue for this one: a client that stole
    /// the lock itself has none (`ovsdb_server_lock` in ovsdb/server.c).
    pub(crate) fn is_forgotten(&self) -> bool {
        matches!(self.state, State::Waiting { method: LockMethod::Steal })
    }

    fn acquire(&mut self, method: LockMethod) -> Option<LockStatus> {
        self.epoch += 1;
        self.set(State::Held { method, epoch: self.epoch })
    }

    fn set(&mut self, state: State) -> Option<LockStatus> {
        let before = self.status();
        self.state = state;
        Some(self.status()).filter(|status| *status != before)
    }
}

#[cfg(test)]
mod tests;
