//! The current connection of a session, or the attempt to make one.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use tokio::io;
use tokio::time::Instant;

use super::SessionConfig;
use super::state::{Call, ConnectionPhase, Feed, SessionState};
use crate::endpoint::{Destination, Endpoint};
use crate::transport::Stream;
use crate::error::Error;
use crate::jsonrpc::JsonRpc;
use crate::link::{Incoming, Link};
use crate::replica::Replica;
use crate::server::StorageModel;

/// The inactivity probe while a server prepares a snapshot. It does nothing else meanwhile, and needs more than a second
/// for 40 MB.
pub(super) const SNAPSHOT_PROBE: Duration = Duration::from_secs(60);

/// The number of received bytes of a snapshot that may wait to be decoded.
const MAX_READ_AHEAD: usize = 32 << 20;

/// The number of bytes that a server may send before rows are requested: two schemas, and rows of `_Server`.
pub(super) const MAX_HANDSHAKE_BYTES: u64 = 16 << 20;

/// The phase of a session's connection.
pub(super) enum Phase {
    /// Pausing until this time.
    Waiting(Instant),
    Resolving(Endpoint, Attempt<io::Result<Vec<Destination>>>),
    Connecting(Endpoint, Attempt<Result<Stream, Error>>),
    Live(Box<Live>),
}

/// An operation under way.
type Attempt<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// An established connection.
pub(super) struct Live {
    pub(super) endpoint: Endpoint,
    pub(super) since: Instant,
    pub(super) phase: ConnectionPhase,
    pub(super) link: Link<Call>,
}

// ===== impl Live =====

impl Live {
    /// Receives and handles one message.
    pub(super) async fn advance(
        &mut self,
        state: &mut SessionState,
        replica: &mut impl Replica,
        config: &SessionConfig,
        handshake_timeout: Duration,
    ) -> Result<(), Error> {
        let mut feed = Feed { state: &mut *state, replica: &mut *replica };
        let incoming = self.link.drive(&mut feed).await?;
        let Link { rpc, decoder, limit, ahead, .. } = &mut self.link;
        match incoming {
            Incoming::Event(event) => state.handle(event, rpc, decoder, replica)?,
            Incoming::Rows(head) => state.rows_complete(head, rpc, decoder, replica)?,
        }
        let phase = state.connection_phase();
        if phase != self.phase {
            self.phase = phase;
            ahead.set_limit(if phase == ConnectionPhase::Loading { MAX_READ_AHEAD } else { 0 });
            *limit = match phase {
                ConnectionPhase::Handshake => decoder.received() + MAX_HANDSHAKE_BYTES,
                _ => u64::MAX,
            };
            let probe = match phase {
                ConnectionPhase::Handshake => Some(handshake_timeout / 2),
                ConnectionPhase::Loading => Some(config.probe.unwrap_or_default().max(SNAPSHOT_PROBE)),
                // A Unix socket reports the end of its peer, and if there is no other server it does not matter whether
                // this one is frozen.
                ConnectionPhase::Synced => {
                    let has_others =
                        state.server().is_some_and(|server| server.model == StorageModel::Clustered);
                    config.probe.filter(|_| has_others || self.endpoint.needs_probe())
                }
            };
            rpc.set_probe(probe, Instant::now().into_std());
        }
        Ok(())
    }
}

// ===== impl Phase =====

impl Phase {
    /// Returns the protocol of the connection, if there is one.
    pub(super) fn rpc(&mut self) -> Option<&mut JsonRpc<Call>> {
        if let Self::Live(live) = self { Some(&mut live.link.rpc) } else { None }
    }
}

impl fmt::Debug for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Waiting(_) => f.write_str("Waiting"),
            Self::Resolving(endpoint, _) => f.debug_tuple("Resolving").field(endpoint).finish(),
            Self::Connecting(endpoint, _) => f.debug_tuple("Connecting").field(endpoint).finish(),
            Self::Live(live) => f.debug_tuple("Live").field(&live.endpoint).finish(),
        }
    }
}
