//! Colours for people, and none for anything else.

use std::borrow::Cow;
use std::env;
use std::io::{self, IsTerminal};

use anstyle::{AnsiColor, Style};
use clap::ValueEnum;
use extaddr_core::state::State;

/// When to use colours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum When {
    /// On a terminal, unless NO_COLOR is set.
    #[default]
    Auto,
    /// Everywhere.
    Always,
    /// Nowhere.
    Never,
}

/// The colours of the output, or none.
#[derive(Clone, Copy, Debug)]
pub(super) struct Palette {
    on: bool,
}

pub(super) const HEADING: Style = Style::new().bold();
pub(super) const GOOD: Style = AnsiColor::Green.on_default();
pub(super) const BAD: Style = AnsiColor::Red.on_default();
pub(super) const DOUBTFUL: Style = AnsiColor::Yellow.on_default();
pub(super) const CHANGED: Style = AnsiColor::Cyan.on_default();
pub(super) const FAINT: Style = Style::new().dimmed();

impl Palette {
    pub(super) fn new(when: When) -> Self {
        let set = |name| env::var_os(name).is_some_and(|value| !value.is_empty());
        let dumb = env::var_os("TERM").is_some_and(|term| term == "dumb");
        let on = match when {
            When::Always => true,
            When::Never => false,
            When::Auto => io::stdout().is_terminal() && !set("NO_COLOR") && !dumb,
        };
        Self { on }
    }

    pub(super) fn paint(self, style: Style, text: &str) -> String {
        if self.on && !text.is_empty() { format!("{style}{text}{style:#}") } else { text.to_owned() }
    }
}

/// Returns the colour of a state.
pub(super) fn of_state(state: State) -> Style {
    match state {
        State::Active | State::Foreign => GOOD,
        State::Pending | State::Waiting | State::Draining => DOUBTFUL,
        State::Rejected | State::Conflict | State::Contested => BAD,
    }
}

/// Makes text from the database harmless to a terminal.
pub(super) fn clean(text: &str) -> Cow<'_, str> {
    if !text.contains(char::is_control) {
        return Cow::Borrowed(text);
    }
    let escaped = text.chars().flat_map(|c| {
        let (escaped, plain) =
            if c.is_control() { (Some(c.escape_default()), None) } else { (None, Some(c)) };
        escaped.into_iter().flatten().chain(plain)
    });
    Cow::Owned(escaped.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_escaped_for_the_terminal() {
        assert_eq!(clean("tür \u{1b}[31m\r\nred"), "tür \\u{1b}[31m\\r\\nred");
        assert!(matches!(clean("plain"), Cow::Borrowed("plain")));
    }
}
