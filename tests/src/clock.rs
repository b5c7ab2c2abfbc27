use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::time::Duration;

use anyhow::Result;

use crate::command::{isolated, run};
use crate::dir::Dir;

/// A clock that a test puts forward, for processes that it starts: ovsdb-server's own `time/warp` is not in distributed
/// servers. Waits of a process in the kernel do not end sooner; it reads its clock when it next has something to do.
#[derive(Debug)]
pub struct Clock {
    ahead: File,
    dir: Dir,
}

impl Clock {
    /// A clock that shows the real time.
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

    /// Puts it ahead of the real time by this much; whole seconds count.
    pub fn set(&self, ahead: Duration) -> Result<()> {
        let seconds = i64::try_from(ahead.as_secs())?;
        Ok(self.ahead.write_all_at(&seconds.to_ne_bytes(), 0)?)
    }

    /// The environment of a process that uses this clock.
    pub fn environment(&self) -> [(String, String); 2] {
        let path = |name: &str| self.dir.path().join(name).display().to_string();
        [("LD_PRELOAD".to_owned(), path("clock.so")), ("OXA_CLOCK".to_owned(), path("ahead"))]
    }
}
