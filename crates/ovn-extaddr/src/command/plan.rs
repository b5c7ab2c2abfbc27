//! `ovn-extaddr plan`

use std::process::ExitCode;

use clap::Args;

use crate::command::{print, print_json};
use crate::difference::{Action, planned};
use crate::observe::Observer;
use crate::settings::Settings;

/// The exit status that says that there is something to change.
const CHANGES: u8 = 3;

/// Shows what would be changed.
#[derive(Debug, Args)]
pub(super) struct Plan {
    /// Exit with status 3 where there is something to change.
    #[arg(long)]
    exit_code: bool,

    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Plan {
    pub(super) async fn run(self, settings: Settings) -> anyhow::Result<ExitCode> {
        let Observer { store, engine, .. } = Observer::open(&settings).await?;
        let changes = planned(&store, &engine);
        if self.json {
            print_json(&changes)?;
        } else {
            let mut text: String = changes.iter().map(|change| format!("{change}\n")).collect();
            let count = |action| changes.iter().filter(|change| change.action == action).count();
            text += &match changes.len() {
                0 => "Nothing to change.\n".to_owned(),
                _ => format!(
                    "{} to insert, {} to update, {} to delete.\n",
                    count(Action::Insert),
                    count(Action::Update),
                    count(Action::Delete)
                ),
            };
            print(&text)?;
        }
        let status = if self.exit_code && !changes.is_empty() { CHANGES } else { 0 };
        Ok(ExitCode::from(status))
    }
}
