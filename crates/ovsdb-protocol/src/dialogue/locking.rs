//! The lock: asked for where it counts, given back, and taken from another.

use serde_json::value::RawValue;

use super::{Call, Dialogue, send};
use crate::error::Error;
use crate::exchange::Exchange;
use crate::lock::{Lock, LockName, LockStatus};
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

    /// Asks for another lock from now on, and gives the one so far back.
    pub(crate) fn set_lock(
        &mut self,
        name: LockName,
        mut exchange: Option<&mut Exchange<Call>>,
    ) -> Result<(), Error> {
        match &mut self.lock {
            None => self.lock = Some(Lock::new(name)),
            Some(lock) if *lock.name() == name => {}
            Some(lock) => {
                if let (true, Some(exchange)) = (lock.is_asked(), &mut exchange) {
                    send(exchange, "unlock", &lock.name().params(), Call::Unlock)?;
                }
                self.lock_lost();
                self.lock.iter_mut().for_each(|lock| lock.rename(name.clone()));
            }
        }
        self.want_lock(true, exchange)
    }

    /// Takes the lock from whoever has it. Nothing happens unless we wait for it.
    pub(crate) fn steal_lock(&mut self, exchange: &mut Exchange<Call>) -> Result<(), Error> {
        if self.lock_status() == LockStatus::Waiting { self.ask_again("steal", exchange) } else { Ok(()) }
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
                let time = lock.ask(false);
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

    /// The server says that the lock has become ours or another's.
    pub(super) fn lock_notified(
        &mut self,
        method: &str,
        params: &RawValue,
        exchange: &mut Exchange<Call>,
    ) -> Result<(), Error> {
        let Some(lock) = &mut self.lock else { return Ok(()) };
        let [name]: [String; 1] =
            serde_json::from_str(params.get()).map_err(|e| Error::malformed("lock notification", e))?;
        if lock.notified(method, &name) {
            self.events.push_back(SessionEvent::Lock(lock.status()));
        }
        if lock.is_forgotten() { self.ask_again("lock", exchange) } else { Ok(()) }
    }

    /// ovsdb-server takes no second request for a lock as long as there is a first.
    fn ask_again(&mut self, method: &str, exchange: &mut Exchange<Call>) -> Result<(), Error> {
        let Some(lock) = &mut self.lock else { return Ok(()) };
        let params = lock.name().params();
        send(exchange, "unlock", &params, Call::Unlock)?;
        let time = lock.ask(method == "steal");
        // It is asked for as usual as soon as there is room again.
        send(exchange, method, &params, Call::Lock(time)).map(drop).inspect_err(|_| self.lock_lost())
    }

    pub(super) fn lock_lost(&mut self) {
        if self.lock.as_mut().is_some_and(Lock::lost) {
            self.events.push_back(SessionEvent::Lock(LockStatus::None));
        }
    }
}
