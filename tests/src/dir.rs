use std::path::Path;

use anyhow::{Context, Result};
use tempfile::TempDir;

/// A temporary directory with a short name (a Unix socket's path has room for 107 bytes only).
#[derive(Debug)]
pub(crate) struct Dir(TempDir);

impl Dir {
    pub(crate) fn new(what: &str) -> Result<Self> {
        let mut dir = tempfile::Builder::new()
            .prefix(&format!("oxa-{what}-"))
            .tempdir()
            .context("cannot make a temporary directory")?;
        if std::env::var_os("OVN_EXTADDR_TESTS_KEEP").is_some() {
            eprintln!("{what}: keeping {}", dir.path().display());
            dir.disable_cleanup(true);
        }
        Ok(Self(dir))
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }
}
