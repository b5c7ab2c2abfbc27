//! Error responses, for people and programs.

use askama::Template;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::render::{html, json, visible};
use crate::http::state_query::LoopEnded;

/// The error of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct HttpError {
    status: StatusCode,
    message: String,
}

/// The reader of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// A person.
    Html,
    /// A program.
    Json,
}

/// The response for a program.
#[derive(Serialize)]
struct ErrorJson<'a> {
    error: &'a str,
}

#[derive(Template)]
#[template(path = "error.html")]
struct ErrorPage<'a> {
    status: u16,
    title: &'a str,
    message: &'a str,
}

// ===== impl Format =====

impl Format {
    /// Returns the format for a path. Requests for paths of the API come from programs.
    pub(super) fn for_uri(uri: &Uri) -> Self {
        if uri.path().starts_with("/api/") { Self::Json } else { Self::Html }
    }
}

// ===== impl HttpError =====

impl HttpError {
    pub(super) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into() }
    }

    /// Creates the error of an invalid query.
    pub(super) fn query(message: String) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    /// Creates the error of a loop that does not answer in time.
    pub(super) fn hangs() -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "the agent's loop does not answer")
    }

    /// Returns the response.
    pub(super) fn answer(&self, format: Format) -> Response {
        let Self { status, message } = self;
        let body = match format {
            Format::Json => json(&ErrorJson { error: message }),
            Format::Html => {
                let title = status.canonical_reason().unwrap_or("Error");
                html(&ErrorPage { status: status.as_u16(), title, message: &visible(message) })
            }
        };
        (*status, body).into_response()
    }
}

impl From<LoopEnded> for HttpError {
    fn from(_: LoopEnded) -> Self {
        Self::hangs()
    }
}
