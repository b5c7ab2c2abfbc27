//! The status page: HTML for people, and the JSON of the commands, over the listener of the metrics. Read only.

mod api;
mod changes;
mod error;
pub(crate) mod headers;
mod home;
mod intent;
mod picture;
mod port;
mod query;
mod render;
mod style;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{StatusCode, Uri};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use axum::routing::get;
use tokio::time::timeout;

use crate::http::access::StatusPage;
use crate::http::{ANSWER_TIMEOUT, HttpState, without_page};
use error::{Format, HttpError};

/// The maximum length of a request's target, in bytes: a name of a port with all of its bytes escaped.
const MAX_TARGET: usize = 4096;

/// Returns the routes. If the page is off, they exist and answer as if they did not.
pub(crate) fn routes(state: &HttpState) -> Router<HttpState> {
    Router::new()
        .route("/", get(home::show))
        .route("/port/{*name}", get(port::show))
        .route("/style.css", get(style::show))
        .route("/api/v1/intents", get(api::intents))
        .route("/api/v1/status", get(api::status))
        .route("/api/v1/ports/{*name}", get(api::port))
        .fallback(missing)
        .layer(from_fn_with_state(state.clone(), enter))
}

/// Admits requests that may see the page, a few at a time and each for a limited time.
async fn enter(State(state): State<HttpState>, request: Request, next: Next) -> Response {
    let page = *state.page.borrow();
    if page == StatusPage::Off {
        return without_page(request.uri().path());
    }
    let format = Format::for_uri(request.uri());
    let response = match page.admits(state.is_tcp, request.headers()) {
        Err(refusal) => HttpError::new(StatusCode::MISDIRECTED_REQUEST, refusal.to_string()).answer(format),
        Ok(()) if request.uri().to_string().len() > MAX_TARGET => {
            HttpError::new(StatusCode::URI_TOO_LONG, format!("the address is longer than {MAX_TARGET} bytes"))
                .answer(format)
        }
        Ok(()) => {
            let answer = async {
                // The semaphore is never closed.
                let _turn = state.turns.acquire().await;
                next.run(request).await
            };
            timeout(ANSWER_TIMEOUT, answer).await.unwrap_or_else(|_| HttpError::hangs().answer(format))
        }
    };
    headers::add(response)
}

/// Answers a request that would change something.
pub(crate) fn only_get(uri: &Uri) -> Response {
    headers::add(HttpError::new(StatusCode::METHOD_NOT_ALLOWED, "only GET").answer(Format::for_uri(uri)))
}

async fn missing(uri: Uri) -> Response {
    let text = match Format::for_uri(&uri) {
        Format::Html => "there is no such page".to_owned(),
        Format::Json => "there is /api/v1/intents, /api/v1/status and /api/v1/ports/NAME".to_owned(),
    };
    HttpError::new(StatusCode::NOT_FOUND, text).answer(Format::for_uri(&uri))
}
