//! Responses from templates and values.

use std::borrow::Cow;

use askama::Template;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;

use crate::http::{plain, response};

/// Renders a page.
pub(super) fn html(page: &impl Template) -> Response {
    match page.render() {
        Ok(text) => response(StatusCode::OK, "text/html; charset=utf-8", text),
        Err(error) => plain(StatusCode::INTERNAL_SERVER_ERROR, format!("cannot render the page: {error}\n")),
    }
}

/// Renders JSON as the commands print it.
pub(super) fn json(value: &(impl Serialize + ?Sized)) -> Response {
    match serde_json::to_vec_pretty(value) {
        Ok(mut text) => {
            text.push(b'\n');
            response(StatusCode::OK, "application/json", text)
        }
        Err(error) => plain(StatusCode::INTERNAL_SERVER_ERROR, format!("cannot render JSON: {error}\n")),
    }
}

/// Makes characters visible that are invisible or change the order of others: a name must not look like another one.
pub(super) fn visible(text: &str) -> Cow<'_, str> {
    let is_hidden = |c: char| {
        c.is_control()
            || matches!(c, '\u{ad}' | '\u{34f}' | '\u{115f}'..='\u{1160}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{61c}' | '\u{3164}' | '\u{ffa0}' | '\u{fe00}'..='\u{fe0f}' | '\u{e0000}'..='\u{e0fff}')
    };
    if !text.contains(is_hidden) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::new();
    for c in text.chars() {
        if is_hidden(c) { shown.extend(c.escape_unicode()) } else { shown.push(c) }
    }
    Cow::Owned(shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invisible_characters_are_shown_as_escapes() {
        assert_eq!(visible("web\u{202e}1\u{200b}\n tür"), "web\\u{202e}1\\u{200b}\\u{a} tür");
        assert_eq!(visible("we\u{ad}b\u{3164}\u{e0041}"), "we\\u{ad}b\\u{3164}\\u{e0041}");
        assert!(matches!(visible("plain"), Cow::Borrowed("plain")));
    }
}
