//! Lines of the log for people: the message, and the fields that it does not contain already. The journal shows only
//! messages by default, so these have to contain everything important.

use std::fmt;

use tracing::field::{Field, Visit};
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::FormatFields;
use tracing_subscriber::fmt::format::Writer;

/// Formats fields.
#[derive(Debug)]
pub(super) struct Lines;

#[derive(Default)]
struct Collected {
    message: String,
    fields: Vec<(&'static str, String)>,
}

impl<'writer> FormatFields<'writer> for Lines {
    fn format_fields<R: RecordFields>(&self, mut writer: Writer<'writer>, fields: R) -> fmt::Result {
        let mut collected = Collected::default();
        fields.record(&mut collected);
        let Collected { message, fields } = collected;
        writer.write_str(&message)?;
        for (name, value) in fields.iter().filter(|(_, value)| !tells(&message, value)) {
            write!(writer, " {name}={value}")?;
        }
        Ok(())
    }
}

impl Visit for Collected {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.record(field, value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record(field, format!("{value:?}"));
    }
}

impl Collected {
    fn record(&mut self, field: &Field, value: String) {
        if field.name() == "message" {
            self.message = value;
        } else {
            self.fields.push((field.name(), value));
        }
    }
}

/// Returns whether a message contains a value, as one or more words. A number needs its name, so it never counts as
/// contained.
fn tells(message: &str, value: &str) -> bool {
    let is_number = value.parse::<f64>().is_ok();
    let is_end = |c: Option<char>| c.is_none_or(|c| !c.is_alphanumeric());
    !value.is_empty()
        && !is_number
        && message.match_indices(value).any(|(at, _)| {
            is_end(message[..at].chars().next_back()) && is_end(message[at + value.len()..].chars().next())
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_words_are_told() {
        assert!(tells("p1 ipv4: it leaves", "p1") && tells("lost unix:/a: gone", "unix:/a"));
        assert!(!tells("p12 ipv4", "p1") && !tells("1 of them", "1") && !tells("anything", ""));
    }
}
