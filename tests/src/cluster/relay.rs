use anyhow::Result;

use super::{DATABASE, Member};
use crate::dir::Dir;

/// An ovsdb-server without its own database, which relays that of others.
#[derive(Debug)]
pub struct Relay {
    server: Member,
    _dir: Dir,
}

impl Relay {
    /// Starts a relay of the Northbound database at these remotes.
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
