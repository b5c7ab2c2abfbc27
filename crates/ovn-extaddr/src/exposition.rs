//! The endpoint where Prometheus reads the metrics: HTTP on a TCP port or a Unix socket.
//!
//! Every request goes to the loop and waits for its answer, so that one place owns the state, and so that a loop that
//! hangs shows as a scrape that fails.

use std::convert::Infallible;
use std::fmt;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CONTENT_TYPE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::Deserialize;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tracing::{debug, warn};

/// Connections at a time. Prometheus has one; more come from people and from mistakes.
const CONNECTIONS: usize = 16;

/// How long the loop may take to answer, and a client to ask.
const TIMEOUT: Duration = Duration::from_secs(10);

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const PLAIN: &str = "text/plain; charset=utf-8";

/// Where to listen: `ADDRESS:PORT`, or `unix:PATH`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum Listen {
    /// A TCP port of an address of this machine.
    Tcp(SocketAddr),
    /// A Unix socket.
    Unix(PathBuf),
}

/// A request for all metrics, and where they go.
pub(crate) type Asked = oneshot::Sender<String>;

/// The listener. It ends when dropped.
#[derive(Debug)]
pub(crate) struct Exposition {
    questions: mpsc::Receiver<Asked>,
    asking: mpsc::Sender<Asked>,
    place: Option<Listen>,
    task: Option<JoinHandle<()>>,
}

// ===== impl Exposition =====

impl Exposition {
    /// Listens nowhere yet.
    pub(crate) fn new() -> Self {
        let (asking, questions) = mpsc::channel(CONNECTIONS);
        Self { questions, asking, place: None, task: None }
    }

    /// Listens there from now on, or nowhere.
    ///
    /// # Errors
    /// It cannot be listened there. It is not listened anywhere then.
    pub(crate) fn listen(&mut self, place: Option<&Listen>) -> io::Result<()> {
        if self.place.as_ref() == place {
            return Ok(());
        }
        self.close();
        let asking = self.asking.clone();
        self.task = match place {
            None => None,
            Some(Listen::Tcp(address)) => {
                let listener = std::net::TcpListener::bind(address)?;
                listener.set_nonblocking(true)?;
                let listener = TcpListener::from_std(listener)?;
                Some(tokio::spawn(accept(asking, async move || Ok(listener.accept().await?.0))))
            }
            Some(Listen::Unix(path)) => {
                let listener = bind(path)?;
                Some(tokio::spawn(accept(asking, async move || Ok(listener.accept().await?.0))))
            }
        };
        self.place = place.cloned();
        Ok(())
    }

    /// Waits for the next request.
    ///
    /// # Cancel safety
    /// No request is lost when the future is dropped.
    pub(crate) async fn next(&mut self) -> Asked {
        match self.questions.recv().await {
            Some(asked) => asked,
            None => std::future::pending().await,
        }
    }

    pub(crate) fn place(&self) -> Option<&Listen> {
        self.place.as_ref()
    }

    fn close(&mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
        }
        if let Some(Listen::Unix(path)) = self.place.take() {
            // A socket that stays behind is taken over by the next one to listen there.
            let _ = fs::remove_file(path);
        }
    }
}

impl Drop for Exposition {
    fn drop(&mut self) {
        self.close();
    }
}

// ===== impl Listen =====

impl FromStr for Listen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.strip_prefix("unix:") {
            Some("") => Err("unix: wants a path after it".to_owned()),
            Some(path) => Ok(Self::Unix(path.into())),
            None => text
                .parse()
                .map(Self::Tcp)
                .map_err(|_| format!("\"{text}\" is neither ADDRESS:PORT nor unix:PATH")),
        }
    }
}

impl TryFrom<String> for Listen {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// Binds a socket, in the place of one that nobody listens to.
fn bind(path: &Path) -> io::Result<UnixListener> {
    let is_socket = fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket());
    let is_stale = is_socket
        && std::os::unix::net::UnixStream::connect(path)
            .is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused);
    if is_stale {
        fs::remove_file(path)?;
    }
    let listener = UnixListener::bind(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o660))?;
    Ok(listener)
}

async fn accept<S>(asking: mpsc::Sender<Asked>, next: impl AsyncFn() -> io::Result<S>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let free = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        // The semaphore is never closed.
        let Ok(place) = Arc::clone(&free).acquire_owned().await else { return };
        match next().await {
            Ok(stream) => {
                let asking = asking.clone();
                tokio::spawn(async move {
                    serve(stream, asking).await;
                    drop(place);
                });
            }
            Err(error) => {
                // Out of descriptors, for example: it passes, and asking at once would only heat.
                warn!(%error, "cannot accept a connection for metrics");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
    }
}

async fn serve<S: AsyncRead + AsyncWrite + Unpin>(stream: S, asking: mpsc::Sender<Asked>) {
    let answer = service_fn(|request: Request<Incoming>| {
        let asking = asking.clone();
        async move { Ok::<_, Infallible>(answer(&request, asking).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(TIMEOUT)
        .serve_connection(TokioIo::new(stream), answer);
    if let Err(error) = connection.await {
        debug!(%error, "a connection for metrics broke");
    }
}

async fn answer(request: &Request<Incoming>, asking: mpsc::Sender<Asked>) -> Response<Full<Bytes>> {
    if request.method() != Method::GET && request.method() != Method::HEAD {
        let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, "only GET\n");
        response.headers_mut().insert(ALLOW, hyper::header::HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    match request.uri().path() {
        "/metrics" => {}
        "/" => return plain(StatusCode::OK, "ovn-extaddr: see /metrics\n"),
        _ => return plain(StatusCode::NOT_FOUND, "there is only /metrics\n"),
    }
    let (sender, receiver) = oneshot::channel();
    let asked = async {
        asking.send(sender).await.ok()?;
        receiver.await.ok()
    };
    match timeout(TIMEOUT, asked).await {
        Ok(Some(text)) => response(StatusCode::OK, OPEN_METRICS, text),
        _ => plain(StatusCode::SERVICE_UNAVAILABLE, "the agent's loop does not answer\n"),
    }
}

fn plain(status: StatusCode, text: &'static str) -> Response<Full<Bytes>> {
    response(status, PLAIN, text)
}

fn response(status: StatusCode, kind: &'static str, text: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(text.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static(kind));
    response
}
