//! JSON-RPC 1.0 as OVSDB speaks it (RFC 7047 §4): messages and their text.

use bytes::BytesMut;
use serde_json::value::RawValue;

use crate::outcome::DatabaseError;

/// A message that came from the peer and holds no rows.
#[derive(Debug)]
pub(crate) enum Message {
    /// Wants an answer with the same id.
    Request { id: Box<RawValue>, method: String, params: Box<RawValue> },
    /// Wants no answer.
    Notification { method: String, params: Box<RawValue> },
    /// Answers a request of ours.
    Reply { id: Box<RawValue>, result: Result<Box<RawValue>, DatabaseError> },
}

/// Appends a request to `out`.
///
/// `params` is JSON text. There is no `jsonrpc` member: ovsdb-server closes a connection on which
/// it sees one.
pub(crate) fn write_request(out: &mut BytesMut, id: u64, method: &str, params: &str) {
    write_request_as(out, &id.to_string(), method, params);
}

/// Appends a request with an id of any JSON text.
pub(crate) fn write_request_as(out: &mut BytesMut, id: &str, method: &str, params: &str) {
    write(out, &[r#"{"id":"#, id, r#","method":""#, method, r#"","params":"#, params, "}"]);
}

/// Appends a notification to `out`.
pub(crate) fn write_notification(out: &mut BytesMut, method: &str, params: &str) {
    write_request_as(out, "null", method, params);
}

/// Appends a reply to `out`; `id` and `result` are JSON text.
pub(crate) fn write_reply(out: &mut BytesMut, id: &str, result: &str) {
    write(out, &[r#"{"id":"#, id, r#","result":"#, result, r#","error":null}"#]);
}

/// Appends an error reply to `out`; `id` and `error` are JSON text.
pub(crate) fn write_error(out: &mut BytesMut, id: &str, error: &str) {
    write(out, &[r#"{"id":"#, id, r#","result":null,"error":"#, error, "}"]);
}

fn write(out: &mut BytesMut, pieces: &[&str]) {
    for piece in pieces {
        out.extend_from_slice(piece.as_bytes());
    }
}
