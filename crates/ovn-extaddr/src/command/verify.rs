//! `ovn-extaddr verify`

mod wait;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::process::ExitCode;
use std::sync::Arc;

use anstyle::Style;
use anyhow::bail;
use clap::Args;
use clap_complete::engine::ArgValueCompleter;
use extaddr_core::names::{Meaning, is_short_for};
use extaddr_core::report::{self, Entry};
use extaddr_core::state::State;
use extaddr_core::verify::{Check, Code, Outcome, Override, overrides};
use ovn_model::Family;
use ovsdb_protocol::Uuid;
use serde::Serialize;

use crate::command::complete;
use crate::command::output::Output;
use crate::command::port::{only_port, refuse_several};
use crate::command::style::{BAD, DOUBTFUL, FAINT, GOOD, HEADING, Palette, clean};
use crate::command::table::{self, Cell, Width};
use crate::observe::Observer;
use crate::reach::Deadline;
use crate::settings::Settings;
use crate::southbound::{Databases, Sessions, Verdict};
pub(super) use wait::wait;

/// Checks overrides in the Southbound database.
///
/// It looks at the flows that ovn-northd made of each row, at what stands in their way, and at where the router's gateway
/// and the instance are. Nothing is written, and no packet is sent. The exit status is 1 where a check failed.
#[derive(Debug, Args)]
pub(super) struct Verify {
    /// The port, by any of its names; else all that have an override are looked at.
    #[arg(value_name = "PORT", add = ArgValueCompleter::new(complete::ports))]
    port: Option<String>,

    #[command(flatten)]
    width: Width,

    #[command(flatten)]
    output: Output,
}

/// An override and its checks: an element of `verify --json`. Field names are stable.
#[derive(Debug, Serialize)]
struct Verified {
    port: String,
    name: Option<String>,
    router: Option<String>,
    family: String,
    internal: Option<IpAddr>,
    external: Option<IpAddr>,
    nat: Option<Uuid>,
    gateway_port: Option<String>,
    chassis: Option<String>,
    outcome: Outcome,
    checks: Vec<Check>,
}

impl Verify {
    pub(super) async fn run(self, settings: Settings, palette: Palette) -> anyhow::Result<ExitCode> {
        let deadline = Deadline::from_settings(&settings);
        let observer = Observer::open(&settings).await?;
        let entries = match &self.port {
            Some(port) => of_port(&observer, port)?,
            None => {
                let mut entries = observer.named(report::all(&observer.store, &observer.engine, |_| None));
                entries.retain(|entry| !overrides_of(&observer, entry).is_empty());
                entries
            }
        };
        let subjects = subjects(&observer, entries);
        // There may be as many flows as ports, and the memory is enough for one of both.
        drop(observer);
        // A database that cannot be read is reported even if there is nothing to verify.
        let databases = Databases::open(Sessions::new(&settings), deadline).await?;
        let verified = look(&databases, subjects).await?;
        self.output.print_all(&verified, || match &self.port {
            Some(_) => verified.iter().map(|verified| tree(verified, palette)).collect(),
            None => table(&verified, self.width, palette),
        })?;
        let has_failed = verified.iter().any(|verified| verified.outcome == Outcome::Failed);
        Ok(if has_failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }
}

/// Finds the intents of the port that a text means.
///
/// # Errors
/// It means no port, or several, or the port has no intent.
fn of_port(observer: &Observer, text: &str) -> anyhow::Result<Vec<Entry>> {
    let Observer { store, engine, .. } = observer;
    let meaning = observer.names().find(text);
    refuse_several(&meaning, text)?;
    let name: Arc<str> = match &meaning {
        Meaning::Port(name) => name.as_str().into(),
        _ => text.into(),
    };
    let is_there = store.port_by_name(&name).is_some();
    let mut entries = observer.named(report::entries(store, engine, &name, None));
    if !is_there {
        // There may be an intent for a missing port.
        let absent = report::absent(store, engine).filter(|entry| {
            report::is_about_missing(entry, &name)
                || entry.name.as_deref().is_some_and(|name| is_short_for(text, name))
        });
        entries.extend(observer.named(absent.collect()));
    }
    let ports: BTreeSet<&str> = entries.iter().map(|entry| &*entry.port).collect();
    if ports.len() > 1 {
        let ports: Vec<_> = ports.into_iter().map(clean).collect();
        bail!("{text} may be {}: name one", ports.join(" or "));
    }
    if entries.is_empty() {
        let port = if is_there { name.to_string() } else { only_port(meaning, text)? };
        bail!("port {} has no intent: `ovn-extaddr set` adds one", clean(&port));
    }
    Ok(entries)
}

/// Returns intents with their overrides. An intent without one is there once, since that is reported.
fn subjects(observer: &Observer, entries: Vec<Entry>) -> Vec<(Entry, Option<Override>)> {
    let subjects = entries.into_iter().flat_map(|entry| {
        let mut rows: Vec<_> = overrides_of(observer, &entry).into_iter().map(Some).collect();
        if rows.is_empty() {
            rows.push(None);
        }
        std::iter::repeat_n(entry, rows.len()).zip(rows)
    });
    subjects.collect()
}

/// Verifies overrides.
///
/// # Errors
/// The Southbound database cannot be read.
async fn look(
    databases: &Databases,
    subjects: Vec<(Entry, Option<Override>)>,
) -> anyhow::Result<Vec<Verified>> {
    let rows = subjects.iter().filter_map(|(_, row)| row.clone()).collect();
    let mut verdicts = databases.verify(rows).await?.into_iter();
    let verified =
        subjects.into_iter().map(|(entry, row)| Verified::new(entry, row.and_then(|_| verdicts.next())));
    Ok(verified.collect())
}

/// Returns our existing rows for an intent, whether granted or not.
fn overrides_of(observer: &Observer, entry: &Entry) -> Vec<Override> {
    let mut rows = overrides(observer.engine.network(&observer.store), &entry.port);
    rows.retain(|row| Family::from(row.external).to_string() == entry.family);
    rows
}

/// Checks the state of an intent.
fn standing(entry: &Entry, row: Option<&Override>) -> Check {
    if let Some(row) = row.filter(|_| entry.state == State::Active) {
        return row.in_force();
    }
    let reason = entry.reason.map_or_else(String::new, |reason| format!(" ({})", reason.name()));
    let message = format!("{}{reason}: {}", entry.state.name(), entry.message);
    let cure = format!("see `ovn-extaddr explain {}`", entry.shown());
    match entry.state {
        State::Foreign | State::Draining => {
            Check::unknown(Code::Override, message, "the port has no row of the agent to check")
        }
        // The existing row is verified below; the agent is about to change it.
        _ if row.is_some() => Check::unknown(Code::Override, message, cure),
        _ => Check::failed(Code::Override, message, cure),
    }
}

fn style_of(outcome: Outcome) -> (Style, char) {
    match outcome {
        Outcome::Ok => (GOOD, '✓'),
        Outcome::Unknown => (DOUBTFUL, '?'),
        Outcome::Failed => (BAD, '✗'),
    }
}

impl Verified {
    fn new(entry: Entry, verdict: Option<Verdict>) -> Self {
        let (row, findings) = verdict.map(|verdict| (verdict.row, verdict.findings)).unzip();
        let mut checks = vec![standing(&entry, row.as_ref())];
        let (of_row, chassis) = findings.map(|findings| (findings.checks, findings.chassis)).unzip();
        checks.extend(of_row.into_iter().flatten());
        Self {
            port: entry.port,
            name: entry.name,
            router: row.as_ref().map(|row| row.router.clone()).or(entry.router),
            family: entry.family,
            internal: row.as_ref().map(|row| row.internal),
            external: row.as_ref().map(|row| row.external).or(entry.external),
            nat: row.as_ref().map(|row| row.nat),
            gateway_port: row.and_then(|row| row.gateway_port).or(entry.gateway_port),
            chassis: chassis.flatten(),
            outcome: Outcome::worst(&checks),
            checks,
        }
    }

    fn shown(&self) -> &str {
        self.name.as_deref().unwrap_or(&self.port)
    }
}

/// Renders a line for each override, and below them the checks that did not pass.
fn table(verified: &[Verified], width: Width, palette: Palette) -> String {
    let address =
        |address: Option<IpAddr>| address.map_or_else(|| "-".to_owned(), |address| address.to_string());
    let cells = |verified: &Verified| {
        [
            Cell::whole(address(verified.internal)),
            Cell::whole(address(verified.external)),
            Cell::from(verified.chassis.as_deref().unwrap_or("-")),
            Cell::styled(verified.outcome.name(), style_of(verified.outcome).0),
        ]
    };
    let mut text = if width.is_wide() {
        let heading = ["NAME", "PORT", "INTERNAL", "EXTERNAL", "CHASSIS", "RESULT"];
        let rows = verified.iter().map(|verified| {
            let [internal, external, chassis, result] = cells(verified);
            let name = Cell::from(verified.name.as_deref().unwrap_or("-"));
            [name, Cell::from(&verified.port), internal, external, chassis, result]
        });
        table::render(palette, width, heading, rows)
    } else {
        let heading = ["PORT", "INTERNAL", "EXTERNAL", "CHASSIS", "RESULT"];
        let rows = verified.iter().map(|verified| {
            let [internal, external, chassis, result] = cells(verified);
            [Cell::from(verified.shown()), internal, external, chassis, result]
        });
        table::render(palette, width, heading, rows)
    };
    for verified in verified.iter().filter(|verified| verified.outcome != Outcome::Ok) {
        let heading = format!("{} {}:", clean(verified.shown()), verified.family);
        text += &format!("\n{}\n", palette.paint(HEADING, &heading));
        for check in verified.checks.iter().filter(|check| check.outcome != Outcome::Ok) {
            text += &lines(check, "  ", "    ", palette);
        }
    }
    text
}

/// Renders a tree: the override, and below it the checks.
fn tree(verified: &Verified, palette: Palette) -> String {
    let heading = format!("{} {}:", clean(verified.shown()), verified.family);
    let (style, _) = style_of(verified.outcome);
    let outcome = palette.paint(style, verified.outcome.name());
    let mut text = format!("{} {outcome}\n", palette.paint(HEADING, &heading));
    let last = verified.checks.len().saturating_sub(1);
    for (place, check) in verified.checks.iter().enumerate() {
        let (branch, below) = if place == last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
        text += &lines(check, &palette.paint(FAINT, branch), &palette.paint(FAINT, below), palette);
    }
    text
}

/// Renders a check, with its cure on a separate line.
fn lines(check: &Check, first: &str, second: &str, palette: Palette) -> String {
    let (style, sign) = style_of(check.outcome);
    let sign = palette.paint(style, &sign.to_string());
    let mut text = format!("{first}{sign} {:<9} {}\n", check.check.name(), clean(&check.message));
    if let Some(cure) = &check.cure {
        text += &format!("{second}  {:<9} {} {}\n", "", palette.paint(FAINT, "→"), clean(cure));
    }
    text
}
