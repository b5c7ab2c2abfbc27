//! Detection of requests to reload the configuration: SIGHUP, or a change of one of its files.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use notify::event::{AccessKind, AccessMode, ModifyKind};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher, recommended_watcher};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tracing::warn;

use crate::settings::{Options, Settings, sources};

/// The time to wait for an editor to finish: many write a file in several steps.
const PAUSE: Duration = Duration::from_millis(200);
/// The time to wait for a program that writes to a file itself, until it closes it: in between the file is incomplete,
/// or empty.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// A detector of requests to reload the configuration.
#[derive(Debug)]
pub(crate) struct Reload {
    options: Options,
    hangup: Signal,
    /// How long to wait after the last change.
    pauses: watch::Receiver<Duration>,
    sender: watch::Sender<Duration>,
    /// The time to act on a detected change.
    due: Option<Instant>,
    /// The watcher of the files, which works until it is dropped; without one SIGHUP still works.
    watcher: Option<RecommendedWatcher>,
}

impl Reload {
    /// Watches the files that `settings` were read from.
    pub(crate) fn new(options: Options, settings: &Settings) -> anyhow::Result<Self> {
        let (sender, pauses) = watch::channel(PAUSE);
        let hangup = signal(SignalKind::hangup())?;
        let mut reload = Self { options, hangup, pauses, sender, due: None, watcher: None };
        reload.watch(settings.policy.clone());
        Ok(reload)
    }

    /// Watches the files of the configuration, and the directories that there are now.
    fn watch(&mut self, policy: Option<PathBuf>) {
        let (file, directories) = self.options.places();
        let files: Vec<_> = std::iter::once(file).chain(policy).collect();
        match watch(&files, &directories, self.sender.clone()) {
            Ok(watcher) => self.watcher = Some(watcher),
            Err(error) => warn!(%error, "cannot watch the configuration: a change may need SIGHUP"),
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
                Ok(()) = self.pauses.changed() => self.due = Some(Instant::now() + *self.pauses.borrow_and_update()),
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
/// drop-ins. Of one that does not exist, the directory in which it would be created is watched.
fn watch(
    files: &[PathBuf],
    drop_ins: &[PathBuf],
    sender: watch::Sender<Duration>,
) -> notify::Result<RecommendedWatcher> {
    let names: BTreeSet<OsString> =
        files.iter().filter_map(|file| file.file_name()).map(Into::into).collect();
    let parents = files.iter().filter_map(|file| file.parent());
    let directories: BTreeSet<PathBuf> =
        parents.chain(drop_ins.iter().map(PathBuf::as_path)).map(Path::to_owned).collect();
    let (drop_ins, watched) = (drop_ins.to_vec(), directories.clone());
    // The files that somebody writes to, and since when.
    let mut open: BTreeMap<PathBuf, Instant> = BTreeMap::new();
    let mut watcher = recommended_watcher(move |event: notify::Result<Event>| {
        let is_drop_in = |path: &Path| {
            path.parent().is_some_and(|parent| drop_ins.iter().any(|directory| directory == parent))
                && sources::is_drop_in(path)
        };
        let concerns = |path: &Path| {
            // A directory itself is created or removed.
            watched.contains(path)
                || path.file_name().is_some_and(|name| name == VOLUME_LINK || names.contains(name))
                || is_drop_in(path)
        };
        if let Ok(event) = event
            && let Some(path) = event.paths.iter().find(|path| concerns(path))
            && let Some(change) = Change::from_event(event.kind, path)
        {
            match change {
                Change::Begun => drop(open.insert(path.clone(), Instant::now())),
                Change::Complete => drop(open.remove(path)),
                Change::Metadata => {}
            }
            open.retain(|_, since| since.elapsed() < WRITE_TIMEOUT);
            sender.send_replace(if open.is_empty() { PAUSE } else { WRITE_TIMEOUT });
        }
    })?;
    for directory in &directories {
        let directory = if directory == Path::new("") { Path::new(".") } else { directory };
        let existing =
            [Some(directory), directory.parent()].into_iter().flatten().find(|place| place.exists());
        if let Some(existing) = existing {
            watcher.watch(existing, RecursiveMode::NonRecursive)?;
        }
    }
    Ok(watcher)
}

/// A change of a file.
enum Change {
    /// Somebody writes to it, and has not closed it.
    Begun,
    Complete,
    Metadata,
}

impl Change {
    /// Returns the change that an event reports, if any.
    fn from_event(kind: EventKind, path: &Path) -> Option<Self> {
        match kind {
            EventKind::Access(AccessKind::Close(AccessMode::Write)) => Some(Self::Complete),
            EventKind::Access(_) => None,
            EventKind::Modify(ModifyKind::Data(_)) => Some(Self::Begun),
            EventKind::Modify(ModifyKind::Metadata(_)) => Some(Self::Metadata),
            // A link is complete, and nobody closes it.
            EventKind::Create(_) if path.symlink_metadata().is_ok_and(|created| created.is_file()) => {
                Some(Self::Begun)
            }
            _ => Some(Self::Complete),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::io::Write;
    use std::thread::sleep;

    use super::*;

    /// Found by a reading: a file that was written in place was read while it was empty, and directories that were created
    /// later were not watched.
    #[test]
    fn changes_are_waited_for_until_they_are_complete() {
        let root = tempfile::tempdir().unwrap();
        let place = |name: &str| root.path().join(name);
        let (file, drop_ins) = (place("config.toml"), place("config.d"));
        let (sender, mut pauses) = watch::channel(PAUSE);
        let start =
            || watch(std::slice::from_ref(&file), std::slice::from_ref(&drop_ins), sender.clone()).unwrap();
        let mut watcher = start();
        // Also what a reload does after each of them.
        let mut check = |what: &str, expected: Option<Duration>, step: &dyn Fn()| {
            step();
            let begun = Instant::now();
            let mut pause = None;
            // Something that must not come is not waited for as long as something that must.
            let limit = if expected.is_some() { Duration::from_secs(10) } else { Duration::from_millis(50) };
            while begun.elapsed() < limit && (expected.is_none() || pause != expected) {
                sleep(Duration::from_millis(5));
                if pauses.has_changed().unwrap() {
                    pause = Some(*pauses.borrow_and_update());
                }
            }
            assert_eq!(pause, expected, "{what}");
            watcher = start();
        };
        let appended = || File::options().append(true).open(&file).unwrap();
        check("written", Some(PAUSE), &|| fs::write(&file, "").unwrap());
        check("being written", Some(WRITE_TIMEOUT), &|| {
            let mut open = appended();
            open.write_all(b"#").unwrap();
            std::mem::forget(open);
        });
        check("permissions", Some(PAUSE), &|| {
            fs::set_permissions(&file, fs::metadata(&file).unwrap().permissions()).unwrap();
        });
        check("appended to", Some(PAUSE), &|| appended().write_all(b"#").unwrap());
        check("read", None, &|| drop(fs::read(&file).unwrap()));
        check("another file", None, &|| fs::write(place("other"), "").unwrap());
        check("replaced", Some(PAUSE), &|| fs::rename(place("other"), &file).unwrap());
        for what in ["a directory", "a directory again"] {
            check(what, Some(PAUSE), &|| fs::create_dir(&drop_ins).unwrap());
            check("a drop-in", Some(PAUSE), &|| fs::write(drop_ins.join("1.toml"), "").unwrap());
            check("an editor's file", None, &|| fs::write(drop_ins.join(".1.toml.swp"), "").unwrap());
            check("a link", Some(PAUSE), &|| {
                std::os::unix::fs::symlink("/dev/null", drop_ins.join("2.toml")).unwrap();
            });
            check("no directory", Some(PAUSE), &|| fs::remove_dir_all(&drop_ins).unwrap());
        }
    }
}
