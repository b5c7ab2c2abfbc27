//! The common parts of metrics and status page: the place to listen, the state for requests, plain responses.

pub mod access;
pub mod listen;
pub(crate) mod state_query;

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use tokio::sync::{Semaphore, watch};

use access::StatusPage;
use state_query::StateQuerySender;

/// The time that the loop may take to answer, and a client to send its request.
pub(crate) const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// The maximum number of requests for pages that are processed at a time, so that a scrape never waits for many.
const MAX_PAGES: usize = 4;

const PLAIN: &str = "text/plain; charset=utf-8";

/// The state for answering requests.
#[derive(Clone, Debug)]
pub(crate) struct HttpState {
    pub(crate) queries: StateQuerySender,
    /// The access to the status page, by the present configuration.
    pub(crate) page: watch::Receiver<StatusPage>,
    /// Whether requests arrive over TCP.
    pub(crate) is_tcp: bool,
    /// The permits for processing requests for pages.
    pub(crate) turns: Arc<Semaphore>,
}

impl HttpState {
    pub(crate) fn new(queries: StateQuerySender, page: watch::Receiver<StatusPage>, is_tcp: bool) -> Self {
        Self { queries, page, is_tcp, turns: Arc::new(Semaphore::new(MAX_PAGES)) }
    }
}

/// Answers a request for anything except metrics if there is no status page.
pub(crate) fn without_page(path: &str) -> Response {
    match path {
        "/" => plain(StatusCode::OK, "ovn-extaddr: see /metrics\n"),
        _ => plain(StatusCode::NOT_FOUND, "there is only /metrics\n"),
    }
}

pub(crate) fn plain(status: StatusCode, text: impl Into<Body>) -> Response {
    response(status, PLAIN, text)
}

pub(crate) fn response(status: StatusCode, kind: &'static str, text: impl Into<Body>) -> Response {
    let mut response = Response::new(text.into());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}
