//! `ovn-extaddr list`

use std::process::ExitCode;

use clap::Args;

use crate::command::{print, print_json, table};
use crate::explain::Check;
use crate::observe::Observer;
use crate::report;
use crate::settings::Settings;
use crate::state::State;

/// Lists intents.
#[derive(Debug, Args)]
pub(super) struct List {
    /// Only intents in this state; may be given more than once.
    #[arg(long, value_name = "STATE")]
    state: Vec<State>,

    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl List {
    pub(super) async fn run(self, settings: Settings) -> anyhow::Result<ExitCode> {
        let Observer { store, engine, .. } = Observer::open(&settings).await?;
        let mut entries = report::all(&store, &engine, |_| None);
        entries.retain(|entry| self.state.is_empty() || self.state.contains(&entry.state));
        if self.json {
            print_json(&entries)?;
            return Ok(ExitCode::SUCCESS);
        }
        let heading = ["PORT", "WANTED", "INTERNAL", "EXTERNAL", "STATE", "MESSAGE"];
        let rows = entries.into_iter().map(|entry| {
            let external = entry.external.map_or_else(|| "-".to_owned(), |address| address.to_string());
            let message = match entry.reason {
                Some(code) => format!("{code}: {}", entry.message),
                None => entry.message,
            };
            let internal = Check::list(&entry.internal);
            [entry.port, entry.wanted, internal, external, entry.state.name().to_owned(), message]
        });
        print(&table::render(heading, rows))?;
        Ok(ExitCode::SUCCESS)
    }
}
