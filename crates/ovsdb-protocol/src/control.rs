//! The server's side of a control socket, as ovs-appctl(8) and ovn-appctl(8) speak to it: JSON-RPC
//! requests whose parameters and results are strings.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use crate::decoder::{Decoder, Frame};
use crate::error::{Error, Kind};
use crate::rpc::{self, Message};
use crate::scan::Limits;

/// What a command may be long. Nobody types more.
const LIMITS: Limits = Limits { depth: 8, value: 64 << 10 };

/// A connection to a control socket, on which one command at a time is answered.
#[derive(Debug)]
pub struct ControlStream {
    stream: UnixStream,
    decoder: Decoder,
    /// The id of the request to be answered, as JSON text.
    asked: Option<String>,
}

/// A command with its arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControlCommand {
    /// The command.
    pub name: String,
    /// Its arguments.
    pub arguments: Vec<String>,
}

impl ControlStream {
    /// Serves a connection that was accepted.
    pub fn new(stream: UnixStream) -> Self {
        Self { stream, decoder: Decoder::new(LIMITS), asked: None }
    }

    /// Waits for the next command; `None` when the peer is done.
    ///
    /// # Errors
    /// The connection broke, or the peer does not speak the protocol.
    ///
    /// # Cancel safety
    /// No command is lost when the future is dropped.
    pub async fn next(&mut self) -> Result<Option<ControlCommand>, Error> {
        loop {
            while let Some(frame) = self.decoder.next()? {
                let Frame::Message(Message::Request { id, method, params }) = frame else { continue };
                let arguments = serde_json::from_str(params.get())
                    .map_err(|e| Error::malformed("list of arguments", e))?;
                self.asked = Some(id.get().to_owned());
                return Ok(Some(ControlCommand { name: method, arguments }));
            }
            if self.stream.read_buf(self.decoder.buffer()).await? == 0 {
                return Ok(None);
            }
        }
    }

    /// Answers the command that [`next`](Self::next) returned last: `Ok` with what it says, `Err`
    /// with what went wrong.
    ///
    /// # Errors
    /// The connection broke, or there is no command to be answered.
    ///
    /// # Cancel safety
    /// Not safe: part of the answer may have been sent.
    pub async fn answer(&mut self, answer: Result<&str, &str>) -> Result<(), Error> {
        let id = self.asked.take().ok_or(Kind::Closed(None))?;
        let mut out = bytes::BytesMut::new();
        let text = |text: &str| serde_json::to_string(text).map_err(|e| Error::invalid_request("answer", e));
        match answer {
            Ok(result) => rpc::write_reply(&mut out, &id, &text(result)?),
            Err(error) => rpc::write_error(&mut out, &id, &text(error)?),
        }
        self.stream.write_all(&out).await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn commands_are_answered_in_turn() {
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
    async fn what_is_no_command_is_an_error() {
        for text in ["nonsense", r#"{"id":0,"method":"status","params":[5]}"#] {
            let (ours, mut theirs) = UnixStream::pair().unwrap();
            theirs.write_all(text.as_bytes()).await.unwrap();
            assert!(ControlStream::new(ours).next().await.is_err(), "{text}");
        }
    }
}
