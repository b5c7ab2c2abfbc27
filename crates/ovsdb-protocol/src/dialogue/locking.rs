//! The lock: asked for where it counts, and given back.

use serde_json::value::RawValue;

use super::{Call, Dialogue, send};
use crate::error::Error;
use crate::exchange::Exchange;
use crate::lock::{Lock, LockStatus};
use crate::outcome::DatabaseError;
use crate::server::ServerRole;
use crate::session::SessionEvent;

impl Dialogue {
    pub(crate) fn lock_status(&self) -> LockStatus {
        self.lock.as_ref().map_or(LockStatus::None, Lock::status)
    }

    /// Asks for the lock from now on, or gives it back; `exchange` is that of the connection, where there is one.
    pub(crate) fn want_lock(
        &mut self,
        wanted: bool,
        exchange: Option<&mut Exchange<Call>>,
    ) -> Result<(), Error> {
        let before = std::mem::replace(&mut self.wants_lock, wanted);
        // Before the server is known to do, there is nothing to ask it for.
        let (Some(exchange), Some(role)) = (exchange, self.role()) else { return Ok(()) };
        self.lock_where_it_counts(role, exchange).inspect_err(|_| self.wants_lock = before)
    }

    /// Asks for the lock at a server that can grant it, and gives it back where the server has ceased to be one.
    pub(super) fn lock_where_it_counts(
        &mut self,
        role: ServerRole,
        exchange: &mut Exchange<Call>,
    ) -> Result<(), Error> {
        let Some(lock) = &mut self.lock else { return Ok(()) };
        match (role.grants_locks() && self.wants_lock, lock.is_asked()) {
            (true, false) => {
                let time = lock.ask();
                send(exchange, "lock", &lock.name().params(), Call::Lock(time))?;
            }
            (false, true) => {
                send(exchange, "unlock", &lock.name().params(), Call::Unlock)?;
                self.lock_lost();
            }
            _ => {}
        }
        Ok(())
    }

    pub(super) fn lock_answered(
        &mut self,
        time: u64,
        result: Result<Box<RawValue>, DatabaseError>,
    ) -> Result<(), Error> {
        #[derive(serde::Deserialize)]
        struct Answer {
            locked: bool,
        }
        let answer: Answer =
            serde_json::from_str(result?.get()).map_err(|e| Error::malformed("answer to lock", e))?;
        if let Some(lock) = &mut self.lock
            && lock.answered(time, answer.locked)
        {
            self.events.push_back(SessionEvent::Lock(lock.status()));
        }
        Ok(())
    }

    pub(super) fn lock_lost(&mut self) {
        if self.lock.as_mut().is_some_and(Lock::lost) {
            self.events.push_back(SessionEvent::Lock(LockStatus::None));
        }
    }
}
