//! Requests, releases and steals of the lock.

use serde_json::value::RawValue;

use super::{Call, SessionState, send};
use crate::error::Error;
use crate::jsonrpc::JsonRpc;
use crate::lock::{Lock, LockMethod, LockName, LockNotice, LockStatus};
use crate::outcome::DatabaseError;
use crate::server::ServerRole;
use crate::session::SessionEvent;

impl SessionState {
    pub(crate) fn lock_status(&self) -> LockStatus {
        self.lock.as_ref().map_or(LockStatus::None, Lock::status)
    }

    /// Requests the lock from now on, or releases it; `rpc` is that of the connection, if there is one.
    pub(crate) fn want_lock(&mut self, wanted: bool, rpc: Option<&mut JsonRpc<Call>>) -> Result<(), Error> {
        let before = std::mem::replace(&mut self.wants_lock, wanted);
        // Nothing is requested before the server is known to be usable.
        let (Some(rpc), Some(role)) = (rpc, self.role()) else { return Ok(()) };
        self.update_lock(role, rpc).inspect_err(|_| self.wants_lock = before)
    }

    /// Requests another lock from now on, and releases the previous one.
    pub(crate) fn set_lock(
        &mut self,
        name: LockName,
        mut rpc: Option<&mut JsonRpc<Call>>,
    ) -> Result<(), Error> {
        match &mut self.lock {
            None => self.lock = Some(Lock::new(name)),
            Some(lock) if *lock.name() == name => {}
            Some(lock) => {
                if let (true, Some(rpc)) = (lock.is_asked(), &mut rpc) {
                    send(rpc, "unlock", &lock.name().params(), Call::Unlock)?;
                }
                self.lock_lost();
                self.lock.iter_mut().for_each(|lock| lock.rename(name.clone()));
            }
        }
        self.want_lock(true, rpc)
    }

    /// Steals the lock if the session waits for it.
    pub(crate) fn steal_lock(&mut self, rpc: &mut JsonRpc<Call>) -> Result<(), Error> {
        // A second request would first give the lock to the next client in the queue.
        let waits = self.lock.as_ref().is_some_and(|lock| lock.status() == LockStatus::Waiting && !lock.is_stealing());
        if waits { self.request_again(LockMethod::Steal, rpc) } else { Ok(()) }
    }

    /// Requests the lock from a server that can grant it, and releases it at one that no longer can.
    pub(super) fn update_lock(&mut self, role: ServerRole, rpc: &mut JsonRpc<Call>) -> Result<(), Error> {
        let Some(lock) = &mut self.lock else { return Ok(()) };
        match (role.grants_locks() && self.wants_lock, lock.is_asked()) {
            (true, false) => {
                let (params, number) = (lock.name().params(), lock.ask(LockMethod::Lock));
                // The lock is not requested if the request was not sent.
                send(rpc, "lock", &params, Call::Lock(number)).inspect_err(|_| self.lock_lost())?;
            }
            (false, true) => {
                send(rpc, "unlock", &lock.name().params(), Call::Unlock)?;
                self.lock_lost();
            }
            _ => {}
        }
        Ok(())
    }

    pub(super) fn lock_answered(
        &mut self,
        number: u64,
        result: Result<Box<RawValue>, DatabaseError>,
    ) -> Result<(), Error> {
        #[derive(serde::Deserialize)]
        struct Answer {
            locked: bool,
        }
        let answer: Answer =
            serde_json::from_str(result?.get()).map_err(|e| Error::malformed("answer to lock", e))?;
        let status = self.lock.as_mut().and_then(|lock| lock.answered(number, answer.locked));
        self.events.extend(status.map(SessionEvent::Lock));
        Ok(())
    }

    /// Handles `locked` and `stolen`.
    pub(super) fn lock_notified(
        &mut self,
        notice: LockNotice,
        params: &RawValue,
        rpc: &mut JsonRpc<Call>,
    ) -> Result<(), Error> {
        let Some(lock) = &mut self.lock else { return Ok(()) };
        let [name]: [String; 1] =
            serde_json::from_str(params.get()).map_err(|e| Error::malformed("lock notification", e))?;
        self.events.extend(lock.notified(notice, &name).map(SessionEvent::Lock));
        if lock.is_forgotten() { self.request_again(LockMethod::Lock, rpc) } else { Ok(()) }
    }

    /// Releases the lock and requests it again: ovsdb-server refuses a second request while there is one.
    fn request_again(&mut self, method: LockMethod, rpc: &mut JsonRpc<Call>) -> Result<(), Error> {
        let Some(lock) = &mut self.lock else { return Ok(()) };
        let params = lock.name().params();
        send(rpc, "unlock", &params, Call::Unlock)?;
        let number = lock.ask(method);
        // If too many requests are pending, the lock is requested later as usual.
        send(rpc, method.name(), &params, Call::Lock(number)).map(drop).inspect_err(|_| self.lock_lost())
    }

    pub(super) fn lock_lost(&mut self) {
        let status = self.lock.as_mut().and_then(Lock::lost);
        self.events.extend(status.map(SessionEvent::Lock));
    }
}
