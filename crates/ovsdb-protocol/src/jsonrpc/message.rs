//! JSON-RPC 1.0 messages as OVSDB uses them (RFC 7047 section 4), and their text.

use bytes::BytesMut;
use serde_json::value::RawValue;

use crate::outcome::DatabaseError;

/// A received message without rows.
#[derive(Debug)]
pub(crate) enum Message {
    /// A request, to which a reply with the same id is due.
    Request { id: Box<RawValue>, method: String, params: Box<RawValue> },
    /// A notification.
    Notification { method: String, params: Box<RawValue> },
    /// The reply to a request.
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
