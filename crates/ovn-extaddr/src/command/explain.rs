//! `ovn-extaddr explain`

use std::process::ExitCode;

use anyhow::bail;
use clap::Args;
use ovn_model::{Family, Port, Store};
use serde::Serialize;

use crate::command::{print, print_json};
use crate::engine::Engine;
use crate::explain::Check;
use crate::observe::Observer;
use crate::report::{self, Entry};
use crate::resolve::{Question, resolve};
use crate::settings::Settings;
use crate::topology::reach;

/// Explains one port.
#[derive(Debug, Args)]
pub(super) struct Explain {
    /// The name of the `Logical_Switch_Port`.
    port: String,

    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// What `explain --json` prints. Field names are stable.
#[derive(Debug, Serialize)]
struct Explanation {
    port: String,
    intents: Vec<Intent>,
}

/// One intent: the steps that went well, and its element of `list --json`, whose reason says what
/// the next step found wrong.
#[derive(Debug, Serialize)]
struct Intent {
    checks: Vec<Check>,
    #[serde(flatten)]
    entry: Entry,
}

impl Explain {
    pub(super) async fn run(self, settings: Settings) -> anyhow::Result<ExitCode> {
        let Observer { store, engine, .. } = Observer::open(&settings).await?;
        let Some(port) = store.port_by_name(&self.port).and_then(|id| store.port(id)) else {
            bail!("there is no port {} in the Northbound database", self.port);
        };
        let entries = report::entries(&store, &engine, &port.name, None);
        let intents =
            entries.into_iter().map(|entry| Intent { checks: checks(&store, &engine, port, &entry), entry });
        let explanation = Explanation { port: self.port, intents: intents.collect() };
        if self.json {
            print_json(&explanation)?;
        } else {
            print(&text(&explanation))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn checks(store: &Store, engine: &Engine, port: &Port, entry: &Entry) -> Vec<Check> {
    let reach = port.switch.map(|switch| reach(store, switch)).unwrap_or_default();
    let family = [Family::V4, Family::V6].into_iter().find(|family| family.to_string() == entry.family);
    let mut checks = Vec::new();
    if let Some(family) = family {
        let question = Question { store, rules: engine.rules(), reach: &reach, port, family };
        resolve(question, &mut Vec::new(), &mut checks);
    }
    checks
}

fn text(explanation: &Explanation) -> String {
    if explanation.intents.is_empty() {
        return format!("{}: nothing is asked for\n", explanation.port);
    }
    let mut text = String::new();
    for Intent { checks, entry } in &explanation.intents {
        text += &format!("{} {}: {}\n", entry.port, entry.family, entry.state.name());
        for check in checks {
            text += &format!("  ✓ {:<13} {}\n", check.step, check.detail);
        }
        match entry.reason {
            Some(code) => text += &format!("  ✗ {code:<13} {}\n", entry.message),
            None => text += &format!("  = {}\n", entry.message),
        }
        for row in &entry.nat {
            text += &format!("  = NAT row {row}\n");
        }
    }
    text
}
