//! The configuration of a session.

use std::time::Duration;

use uuid::Uuid;

use crate::backoff::Backoff;
use crate::endpoint::Remotes;
use crate::lock::LockName;
use crate::scan::Limits;
use crate::tls::TlsConfig;

/// The configuration of a [`Session`](crate::Session) or [`Client`](crate::Client).
#[derive(Clone, Debug)]
pub struct SessionConfig {
    /// The endpoints of the database's servers. Names are resolved at each attempt, and each of their addresses counts
    /// as a remote of its own.
    pub remotes: Remotes,
    /// The database's name.
    pub database: String,
    /// Keys, certificates and CA for `ssl:` remotes.
    pub tls: TlsConfig,
    /// Whether to use only the leader of a cluster, or a standalone server. Followers and relays may lag behind.
    pub leader_only: bool,
    /// The cluster that the servers must belong to. `None`: the one that the remotes name with `cid:`, or any or none.
    pub cluster_id: Option<Uuid>,
    /// A lock to request on every connection to a server that can grant it. Followers and relays cannot: their locks
    /// would exclude nobody.
    pub lock: Option<LockName>,
    /// The inactivity probe: after this time without a byte received an echo request is sent, and after the same time
    /// again the connection is closed. `None`: never. A standalone server is not probed over a Unix socket once the
    /// replica is synchronised.
    pub probe: Option<Duration>,
    /// The timeout of name resolution, of connecting to an address, and of silence in the TLS handshake and until rows are
    /// requested. The last two double with every server that was too slow, up to a minute, until one was not.
    pub connect_timeout: Duration,
    /// The pauses between attempts after every remote was tried.
    pub backoff: Backoff,
    /// The bounds on data that is accepted from the server.
    pub limits: Limits,
}

impl SessionConfig {
    /// Creates the configuration to connect to `database` at `remotes`: only to the leader of a cluster, without a lock, with
    /// a probe and a timeout of 5 seconds.
    pub fn new(remotes: Remotes, database: impl Into<String>) -> Self {
        Self {
            remotes,
            database: database.into(),
            tls: TlsConfig::default(),
            leader_only: true,
            cluster_id: None,
            lock: None,
            probe: Some(Duration::from_secs(5)),
            connect_timeout: Duration::from_secs(5),
            backoff: Backoff::default(),
            limits: Limits::default(),
        }
    }
}
