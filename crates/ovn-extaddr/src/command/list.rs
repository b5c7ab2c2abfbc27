//! `ovn-extaddr list`

use std::collections::BTreeMap;
use std::io::{self, IsTerminal};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use extaddr_core::explain::Check;
use extaddr_core::reason::Code;
use extaddr_core::report::{self, Entry};
use extaddr_core::state::State;
use serde_json::json;
use tokio::time::{Instant, timeout};

use crate::command::notes;
use crate::command::output::{Format, Output, print_while_read};
use crate::command::style::{self, Palette, clean};
use crate::command::table::{self, Cell, Width};
use crate::command::words::words;
use crate::observe::Observer;
use crate::settings::Settings;

/// The time within which changes are shown as one: that between two of them, and that of all.
const BURST: Duration = Duration::from_millis(50);
const MAX_BURST: Duration = Duration::from_millis(500);

/// The sequence that clears the screen from the top left corner on.
const CLEAR: &str = "\x1b[H\x1b[J";

/// The shown state of an intent.
struct Shown {
    /// The display name of its port.
    name: String,
    line: String,
}

/// Lists intents.
#[derive(Debug, Args)]
pub(super) struct List {
    /// Only intents in this state; may be given more than once.
    #[arg(long, value_name = "STATE", value_parser = words(State::ALL, State::name, State::description))]
    state: Vec<State>,

    /// Only intents that are held up for this reason; may be given more than once.
    #[arg(long, value_name = "REASON", value_parser = words(Code::ALL, Code::name, Code::description))]
    reason: Vec<Code>,

    /// Go on, and show what changes: a table that is redrawn on a terminal, else a line for each change.
    #[arg(short, long)]
    watch: bool,

    #[command(flatten)]
    width: Width,

    #[command(flatten)]
    output: Output,
}

impl List {
    pub(super) async fn run(self, settings: Settings, palette: Palette) -> anyhow::Result<ExitCode> {
        let observer = Observer::open(&settings).await?;
        if self.watch {
            return self.watch(observer, palette).await;
        }
        let entries = self.entries(&observer);
        self.output.print_all(&entries, || table(&entries, self.width, palette))?;
        Ok(ExitCode::SUCCESS)
    }

    fn entries(&self, observer: &Observer) -> Vec<Entry> {
        let mut entries = all(observer);
        entries.retain(|entry| self.is_chosen(entry));
        entries
    }

    fn is_chosen(&self, entry: &Entry) -> bool {
        (self.state.is_empty() || self.state.contains(&entry.state))
            && (self.reason.is_empty() || entry.reason.is_some_and(|reason| self.reason.contains(&reason)))
    }

    async fn watch(self, mut observer: Observer, palette: Palette) -> anyhow::Result<ExitCode> {
        let redraw = self.output.format() == Format::Table && io::stdout().is_terminal();
        let mut shown = BTreeMap::new();
        loop {
            let text = if redraw {
                format!("{CLEAR}{}", table(&self.entries(&observer), self.width, palette))
            } else {
                self.changes(&mut shown, all(&observer))?
            };
            if !print_while_read(&text)? {
                return Ok(ExitCode::SUCCESS);
            }
            observer.followed().await;
            let end = Instant::now() + MAX_BURST;
            while Instant::now() < end && timeout(BURST, observer.followed()).await.is_ok() {}
        }
    }

    /// Returns the differences from the shown state, and records them. What is no longer among the chosen intents is
    /// shown once more.
    fn changes(
        &self,
        shown: &mut BTreeMap<(String, String), Shown>,
        entries: Vec<Entry>,
    ) -> anyhow::Result<String> {
        let people = self.output.format() == Format::Table;
        let mut text = String::new();
        let mut before = std::mem::take(shown);
        for entry in entries {
            let key = (entry.port.clone(), entry.family.clone());
            let (former, is_chosen) = (before.remove(&key), self.is_chosen(&entry));
            if !is_chosen && former.is_none() {
                continue;
            }
            let line = if people {
                let reason = entry.reason.map(|code| format!("{}: ", code.name())).unwrap_or_default();
                let (port, message) = (clean(entry.shown()), clean(&entry.message));
                format!("{port} {}: {}: {reason}{message}\n", entry.family, entry.state.name())
            } else {
                format!("{}\n", serde_json::to_string(&entry)?)
            };
            if former.is_none_or(|shown| shown.line != line) {
                text += &line;
            }
            if is_chosen {
                shown.insert(key, Shown { name: entry.shown().to_owned(), line });
            }
        }
        for ((port, family), Shown { name, .. }) in before {
            text += &if people {
                format!("{} {family}: no intent any more\n", clean(&name))
            } else {
                format!("{}\n", json!({"port": port, "family": family, "state": null}))
            };
        }
        Ok(text)
    }
}

fn all(observer: &Observer) -> Vec<Entry> {
    observer.named(report::all(&observer.store, &observer.engine, |_| None))
}

/// Renders a table that fits a terminal, with notes below it; a wide one has all columns.
fn table(entries: &[Entry], width: Width, palette: Palette) -> String {
    let external =
        |entry: &Entry| entry.external.map_or_else(|| "-".to_owned(), |address| address.to_string());
    let state = |entry: &Entry| Cell::styled(entry.state.name(), style::of_state(entry.state));
    if !width.is_wide() {
        let heading = ["PORT", "WANTED", "INTERNAL", "EXTERNAL", "STATE", "REASON"];
        let rows = entries.iter().map(|entry| {
            [
                Cell::from(entry.shown()),
                Cell::whole(&entry.wanted),
                Cell::whole(Check::list(&entry.internal)),
                Cell::whole(external(entry)),
                state(entry),
                Cell::whole(entry.reason.map_or("-", Code::name)),
            ]
        });
        return table::render(palette, width, heading, rows) + &notes::render(palette, entries);
    }
    let heading = ["NAME", "PORT", "WANTED", "SOURCE", "INTERNAL", "EXTERNAL", "STATE", "MESSAGE"];
    let rows = entries.iter().map(|entry| {
        let message = match entry.reason {
            Some(code) => format!("{}: {}", code.name(), entry.message),
            None => entry.message.clone(),
        };
        [
            Cell::from(entry.name.as_deref().unwrap_or("-")),
            Cell::from(&entry.port),
            Cell::from(&entry.wanted),
            Cell::from(entry.source),
            Cell::from(Check::list(&entry.internal)),
            Cell::from(external(entry)),
            state(entry),
            Cell::from(message),
        ]
    });
    table::render(palette, width, heading, rows)
}
