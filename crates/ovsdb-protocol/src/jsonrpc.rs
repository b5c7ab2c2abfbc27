//! JSON-RPC 1.0 without its transport: it matches replies to requests, answers requests of the peer, and detects a
//! silent peer. It has no clock, socket or task.

pub(crate) mod message;

use std::collections::HashMap;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use serde_json::value::RawValue;

use self::message::Message;
use crate::outcome::DatabaseError;

/// The number of requests that may be pending. ovsdb-server reads one request of a client in each pass of its main loop, so
/// that more would only wait there instead of here.
const MAX_PENDING: usize = 1024;

/// The number of requests beyond these that are reserved for the connection itself, such as those about a lock:
/// requests of the caller must not prevent them.
const MAX_RESERVED: usize = 64;

/// The number of unsent bytes beyond which the caller can make no more requests. Cancelled requests are not pending, but
/// remain among the bytes to send.
const MAX_OUTBOX: usize = 16 << 20;

/// The number of bytes of replies that a peer may leave unread while it sends requests. ovsdb-server has one echo pending
/// at a time.
const MAX_REPLY_BACKLOG: usize = 1 << 20;

/// One side of a JSON-RPC connection (RFC 7047 section 4). `T` is a token that the caller attaches to a request and gets
/// back with its reply.
///
/// Call [`handle_message`](Self::handle_message), [`handle_activity`](Self::handle_activity) and
/// [`handle_deadline`](Self::handle_deadline) as they apply; send the bytes of [`outbox`](Self::outbox).
#[derive(Debug)]
pub(crate) struct JsonRpc<T> {
    next_id: u64,
    /// Requests without a reply. A cancelled one is not among them: ovsdb-server may never reply, and replies to unknown
    /// requests are dropped.
    pending: HashMap<u64, T>,
    outbox: BytesMut,
    /// An upper bound on the bytes of replies in the outbox.
    reply_backlog: usize,
    probe: Probe,
}

/// A message for the caller.
#[derive(Debug)]
pub(crate) enum Event<T> {
    /// The reply to a request.
    Reply { token: T, result: Result<Box<RawValue>, DatabaseError> },
    /// A notification.
    Notification { method: String, params: Box<RawValue> },
}

/// The error of too many pending requests, or of too many unsent bytes for a peer that does not read.
#[derive(Debug)]
pub(crate) struct Busy<T>(pub(crate) T);

/// The error of a peer that sends requests and does not read the replies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PeerNotReading;

/// The inactivity probe, as in Open vSwitch's lib/reconnect.c: an echo after one silent interval, an error after
/// another. Every received byte counts as activity, so that a long message is not silence.
#[derive(Debug)]
struct Probe {
    interval: Option<Duration>,
    active: Instant,
    /// The time at which the echo was sent.
    probed: Option<Instant>,
}

/// The error of a peer that was silent for two probe intervals, with the time of its silence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct InactivityTimeout(pub(crate) Duration);

// ===== impl JsonRpc =====

impl<T> JsonRpc<T> {
    /// Creates the state of a new connection; `probe` is the interval of the inactivity probe, `None` for no probe.
    pub(crate) fn new(probe: Option<Duration>, now: Instant) -> Self {
        let probe = Probe { interval: probe, active: now, probed: None };
        Self { next_id: 1, pending: HashMap::new(), outbox: BytesMut::new(), reply_backlog: 0, probe }
    }

    /// Queues a request; `params` is JSON text.
    pub(crate) fn request(&mut self, method: &str, params: &str, token: T) -> Result<u64, Busy<T>> {
        if self.outbox.len() > MAX_OUTBOX {
            return Err(Busy(token));
        }
        self.request_within(MAX_PENDING, method, params, token)
    }

    /// Queues a request that the connection itself needs, for which room is reserved. Their bytes are bounded by their
    /// number, because none of them is cancelled.
    pub(crate) fn request_reserved(&mut self, method: &str, params: &str, token: T) -> Result<u64, Busy<T>> {
        self.request_within(MAX_PENDING + MAX_RESERVED, method, params, token)
    }

    fn request_within(
        &mut self,
        most: usize,
        method: &str,
        params: &str,
        token: T,
    ) -> Result<u64, Busy<T>> {
        if self.pending.len() >= most {
            return Err(Busy(token));
        }
        let id = self.next_id;
        self.next_id += 1;
        self.pending.insert(id, token);
        message::write_request(&mut self.outbox, id, method, params);
        Ok(id)
    }

    /// Returns the number of requests that fit beside those that are pending, without the reserved ones.
    pub(crate) fn capacity(&self) -> usize {
        MAX_PENDING.saturating_sub(self.pending.len())
    }

    /// Cancels a request (RFC 7047 section 4.1.4). Its reply, if one arrives, is dropped.
    pub(crate) fn cancel(&mut self, id: u64) {
        if self.pending.remove(&id).is_some() {
            message::write_notification(&mut self.outbox, "cancel", &format!("[{id}]"));
        }
    }

    /// Returns the id of a pending request for whose token `is_it` returns true.
    pub(crate) fn find(&self, is_it: impl Fn(&T) -> bool) -> Option<u64> {
        self.pending.iter().find(|(_, token)| is_it(token)).map(|(id, _)| *id)
    }

    /// Completes the request with this id, whose reply arrived as rows.
    pub(crate) fn complete(&mut self, id: u64) -> Option<T> {
        self.pending.remove(&id)
    }

    /// Handles a message.
    pub(crate) fn handle_message(&mut self, message: Message) -> Result<Option<Event<T>>, PeerNotReading> {
        Ok(match message {
            Message::Request { id, method, params } => {
                self.answer(id.get(), &method, params.get())?;
                None
            }
            Message::Notification { method, params } => Some(Event::Notification { method, params }),
            Message::Reply { id, result } => {
                // The id of a probe is a string; its reply needs no handling, since it counted as activity.
                let token = id.get().parse().ok().and_then(|id| self.complete(id));
                token.map(|token| Event::Reply { token, result })
            }
        })
    }

    /// Queues the reply to a request of the peer.
    fn answer(&mut self, id: &str, method: &str, params: &str) -> Result<(), PeerNotReading> {
        if self.outbox.is_empty() {
            self.reply_backlog = 0;
        }
        if self.reply_backlog > MAX_REPLY_BACKLOG {
            return Err(PeerNotReading);
        }
        let before = self.outbox.len();
        match method {
            "echo" => message::write_reply(&mut self.outbox, id, params),
            _ => message::write_error(&mut self.outbox, id, r#""unknown method""#),
        }
        self.reply_backlog += self.outbox.len() - before;
        Ok(())
    }

    /// Records that bytes were received.
    pub(crate) fn handle_activity(&mut self, now: Instant) {
        self.probe.active = now;
        self.probe.probed = None;
    }

    /// Returns the time at which [`handle_deadline`](Self::handle_deadline) is to be called; `None` also for an interval
    /// beyond the range of the clock.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        let interval = self.probe.interval?;
        // Counted from the probe, not from the last activity: if this process was stopped for a while, the peer still
        // gets a whole interval to reply.
        self.probe.probed.unwrap_or(self.probe.active).checked_add(interval)
    }

    /// Sends the probe to a silent peer, or reports the timeout.
    pub(crate) fn handle_deadline(&mut self, now: Instant) -> Result<(), InactivityTimeout> {
        if self.next_deadline().is_none_or(|deadline| now < deadline) {
            return Ok(());
        }
        if self.probe.probed.is_some() {
            return Err(InactivityTimeout(now - self.probe.active));
        }
        self.probe.probed = Some(now);
        message::write_request_as(&mut self.outbox, r#""echo""#, "echo", "[]");
        Ok(())
    }

    /// Changes the probe interval, and restarts it.
    pub(crate) fn set_probe(&mut self, interval: Option<Duration>, now: Instant) {
        self.probe = Probe { interval, active: now, probed: None };
    }

    /// Returns the bytes to send; remove what was sent.
    pub(crate) fn outbox(&mut self) -> &mut BytesMut {
        &mut self.outbox
    }

    /// Returns the tokens of all pending requests, in their order, when the connection has ended.
    pub(crate) fn into_pending(self) -> impl Iterator<Item = T> {
        let mut pending: Vec<_> = self.pending.into_iter().collect();
        pending.sort_unstable_by_key(|(id, _)| *id);
        pending.into_iter().map(|(_, token)| token)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rpc() -> (JsonRpc<&'static str>, Instant) {
        let now = Instant::now();
        (JsonRpc::new(Some(Duration::from_secs(5)), now), now)
    }

    fn raw(text: &str) -> Box<RawValue> {
        RawValue::from_string(text.to_owned()).unwrap()
    }

    fn reply(id: &str) -> Message {
        Message::Reply { id: raw(id), result: Ok(raw("{}")) }
    }

    fn sent(rpc: &mut JsonRpc<&'static str>) -> String {
        String::from_utf8(rpc.outbox().split().to_vec()).unwrap()
    }

    /// Rule: `params` is always an array, and the only other members are `id` and `method`; otherwise ovsdb-server
    /// hangs up.
    #[test]
    fn reply_is_matched_to_its_request_once_and_in_any_order() {
        let (mut rpc, _) = rpc();
        assert_eq!(rpc.request("a", "[]", "first").unwrap(), 1);
        assert_eq!(rpc.request("b", "[1]", "second").unwrap(), 2);
        assert_eq!(sent(&mut rpc), r#"{"id":1,"method":"a","params":[]}{"id":2,"method":"b","params":[1]}"#);
        for (id, token) in
            [("2", Some("second")), ("1", Some("first")), ("1", None), ("9", None), ("\"x\"", None)]
        {
            let event = rpc.handle_message(reply(id)).unwrap();
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
    fn late_reply_to_a_cancelled_request_is_dropped() {
        let (mut rpc, _) = rpc();
        let id = rpc.request("a", "[]", "token").unwrap();
        sent(&mut rpc);
        rpc.cancel(id);
        rpc.cancel(id);
        assert_eq!(sent(&mut rpc), r#"{"id":null,"method":"cancel","params":[1]}"#);
        assert!(rpc.handle_message(reply("1")).unwrap().is_none());
        assert_eq!(rpc.into_pending().count(), 0);
    }

    /// Regression: holodekk and its forks, which panic at an echo from the server.
    #[test]
    fn echo_request_of_the_server_is_answered() {
        let (mut rpc, _) = rpc();
        let ask = |method: &str| Message::Request {
            id: raw("\"echo\""),
            method: method.to_owned(),
            params: raw("[1,{}]"),
        };
        assert!(rpc.handle_message(ask("echo")).unwrap().is_none());
        assert_eq!(sent(&mut rpc), r#"{"id":"echo","result":[1,{}],"error":null}"#);
        assert!(rpc.handle_message(ask("what")).unwrap().is_none());
        assert_eq!(sent(&mut rpc), r#"{"id":"echo","result":null,"error":"unknown method"}"#);
    }

    #[test]
    fn backlog_of_replies_to_a_peer_that_does_not_read_is_bounded() {
        let (mut rpc, _) = rpc();
        let ask = || Message::Request { id: raw("1"), method: "echo".to_owned(), params: raw("[]") };
        // As long as the peer reads the replies, their number is not limited.
        for _ in 0..100_000 {
            rpc.handle_message(ask()).unwrap();
            rpc.outbox().clear();
        }
        let answered = (0..1_000_000).take_while(|_| rpc.handle_message(ask()).is_ok()).count();
        assert!((1000..100_000).contains(&answered), "{answered}");
        assert!(rpc.outbox().len() < 2 * MAX_REPLY_BACKLOG);
    }

    #[test]
    fn silent_peer_is_probed_once_and_then_disconnected() {
        let (mut rpc, start) = rpc();
        let after = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(rpc.next_deadline(), Some(after(5)));
        assert_eq!(rpc.handle_deadline(after(4)), Ok(()));
        assert_eq!(sent(&mut rpc), "");
        assert_eq!(rpc.handle_deadline(after(5)), Ok(()));
        assert_eq!(sent(&mut rpc), r#"{"id":"echo","method":"echo","params":[]}"#);
        assert_eq!(rpc.handle_deadline(after(9)), Ok(()));
        rpc.handle_activity(after(9));
        assert_eq!(rpc.next_deadline(), Some(after(14)));
        assert_eq!(rpc.handle_deadline(after(14)), Ok(()));
        assert_eq!(rpc.handle_deadline(after(19)), Err(InactivityTimeout(Duration::from_secs(10))));
    }

    /// Rule: silence counts only while the client was reading (`reconnect_receive_attempted` in lib/reconnect.c).
    #[test]
    fn late_client_probes_a_silent_peer_before_disconnecting() {
        let (mut rpc, start) = rpc();
        let after = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(rpc.handle_deadline(after(3600)), Ok(()));
        assert!(sent(&mut rpc).contains("echo"));
        assert_eq!(rpc.next_deadline(), Some(after(3605)));
        assert_eq!(rpc.handle_deadline(after(3605)), Err(InactivityTimeout(Duration::from_secs(3605))));
    }

    #[test]
    fn probe_beyond_the_clock_is_never_sent() {
        let now = Instant::now();
        let mut rpc = JsonRpc::<()>::new(Some(Duration::MAX), now);
        assert_eq!((rpc.next_deadline(), rpc.handle_deadline(now)), (None, Ok(())));
    }

    #[test]
    fn number_of_pending_requests_is_bounded() {
        let (mut rpc, _) = rpc();
        for _ in 0..10 {
            let id = rpc.request("a", "[]", "").unwrap();
            rpc.cancel(id);
        }
        for _ in 0..MAX_PENDING {
            rpc.request("a", "[]", "").unwrap();
        }
        assert_eq!(rpc.request("a", "[]", "too many").unwrap_err().0, "too many");
        // The connection's own requests have room of their own.
        for _ in 0..MAX_RESERVED {
            rpc.request_reserved("a", "[]", "").unwrap();
        }
        assert_eq!(rpc.request_reserved("a", "[]", "too many").unwrap_err().0, "too many");
    }

    /// Rule: a call that is given up is cancelled, and ovsdb-server reads nothing while it executes a long transaction.
    #[test]
    fn unsent_bytes_of_cancelled_requests_are_bounded() {
        let (mut rpc, _) = rpc();
        let params = format!("[\"{}\"]", "x".repeat(1 << 20));
        let request = |rpc: &mut JsonRpc<_>| rpc.request("a", &params, "").map(|id| rpc.cancel(id));
        let accepted = (0..100).take_while(|_| request(&mut rpc).is_ok()).count();
        assert_eq!(accepted, MAX_OUTBOX >> 20);
        // The connection's own requests are not prevented.
        rpc.request_reserved("b", "[]", "").unwrap();
        rpc.outbox().clear();
        request(&mut rpc).unwrap();
    }
}
