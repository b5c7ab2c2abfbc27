//! A search for the end of a JSON value that does not parse it and reads no byte twice.

use crate::unescaped::unescaped_prefix_len;

/// The maximum nesting and length of accepted values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The maximum nesting of arrays and objects. OVSDB needs eight levels; ovsdb-server itself refuses a thousand.
    pub depth: usize,
    /// The maximum length, in bytes, of a value that is kept in memory as a whole: a row, or a message without rows. A
    /// message with rows may have any length.
    pub value: usize,
}

/// A value that exceeds a limit or has an invalid first character.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ScanError {
    /// Offset from the value's first byte.
    pub(crate) at: usize,
    pub(crate) expected: &'static str,
}

/// A resumable search for the end of one value.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Scanner {
    scanned: usize,
    depth: usize,
    state: State,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Start,
    /// Within an array or object, or after all of them.
    Container,
    String,
    Escape,
    /// A number or a literal, which ends where the next delimiter begins.
    Scalar,
}

impl Default for Limits {
    fn default() -> Self {
        Self { depth: 100, value: 64 << 20 }
    }
}

impl Scanner {
    /// Continues in `bytes`, which contain the value from its first byte on and have only grown since the last call.
    /// Returns the value's length once its end has arrived.
    pub(crate) fn scan(&mut self, bytes: &[u8], limits: Limits) -> Result<Option<usize>, ScanError> {
        let Self { scanned: mut at, mut depth, mut state } = *self;
        let end = 'scan: loop {
            let Some(&byte) = bytes.get(at) else { break None };
            match state {
                // A fast loop without special cases: nearly all bytes are read here.
                State::Container => loop {
                    let Some(&byte) = bytes.get(at) else { break 'scan None };
                    at += 1;
                    match byte {
                        b'"' => {
                            at += unescaped_prefix_len(&bytes[at..]);
                            if bytes.get(at) != Some(&b'"') {
                                state = State::String;
                                break;
                            }
                            at += 1;
                        }
                        b'{' | b'[' => {
                            depth += 1;
                            if depth > limits.depth {
                                return Err(ScanError { at: at - 1, expected: "less nesting" });
                            }
                        }
                        b'}' | b']' => {
                            depth -= 1;
                            if depth == 0 {
                                break 'scan Some(at);
                            }
                        }
                        _ => {}
                    }
                },
                State::String => {
                    (at, state) = string(bytes, at);
                    if state == State::Container && depth == 0 {
                        break Some(at);
                    }
                }
                State::Escape => (at, state) = (at + 1, State::String),
                State::Start => match byte {
                    b'"' => (at, state) = (at + 1, State::String),
                    b'{' | b'[' => state = State::Container,
                    b'-' | b'0'..=b'9' | b'a'..=b'z' => (at, state) = (at + 1, State::Scalar),
                    _ => return Err(ScanError { at, expected: "a JSON value" }),
                },
                State::Scalar => match byte {
                    b',' | b'}' | b']' | b' ' | b'\t' | b'\r' | b'\n' => break Some(at),
                    _ => at += 1,
                },
            }
        };
        *self = Self { scanned: at, depth, state };
        if at > limits.value {
            return Err(ScanError { at, expected: "a shorter value" });
        }
        if end.is_some() {
            *self = Self::default();
        }
        Ok(end)
    }
}

/// Continues in a string. Returns where it stopped, and the state there.
fn string(bytes: &[u8], mut at: usize) -> (usize, State) {
    loop {
        at += unescaped_prefix_len(&bytes[at..]);
        let next = match bytes.get(at) {
            None => return (at, State::String),
            Some(b'"') => State::Container,
            Some(b'\\') => State::Escape,
            // A control character, which the reader of the value will refuse.
            Some(_) => State::String,
        };
        at += 1;
        if next != State::String {
            return (at, next);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scan(text: &str) -> Result<Option<usize>, ScanError> {
        Scanner::default().scan(text.as_bytes(), Limits::default())
    }

    /// Regression: holodekk, which counts braces and ignores escaped quotes.
    #[test]
    fn end_of_a_json_value_is_found_at_any_split() {
        for value in ["{}", "[]", r#""a""#, r#""\"\\""#, r#"{"a":["}",{"]":1}]}"#, "12", "null", "-1.5e3"] {
            let text = format!("{value},rest");
            assert_eq!(scan(&text), Ok(Some(value.len())), "{value}");
            for split in 0..text.len() {
                let mut scanner = Scanner::default();
                let first = scanner.scan(&text.as_bytes()[..split], Limits::default()).unwrap();
                let end = match first {
                    Some(end) => Some(end),
                    None => scanner.scan(text.as_bytes(), Limits::default()).unwrap(),
                };
                assert_eq!(end, Some(value.len()), "{value} split at {split}");
            }
        }
    }

    #[test]
    fn nesting_and_length_of_values_are_limited() {
        assert_eq!(scan(&"[".repeat(100)), Ok(None));
        assert_eq!(scan(&"[".repeat(101)).unwrap_err(), ScanError { at: 100, expected: "less nesting" });
        let short = Limits { value: 10, ..Limits::default() };
        assert!(Scanner::default().scan(b"\"01234567890123456789", short).is_err());
        for text in [",", "}", ":", "\u{e9}"] {
            assert_eq!(scan(text).unwrap_err().at, 0, "{text}");
        }
    }
}
