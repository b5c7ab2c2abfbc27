//! The log: events with fields, to the journal where systemd reads our standard error, and as lines of text otherwise.

mod rendered;

use std::env;
use std::fmt;
use std::io::{self, IsTerminal};
use std::os::fd::AsFd;

use tracing::level_filters::LevelFilter;
use tracing::warn;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::reload::{self, Handle};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry};

use rendered::Rendered;

/// The prefix of our fields in the journal: `journalctl OVN_EXTADDR_PORT=p1`.
const PREFIX: &str = "OVN_EXTADDR";

/// The log level of an agent that is not configured.
pub(crate) const DEFAULT_LEVEL: LevelFilter = LevelFilter::INFO;

/// Parts of the program whose level can be set separately, as `vlog/list` shows them.
const MODULES: [(&str, &str); 4] = [
    ("agent", "ovn_extaddr::agent"),
    ("control", "ovn_extaddr::control"),
    ("metrics", "ovn_extaddr::exposition"),
    ("reload", "ovn_extaddr::reload"),
];

/// Changes the log level while the program runs.
pub(crate) struct LogControl {
    handle: Handle<Targets, Registry>,
    /// The level that the configuration last had, which `vlog/set` does not change.
    configured: LevelFilter,
    usual: LevelFilter,
    modules: Vec<(&'static str, &'static str, LevelFilter)>,
}

/// Starts logging.
pub(crate) fn start(level: LevelFilter) -> LogControl {
    let (filter, handle) = reload::Layer::new(Targets::new().with_default(level));
    let journal = is_journal().then(tracing_journald::layer).transpose();
    let (journal, error) = match journal {
        Ok(journal) => (journal, None),
        Err(error) => (None, Some(error)),
    };
    let output = match journal {
        Some(journal) => Rendered(journal.with_field_prefix(Some(PREFIX.to_owned()))).boxed(),
        None => tracing_subscriber::fmt::layer()
            .with_writer(io::stderr)
            .with_ansi(io::stderr().is_terminal() && env::var_os("NO_COLOR").is_none_or(|set| set.is_empty()))
            .with_target(false)
            .boxed(),
    };
    tracing_subscriber::registry().with(filter).with(output).init();
    if let Some(error) = error {
        warn!(%error, "cannot reach the journal: the log goes to standard error");
    }
    LogControl { handle, configured: level, usual: level, modules: Vec::new() }
}

/// Whether standard error is a stream of the journal, see systemd.exec(5).
fn is_journal() -> bool {
    let Some(stream) = env::var("JOURNAL_STREAM").ok() else { return false };
    let Ok(stat) = rustix::fs::fstat(io::stderr().as_fd()) else { return false };
    stream == format!("{}:{}", stat.st_dev, stat.st_ino)
}

// ===== impl LogControl =====

impl LogControl {
    /// Sets the log level, as in ovs-appctl(8): `LEVEL`, or `MODULE:LEVEL` for one part of the program. A third word
    /// between them, the destination, is ignored, since there is only one.
    pub(crate) fn set(&mut self, words: &str) -> Result<(), String> {
        let words: Vec<_> = words.split([':', ' ']).filter(|word| !word.is_empty()).collect();
        let (module, level) = match words[..] {
            [level] => (None, level),
            [module, level] | [module, _, level] => (Some(module).filter(|m| !is_any(m)), level),
            _ => return Err("expected LEVEL or MODULE:LEVEL".to_owned()),
        };
        let level = parse_level(level)?;
        match module {
            None => {
                self.usual = level;
                self.modules.clear();
            }
            Some(name) => {
                let Some(&(name, target)) = MODULES.iter().find(|(known, _)| *known == name) else {
                    let known: Vec<_> = MODULES.iter().map(|(name, _)| *name).collect();
                    return Err(format!("there is no module {name}, only {}", known.join(", ")));
                };
                self.modules.retain(|(set, ..)| *set != name);
                self.modules.push((name, target, level));
            }
        }
        self.apply()
    }

    /// Sets the default log level to a configured one, if that has changed: `vlog/set` lasts until then.
    pub(crate) fn configure(&mut self, level: Option<LevelFilter>) -> Result<(), String> {
        let level = level.unwrap_or(DEFAULT_LEVEL);
        if std::mem::replace(&mut self.configured, level) == level {
            return Ok(());
        }
        self.usual = level;
        self.apply()
    }

    /// Lists the log levels.
    pub(crate) fn list(&self) -> String {
        let level = |name| {
            self.modules.iter().find(|(set, ..)| *set == name).map_or(self.usual, |(.., level)| *level)
        };
        let line = |name: &str, level: LevelFilter| format!("{name:<10} {level}\n");
        let modules: String = MODULES.iter().map(|(name, _)| line(name, level(*name))).collect();
        line("(others)", self.usual) + &modules
    }

    fn apply(&self) -> Result<(), String> {
        let targets = self.modules.iter().map(|(_, target, level)| (*target, *level));
        let filter = Targets::new().with_default(self.usual).with_targets(targets);
        self.handle.reload(filter).map_err(|error| error.to_string())
    }
}

impl fmt::Debug for LogControl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogControl").field("usual", &self.usual).finish_non_exhaustive()
    }
}

fn is_any(module: &str) -> bool {
    module.eq_ignore_ascii_case("any")
}

/// Reads a level by our names or those of Open vSwitch.
fn parse_level(text: &str) -> Result<LevelFilter, String> {
    Ok(match text.to_ascii_lowercase().as_str() {
        "off" => LevelFilter::OFF,
        "emer" | "err" | "error" => LevelFilter::ERROR,
        "warn" => LevelFilter::WARN,
        "info" => LevelFilter::INFO,
        "dbg" | "debug" => LevelFilter::DEBUG,
        "trace" => LevelFilter::TRACE,
        _ => return Err(format!("\"{text}\" is not a level: off, err, warn, info, dbg or trace")),
    })
}
