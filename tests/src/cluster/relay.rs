use anyhow::Result;

use super::{DATABASE, Member};
use crate::dir::Dir;

/// An ovsdb-server without a database of its own, which passes on what others have.
#[derive(Debug)]
pub struct Relay {
    server: Member,
    _dir: Dir,
}

impl Relay {
    /// Starts a relay of the Northbound database at these remotes.
    ///
    /// # Errors
    ///
    /// When it does not start. That it has no source is no error.
    pub fn start(remotes: &str) -> Result<Self> {
        let dir = Dir::new("relay")?;
        let server = Member::start(dir.path(), "relay", &[format!("relay:{DATABASE}:{remotes}")])?;
        Ok(Self { server, _dir: dir })
    }

    /// The server.
    pub fn server(&mut self) -> &mut Member {
        &mut self.server
    }
}
