//! The protocol without its transport: matches replies to requests, answers what the peer asks,
//! and notices a peer that is silent. No clock, no socket, no task.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use serde_json::value::RawValue;

use crate::outcome::DatabaseError;
use crate::rpc::{self, Message};

/// Requests that may await their reply at a time. ovsdb-server reads one request a session and
/// main-loop pass, so that more would only wait there instead of here.
const MOST_PENDING: usize = 1024;

/// Bytes of answers that a peer may leave unread while it asks on. ovsdb-server has one echo under way at a time.
const MOST_OWED: usize = 1 << 20;

/// One side of a JSON-RPC conversation (RFC 7047 §4). `T` is what the caller attaches to a request
/// and gets back with its reply.
///
/// Feed it [`handle_message`](Self::handle_message), [`handle_activity`](Self::handle_activity) and
/// [`handle_deadline`](Self::handle_deadline); send what is in [`outbox`](Self::outbox).
#[derive(Debug)]
pub(crate) struct Exchange<T> {
    next_id: u64,
    /// Requests without a reply. One that was given up is none: ovsdb-server may never answer it, and
    /// a reply to an unknown request is dropped anyway.
    pending: HashMap<u64, T>,
    outbox: BytesMut,
    /// How much of the outbox may be answers.
    owed: usize,
    probe: Probe,
}

/// What the peer did that the caller must know.
#[derive(Debug)]
pub(crate) enum Event<T> {
    /// It answered a request.
    Reply { token: T, result: Result<Box<RawValue>, DatabaseError> },
    /// It sent a notification.
    Notification { method: String, params: Box<RawValue> },
}

/// The request cannot be made: too many await their reply.
#[derive(Debug)]
pub(crate) struct Busy<T>(pub(crate) T);

/// The peer asks and does not take the answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Deaf;

/// Detects a dead peer as ovsdb's reconnect machine does: an echo after one silent interval, the
/// end after another. Any received byte counts, so that a long message is no silence.
#[derive(Debug)]
struct Probe {
    interval: Option<Duration>,
    active: Instant,
    /// When the sign of life was asked for.
    probed: Option<Instant>,
}

/// The peer was silent for two intervals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Silent(pub(crate) Duration);

// ===== impl Exchange =====

impl<T> Exchange<T> {
    /// Starts a conversation; `probe` is how long the peer may be silent before it is asked for a
    /// sign of life, `None` for ever.
    pub(crate) fn new(probe: Option<Duration>, now: Instant) -> Self {
        let probe = Probe { interval: probe, active: now, probed: None };
        Self { next_id: 1, pending: HashMap::new(), outbox: BytesMut::new(), owed: 0, probe }
    }

    /// Queues a request; `params` is JSON text.
    pub(crate) fn request(&mut self, method: &str, params: &str, token: T) -> Result<u64, Busy<T>> {
        if self.pending.len() >= MOST_PENDING {
            return Err(Busy(token));
        }
        let id = self.next_id;
        self.next_id += 1;
        self.pending.insert(id, token);
        rpc::write_request(&mut self.outbox, id, method, params);
        Ok(id)
    }

    /// Returns how many requests can be made now.
    pub(crate) fn room(&self) -> usize {
        MOST_PENDING.saturating_sub(self.pending.len())
    }

    /// Gives a request up: its reply, should it come, is dropped. Asks the server to drop the
    /// request too (RFC 7047 §4.1.4).
    pub(crate) fn cancel(&mut self, id: u64) {
        if self.pending.remove(&id).is_some() {
            rpc::write_notification(&mut self.outbox, "cancel", &format!("[{id}]"));
        }
    }

    /// Returns the id of a request whose token is wanted.
    pub(crate) fn find(&self, wanted: impl Fn(&T) -> bool) -> Option<u64> {
        self.pending.iter().find(|(_, token)| wanted(token)).map(|(id, _)| *id)
    }

    /// Takes the token of the request with this id, whose reply came in another way: as rows.
    pub(crate) fn complete(&mut self, id: u64) -> Option<T> {
        self.pending.remove(&id)
    }

    /// Takes a message in.
    pub(crate) fn handle_message(&mut self, message: Message) -> Result<Option<Event<T>>, Deaf> {
        Ok(match message {
            Message::Request { id, method, params } => {
                self.answer(id.get(), &method, params.get())?;
                None
            }
            Message::Notification { method, params } => Some(Event::Notification { method, params }),
            Message::Reply { id, result } => {
                // A reply to our own echo has a string for its id and needs no more than to be here.
                let token = id.get().parse().ok().and_then(|id| self.complete(id));
                token.map(|token| Event::Reply { token, result })
            }
        })
    }

    /// Queues the answer to a request of the peer.
    fn answer(&mut self, id: &str, method: &str, params: &str) -> Result<(), Deaf> {
        if self.outbox.is_empty() {
            self.owed = 0;
        }
        if self.owed > MOST_OWED {
            return Err(Deaf);
        }
        let before = self.outbox.len();
        match method {
            "echo" => rpc::write_reply(&mut self.outbox, id, params),
            _ => rpc::write_error(&mut self.outbox, id, r#""unknown method""#),
        }
        self.owed += self.outbox.len() - before;
        Ok(())
    }

    /// Takes note that bytes were received.
    pub(crate) fn handle_activity(&mut self, now: Instant) {
        self.probe.active = now;
        self.probe.probed = None;
    }

    /// Returns when [`handle_deadline`](Self::handle_deadline) wants to be called.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        let interval = self.probe.interval?;
        // Counted from the probe, not from the last activity: where this process was stopped for a
        // while, the peer gets its time all the same.
        Some(self.probe.probed.unwrap_or(self.probe.active) + interval)
    }

    /// Asks a silent peer for a sign of life, or gives it up.
    pub(crate) fn handle_deadline(&mut self, now: Instant) -> Result<(), Silent> {
        if self.next_deadline().is_none_or(|deadline| now < deadline) {
            return Ok(());
        }
        if self.probe.probed.is_some() {
            return Err(Silent(now - self.probe.active));
        }
        self.probe.probed = Some(now);
        rpc::write_request_as(&mut self.outbox, r#""echo""#, "echo", "[]");
        Ok(())
    }

    /// Changes how long the peer may be silent.
    pub(crate) fn set_probe(&mut self, interval: Option<Duration>, now: Instant) {
        self.probe = Probe { interval, active: now, probed: None };
    }

    /// Returns the bytes to send; remove what was sent.
    pub(crate) fn outbox(&mut self) -> &mut BytesMut {
        &mut self.outbox
    }

    /// Takes the tokens of all requests without a reply: the connection is gone.
    pub(crate) fn into_pending(self) -> impl Iterator<Item = T> {
        let mut pending: Vec<_> = self.pending.into_iter().collect();
        pending.sort_unstable_by_key(|(id, _)| *id);
        pending.into_iter().map(|(_, token)| token)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exchange() -> (Exchange<&'static str>, Instant) {
        let now = Instant::now();
        (Exchange::new(Some(Duration::from_secs(5)), now), now)
    }

    fn raw(text: &str) -> Box<RawValue> {
        RawValue::from_string(text.to_owned()).unwrap()
    }

    fn reply(id: &str) -> Message {
        Message::Reply { id: raw(id), result: Ok(raw("{}")) }
    }

    fn sent(exchange: &mut Exchange<&'static str>) -> String {
        String::from_utf8(exchange.outbox().split().to_vec()).unwrap()
    }

    /// Rule: `params` is an array, always, and there is no member beside it, `id` and `method`: ovsdb-server hangs up
    /// otherwise.
    #[test]
    fn replies_find_their_request_in_any_order_and_once() {
        let (mut exchange, _) = exchange();
        assert_eq!(exchange.request("a", "[]", "first").unwrap(), 1);
        assert_eq!(exchange.request("b", "[1]", "second").unwrap(), 2);
        assert_eq!(
            sent(&mut exchange),
            r#"{"id":1,"method":"a","params":[]}{"id":2,"method":"b","params":[1]}"#
        );
        for (id, token) in
            [("2", Some("second")), ("1", Some("first")), ("1", None), ("9", None), ("\"x\"", None)]
        {
            let event = exchange.handle_message(reply(id)).unwrap();
            assert_eq!(
                event.map(|event| match event {
                    Event::Reply { token, .. } => token,
                    Event::Notification { .. } => "a notification",
                }),
                token,
                "{id}"
            );
        }
    }

    #[test]
    fn a_late_reply_to_a_cancelled_request_is_dropped() {
        let (mut exchange, _) = exchange();
        let id = exchange.request("a", "[]", "token").unwrap();
        sent(&mut exchange);
        exchange.cancel(id);
        exchange.cancel(id);
        assert_eq!(sent(&mut exchange), r#"{"id":null,"method":"cancel","params":[1]}"#);
        assert!(exchange.handle_message(reply("1")).unwrap().is_none());
        assert_eq!(exchange.into_pending().count(), 0);
    }

    /// Regression: holodekk and its forks, which panic at an echo of the server.
    #[test]
    fn the_peer_is_answered() {
        let (mut exchange, _) = exchange();
        let ask = |method: &str| Message::Request {
            id: raw("\"echo\""),
            method: method.to_owned(),
            params: raw("[1,{}]"),
        };
        assert!(exchange.handle_message(ask("echo")).unwrap().is_none());
        assert_eq!(sent(&mut exchange), r#"{"id":"echo","result":[1,{}],"error":null}"#);
        assert!(exchange.handle_message(ask("what")).unwrap().is_none());
        assert_eq!(sent(&mut exchange), r#"{"id":"echo","result":null,"error":"unknown method"}"#);
    }

    #[test]
    fn a_peer_that_does_not_listen_is_not_answered_for_ever() {
        let (mut exchange, _) = exchange();
        let ask = || Message::Request { id: raw("1"), method: "echo".to_owned(), params: raw("[]") };
        // As long as it takes the answers, any number will do.
        for _ in 0..100_000 {
            exchange.handle_message(ask()).unwrap();
            exchange.outbox().clear();
        }
        let answered = (0..1_000_000).take_while(|_| exchange.handle_message(ask()).is_ok()).count();
        assert!((1000..100_000).contains(&answered), "{answered}");
        assert!(exchange.outbox().len() < 2 * MOST_OWED);
    }

    #[test]
    fn silence_is_probed_once_and_then_the_end() {
        let (mut exchange, start) = exchange();
        let after = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(exchange.next_deadline(), Some(after(5)));
        assert_eq!(exchange.handle_deadline(after(4)), Ok(()));
        assert_eq!(sent(&mut exchange), "");
        assert_eq!(exchange.handle_deadline(after(5)), Ok(()));
        assert_eq!(sent(&mut exchange), r#"{"id":"echo","method":"echo","params":[]}"#);
        assert_eq!(exchange.handle_deadline(after(9)), Ok(()));
        exchange.handle_activity(after(9));
        assert_eq!(exchange.next_deadline(), Some(after(14)));
        assert_eq!(exchange.handle_deadline(after(14)), Ok(()));
        assert_eq!(exchange.handle_deadline(after(19)), Err(Silent(Duration::from_secs(10))));
    }

    /// Rule: silence counts only while somebody listened (`reconnect_receive_attempted` in lib/reconnect.c).
    #[test]
    fn a_peer_is_asked_before_it_is_given_up_however_late_we_are() {
        let (mut exchange, start) = exchange();
        let after = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(exchange.handle_deadline(after(3600)), Ok(()));
        assert!(sent(&mut exchange).contains("echo"));
        assert_eq!(exchange.next_deadline(), Some(after(3605)));
        assert_eq!(exchange.handle_deadline(after(3605)), Err(Silent(Duration::from_secs(3605))));
    }

    #[test]
    fn requests_are_bounded() {
        let (mut exchange, _) = exchange();
        for _ in 0..10 {
            let id = exchange.request("a", "[]", "").unwrap();
            exchange.cancel(id);
        }
        for _ in 0..MOST_PENDING {
            exchange.request("a", "[]", "").unwrap();
        }
        assert_eq!(exchange.request("a", "[]", "too many").unwrap_err().0, "too many");
    }
}
