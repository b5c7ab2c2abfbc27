//! The server's side of a control socket, as ovs-appctl(8) and ovn-appctl(8) use it: JSON-RPC 1.0 requests whose
//! parameters and results are strings.

use std::io;

use serde_json::value::RawValue;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

/// The maximum length of a command.
const MAX_COMMAND_BYTES: usize = 64 << 10;

/// A connection to a control socket, on which one command at a time is answered.
#[derive(Debug)]
pub(crate) struct ControlStream {
    stream: UnixStream,
    received: Vec<u8>,
    /// The id of the request to be answered.
    asked: Option<Box<RawValue>>,
}

/// A command with its arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ControlCommand {
    pub(crate) name: String,
    pub(crate) arguments: Vec<String>,
}

/// A request on the wire.
#[derive(serde::Deserialize)]
struct Request {
    id: Box<RawValue>,
    method: String,
    params: Vec<String>,
}

/// A reply on the wire: `result` or `error` is null.
#[derive(serde::Serialize)]
struct Reply<'a> {
    id: &'a RawValue,
    result: Option<&'a str>,
    error: Option<&'a str>,
}

// ===== impl ControlStream =====

impl ControlStream {
    /// Serves an accepted connection.
    pub(crate) fn new(stream: UnixStream) -> Self {
        Self { stream, received: Vec::new(), asked: None }
    }

    /// Waits for the next command; `None` when the peer is done.
    ///
    /// # Errors
    /// The connection broke, or the peer does not speak the protocol.
    ///
    /// # Cancel safety
    /// No command is lost when the future is dropped.
    pub(crate) async fn next(&mut self) -> io::Result<Option<ControlCommand>> {
        loop {
            let mut requests = serde_json::Deserializer::from_slice(&self.received).into_iter::<Request>();
            match requests.next() {
                Some(Ok(Request { id, method, params })) => {
                    let length = requests.byte_offset();
                    self.received.drain(..length);
                    self.asked = Some(id);
                    return Ok(Some(ControlCommand { name: method, arguments: params }));
                }
                Some(Err(error)) if !error.is_eof() => return Err(error.into()),
                _ if self.received.len() > MAX_COMMAND_BYTES => {
                    return Err(io::Error::new(io::ErrorKind::InvalidData, "the command is too long"));
                }
                _ => {}
            }
            if self.stream.read_buf(&mut self.received).await? == 0 {
                return Ok(None);
            }
        }
    }

    /// Answers the command that [`next`](Self::next) returned last: `Ok` with the result, `Err` with the error.
    ///
    /// # Errors
    /// The connection broke, or there is no command to be answered.
    ///
    /// # Cancel safety
    /// Not safe: part of the answer may have been sent.
    pub(crate) async fn answer(&mut self, answer: Result<&str, &str>) -> io::Result<()> {
        let id = self.asked.take().ok_or(io::ErrorKind::NotConnected)?;
        let reply = Reply { id: &id, result: answer.ok(), error: answer.err() };
        self.stream.write_all(&serde_json::to_vec(&reply)?).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn commands_are_answered_in_order() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let mut control = ControlStream::new(ours);
        let asked =
            br#"{"id":0,"method":"status","params":[]}{"id":1,"method":"vlog/set","params":["a","b"]}"#;
        theirs.write_all(asked).await.unwrap();
        let command = control.next().await.unwrap().unwrap();
        assert_eq!((&*command.name, command.arguments.len()), ("status", 0));
        control.answer(Ok("fine\n")).await.unwrap();
        let command = control.next().await.unwrap().unwrap();
        assert_eq!(command.arguments, ["a", "b"]);
        control.answer(Err("no")).await.unwrap();
        assert!(control.answer(Ok("twice")).await.is_err());
        let mut answers = vec![0; 200];
        let length = theirs.read(&mut answers).await.unwrap();
        let expected = r#"{"id":0,"result":"fine\n","error":null}{"id":1,"result":null,"error":"no"}"#;
        assert_eq!(std::str::from_utf8(&answers[..length]).unwrap(), expected);
        drop(theirs);
        assert!(control.next().await.unwrap().is_none());
    }

    #[tokio::test]
    async fn command_received_in_pieces_is_parsed() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let mut control = ControlStream::new(ours);
        for piece in [&br#"{"id":0,"meth"#[..], br#"od":"status","params":["#, b"]}"] {
            assert!(tokio::time::timeout(std::time::Duration::ZERO, control.next()).await.is_err());
            theirs.write_all(piece).await.unwrap();
        }
        assert_eq!(control.next().await.unwrap().unwrap().name, "status");
    }

    #[tokio::test]
    async fn malformed_command_is_an_error() {
        let long = format!("\"{}", "x".repeat(MAX_COMMAND_BYTES));
        for text in ["nonsense", r#"{"id":0,"method":"status","params":[5]}"#, &long] {
            let (ours, mut theirs) = UnixStream::pair().unwrap();
            theirs.write_all(text.as_bytes()).await.unwrap();
            assert!(ControlStream::new(ours).next().await.is_err(), "{text:.20}");
        }
    }
}
