//! The decoder from bytes to messages, which splits the undelimited JSON-RPC stream, and monitor replies and updates
//! further into their rows, so that neither is ever in memory as a whole.

mod frame;
mod lookahead;
mod members;
mod state;
#[cfg(test)]
mod tests;

use std::ops::Range;

use bytes::{Buf, BytesMut};
use uuid::Uuid;

pub use self::frame::ProtocolError;
pub(crate) use self::frame::{Frame, RowsHead, RowsSource};
use self::members::{Member, Members};
use self::state::State;
use crate::cursor::{Cursor, DecodeError};
use crate::jsonrpc::message::Message;
use crate::monitor::MonitorMethod;
use crate::row::{RowChange, RowUpdate};
use crate::scan::{Limits, ScanError, Scanner};

/// A decoder that splits a stream of bytes into [`Frame`]s.
///
/// Write to [`Decoder::buffer`], then call [`Decoder::next`] until it returns `None`.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    buffer: BytesMut,
    /// The number of bytes at the front of the buffer that the last `next` returned.
    spent: usize,
    /// The offset of the buffer's first byte in the stream.
    offset: u64,
    limits: Limits,
    scanner: Scanner,
    state: State,
    members: Members,
    /// Monitor requests without a reply, in the order in which they were sent.
    expected: Vec<(u64, MonitorMethod)>,
    /// The request whose rows are being received, if they are those of a reply.
    reply: Option<u64>,
    /// The message with rows that is being received.
    rows: RowsHead,
    has_rows: bool,
    /// Whether the tables are in an array.
    in_array: bool,
    /// The elements before them.
    prefix: Vec<String>,
    table: String,
}

/// The result of a step.
enum Step {
    /// Nothing; more bytes are needed.
    Starved,
    Ahead,
    Found(Found),
}

/// A found piece: a frame without its borrow.
enum Found {
    Message(Message),
    RowsBegin,
    Row(Uuid, Range<usize>),
    RowsEnd,
}

// ===== impl Decoder =====

impl Decoder {
    pub(crate) fn new(limits: Limits) -> Self {
        Self { limits, ..Self::default() }
    }

    /// Returns where received bytes are to be appended.
    pub(crate) fn buffer(&mut self) -> &mut BytesMut {
        self.release();
        &mut self.buffer
    }

    /// Announces that the reply to request `id` holds rows.
    pub(crate) fn expect_rows(&mut self, id: u64, method: MonitorMethod) {
        self.expected.push((id, method));
    }

    /// Returns the number of bytes received so far.
    pub(crate) fn received(&self) -> u64 {
        self.offset + self.buffer.len() as u64
    }

    /// Returns the number of bytes decoded so far.
    pub(crate) fn position(&self) -> u64 {
        self.offset + self.spent as u64
    }

    /// Returns the next piece, or `None` if it is not complete yet.
    pub(crate) fn next(&mut self) -> Result<Option<Frame<'_>>, ProtocolError> {
        self.release();
        let found = loop {
            match self.step()? {
                Step::Starved => return Ok(None),
                Step::Ahead => {}
                Step::Found(found) => break found,
            }
        };
        Ok(Some(match found {
            Found::Message(message) => Frame::Message(message),
            Found::RowsBegin => Frame::RowsBegin(&self.rows),
            Found::Row(uuid, range) => {
                let start = self.offset + range.start as u64;
                let text = utf8(&self.buffer[range], start)?;
                let change = RowChange::parse(text).map_err(|e| within(e, start))?;
                Frame::Row(RowUpdate { table: &self.table, uuid, change })
            }
            Found::RowsEnd => Frame::RowsEnd(std::mem::take(&mut self.rows)),
        }))
    }

    /// Discards the bytes that were returned.
    fn release(&mut self) {
        self.offset += self.spent as u64;
        self.buffer.advance(self.spent);
        self.spent = 0;
    }

    /// Takes one token or value.
    fn step(&mut self) -> Result<Step, ProtocolError> {
        let Some(byte) = self.peek() else { return Ok(Step::Starved) };
        let next = match (self.state, byte) {
            (State::Between, b'{') => State::FirstKey,
            (State::FirstKey, b'}') | (State::AfterValue, b'}') => {
                self.spent += 1;
                return self.finish();
            }
            (State::FirstKey | State::Key, b'"') => {
                let Some(key) = self.string()? else { return Ok(Step::Starved) };
                return self.go(State::Colon(
                    Member::named(&key).ok_or_else(|| self.error("a JSON-RPC 1.0 member"))?,
                ));
            }
            (State::Colon(member), b':') => State::Value(member),
            (State::Value(member), _) => return self.member(member, byte),
            (State::AfterValue, b',') => State::Key,

            (State::PrefixStart { wanted }, b'[') => State::Prefix { wanted },
            (State::Prefix { wanted: 0 }, b'{') | (State::Tables, b'{') => {
                self.begin_rows()?;
                self.spent += 1;
                self.state = State::FirstTable;
                return Ok(Step::Found(Found::RowsBegin));
            }
            (State::Prefix { wanted: 1.. }, _) => {
                let State::Prefix { wanted } = self.state else { return Err(self.error("an element")) };
                let Some(element) = self.value()? else { return Ok(Step::Starved) };
                self.prefix.push(element);
                return self.go(State::PrefixComma { wanted: wanted - 1 });
            }
            (State::PrefixComma { wanted }, b',') => State::Prefix { wanted },
            (State::FirstTable | State::AfterTable, b'}') if self.in_array => State::AfterTables,
            (State::FirstTable | State::AfterTable, b'}') => State::AfterValue,
            (State::FirstTable | State::Table, b'"') => {
                let Some(table) = self.string()? else { return Ok(Step::Starved) };
                self.table = table;
                return self.go(State::TableColon);
            }
            (State::TableColon, b':') => State::Rows,
            (State::Rows, b'{') => State::FirstRow,
            (State::FirstRow | State::AfterRow, b'}') => State::AfterTable,
            (State::FirstRow | State::Row, b'"') => {
                if let Some(uuid) = self.row_key() {
                    return self.go(State::RowValue(uuid));
                }
                let Some(uuid) = self.string()? else { return Ok(Step::Starved) };
                let uuid = Uuid::try_parse(&uuid).map_err(|_| self.error("a row's UUID"))?;
                return self.go(State::RowColon(uuid));
            }
            (State::RowColon(uuid), b':') => State::RowValue(uuid),
            (State::RowValue(uuid), _) => {
                let Some(range) = self.unit()? else { return Ok(Step::Starved) };
                self.state = State::AfterRow;
                return Ok(Step::Found(Found::Row(uuid, range)));
            }
            (State::AfterRow, b',') => State::Row,
            (State::AfterTable, b',') => State::Table,
            (State::AfterTables, b']') => State::AfterValue,
            (state, _) => return Err(self.error(state.expected())),
        };
        self.spent += 1;
        self.go(next)
    }

    fn go(&mut self, state: State) -> Result<Step, ProtocolError> {
        self.state = state;
        Ok(Step::Ahead)
    }

    /// Handles the value of a member of the message.
    fn member(&mut self, member: Member, first: u8) -> Result<Step, ProtocolError> {
        let reply = match member {
            Member::Result if self.members.result.is_none() => match self.request_of_result() {
                None => return Ok(Step::Starved),
                Some(request) => request,
            },
            _ => None,
        };
        if let Some(wanted) = self.rows_ahead(member, reply) {
            // An error reply has `null` here, or no such member at all.
            let shape = match wanted {
                None if first == b'{' => Some(State::Tables),
                Some(wanted) if first == b'[' => Some(State::PrefixStart { wanted }),
                _ => None,
            };
            if let Some(state) = shape {
                self.in_array = wanted.is_some();
                self.reply = reply.map(|(id, _)| id);
                self.prefix.clear();
                return self.go(state);
            }
        }
        let Some(value) = self.value()? else { return Ok(Step::Starved) };
        match member {
            Member::Result => self.members.early_result = self.members.id.is_none(),
            Member::Params => self.members.early_params = self.members.method.is_none(),
            _ => {}
        }
        if self.members.slot(member).replace(value).is_some() {
            return Err(self.error("a member once only"));
        }
        self.go(State::AfterValue)
    }

    /// Returns `None` if the member holds no rows, and else the number of elements before the tables in its array,
    /// `Some(None)` if there is no array. `reply` is the monitor request that a result belongs to.
    fn rows_ahead(&self, member: Member, reply: Option<(u64, MonitorMethod)>) -> Option<Option<usize>> {
        match member {
            Member::Result => reply.map(|(_, method)| match method {
                MonitorMethod::CondSince => Some(2),
                MonitorMethod::Cond | MonitorMethod::Plain => None,
            }),
            Member::Params => match self.members.method.as_deref()? {
                "\"update\"" | "\"update2\"" => Some(Some(1)),
                "\"update3\"" => Some(Some(2)),
                _ => None,
            },
            _ => None,
        }
    }

    /// Returns the monitor request that a result belongs to, if any; `None` if more bytes are needed to know it. Where
    /// the id follows the result, it is the first one whose rows begin like this: requests are answered in their order,
    /// and the id is checked at the end.
    fn request_of_result(&self) -> Option<Option<(u64, MonitorMethod)>> {
        if self.members.id.is_some() {
            return Some(self.expected_method());
        }
        for (id, method) in &self.expected {
            if lookahead::has_rows(&self.buffer[self.spent..], *method)? {
                return Some(Some((*id, *method)));
            }
        }
        Some(None)
    }

    fn expected_method(&self) -> Option<(u64, MonitorMethod)> {
        let id: u64 = self.members.id.as_deref()?.parse().ok()?;
        self.expected.iter().copied().find(|(expected, _)| *expected == id)
    }

    fn begin_rows(&mut self) -> Result<(), ProtocolError> {
        let transaction =
            |text: &str| Uuid::try_parse(text.trim_matches('"')).map_err(|_| self.error("a transaction id"));
        self.rows = match (self.reply, &*self.prefix) {
            (Some(id), []) => RowsHead { source: RowsSource::Reply(id), found: false, last: None },
            (Some(id), [found, last]) => RowsHead {
                source: RowsSource::Reply(id),
                found: match &**found {
                    "true" => true,
                    "false" => false,
                    _ => return Err(self.error("whether the transaction was found")),
                },
                last: Some(transaction(last)?),
            },
            (None, [monitor]) => {
                RowsHead { source: RowsSource::Update(monitor.clone()), found: true, last: None }
            }
            (None, [monitor, last]) => RowsHead {
                source: RowsSource::Update(monitor.clone()),
                found: true,
                last: Some(transaction(last)?),
            },
            _ => return Err(self.error("rows that were asked for")),
        };
        self.has_rows = true;
        Ok(())
    }

    /// Handles the end of the message.
    fn finish(&mut self) -> Result<Step, ProtocolError> {
        self.state = State::Between;
        let expected = self.expected_method();
        let members = std::mem::take(&mut self.members);
        if std::mem::take(&mut self.has_rows) {
            if self.reply.is_some_and(|id| expected.is_none_or(|(expected, _)| expected != id)) {
                return Err(self.error("replies in the order of the requests"));
            }
            self.reply = None;
            if members.error.is_some_and(|error| error != "null") {
                return Err(self.error("either rows or an error"));
            }
            if let Some((id, _)) = expected {
                self.expected.retain(|(expected, _)| *expected != id);
            }
            return Ok(Step::Found(Found::RowsEnd));
        }
        if members.hides_rows(expected.is_some()) {
            // Another server wrote the members in a different order: the same bytes are read again with the id or the
            // method in front.
            self.release();
            let rest = std::mem::replace(&mut self.buffer, BytesMut::from(&*members.reordered()));
            self.offset = self.offset.saturating_sub(self.buffer.len() as u64);
            self.buffer.extend_from_slice(&rest);
            return Ok(Step::Ahead);
        }
        if let Some((id, _)) = expected {
            self.expected.retain(|(expected, _)| *expected != id);
        }
        let message = members.message().map_err(|expected| self.error(expected))?;
        Ok(Step::Found(Found::Message(message)))
    }

    /// Skips white space and returns the next byte.
    fn peek(&mut self) -> Option<u8> {
        while let Some(b' ' | b'\n' | b'\t' | b'\r') = self.buffer.get(self.spent) {
            self.spent += 1;
        }
        self.buffer.get(self.spent).copied()
    }

    /// Takes a value, if it is complete.
    fn unit(&mut self) -> Result<Option<Range<usize>>, ProtocolError> {
        let start = self.spent;
        match self.scanner.scan(&self.buffer[start..], self.limits) {
            Ok(None) => Ok(None),
            Ok(Some(length)) => {
                self.spent += length;
                Ok(Some(start..self.spent))
            }
            Err(ScanError { at, expected }) => {
                Err(ProtocolError { at: self.offset + (start + at) as u64, expected: expected.to_owned() })
            }
        }
    }

    fn value(&mut self) -> Result<Option<String>, ProtocolError> {
        let Some(range) = self.unit()? else { return Ok(None) };
        let start = self.offset + range.start as u64;
        utf8(&self.buffer[range], start).map(|text| Some(text.to_owned()))
    }

    fn string(&mut self) -> Result<Option<String>, ProtocolError> {
        let Some(range) = self.unit()? else { return Ok(None) };
        let start = self.offset + range.start as u64;
        let text = utf8(&self.buffer[range], start)?;
        let string = Cursor::new(text).string().map_err(|e| within(e, start))?;
        Ok(Some(string.into_owned()))
    }

    /// Takes a row's UUID and its colon if they follow in ovsdb-server's notation.
    fn row_key(&mut self) -> Option<Uuid> {
        let key: &[u8; 39] = self.buffer.get(self.spent..)?.first_chunk()?;
        let uuid = key.strip_prefix(b"\"")?.strip_suffix(b"\":")?;
        let uuid = Uuid::try_parse_ascii(uuid).ok()?;
        self.spent += key.len();
        // It may have scanned the first part of the UUID.
        self.scanner = Scanner::default();
        Some(uuid)
    }

    fn error(&self, expected: &str) -> ProtocolError {
        ProtocolError { at: self.position(), expected: expected.to_owned() }
    }
}

fn utf8(bytes: &[u8], start: u64) -> Result<&str, ProtocolError> {
    std::str::from_utf8(bytes)
        .map_err(|e| ProtocolError { at: start + e.valid_up_to() as u64, expected: "UTF-8".to_owned() })
}

fn within(error: DecodeError, start: u64) -> ProtocolError {
    ProtocolError { at: start + error.at as u64, expected: error.expected.to_owned() }
}
