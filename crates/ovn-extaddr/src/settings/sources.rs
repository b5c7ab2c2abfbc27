//! The files of the configuration, in the order in which later ones override earlier ones.
//!
//! As in systemd: the file itself, then the drop-ins by their names. A drop-in in `/etc` replaces one with the same
//! name in `/run`, and that replaces one in `/usr/lib`; an empty one, or a link to `/dev/null`, removes it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::Context;

/// The file that is read unless another is named. It need not exist.
pub(super) const FILE: &str = "etc/ovn-extaddr/config.toml";

/// The directories of drop-ins, those of lowest precedence first. None is below a directory of the agent's user, who could
/// replace it, as `/run/ovn-extaddr` is: root reads them, too.
pub(super) const DROP_INS: [&str; 3] =
    ["usr/lib/ovn-extaddr/config.d", "run/ovn-extaddr.d", "etc/ovn-extaddr/config.d"];

/// Returns the files to read, of those below `root`.
pub(super) fn files(root: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let file = root.join(FILE);
    // Other errors are reported by the attempt to read it.
    let is_absent = fs::metadata(&file).is_err_and(|error| error.kind() == io::ErrorKind::NotFound);
    let mut files: Vec<_> = Some(file).filter(|_| !is_absent).into_iter().collect();
    let mut drop_ins: BTreeMap<OsString, PathBuf> = BTreeMap::new();
    for directory in directories(root) {
        let entries = match fs::read_dir(&directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            found => found.with_context(|| format!("cannot read {}", directory.display()))?,
        };
        for entry in entries {
            let path = entry.with_context(|| format!("cannot read {}", directory.display()))?.path();
            if let Some(name) = path.file_name().filter(|_| is_drop_in(&path)) {
                drop_ins.insert(name.to_owned(), path);
            }
        }
    }
    files.extend(drop_ins.into_values());
    Ok(files)
}

/// Returns whether a file in a directory of drop-ins is one, by its name. Editors keep hidden files beside the ones that
/// they change.
pub(crate) fn is_drop_in(path: &Path) -> bool {
    let is_hidden = path.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
    !is_hidden && path.extension().is_some_and(|extension| extension == "toml")
}

/// Returns the directories of drop-ins, whether they exist or not.
pub(super) fn directories(root: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    let root = root.to_owned();
    DROP_INS.into_iter().map(move |directory| root.join(directory))
}
