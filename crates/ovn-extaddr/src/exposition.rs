//! The listener for Prometheus and the status page: HTTP on a TCP port or a Unix socket.
//!
//! Every request goes to the loop and waits for its answer, so that one place owns the state, and a hanging loop makes
//! scrapes fail.

mod routes;

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;
use tracing::{debug, warn};

use crate::http::access::StatusPage;
use crate::http::listen::Listen;
use crate::http::state_query::{StateQuery, StateQuerySender};
use crate::http::{ANSWER_TIMEOUT, HttpState};
use routes::routes;

/// The maximum number of connections at a time. Prometheus has one and a browser up to six; more are due to errors.
const MAX_CONNECTIONS: usize = 32;

/// The maximum age of a connection. A request under way then has the same time again to end, so that slow clients do
/// not block the few connections.
const MAX_AGE: Duration = Duration::from_secs(30);

/// The maximum length of a request that is read, in bytes: target and headers.
const MAX_REQUEST: usize = 16 << 10;

/// The listener. It ends when dropped.
#[derive(Debug)]
pub(crate) struct Exposition {
    queries: mpsc::Receiver<StateQuery>,
    sender: StateQuerySender,
    place: Option<Listen>,
    page: watch::Sender<StatusPage>,
    task: Option<JoinHandle<()>>,
}

// ===== impl Exposition =====

impl Exposition {
    /// Creates a listener without a place to listen.
    pub(crate) fn new() -> Self {
        let (sender, queries) = mpsc::channel(MAX_CONNECTIONS);
        let page = watch::Sender::new(StatusPage::Off);
        Self { queries, sender: StateQuerySender::new(sender), place: None, page, task: None }
    }

    /// Changes the place where it listens; `None` for nowhere.
    ///
    /// # Errors
    /// It cannot listen there. Then it listens where it did before, if it still can; connections end.
    pub(crate) async fn listen(&mut self, place: Option<&Listen>, page: StatusPage) -> io::Result<()> {
        let former_place = self.place.clone();
        // This is set first: a page for this machine only must not be visible elsewhere even for a moment.
        let former_page = self.page.send_replace(page);
        if former_place.as_ref() == place {
            return Ok(());
        }
        let switched = self.switch(place).await;
        if switched.is_err() {
            self.page.send_replace(former_page);
            if let Err(error) = self.switch(former_place.as_ref()).await {
                warn!(%error, "cannot listen where it did before");
            }
        }
        switched
    }

    async fn switch(&mut self, place: Option<&Listen>) -> io::Result<()> {
        if let Some(task) = self.close() {
            // Its socket is closed only then, and the new place may overlap with the old one.
            let _ = task.await;
        }
        let state = |is_tcp| HttpState::new(self.sender.clone(), self.page.subscribe(), is_tcp);
        self.task = match place {
            None => None,
            Some(Listen::Tcp(address)) => {
                let listener = std::net::TcpListener::bind(address)?;
                listener.set_nonblocking(true)?;
                let listener = TcpListener::from_std(listener)?;
                let routes = routes(state(true));
                Some(tokio::spawn(accept(routes, async move || Ok(listener.accept().await?.0))))
            }
            Some(Listen::Unix(path)) => {
                let listener = bind(path)?;
                let routes = routes(state(false));
                Some(tokio::spawn(accept(routes, async move || Ok(listener.accept().await?.0))))
            }
        };
        self.place = place.cloned();
        Ok(())
    }

    /// Waits for the next query.
    ///
    /// # Cancel safety
    /// No query is lost when the future is dropped.
    pub(crate) async fn next(&mut self) -> StateQuery {
        match self.queries.recv().await {
            Some(query) => query,
            None => std::future::pending().await,
        }
    }

    pub(crate) fn place(&self) -> Option<&Listen> {
        self.place.as_ref()
    }

    pub(crate) fn page(&self) -> StatusPage {
        *self.page.borrow()
    }

    /// Ends the listener; its task is returned, which ends soon.
    fn close(&mut self) -> Option<JoinHandle<()>> {
        let task = self.task.take().inspect(JoinHandle::abort);
        if let Some(Listen::Unix(path)) = self.place.take() {
            // A remaining socket is replaced by the next listener.
            let _ = fs::remove_file(path);
        }
        task
    }
}

impl Drop for Exposition {
    fn drop(&mut self) {
        drop(self.close());
    }
}

/// Binds a socket, and replaces one without a listener.
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

async fn accept<S>(routes: Router, next: impl AsyncFn() -> io::Result<S>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let free = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    // They end with the listener: access may be different at the next one.
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        // The semaphore is never closed.
        let Ok(place) = Arc::clone(&free).acquire_owned().await else { return };
        match next().await {
            Ok(stream) => {
                let routes = routes.clone();
                connections.spawn(async move {
                    serve(stream, routes).await;
                    drop(place);
                });
            }
            Err(error) => {
                // Out of descriptors, for example: this is temporary, and retrying at once would only use CPU.
                warn!(%error, "cannot accept a connection for metrics");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
    }
}

async fn serve<S: AsyncRead + AsyncWrite + Unpin>(stream: S, routes: Router) {
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(ANSWER_TIMEOUT).max_buf_size(MAX_REQUEST);
    let mut connection =
        pin!(builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(routes)));
    let mut ended = timeout(MAX_AGE, connection.as_mut()).await;
    if ended.is_err() {
        connection.as_mut().graceful_shutdown();
        ended = timeout(MAX_AGE, connection.as_mut()).await;
    }
    match ended {
        Ok(Ok(())) => {}
        Ok(Err(error)) => debug!(%error, "a connection for metrics broke"),
        Err(_) => debug!("a connection for metrics took too long"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Found by a reading: the old listener was closed, and stayed so.
    #[tokio::test]
    async fn listener_that_cannot_be_opened_leaves_the_old_one() {
        let mut exposition = Exposition::new();
        let directory = tempfile::tempdir().unwrap();
        let place = directory.path().join("http");
        exposition.listen(Some(&Listen::Unix(place.clone())), StatusPage::Local).await.unwrap();
        let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let other = Listen::Tcp(taken.local_addr().unwrap());
        exposition.listen(Some(&other), StatusPage::Off).await.unwrap_err();
        assert_eq!(
            (exposition.place(), exposition.page()),
            (Some(&Listen::Unix(place.clone())), StatusPage::Local)
        );
        tokio::net::UnixStream::connect(&place).await.unwrap();
    }
}
