//! Requests to an API: a listing, an instance, the users of a profile.

use std::fmt;
use std::io::{self, BufReader, Read};
use std::time::Duration;

use extaddr_core::sources::event::{ProfileName, instance_name};
use extaddr_core::sources::instance::{Instance, InstanceJson};
use extaddr_core::sources::listing::{self, Answer, ProfileJson};
use extaddr_core::sources::nic::InstanceName;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{HOST, USER_AGENT};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, spawn_blocking};
use tokio::time::timeout;

use super::cms::{Cms, Place};
use super::stream;
use crate::access;

/// The time that a server may take to start its answer: it first renders the whole listing, including other members of
/// its cluster.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// The time for which it may be silent within an answer.
const SILENCE_TIMEOUT: Duration = Duration::from_secs(30);

/// The maximum length of a listing, in bytes. One of 10,000 instances has some 50 MB; it is read while it arrives.
const MAX_LISTING: usize = 2 << 30;

/// The maximum length of an answer about one object, in bytes.
const MAX_ANSWER: usize = 16 << 20;

/// The maximum number of chunks of a listing that wait to be parsed.
const MAX_WAITING: usize = 4;

/// The escaped characters in a path.
const IN_PATH: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The API of a CMS. It connects at the first request, and stays connected.
pub(super) struct Api<'a> {
    cms: &'a Cms,
    connection: Option<Connection>,
}

/// The error of a request.
#[derive(Debug)]
pub(super) struct Failure {
    /// The status of the answer, if there was one.
    status: Option<StatusCode>,
    /// Whether the answer cannot be used, apart from its status.
    is_unusable: bool,
    text: String,
}

/// A connection, whose task ends with it.
struct Connection {
    sender: SendRequest<Empty<Bytes>>,
    task: AbortHandle,
}

impl<'a> Api<'a> {
    pub(super) fn new(cms: &'a Cms) -> Self {
        Self { cms, connection: None }
    }

    /// Lists all instances of the configured projects.
    ///
    /// # Errors
    /// The server cannot be reached, refuses, or sends something else; nothing of the list counts then.
    pub(super) async fn list(&mut self) -> Result<Vec<Instance>, Failure> {
        let response = self.get("/1.0/instances?recursion=1&all-projects=true").await?;
        let (sender, receiver) = mpsc::channel(MAX_WAITING);
        let cms = self.cms.clone();
        // Parsing takes a while and must not block the loop.
        let parsing = spawn_blocking(move || {
            let text = BufReader::with_capacity(1 << 16, Chunks { receiver, chunk: Bytes::new() });
            listing::instances(text, cms.native, |project| cms.includes_project(project))
        });
        let sent = pass_on(response.into_body(), &sender).await;
        if let Err(failure) = sent {
            // A truncated body must not look like the end of a list.
            let _ = sender.send(Err(io::ErrorKind::UnexpectedEof.into())).await;
            return Err(failure);
        }
        drop(sender);
        let parsed =
            parsing.await.map_err(|error| Failure::new(format!("cannot parse the listing: {error}")))?;
        parsed.map_err(|error| {
            Failure::new(format!(
                "the listing of instances is not what {} sends: {error}",
                self.cms.kind.title()
            ))
        })
    }

    /// Reads one instance; `None` if there is none of that name.
    ///
    /// # Errors
    /// As [`list`](Self::list).
    pub(super) async fn instance(&mut self, name: &InstanceName) -> Result<Option<Instance>, Failure> {
        let InstanceName { project, name } = name;
        let path = format!("/1.0/instances/{}?project={}", encoded(name), encoded(project));
        let Some(read) = self.one::<InstanceJson>(&path).await? else { return Ok(None) };
        Ok(Some(read.read(self.cms.native)))
    }

    /// Returns the instances that use a profile; none if there is no such profile.
    ///
    /// # Errors
    /// As [`list`](Self::list).
    pub(super) async fn users(&mut self, profile: &ProfileName) -> Result<Vec<InstanceName>, Failure> {
        let path = format!("/1.0/profiles/{}?project={}", encoded(&profile.name), encoded(&profile.project));
        let read = self.one::<ProfileJson>(&path).await?;
        let users = read.and_then(|profile| profile.used_by).unwrap_or_default();
        let instances = users.iter().filter_map(|user| instance_name(user));
        Ok(instances.filter(|name| self.cms.includes_project(&name.project)).collect())
    }

    async fn one<T: serde::de::DeserializeOwned>(&mut self, path: &str) -> Result<Option<T>, Failure> {
        let response = match self.get(path).await {
            Err(failure) if failure.status == Some(StatusCode::NOT_FOUND) => return Ok(None),
            response => response?,
        };
        let body = collect(response.into_body()).await?;
        let wrong =
            |why: &dyn fmt::Display| Failure::unusable(format!("the answer to {path} makes no sense: {why}"));
        let answer: Answer<T> = serde_json::from_slice(&body).map_err(|error| wrong(&error))?;
        answer.metadata.map(Some).ok_or_else(|| wrong(&"there is no metadata in it"))
    }

    async fn get(&mut self, path: &str) -> Result<Response<Incoming>, Failure> {
        let host = host(&self.cms.place);
        let request = Request::get(path).header(HOST, host).header(USER_AGENT, "ovn-extaddr");
        let request = request.body(Empty::new()).map_err(|error| Failure::new(error.to_string()))?;
        let connection = match self.connection.take().filter(|connection| connection.sender.is_ready()) {
            Some(connection) => connection,
            None => Connection::open(self.cms).await?,
        };
        let connection = self.connection.insert(connection);
        let response = match timeout(ANSWER_TIMEOUT, connection.sender.send_request(request)).await {
            Ok(response) => {
                response.map_err(|error| Failure::new(format!("the connection broke: {}", causes(&error))))?
            }
            Err(_) => return Err(Failure::new(format!("no answer within {ANSWER_TIMEOUT:?}"))),
        };
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        // Only the status matters; its explanation may be missing.
        let body = collect(response.into_body()).await.unwrap_or_default();
        Err(Failure::refused(status, &listing::error_text(&body)))
    }
}

impl Connection {
    async fn open(cms: &Cms) -> Result<Self, Failure> {
        let stream = stream::connect(&cms.place).await.map_err(|error| Failure::unreachable(cms, &error))?;
        let shaken = handshake(TokioIo::new(stream)).await;
        let (sender, connection) = shaken.map_err(|error| Failure::new(causes(&error)))?;
        // The request that waits for an answer gets its error.
        let task = tokio::spawn(async move { drop(connection.await) }).abort_handle();
        Ok(Self { sender, task })
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Failure {
    pub(super) fn new(text: String) -> Self {
        Self { status: None, is_unusable: false, text }
    }

    fn unusable(text: String) -> Self {
        Self { is_unusable: true, ..Self::new(text) }
    }

    /// Returns whether it concerns only the object that was requested, rather than the whole source.
    pub(super) fn is_of_object(&self) -> bool {
        self.is_unusable || self.status.is_some() && !self.is_denied()
    }

    /// Returns whether the server denies access.
    pub(super) fn is_denied(&self) -> bool {
        matches!(self.status, Some(StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN))
    }

    /// Creates the error of a server that refused; its explanation may be empty.
    pub(super) fn refused(status: StatusCode, why: &str) -> Self {
        let cure = match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                ": see whether the CMS trusts the client certificate, and lets it see all projects"
            }
            StatusCode::NOT_FOUND => ": see whether this is the API of Incus or LXD",
            _ => "",
        };
        let why = if why.is_empty() { String::new() } else { format!(" ({why})") };
        Self {
            status: Some(status),
            is_unusable: false,
            text: format!("the server answers {status}{why}{cure}"),
        }
    }

    /// Creates the error of a CMS to which there is no connection.
    pub(super) fn unreachable(cms: &Cms, error: &io::Error) -> Self {
        let hint = match (&cms.place, error.kind()) {
            (Place::Unix(path), io::ErrorKind::PermissionDenied) => format!(": {}", access::advice(path)),
            (Place::Unix(_), io::ErrorKind::NotFound) => ": there is no such socket".to_owned(),
            _ => String::new(),
        };
        Self::new(format!("{error}{hint}"))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The body of an answer, for a parser in a separate thread.
struct Chunks {
    receiver: mpsc::Receiver<io::Result<Bytes>>,
    chunk: Bytes,
}

impl Read for Chunks {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.chunk.is_empty() {
            match self.receiver.blocking_recv() {
                Some(chunk) => self.chunk = chunk?,
                None => return Ok(0),
            }
        }
        let length = buffer.len().min(self.chunk.len());
        buffer[..length].copy_from_slice(&self.chunk.split_to(length));
        Ok(length)
    }
}

/// Passes a body on while the receiver exists.
async fn pass_on(mut body: Incoming, sender: &mpsc::Sender<io::Result<Bytes>>) -> Result<(), Failure> {
    let mut length = 0;
    while let Some(chunk) = next_chunk(&mut body).await? {
        length += chunk.len();
        if length > MAX_LISTING {
            return Err(Failure::new(format!("the listing of instances is longer than {MAX_LISTING} bytes")));
        }
        // The parser reports why it stopped.
        if sender.send(Ok(chunk)).await.is_err() {
            break;
        }
    }
    Ok(())
}

async fn next_chunk(body: &mut Incoming) -> Result<Option<Bytes>, Failure> {
    loop {
        let frame = match timeout(SILENCE_TIMEOUT, body.frame()).await {
            Ok(None) => return Ok(None),
            Ok(Some(frame)) => frame,
            Err(_) => return Err(Failure::new(format!("the answer stops for {SILENCE_TIMEOUT:?}"))),
        };
        let frame =
            frame.map_err(|error| Failure::new(format!("the answer breaks off: {}", causes(&error))))?;
        // Others are trailers.
        if let Ok(chunk) = frame.into_data() {
            return Ok(Some(chunk));
        }
    }
}

async fn collect(body: Incoming) -> Result<Bytes, Failure> {
    match timeout(SILENCE_TIMEOUT, Limited::new(body, MAX_ANSWER).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) => Err(Failure::unusable(format!(
            "the answer breaks off, or is longer than {MAX_ANSWER} bytes: {error}"
        ))),
        Err(_) => Err(Failure::new(format!("the answer takes longer than {SILENCE_TIMEOUT:?}"))),
    }
}

/// Returns the host of a request.
pub(super) fn host(place: &Place) -> String {
    match place {
        Place::Unix(_) => "localhost".to_owned(),
        Place::Https { .. } => place.to_string().trim_start_matches("https://").to_owned(),
    }
}

fn encoded(text: &str) -> impl fmt::Display {
    utf8_percent_encode(text, IN_PATH)
}

/// Returns an error with its causes.
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text += &format!(": {error}");
        source = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failure_of_one_object_is_not_that_of_the_source() {
        let refused = |status| Failure::refused(status, "");
        for (failure, is_of_object) in [
            (refused(StatusCode::BAD_REQUEST), true),
            (refused(StatusCode::INTERNAL_SERVER_ERROR), true),
            (refused(StatusCode::UNAUTHORIZED), false),
            (refused(StatusCode::FORBIDDEN), false),
            (Failure::unusable("it is too long".to_owned()), true),
            (Failure::new("the connection broke".to_owned()), false),
        ] {
            assert_eq!(failure.is_of_object(), is_of_object, "{failure}");
        }
    }
}
