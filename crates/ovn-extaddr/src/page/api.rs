//! The JSON of the commands, for programs.

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::header::LINK;
use axum::http::{HeaderValue, StatusCode, Uri};
use axum::response::Response;

use super::error::{Format, HttpError};
use super::query::Query;
use super::render::json;
use crate::explanation::Explanation;
use crate::http::HttpState;
use crate::http::state_query::{LoopEnded, StateQuery, StateQuerySender};
use extaddr_core::pages::{Page, Walk};

/// Answers with an element for each intent, as in `list --json`. If there are more, the header `Link` has the next
/// page.
pub(super) async fn intents(State(state): State<HttpState>, uri: Uri) -> Response {
    answer(listed(&state, &uri).await)
}

/// Answers with the agent's status.
pub(super) async fn status(State(state): State<HttpState>) -> Response {
    let status = state.queries.ask(StateQuery::Status).await;
    answer(status.map(|status| json(&*status)).map_err(Into::into))
}

/// Answers with the explanation of a port, as in `explain --json`.
pub(super) async fn port(
    State(state): State<HttpState>,
    name: Result<Path<String>, PathRejection>,
) -> Response {
    answer(explained(&state, name).await.map(|explanation| json(&explanation)))
}

async fn listed(state: &HttpState, uri: &Uri) -> Result<Response, HttpError> {
    let query = Query::parse(uri.query().unwrap_or_default()).map_err(HttpError::query)?;
    let Page { entries, next, .. } = walk(&state.queries, query.walk()).await?;
    let mut response = json(&entries);
    let next = next.map(|next| format!("<{}>; rel=\"next\"", query.after(&next).link(uri.path())));
    if let Some(Ok(link)) = next.map(HeaderValue::try_from) {
        response.headers_mut().insert(LINK, link);
    }
    Ok(response)
}

/// Makes a page in the loop, step by step.
pub(super) async fn walk(queries: &StateQuerySender, walk: Walk) -> Result<Page, LoopEnded> {
    let mut walk = Box::new(walk);
    while !walk.is_done() {
        walk = queries.ask(|answer| StateQuery::Walk(walk, answer)).await?;
    }
    Ok(walk.into_page())
}

/// Requests the explanation of the port that a path names.
pub(super) async fn explained(
    state: &HttpState,
    name: Result<Path<String>, PathRejection>,
) -> Result<Explanation, HttpError> {
    let Path(name) = name.map_err(|_| HttpError::query("the name of the port is not in UTF-8".to_owned()))?;
    let explanation = state.queries.ask(|answer| StateQuery::Port(name, answer)).await?;
    explanation.map_err(|error| HttpError::new(StatusCode::NOT_FOUND, error))
}

fn answer(outcome: Result<Response, HttpError>) -> Response {
    outcome.unwrap_or_else(|error| error.answer(Format::Json))
}
