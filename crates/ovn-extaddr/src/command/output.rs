//! Output formats of commands.

use std::io::{self, Write};

use clap::{Args, ValueEnum};
use serde::Serialize;

/// Options of commands that print what they found.
#[derive(Clone, Copy, Debug, Args)]
pub(super) struct Output {
    /// How to print.
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = Format::Table)]
    format: Format,

    /// The same as --format=json.
    #[arg(long, conflicts_with = "format")]
    json: bool,
}

/// How to print.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// For people.
    Table,
    /// JSON, indented.
    Json,
    /// JSON, an element a line.
    Jsonl,
}

impl Output {
    pub(super) fn format(self) -> Format {
        if self.json { Format::Json } else { self.format }
    }

    /// Prints elements; `table` is for people.
    pub(super) fn print_all<T: Serialize>(
        self,
        elements: &[T],
        table: impl FnOnce() -> String,
    ) -> anyhow::Result<()> {
        match self.format() {
            Format::Table => print(&table()),
            Format::Json => print(&format!("{}\n", serde_json::to_string_pretty(elements)?)),
            Format::Jsonl => elements.iter().try_for_each(print_line),
        }
    }

    /// Prints one value; `text` is for people.
    pub(super) fn print_one(
        self,
        value: &impl Serialize,
        text: impl FnOnce() -> String,
    ) -> anyhow::Result<()> {
        match self.format() {
            Format::Table => print(&text()),
            Format::Json => print(&format!("{}\n", serde_json::to_string_pretty(value)?)),
            Format::Jsonl => print_line(value),
        }
    }
}

/// Prints to standard output. A closed pipe is not an error.
pub(super) fn print(text: &str) -> anyhow::Result<()> {
    print_while_read(text).map(drop)
}

/// Prints to standard output. Returns false if the pipe is closed.
pub(super) fn print_while_read(text: &str) -> anyhow::Result<bool> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(error.into()),
        Ok(()) => Ok(true),
    }
}

fn print_line(value: &impl Serialize) -> anyhow::Result<()> {
    print(&format!("{}\n", serde_json::to_string(value)?))
}
