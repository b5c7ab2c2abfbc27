//! Private functions for the fuzzers in `fuzz/`.

use std::fmt::Write;

use crate::decoder::Decoder;
use crate::scan::{Limits, Scanner};
use crate::{Datum, MonitorMethod};

/// Renders everything that bytes, arriving in these chunks, decode to.
pub fn decode<'a>(chunks: impl IntoIterator<Item = &'a [u8]>) -> String {
    let mut decoder = Decoder::new(Limits { depth: 100, value: 1 << 16 });
    for (id, method) in [(1, MonitorMethod::CondSince), (2, MonitorMethod::Plain), (3, MonitorMethod::Cond)] {
        decoder.expect_rows(id, method);
    }
    let mut seen = String::new();
    for chunk in chunks {
        decoder.buffer().extend_from_slice(chunk);
        loop {
            let _ = match decoder.next() {
                Ok(Some(frame)) => writeln!(seen, "{frame:?}"),
                Ok(None) => break,
                Err(error) => {
                    let _ = writeln!(seen, "{error}");
                    return seen;
                }
            };
        }
    }
    seen
}

/// Returns whether a text is one JSON object, as far as the decoder checks.
pub fn is_object(text: &str) -> bool {
    let end = Scanner::default().scan(text.as_bytes(), Limits { depth: 100, value: 1 << 16 });
    text.starts_with('{') && end == Ok(Some(text.len()))
}

/// Renders a value in the notation of RFC 7047.
pub fn render(datum: &Datum) -> String {
    serde_json::to_string(datum).unwrap_or_default()
}

/// Reads a value in the notation of RFC 7047.
pub fn read(text: &str) -> Option<Datum> {
    serde_json::from_str(text).ok()
}
