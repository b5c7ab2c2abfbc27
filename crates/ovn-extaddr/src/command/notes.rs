//! Notes below a table of intents: the cause and the cure for each one that is not fulfilled.

use extaddr_core::report::Entry;
use extaddr_core::state::State;
use unicode_width::UnicodeWidthStr;

use super::style::{HEADING, Palette, clean};
use super::table::MAX_WIDTH;

/// The maximum number of notes: nobody reads more at once.
const MAX_NOTES: usize = 20;

/// The indentation of every line of a note except the first.
const INDENT: &str = "  ";

/// Renders the notes after an empty line, starting with those that need action. Nothing if there are none.
pub(super) fn render(palette: Palette, entries: &[Entry]) -> String {
    let mut noted: Vec<_> = entries.iter().filter(|entry| is_held_up(entry)).collect();
    if noted.is_empty() {
        return String::new();
    }
    noted.sort_by_key(|entry| !needs_somebody(entry.state));
    let rest = noted.len().saturating_sub(MAX_NOTES);
    noted.truncate(MAX_NOTES);
    let mut text = "\n".to_owned();
    text.extend(noted.into_iter().map(|entry| note(palette, entry)));
    if rest > 0 {
        text += &format!("{rest} more: ovn-extaddr list --wide\n");
    }
    text
}

fn is_held_up(entry: &Entry) -> bool {
    entry.reason.is_some() || entry.state == State::Contested
}

/// Returns whether a state usually needs action, unlike that of intents that wait or are pending.
fn needs_somebody(state: State) -> bool {
    matches!(state, State::Rejected | State::Conflict | State::Contested)
}

fn note(palette: Palette, entry: &Entry) -> String {
    let heading = format!("{} {}:", clean(entry.shown()), entry.family);
    let mut lines = wrapped(&format!("{heading} {}", clean(&entry.message))).into_iter();
    // The name may be wider than a line, or have blanks.
    let first = lines.next().unwrap_or_default();
    let first = match first.strip_prefix(&heading) {
        Some(rest) => format!("{}{rest}", palette.paint(HEADING, &heading)),
        None => first,
    };
    std::iter::once(first).chain(lines).map(|line| line + "\n").collect()
}

/// Breaks a text at blanks into lines of a table's maximum width. A text without blanks stays whole.
fn wrapped(text: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    let mut is_empty = true;
    for word in text.split(' ') {
        let Some(line) = lines.last_mut() else { break };
        if is_empty {
            *line += word;
        } else if line.width() + 1 + word.width() <= MAX_WIDTH {
            *line += " ";
            *line += word;
        } else {
            lines.push(format!("{INDENT}{word}"));
        }
        is_empty = false;
    }
    lines
}

#[cfg(test)]
mod tests {

    use super::*;
    use crate::command::style::When;
    use extaddr_core::reason::Code;

    fn entry(port: &str, state: State, reason: Option<&str>, message: &str) -> Entry {
        let reason = reason.map(|name| *Code::ALL.iter().find(|code| code.name() == name).unwrap());
        Entry {
            port: port.to_owned(),
            name: None,
            switch: None,
            router: None,
            family: "ipv4".to_owned(),
            wanted: "auto".to_owned(),
            source: "annotation",
            internal: Vec::new(),
            external: None,
            state,
            reason,
            message: message.to_owned(),
            nat: Vec::new(),
            port_range: None,
            gateway_port: None,
        }
    }

    fn rendered(entries: &[Entry]) -> String {
        render(Palette::new(When::Never), entries)
    }

    #[test]
    fn notes_list_unfulfilled_intents_with_those_to_act_on_first() {
        let entries = [
            entry("a", State::Active, None, "10.57.0.11 leaves as 203.0.113.10"),
            entry("b", State::Waiting, Some("no-address"), "it has no address"),
            entry("c", State::Rejected, Some("no-forward-for-auto"), "make a forward"),
            entry("d", State::Pending, None, "10.57.0.12 will leave as 203.0.113.20"),
            entry("e", State::Contested, None, "somebody undoes it"),
        ];
        let expected = "\nc ipv4: make a forward\ne ipv4: somebody undoes it\nb ipv4: it has no address\n";
        assert_eq!(rendered(&entries), expected);
        assert_eq!(rendered(&[entries[0].clone(), entries[3].clone()]), "");
    }

    #[test]
    fn long_notes_end_with_the_command_that_shows_all() {
        let mut entries: Vec<_> = (0..25)
            .map(|n| entry(&format!("p{n:02}"), State::Waiting, Some("no-port"), "start it"))
            .collect();
        entries.push(entry("last", State::Conflict, Some("foreign-nat"), "see the row"));
        let text = rendered(&entries);
        assert!(text.starts_with("\nlast ipv4: see the row\np00 ipv4: start it\n"), "{text}");
        assert!(text.ends_with("p18 ipv4: start it\n6 more: ovn-extaddr list --wide\n"), "{text}");
    }

    #[test]
    fn notes_are_wrapped_at_the_width_of_tables() {
        let long = "incus-net1-instance-3d1c6f0a-7a55-4c0e-9b51-6b0c7d1a0001-eth0";
        let message = format!("{} {}", ["word"; 40].join(" "), "x".repeat(120));
        let text = rendered(&[entry(long, State::Rejected, Some("no-address"), &message)]);
        let lines: Vec<_> = text.lines().skip(1).collect();
        assert!(lines[0].starts_with(&format!("{long} ipv4: word ")) && lines.len() == 4, "{text}");
        assert!(lines[..3].iter().all(|line| line.width() <= MAX_WIDTH), "{text}");
        assert!(lines[..2].iter().all(|line| line.width() > MAX_WIDTH - 5), "{text}");
        assert!(lines[1..].iter().all(|line| line.starts_with(INDENT)), "{text}");
        assert_eq!(lines[3].trim(), "x".repeat(120));
    }
}
