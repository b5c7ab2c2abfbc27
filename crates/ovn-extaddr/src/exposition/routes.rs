//! The paths: metrics always, the status page if it is enabled.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{ALLOW, CONTENT_TYPE};
use axum::http::{HeaderValue, Method, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use axum::routing::get;
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;

use super::question::{Asking, Question};
use crate::page;
use crate::page::access::StatusPage;

/// How long the loop may take to answer, and a client to send its request.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(10);

/// The most requests for pages that are processed at a time, so that a scrape never waits for many.
const MAX_PAGES: usize = 4;

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const PLAIN: &str = "text/plain; charset=utf-8";

/// The state for answering requests.
#[derive(Clone, Debug)]
pub(crate) struct Site {
    pub(crate) asking: Asking,
    /// Who may see the status page, by the present configuration.
    pub(crate) page: watch::Receiver<StatusPage>,
    /// Whether requests arrive over TCP.
    pub(crate) is_tcp: bool,
    /// The permits for processing requests for pages.
    pub(crate) turns: Arc<Semaphore>,
}

// ===== impl Site =====

impl Site {
    pub(super) fn new(asking: Asking, page: watch::Receiver<StatusPage>, is_tcp: bool) -> Self {
        Self { asking, page, is_tcp, turns: Arc::new(Semaphore::new(MAX_PAGES)) }
    }
}

/// Returns the routes.
pub(super) fn routes(site: Site) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .merge(page::routes(&site))
        .layer(from_fn_with_state(site.clone(), only_read))
        .with_state(site)
}

async fn only_read(State(site): State<Site>, request: Request, next: Next) -> Response {
    if request.method() == Method::GET || request.method() == Method::HEAD {
        return next.run(request).await;
    }
    let mut response = match *site.page.borrow() {
        StatusPage::Off => plain(StatusCode::METHOD_NOT_ALLOWED, "only GET\n"),
        _ => page::only_get(request.uri()),
    };
    response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
    response
}

async fn metrics(State(site): State<Site>) -> Response {
    match timeout(TIMEOUT, site.asking.ask(Question::Metrics)).await {
        Ok(Ok(text)) => response(StatusCode::OK, OPEN_METRICS, text),
        _ => plain(StatusCode::SERVICE_UNAVAILABLE, "the agent's loop does not answer\n"),
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
