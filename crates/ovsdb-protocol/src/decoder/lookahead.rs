//! Recognition of a monitor's reply by its first bytes, for servers that write the result before the id.
//!
//! ovsdb-server writes the members of an object in the order of their hashes. Where it is compiled for processors with
//! CRC32 instructions (`-msse4.2`), it hashes by these (`lib/hash.h`), and a reply has the order `error`, `result`,
//! `id`. A result that may be a snapshot must be streamed before the id arrives.

use uuid::Uuid;

use crate::monitor::MonitorMethod;

/// The longest name of a table that is recognised. Others are decoded too, but not streamed.
const MAX_NAME: usize = 128;

/// Why bytes do not match.
enum Mismatch {
    /// More bytes are needed.
    Short,
    Different,
}

/// Returns whether a result that begins like this holds the rows of a request by this method, or `None` if more bytes
/// are needed. No other result begins like one with rows, and one without rows is short.
pub(super) fn has_rows(bytes: &[u8], method: MonitorMethod) -> Option<bool> {
    let matched = match method {
        MonitorMethod::CondSince => since(bytes),
        MonitorMethod::Cond | MonitorMethod::Plain => tables(bytes),
    };
    match matched {
        Ok(()) => Some(true),
        Err(Mismatch::Different) => Some(false),
        Err(Mismatch::Short) => None,
    }
}

/// `[true,"last-txn-id",{`
fn since(bytes: &[u8]) -> Result<(), Mismatch> {
    let rest = skip(bytes, "[")?;
    let rest = skip(rest, if rest.first() == Some(&b't') { "true" } else { "false" })?;
    let rest = skip_uuid(skip(rest, ",\"")?)?;
    skip(rest, "\",{").map(drop)
}

/// `{"table":{"row":{`
fn tables(bytes: &[u8]) -> Result<(), Mismatch> {
    let rest = skip_name(skip(bytes, "{\"")?)?;
    let rest = skip_uuid(skip(rest, ":{\"")?)?;
    skip(rest, "\":{").map(drop)
}

fn skip<'a>(bytes: &'a [u8], text: &str) -> Result<&'a [u8], Mismatch> {
    match bytes.strip_prefix(text.as_bytes()) {
        Some(rest) => Ok(rest),
        None if text.as_bytes().starts_with(bytes) => Err(Mismatch::Short),
        None => Err(Mismatch::Different),
    }
}

fn skip_uuid(bytes: &[u8]) -> Result<&[u8], Mismatch> {
    let Some((uuid, rest)) = bytes.split_at_checked(36) else {
        let is_possible = bytes.iter().all(|byte| byte.is_ascii_hexdigit() || *byte == b'-');
        return Err(if is_possible { Mismatch::Short } else { Mismatch::Different });
    };
    Uuid::try_parse_ascii(uuid).map(|_| rest).map_err(|_| Mismatch::Different)
}

/// Skips a name and the quotation mark after it.
fn skip_name(bytes: &[u8]) -> Result<&[u8], Mismatch> {
    match bytes.iter().take(MAX_NAME).position(|byte| matches!(byte, b'"' | b'\\')) {
        Some(end) if bytes[end] == b'"' => Ok(&bytes[end + 1..]),
        None if bytes.len() < MAX_NAME => Err(Mismatch::Short),
        _ => Err(Mismatch::Different),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "11111111-2222-3333-4444-555555555555";

    #[test]
    fn snapshots_are_recognised_by_their_first_bytes() {
        let (since, cond) = (MonitorMethod::CondSince, MonitorMethod::Cond);
        let long = format!(r#"{{"{}":{{"{ID}":{{"#, "T".repeat(MAX_NAME));
        for (method, text, expected) in [
            (since, format!(r#"[true,"{ID}",{{"#), true),
            (since, format!(r#"[false,"{ID}",{{"#), true),
            (since, r#"[{"rows":[]}]"#.to_owned(), false),
            (since, "[true]".to_owned(), false),
            (since, r#"[true,"x"]"#.to_owned(), false),
            (cond, r#"{"a":{"b":1}}"#.to_owned(), false),
            (since, r#"[true,"no-uuid-but-quite-as-long-as-one-is",{"#.to_owned(), false),
            (since, "{}".to_owned(), false),
            (since, "null".to_owned(), false),
            (cond, format!(r#"{{"T":{{"{ID}":{{"#), true),
            (cond, "{}".to_owned(), false),
            (cond, r#"{"locked":true}"#.to_owned(), false),
            (cond, r#"{"tables":{"Logical_Switch":{"columns":{"acls":{}}}}}"#.to_owned(), false),
            (cond, r#"{"T\u0041":{"#.to_owned(), false),
            (cond, long, false),
        ] {
            assert_eq!(has_rows(text.as_bytes(), method), Some(expected), "{text}");
            // Whatever is cut off does not change a decision.
            for end in 0..text.len() {
                let early = has_rows(&text.as_bytes()[..end], method);
                assert!(early.is_none() || early == Some(expected) && !expected, "{:?}", &text[..end]);
            }
        }
    }
}
