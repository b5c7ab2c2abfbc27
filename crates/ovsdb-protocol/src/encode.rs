//! JSON of requests, without values at which ovsdb-server closes the connection.

use std::io;

use serde::Serialize;
use serde_json::ser::{CharEscape, CompactFormatter, Formatter, Serializer};

/// The maximum length of the text before the fault that an error quotes, in bytes.
const MAX_QUOTED: usize = 80;

/// The error of a request without JSON that ovsdb-server accepts. It shows the position by the text before it.
#[derive(Debug, thiserror::Error)]
#[error("{fault}, after {before}")]
pub(crate) struct EncodeError {
    fault: serde_json::Error,
    before: String,
}

/// Writes the compact form of JSON.
///
/// # Errors
/// The value has no JSON, or a string of it holds a NUL character, or a real is subnormal: ovsdb-server closes the
/// connection at both.
pub(crate) fn to_json(value: &(impl Serialize + ?Sized)) -> Result<String, EncodeError> {
    let mut text = Vec::new();
    let written = value.serialize(&mut Serializer::with_formatter(&mut text, Strict));
    // serde_json writes UTF-8, so nothing is lost or copied.
    let text = String::from_utf8(text)
        .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned());
    match written {
        Ok(()) => Ok(text),
        Err(fault) => {
            let start = text.len().saturating_sub(MAX_QUOTED);
            let start = (start..=text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or_default();
            Err(EncodeError { fault, before: text[start..].to_owned() })
        }
    }
}

/// A formatter that refuses values at which ovsdb-server closes the connection (`json_lex_number` and `json_lex_4hex`
/// in lib/json.c).
struct Strict;

impl Formatter for Strict {
    fn write_char_escape<W: io::Write + ?Sized>(
        &mut self,
        writer: &mut W,
        escape: CharEscape,
    ) -> io::Result<()> {
        match escape {
            CharEscape::AsciiControl(0) => Err(io::Error::other("a string with a NUL character")),
            escape => CompactFormatter.write_char_escape(writer, escape),
        }
    }

    fn write_f64<W: io::Write + ?Sized>(&mut self, writer: &mut W, real: f64) -> io::Result<()> {
        if real.is_subnormal() {
            return Err(io::Error::other(format!("the real {real:e}, which is closer to 0 than 2.2e-308")));
        }
        CompactFormatter.write_f64(writer, real)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Atom, Condition, Datum, Mutation, Operation, Row, Transaction, Until};

    fn operations(value: &Datum) -> Vec<Operation> {
        let mut all = Transaction::new("D");
        let condition = || Condition::includes("c", value.clone());
        all.insert("T", Row::new().with("c", value.clone()));
        all.select("T", [condition()]);
        all.update("T", [condition()], Row::new());
        all.update("T", [], Row::new().with("c", value.clone()));
        all.mutate("T", [], [Mutation::insert("c", value.clone())]);
        all.mutate("T", [condition()], []);
        all.delete("T", [condition()]);
        all.require("T", [], ["c"], Until::Equal, [Row::new().with("c", value.clone())]);
        all.operations
    }

    #[test]
    fn value_at_which_the_server_hangs_up_is_refused_in_any_operation() {
        let smallest = f64::from_bits(1);
        for value in [
            Datum::scalar("a\0b"),
            Datum::set(["\0", "x"]),
            Datum::map([("\0", 1)]),
            Datum::map([(1, "\0")]),
            Datum::scalar(Atom::NamedUuid("\0".to_owned())),
            Datum::scalar(smallest),
            Datum::scalar(-smallest),
            Datum::map([(smallest, 1)]),
            Datum::scalar(f64::NAN),
            Datum::scalar(f64::INFINITY),
        ] {
            for operation in operations(&value) {
                assert!(to_json(&operation).is_err(), "{operation:?}");
            }
        }
        for value in [
            Datum::scalar("\u{1}\u{7f}\\u0000"),
            Datum::scalar(f64::MIN_POSITIVE),
            Datum::scalar(-0.0),
            Datum::scalar(f64::MAX),
        ] {
            for operation in operations(&value) {
                assert_eq!(to_json(&operation).unwrap(), serde_json::to_string(&operation).unwrap());
            }
        }
        assert!(to_json(&["d\0"]).is_err(), "names too");
        assert!(to_json(&Row::new().with("c\0", 1)).is_err(), "and columns");
    }

    #[test]
    fn encoding_error_names_the_value_and_its_place() {
        let error = to_json(&Row::new().with("name", "ls\0")).unwrap_err().to_string();
        assert_eq!(error, "a string with a NUL character, after {\"name\":\"ls");
        let error = to_json(&Row::new().with("é".repeat(90), 5e-324)).unwrap_err().to_string();
        assert!(
            error.starts_with("the real 5e-324, which is closer to 0 than 2.2e-308, after éé"),
            "{error}"
        );
    }
}
