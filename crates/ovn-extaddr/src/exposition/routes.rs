//! The paths: metrics always, the status page if it is enabled.

use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::ALLOW;
use axum::http::{HeaderValue, Method, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use axum::routing::get;
use tokio::time::timeout;

use crate::http::access::StatusPage;
use crate::http::state_query::StateQuery;
use crate::http::{ANSWER_TIMEOUT, HttpState, plain, response};
use crate::page;

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Returns the routes.
pub(super) fn routes(state: HttpState) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .merge(page::routes(&state))
        .layer(from_fn_with_state(state.clone(), only_read))
        .with_state(state)
}

async fn only_read(State(state): State<HttpState>, request: Request, next: Next) -> Response {
    if request.method() == Method::GET || request.method() == Method::HEAD {
        return next.run(request).await;
    }
    let mut response = match *state.page.borrow() {
        StatusPage::Off => plain(StatusCode::METHOD_NOT_ALLOWED, "only GET\n"),
        _ => page::only_get(request.uri()),
    };
    response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
    response
}

async fn metrics(State(state): State<HttpState>) -> Response {
    match timeout(ANSWER_TIMEOUT, state.queries.ask(StateQuery::Metrics)).await {
        Ok(Ok(text)) => response(StatusCode::OK, OPEN_METRICS, text),
        _ => plain(StatusCode::SERVICE_UNAVAILABLE, "the agent's loop does not answer\n"),
    }
}
