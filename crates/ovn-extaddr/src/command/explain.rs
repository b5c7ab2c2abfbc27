//! `ovn-extaddr explain`

use std::process::ExitCode;

use anyhow::bail;
use clap::Args;
use extaddr_core::names::{Meaning, is_short_for};
use extaddr_core::report::{self, Entry};

use crate::command::output::Output;
use crate::command::port::{PortName, only_port, refuse_several};
use crate::command::style::{BAD, DOUBTFUL, FAINT, GOOD, HEADING, Palette, clean, of_state};
use crate::explanation::{ExplainedIntent, Explanation};
use crate::observe::Observer;
use crate::settings::Settings;

/// Explains one port.
#[derive(Debug, Args)]
pub(super) struct Explain {
    #[command(flatten)]
    port: PortName,

    #[command(flatten)]
    output: Output,
}

impl Explain {
    pub(super) async fn run(self, settings: Settings, palette: Palette) -> anyhow::Result<ExitCode> {
        let observer = Observer::open(&settings).await?;
        let explanation = explain(&observer, self.port.as_str())?;
        self.output.print_one(&explanation, || text(&explanation, palette))?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Explains the port that a text means.
///
/// # Errors
/// It means no port, or several.
fn explain(observer: &Observer, text: &str) -> anyhow::Result<Explanation> {
    let Observer { store, engine, .. } = observer;
    let names = observer.names();
    let meaning = names.find(text);
    let there = match &meaning {
        Meaning::Port(name) => store.port_by_name(name).and_then(|id| store.port(id)),
        _ => None,
    };
    if let Some(port) = there {
        let entries = observer.named(report::entries(store, engine, &port.name, None));
        return Ok(Explanation::of_port(store, engine, port, names.name(&port.name), entries));
    }
    refuse_several(&meaning, text)?;
    // There may be an intent for a missing port.
    let name = if let Meaning::Port(name) = &meaning { name } else { text };
    let is_meant = |entry: &Entry| {
        report::is_about_missing(entry, name)
            || entry.name.as_deref().is_some_and(|name| is_short_for(text, name))
    };
    let absent: Vec<_> = report::absent(store, engine).filter(is_meant).collect();
    let absent = observer.named(absent);
    let Some(Entry { port, name, .. }) = absent.first().cloned() else {
        let port = only_port(meaning, text)?;
        bail!("there is no port {port}, and no intent for it");
    };
    if let Some(other) = absent.iter().find(|entry| entry.port != port) {
        bail!("{text} may be {} or {}, name one", clean(absent[0].shown()), clean(other.shown()));
    }
    Ok(Explanation::of_absent(port, name, absent))
}

/// Renders a tree: the intents, below each the steps, and last the result.
fn text(explanation: &Explanation, palette: Palette) -> String {
    let port = clean(explanation.name.as_deref().unwrap_or(&explanation.port));
    if explanation.intents.is_empty() {
        return format!("{port}: no intent\n");
    }
    let mut text = String::new();
    for ExplainedIntent { checks, entry } in &explanation.intents {
        let state = palette.paint(of_state(entry.state), entry.state.name());
        text += &format!("{} {state}\n", palette.paint(HEADING, &format!("{port} {}:", entry.family)));
        let steps = checks.iter().map(|check| {
            let (style, sign) = if check.hazard { (DOUBTFUL, '!') } else { (GOOD, '✓') };
            (style, sign, check.step, clean(&check.detail))
        });
        // The display name is in the heading.
        let own = explanation.name.as_ref().map(|_| (GOOD, '✓', "port", clean(&explanation.port)));
        let mut lines: Vec<_> = own.into_iter().chain(steps).collect();
        match entry.reason {
            Some(code) => lines.push((BAD, '✗', code.name(), clean(&entry.message))),
            None => lines.push((of_state(entry.state), '=', "", clean(&entry.message))),
        }
        lines.extend(entry.nat.iter().map(|row| (FAINT, '=', "", format!("NAT row {row}").into())));
        let last = lines.len() - 1;
        for (place, (style, sign, step, detail)) in lines.into_iter().enumerate() {
            let branch = palette.paint(FAINT, if place == last { "└─" } else { "├─" });
            let sign = palette.paint(style, &sign.to_string());
            let step = if step.is_empty() { String::new() } else { format!("{step:<13} ") };
            text += &format!("{branch} {sign} {step}{detail}\n");
        }
    }
    text
}
