//! Detection of requests to reload the configuration: SIGHUP, or a change of one of its files.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use notify::{Event, RecommendedWatcher, RecursiveMode, Watcher, recommended_watcher};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use tracing::warn;

use crate::settings::{Options, Settings};

/// The time to wait for an editor to finish: many write a file in several steps.
const PAUSE: Duration = Duration::from_millis(200);

/// A detector of requests to reload the configuration.
#[derive(Debug)]
pub(crate) struct Reload {
    options: Options,
    hangup: Signal,
    changes: mpsc::Receiver<()>,
    sender: mpsc::Sender<()>,
    /// The time to act on a detected change.
    due: Option<Instant>,
    files: Vec<PathBuf>,
    /// The watcher of the files, which works until it is dropped; without one SIGHUP still works.
    watcher: Option<RecommendedWatcher>,
}

impl Reload {
    /// Watches the files that `settings` were read from.
    pub(crate) fn new(options: Options, settings: &Settings) -> anyhow::Result<Self> {
        // One waiting request is enough.
        let (sender, changes) = mpsc::channel(1);
        let hangup = signal(SignalKind::hangup())?;
        let mut reload =
            Self { options, hangup, changes, sender, due: None, files: Vec::new(), watcher: None };
        reload.watch(settings.policy.clone());
        Ok(reload)
    }

    /// Watches the files of the configuration.
    fn watch(&mut self, policy: Option<PathBuf>) {
        let (file, directories) = self.options.places();
        let files: Vec<_> = std::iter::once(file).chain(policy).collect();
        if self.files != files {
            let watcher = watch(&files, &directories, self.sender.clone());
            if let Err(error) = &watcher {
                warn!(%error, "cannot watch the configuration: it is reloaded on SIGHUP only");
            }
            (self.files, self.watcher) = (files, watcher.ok());
        }
    }

    /// Waits for the next request.
    ///
    /// # Cancel safety
    /// No request is lost when the future is dropped.
    pub(crate) async fn requested(&mut self) {
        loop {
            tokio::select! {
                _ = self.hangup.recv() => break,
                Some(()) = self.changes.recv() => self.due = Some(Instant::now() + PAUSE),
                () = sleep_until(self.due.unwrap_or_else(Instant::now)), if self.due.is_some() => break,
            }
        }
        self.due = None;
    }

    /// Reads the configuration.
    pub(crate) fn read(&mut self) -> anyhow::Result<Settings> {
        let settings = self.options.resolve();
        match &settings {
            Ok(settings) => self.watch(settings.policy.clone()),
            // The policy file itself may be what is wrong: it is read again when it changes. One whose directory does not
            // exist cannot be watched yet.
            Err(_) => {
                let policy = self.options.policy().ok().flatten();
                if let Some(policy) = policy.filter(|policy| policy.parent().is_some_and(Path::exists)) {
                    self.watch(Some(policy));
                }
            }
        }
        settings
    }
}

/// The link that Kubernetes replaces when the files of a volume change, which are links through it.
const VOLUME_LINK: &str = "..data";

/// Watches the directories of files, since an editor replaces a file rather than write to it, and directories of
/// drop-ins. A directory created later is not watched; SIGHUP still works.
fn watch(
    files: &[PathBuf],
    drop_ins: &[PathBuf],
    sender: mpsc::Sender<()>,
) -> notify::Result<RecommendedWatcher> {
    let names: BTreeSet<OsString> =
        files.iter().filter_map(|file| file.file_name()).map(Into::into).collect();
    let all: Vec<_> = drop_ins.to_vec();
    let mut watcher = recommended_watcher(move |event: notify::Result<Event>| {
        let concerns = |path: &PathBuf| {
            path.file_name().is_some_and(|name| name == VOLUME_LINK || names.contains(name))
                || path.parent().is_some_and(|parent| all.iter().any(|directory| directory == parent))
        };
        if event.is_ok_and(|event| !event.kind.is_access() && event.paths.iter().any(concerns)) {
            // If it is full, a request is waiting already.
            let _ = sender.try_send(());
        }
    })?;
    let parents = files.iter().filter_map(|file| file.parent());
    let directories: BTreeSet<_> = parents.chain(drop_ins.iter().map(PathBuf::as_path)).collect();
    for directory in directories {
        let directory = if directory == Path::new("") { Path::new(".") } else { directory };
        if directory.exists() {
            watcher.watch(directory, RecursiveMode::NonRecursive)?;
        }
    }
    Ok(watcher)
}
