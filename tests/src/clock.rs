use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::time::Duration;

use anyhow::Result;

use crate::command::{isolated, run};
use crate::dir::Dir;

/// A clock that a test puts forward, for processes that are started by it: ovsdb-server's own `time/warp` is not in
/// the servers that are shipped. What a process waits for in the kernel ends no sooner; it looks at its clock when it
/// next has something to do.
#[derive(Debug)]
pub struct Clock {
    ahead: File,
    dir: Dir,
}

impl Clock {
    /// A clock that shows the time as it is.
    ///
    /// # Errors
    ///
    /// When there is no C compiler, or it fails.
    pub fn new() -> Result<Self> {
        let dir = Dir::new("clock")?;
        let (source, library) = (dir.path().join("clock.c"), dir.path().join("clock.so"));
        fs::write(&source, include_str!("clock.c"))?;
        let mut compile = isolated("cc", dir.path());
        compile.args(["-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o"]).arg(&library).arg(&source);
        run(compile)?;
        let ahead = File::create(dir.path().join("ahead"))?;
        let clock = Self { ahead, dir };
        clock.set(Duration::ZERO)?;
        Ok(clock)
    }

    /// Has it show so much more than the time as it is; whole seconds count.
    ///
    /// # Errors
    ///
    /// When the file cannot be written.
    pub fn set(&self, ahead: Duration) -> Result<()> {
        let seconds = i64::try_from(ahead.as_secs())?;
        Ok(self.ahead.write_all_at(&seconds.to_ne_bytes(), 0)?)
    }

    /// What a process needs in its environment to live by it.
    pub fn environment(&self) -> [(String, String); 2] {
        let path = |name: &str| self.dir.path().join(name).display().to_string();
        [("LD_PRELOAD".to_owned(), path("clock.so")), ("OXA_CLOCK".to_owned(), path("ahead"))]
    }
}
