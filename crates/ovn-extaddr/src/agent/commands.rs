//! The commands of the control socket.

use extaddr_core::report::{self, Entry};
use tracing::info;

use super::Agent;
use crate::control::ControlCommand;
use crate::exposition::Exposition;
use crate::metrics::resident_memory;

/// All commands, with their arguments.
const COMMANDS: &[(&str, &str)] = &[
    ("coverage/show", ""),
    ("exit", ""),
    ("is-paused", ""),
    ("list", ""),
    ("list-commands", ""),
    ("memory/show", ""),
    ("nb-cluster-state-reset", ""),
    ("nb-connection-status", ""),
    ("pause", ""),
    ("recompute", ""),
    ("resume", ""),
    ("status", ""),
    ("version", ""),
    ("vlog/list", ""),
    ("vlog/set", "[MODULE:]LEVEL..."),
];

type Answer = Result<String, String>;

impl Agent {
    /// Executes a command.
    pub(super) fn command(&mut self, command: &ControlCommand, exposition: &Exposition) -> Answer {
        let ControlCommand { name, arguments } = command;
        let takes_none = COMMANDS.iter().any(|(known, takes)| known == name && takes.is_empty());
        if takes_none && !arguments.is_empty() {
            return Err(format!("\"{name}\" command takes no arguments"));
        }
        match name.as_str() {
            "list-commands" => Ok(list_commands()),
            "version" => Ok(concat!("ovn-extaddr ", env!("CARGO_PKG_VERSION"), "\n").to_owned()),
            "status" => Ok(self.status(exposition).to_string()),
            "nb-connection-status" => {
                Ok(if self.northbound.session.is_synced() { "connected\n" } else { "not connected\n" }
                    .to_owned())
            }
            "list" => serde_json::to_string_pretty(&self.entries())
                .map(|text| text + "\n")
                .map_err(|error| error.to_string()),
            "nb-cluster-state-reset" => {
                self.northbound.session.reset_min_index();
                Ok(String::new())
            }
            "recompute" => {
                let rules = self.engine.rules().clone();
                self.engine.set_rules(rules);
                Ok(String::new())
            }
            "pause" => self.pause(true),
            "resume" => self.pause(false),
            "is-paused" => Ok(format!("{}\n", self.election.paused)),
            "memory/show" => Ok(self.memory()),
            "coverage/show" => Ok(self.coverage()),
            "vlog/list" => Ok(self.configured.log.list()),
            "vlog/set" => self.set_log(arguments),
            "exit" => Ok(String::new()),
            #[cfg(debug_assertions)]
            "fault/block" => block(arguments),
            name => Err(format!("\"{name}\" is not a valid command (use \"list-commands\" to see a list)")),
        }
    }

    /// Gives the lock back, so that another agent of the owner takes over, or requests it again.
    fn pause(&mut self, paused: bool) -> Answer {
        if self.election.paused != paused {
            if !self.election.dry_run {
                self.northbound.session.want_lock(!paused).map_err(|error| error.to_string())?;
            }
            self.election.paused = paused;
            match paused {
                true => info!("paused by command"),
                false => info!("resumed by command"),
            }
        }
        Ok(String::new())
    }

    fn set_log(&mut self, arguments: &[String]) -> Answer {
        if arguments.is_empty() {
            return Err("\"vlog/set\" command requires at least 1 argument".to_owned());
        }
        arguments.iter().try_for_each(|words| self.configured.log.set(words))?;
        Ok(String::new())
    }

    fn entries(&self) -> Vec<Entry> {
        report::all(&self.northbound.store, &self.engine, |port| {
            self.writing.applier.obstacle(&self.engine, port)
        })
    }

    /// The objects in memory, in the form of ovs-appctl(8).
    fn memory(&self) -> String {
        let counts = [
            ("ports", self.northbound.store.ports().count()),
            ("switches", self.northbound.store.switches().count()),
            ("routers", self.northbound.store.routers().count()),
            ("load-balancers", self.northbound.store.load_balancers().count()),
            ("nats", self.northbound.store.nats().count()),
            ("decided", self.engine.ports().count()),
            ("unsettled", self.engine.unsettled().len()),
            ("rss-kB", resident_memory().unwrap_or_default() / 1024),
        ];
        let counts: Vec<_> = counts.iter().map(|(name, count)| format!("{name}:{count}")).collect();
        counts.join(" ") + "\n"
    }

    /// Event counters, in the form of ovs-appctl(8) where it applies.
    fn coverage(&self) -> String {
        let metrics = &self.metrics;
        let line = |name: String, total: u64| format!("{name:<32} total: {total}\n");
        let mut text = line("decided_ports".to_owned(), metrics.decided.get());
        text += &line("disconnects".to_owned(), metrics.disconnects.get());
        text += &line("received_bytes".to_owned(), metrics.received_bytes.get());
        for kind in ["snapshot", "differences"] {
            text += &line(format!("resync_{kind}"), metrics.resyncs.get_or_create(&[("kind", kind)]).get());
        }
        for outcome in ["committed", "refused", "unknown"] {
            let count = metrics.transactions.get_or_create(&[("outcome", outcome)]).get();
            text += &line(format!("transaction_{outcome}"), count);
        }
        text += &line("takeovers".to_owned(), metrics.takeovers.get());
        for action in extaddr_core::difference::Action::ALL {
            let count = metrics.changes.get_or_create(&[("action", action.name())]).get();
            text += &line(format!("row_{}", action.name().replace('-', "_")), count);
        }
        text += &line("audit_failures".to_owned(), metrics.audit_failures.get());
        text
    }
}

fn list_commands() -> String {
    let lines = COMMANDS.iter().map(|(name, takes)| format!("  {name:<24} {takes}").trim_end().to_owned());
    let lines: Vec<_> = lines.collect();
    format!("The available commands are:\n{}\n", lines.join("\n"))
}

/// Blocks the loop, as a programming error would: for tests of the watchdog. Not in a release.
#[cfg(debug_assertions)]
fn block(arguments: &[String]) -> Answer {
    let seconds = arguments.first().and_then(|text| text.parse().ok()).ok_or("expected seconds")?;
    std::thread::sleep(std::time::Duration::from_secs(seconds));
    Ok(String::new())
}
