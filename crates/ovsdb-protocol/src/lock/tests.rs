use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;

/// Rule: the name of a lock is an `<id>`; anything else is a syntax error.
#[test]
fn lock_name_must_be_an_id() {
    assert!("ovn_extaddr".parse::<LockName>().is_ok());
    for text in ["ovn-extaddr", "", "1a", "a b"] {
        assert!(text.parse::<LockName>().is_err(), "{text}");
    }
    assert_eq!(LockName::sanitized("ovn-extaddr").as_str(), "ovn_extaddr");
    assert_eq!(LockName::sanitized("1a").as_str(), "_1a");
}

/// What happens to a lock that changes it in some state.
#[derive(Clone, Copy, Debug)]
enum Event {
    Ask(LockMethod),
    /// The reply to the last request.
    Answered(bool),
    Notified(LockNotice),
}

const EVENTS: [Event; 6] = [
    Event::Ask(LockMethod::Lock),
    Event::Ask(LockMethod::Steal),
    Event::Answered(true),
    Event::Answered(false),
    Event::Notified(LockNotice::Locked),
    Event::Notified(LockNotice::Stolen),
];

#[test]
fn lock_state_machine_handles_every_event_in_every_state() {
    use LockMethod::{Lock as ByLock, Steal};
    use State::{Asked, Held, Idle, Waiting};
    let asked = |method, is_waiting| Asked { method, is_waiting };
    let waits = |method| Waiting { method };
    let held = |method| Held { method, epoch: 7 };
    let gets = |method| Held { method, epoch: 8 };
    let mut table = vec![(Idle, [asked(ByLock, false), asked(Steal, false), Idle, Idle, Idle, Idle])];
    for by in [ByLock, Steal] {
        for queued in [false, true] {
            let same = asked(by, queued);
            let again = [asked(ByLock, queued), asked(Steal, queued)];
            table.push((same, [again[0], again[1], gets(by), waits(by), same, same]));
        }
        let (same, again) = (waits(by), [asked(ByLock, true), asked(Steal, true)]);
        table.push((same, [again[0], again[1], same, same, gets(by), same]));
        // Nobody requests what he has: the first two are not tried.
        let same = held(by);
        table.push((same, [same, same, same, same, same, waits(by)]));
    }
    for (before, after) in table {
        let lock = || Lock { name: LockName::sanitized("l"), state: before, epoch: 7, requests: 3 };
        let status = lock().status();
        assert_eq!(lock().is_asked(), before != Idle, "{before:?}");
        assert_eq!(lock().is_forgotten(), before == waits(Steal), "{before:?}");
        assert_eq!(lock().is_stealing(), matches!(before, Asked { method: Steal, .. }), "{before:?}");
        for (event, after) in EVENTS.into_iter().zip(after) {
            let mut lock = lock();
            let reported = match event {
                Event::Ask(_) if matches!(before, Held { .. }) => continue,
                Event::Ask(method) => {
                    assert_eq!(lock.ask(method), 4);
                    Some(lock.status()).filter(|now| *now != status)
                }
                Event::Answered(locked) => lock.answered(3, locked),
                Event::Notified(notice) => lock.notified(notice, "l"),
            };
            assert_eq!(lock.state, after, "{event:?} in {before:?}");
            assert_eq!(reported, Some(lock.status()).filter(|now| *now != status), "{event:?} in {before:?}");
        }
        let mut same = lock();
        for locked in [true, false] {
            assert_eq!(same.answered(2, locked), None, "the reply to an earlier request");
        }
        for notice in [LockNotice::Locked, LockNotice::Stolen] {
            assert_eq!(same.notified(notice, "other"), None, "another lock");
        }
        assert_eq!(same.state, before);
        assert_eq!(same.lost(), Some(LockStatus::None).filter(|now| *now != status));
        assert_eq!(same.state, Idle);
    }
}

/// A client at the model's server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Who {
    Us,
    Other(u8),
}

#[derive(Clone, Copy, Debug)]
enum Request {
    Unlock,
    Ask(LockMethod, u64),
}

#[derive(Clone, Copy, Debug)]
enum Message {
    Reply(u64, bool),
    Notice(LockNotice),
}

/// A server with one lock, as `ovsdb_server_lock` and `ovsdb_lock_waiter_remove` in ovsdb/server.c, with our lock at the
/// other end of two queues.
#[derive(Debug)]
struct Model {
    lock: Lock,
    /// The queue of waiters, whose first is the holder.
    waiters: Vec<(Who, LockMethod)>,
    /// Whether the server has a record of us, in the queue or out of it: it refuses a second request then.
    has_record: bool,
    requests: VecDeque<Request>,
    messages: VecDeque<Message>,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    /// As the session does when it wants the lock, or to steal it.
    Ask(LockMethod),
    Release,
    Serve,
    Receive,
    OtherAsks(u8, LockMethod),
    OtherReleases(u8),
    Reconnect,
}

impl Model {
    fn new() -> Self {
        let lock = Lock::new(LockName::sanitized("l"));
        Self {
            lock,
            waiters: Vec::new(),
            has_record: false,
            requests: VecDeque::new(),
            messages: VecDeque::new(),
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Ask(LockMethod::Lock) if !self.lock.is_asked() => self.ask(LockMethod::Lock),
            Step::Ask(LockMethod::Steal)
                if self.lock.status() == LockStatus::Waiting && !self.lock.is_stealing() =>
            {
                self.requests.push_back(Request::Unlock);
                self.ask(LockMethod::Steal);
            }
            Step::Ask(_) => {}
            Step::Release => {
                if self.lock.is_asked() {
                    self.requests.push_back(Request::Unlock);
                    self.lock.lost();
                }
            }
            Step::Serve => {
                match self.requests.pop_front() {
                    Some(Request::Unlock) => {
                        self.has_record = false;
                        self.remove(Who::Us);
                    }
                    Some(Request::Ask(method, number)) => {
                        assert!(!std::mem::replace(&mut self.has_record, true), "the server refuses this");
                        let locked = self.serve(Who::Us, method);
                        self.messages.push_back(Message::Reply(number, locked));
                    }
                    None => {}
                };
            }
            Step::Receive => {
                match self.messages.pop_front() {
                    Some(Message::Reply(number, locked)) => drop(self.lock.answered(number, locked)),
                    Some(Message::Notice(notice)) => drop(self.lock.notified(notice, "l")),
                    None => {}
                }
                if self.lock.is_forgotten() {
                    self.requests.push_back(Request::Unlock);
                    self.ask(LockMethod::Lock);
                }
            }
            Step::OtherAsks(n, method) => {
                if !self.waiters.iter().any(|(who, _)| *who == Who::Other(n)) {
                    self.serve(Who::Other(n), method);
                }
            }
            Step::OtherReleases(n) => self.remove(Who::Other(n)),
            Step::Reconnect => {
                (self.requests, self.messages, self.has_record) = (VecDeque::new(), VecDeque::new(), false);
                self.remove(Who::Us);
                self.lock.lost();
            }
        }
    }

    fn ask(&mut self, method: LockMethod) {
        let number = self.lock.ask(method);
        self.requests.push_back(Request::Ask(method, number));
    }

    /// Returns whether the lock is granted at once.
    fn serve(&mut self, who: Who, method: LockMethod) -> bool {
        let victim = self.waiters.first().copied();
        match (method, victim) {
            (LockMethod::Lock, Some(_)) => {
                self.waiters.push((who, method));
                return false;
            }
            (LockMethod::Steal, Some((victim, by))) => {
                if by == LockMethod::Steal {
                    self.waiters.remove(0);
                }
                self.notify(victim, LockNotice::Stolen);
                self.waiters.insert(0, (who, method));
            }
            (_, None) => self.waiters.push((who, method)),
        }
        true
    }

    fn remove(&mut self, who: Who) {
        let was_holder = self.holder() == Some(who);
        self.waiters.retain(|(other, _)| *other != who);
        if let (true, Some(next)) = (was_holder, self.holder()) {
            self.notify(next, LockNotice::Locked);
        }
    }

    fn notify(&mut self, who: Who, notice: LockNotice) {
        if who == Who::Us {
            self.messages.push_back(Message::Notice(notice));
        }
    }

    fn holder(&self) -> Option<Who> {
        self.waiters.first().map(|(who, _)| *who)
    }
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let method = || prop_oneof![Just(LockMethod::Lock), Just(LockMethod::Steal)];
    let step = prop_oneof![
        3 => method().prop_map(Step::Ask),
        1 => Just(Step::Release),
        4 => Just(Step::Serve),
        4 => Just(Step::Receive),
        2 => (0..2_u8, method()).prop_map(|(n, method)| Step::OtherAsks(n, method)),
        2 => (0..2_u8).prop_map(Step::OtherReleases),
        1 => Just(Step::Reconnect),
    ];
    prop::collection::vec(step, 0..60)
}

proptest! {
    /// Once nothing is on its way, the status is what the server says.
    #[test]
    fn lock_status_agrees_with_the_server(steps in steps()) {
        let mut model = Model::new();
        for step in steps {
            model.step(step);
        }
        while !(model.requests.is_empty() && model.messages.is_empty()) {
            model.step(Step::Serve);
            model.step(Step::Receive);
        }
        let place = model.waiters.iter().position(|(who, _)| *who == Who::Us);
        match model.lock.status() {
            LockStatus::Held(_) => prop_assert_eq!(place, Some(0)),
            LockStatus::Waiting => prop_assert!(place.is_some_and(|place| place > 0)),
            LockStatus::None => prop_assert_eq!(place, None),
        }
    }
}
