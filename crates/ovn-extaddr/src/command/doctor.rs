//! `ovn-extaddr doctor`

mod local;
mod servers;
mod trust;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use extaddr_core::engine::Engine;
use extaddr_core::explain::Check;
use extaddr_core::hazards;
use extaddr_core::names::PortNames;
use extaddr_core::reason::Code;
use extaddr_core::report::{self, Entry};
use extaddr_core::sources::nic::Nic;
use extaddr_core::sources::requests::SourceStatus;
use extaddr_core::state::State;
use ovn_model::{Family, Store};
use serde::Serialize;

use crate::command::output::Output;
use crate::command::style::{BAD, DOUBTFUL, FAINT, GOOD, Palette, clean};
use crate::observe::Observer;
use crate::reach::TIMEOUT;
use crate::settings::Settings;
use crate::sources::cms::Cms;

/// Looks at everything.
#[derive(Debug, Args)]
pub(super) struct Doctor {
    #[command(flatten)]
    output: Output,
}

/// One finding: an element of `doctor --json`. Field names are stable.
#[derive(Debug, Serialize)]
struct Finding {
    /// The subject of the check, as a code.
    check: &'static str,
    level: Level,
    /// The finding.
    message: String,
    /// The remedy.
    cure: Option<String>,
}

/// The severity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Level {
    Good,
    /// For information.
    Note,
    /// It will cause failures, or causes some already.
    Warning,
    /// It does not work.
    Problem,
}

// ===== impl Finding =====

impl Finding {
    fn good(check: &'static str, message: impl Into<String>) -> Self {
        Self { check, level: Level::Good, message: message.into(), cure: None }
    }

    fn new(check: &'static str, level: Level, message: impl Into<String>, cure: impl Into<String>) -> Self {
        Self { check, level, message: message.into(), cure: Some(cure.into()) }
    }
}

// ===== impl Doctor =====

impl Doctor {
    pub(super) async fn run(
        self,
        settings: anyhow::Result<Settings>,
        palette: Palette,
    ) -> anyhow::Result<ExitCode> {
        let mut findings = Vec::new();
        match settings {
            Err(error) => findings.push(Finding::new(
                "configuration",
                Level::Problem,
                format!("{error:#}").replace('\n', " "),
                "correct the file; a running agent keeps to the configuration that it has",
            )),
            Ok(settings) => look(settings, &mut findings).await,
        }
        self.output.print_all(&findings, || text(&findings, palette))?;
        let failed = findings.iter().any(|finding| finding.level == Level::Problem);
        Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }
}

async fn look(mut settings: Settings, findings: &mut Vec<Finding>) {
    let files: Vec<_> = settings.files.iter().map(|file| file.display().to_string()).collect();
    let files = if files.is_empty() { "no file: all by default".to_owned() } else { files.join(", ") };
    findings.push(Finding::good("configuration", files));
    findings.extend(looked(&settings.places));
    findings.extend(trust::look(&settings.tls));
    let limit = settings.timeout.unwrap_or(TIMEOUT);
    let reached = servers::look(&settings, limit, findings).await;
    findings.extend(local::look(limit).await);
    if !reached {
        return;
    }
    // Without a leader, a follower's copy is better than nothing.
    settings.leader_only = false;
    settings.timeout.get_or_insert(Duration::from_secs(60));
    match Observer::open(&settings).await {
        Err(error) => findings.push(Finding::new(
            "database",
            Level::Problem,
            format!("{error:#}"),
            "see what the server logs",
        )),
        Ok(observer) => {
            findings.extend(observer.sources().map(|(cms, status)| source(cms, &status)));
            database(&observer.store, &observer.engine, &observer.names(), findings);
        }
    }
}

/// Returns the places where the database's socket was searched, if no setting names it.
fn looked(places: &[PathBuf]) -> Option<Finding> {
    if places.is_empty() {
        return None;
    }
    let place = |path: &PathBuf| {
        let there = match path.try_exists() {
            Ok(true) => "is there",
            Ok(false) => "is not there",
            Err(_) => "cannot be examined",
        };
        format!("{} {there}", path.display())
    };
    let looked: Vec<_> = places.iter().map(place).collect();
    let message = format!("db is not set: {}", looked.join(", "));
    if places.iter().any(|path| path.exists()) {
        return Some(Finding::good("socket", message));
    }
    let cure = "where the database runs elsewhere, say where: db = \"ssl:ADDRESS:6641,...\", or --db";
    Some(Finding::new("socket", Level::Note, message, cure))
}

fn source(cms: &Cms, status: &SourceStatus) -> Finding {
    if !status.was_read {
        let why = status.failure.as_deref().unwrap_or("it does not answer");
        let cure = "check that it runs and admits this program; until it is read, existing rows stay, and a running agent keeps the intents that it knows";
        return Finding::new("source", Level::Problem, format!("{cms}: {why}"), cure);
    }
    let message = format!("{cms}: {status}");
    if status.unknown > 0 {
        let cure = "check that all members of its cluster are up; rows that may be for these instances stay until then";
        return Finding::new("source", Level::Warning, message, cure);
    }
    Finding::good("source", message)
}

fn database(store: &Store, engine: &Engine, names: &PortNames<'_>, findings: &mut Vec<Finding>) {
    findings.push(Finding::good(
        "database",
        format!(
            "{} ports, {} routers, {} load balancers, {} NAT rows",
            store.ports().count(),
            store.routers().count(),
            store.load_balancers().count(),
            store.nats().count()
        ),
    ));
    for missing in store.missing().filter(|missing| !missing.consequence().is_empty()) {
        findings.push(Finding::new(
            "schema",
            Level::Note,
            format!("{missing} is not there: {}", missing.consequence()),
            format!("upgrade OVN to {} or newer", missing.since()),
        ));
    }
    let bad = store.problems().count() + store.unlisted_problems();
    if let Some(first) = store.problems().next() {
        findings.push(Finding::new(
            "values",
            Level::Warning,
            format!(
                "{bad} values are not understood and count as absent, the first: {} {} {}: {}",
                first.table, first.uuid, first.column, first.message
            ),
            "correct them",
        ));
    }
    owners(store, engine, findings);
    intents(store, engine, findings);
    findings.extend(kept(store, names));
    findings.extend(lost_with_port(store, names));
    let hazards = hazards::all(engine.network(store));
    if hazards.is_empty() {
        findings.push(Finding::good("network", "no hazards"));
    }
    for hazard in hazards {
        let level = if hazard.is_wrong { Level::Warning } else { Level::Note };
        let message = format!("{} ({}): {}", hazard.meaning, hazard.places.len(), hazard.places());
        findings.push(Finding::new(hazard.code, level, message, hazard.cure));
    }
}

fn owners(store: &Store, engine: &Engine, findings: &mut Vec<Finding>) {
    let ours = engine.owner().as_str();
    for (owner, rows) in hazards::owners(store) {
        if owner == ours {
            findings.push(Finding::good("rows", format!("{rows} of owner {owner}")));
        } else {
            findings.push(Finding::new(
                "other-owner",
                Level::Note,
                format!("{rows} rows of owner {owner}, which this configuration is not for"),
                format!("nothing, if agents of that owner run; else `ovn-extaddr cleanup --owner {owner}`"),
            ));
        }
    }
}

/// Returns a note on kept intents for missing ports. It is not known for how long a port has been gone.
fn kept(store: &Store, names: &PortNames<'_>) -> Option<Finding> {
    let absent = store.all_kept().map(|(port, ..)| port).filter(|port| store.port_by_name(port).is_none());
    let absent = absent.map(|port| match names.name(port) {
        Some(name) => format!("{name} ({port})"),
        None => port.to_owned(),
    });
    let absent: BTreeSet<_> = absent.collect();
    let cure = "nothing, where the ports come back; else `ovn-extaddr unset PORT`";
    let message = || format!("intents are kept for ports that are not there: {}", Check::list(&absent));
    (!absent.is_empty()).then(|| Finding::new("kept", Level::Note, message(), cure))
}

/// Returns a note on ports whose intents are in their own keys, which their CMS deletes with them.
fn lost_with_port(store: &Store, names: &PortNames<'_>) -> Option<Finding> {
    let asking = store.ports().map(|(_, port)| port);
    let asking = asking.filter(|port| Family::ALL.iter().any(|family| port.external(*family).is_some()));
    let mut ports = asking.filter(|port| Nic::from_port_name(&port.name).is_some());
    let first = ports.next()?;
    let example = names.name(&first.name).unwrap_or_else(|| first.name.to_string());
    let message = format!(
        "{} ports of Incus or LXD ask by keys of their own, which most releases delete with the port when its instance stops, {example} among them",
        1 + ports.count()
    );
    let cure = "`ovn-extaddr set PORT --keep`, or a key of the instance in the CMS, where the agent asks it";
    Some(Finding::new("intent-lost-with-port", Level::Note, message, cure))
}

fn intents(store: &Store, engine: &Engine, findings: &mut Vec<Finding>) {
    let entries = report::all(store, engine, |_| None);
    let count = |state| entries.iter().filter(|entry| entry.state == state).count();
    let counts =
        State::ALL.iter().copied().map(|state| (state, count(state))).filter(|(_, count)| *count > 0);
    let counts: Vec<_> = counts.map(|(state, count)| format!("{count} {}", state.name())).collect();
    let counts = if counts.is_empty() { "none".to_owned() } else { counts.join(", ") };
    if count(State::Rejected) + count(State::Conflict) > 0 {
        findings.push(Finding::new(
            "intents",
            Level::Warning,
            counts,
            "`ovn-extaddr list --wide --state rejected --state conflict` names each with its cure",
        ));
    } else {
        findings.push(Finding::good("intents", counts));
    }
    // What a CMS asked for may be in place while it cannot be read, which is another finding.
    let is_late =
        |entry: &&Entry| entry.state == State::Pending && entry.reason != Some(Code::SourceUnreachable);
    let late = entries.iter().filter(is_late).count();
    if late > 0 {
        findings.push(Finding::new(
            "pending",
            Level::Warning,
            format!("{late} overrides are not written"),
            "nothing, if that is so for a moment only; else look whether an agent is active, and at its log",
        ));
    }
}

fn text(findings: &[Finding], palette: Palette) -> String {
    let mut text = String::new();
    for Finding { check, level, message, cure } in findings {
        let (style, sign) = match level {
            Level::Good => (GOOD, '✓'),
            Level::Note => (FAINT, '·'),
            Level::Warning => (DOUBTFUL, '!'),
            Level::Problem => (BAD, '✗'),
        };
        let sign = palette.paint(style, &sign.to_string());
        text += &format!("{sign} {check:<24} {}\n", clean(message));
        if let Some(cure) = cure {
            text += &format!("  {:<24} → {}\n", "", clean(cure));
        }
    }
    let count = |level| findings.iter().filter(|finding| finding.level == level).count();
    let counted = |level, what: &str| match count(level) {
        1 => format!("1 {what}"),
        count => format!("{count} {what}s"),
    };
    text + &format!("{}, {}.\n", counted(Level::Problem, "problem"), counted(Level::Warning, "warning"))
}
