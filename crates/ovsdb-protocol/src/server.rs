//! Fitness of a server: its `_Server` row of the database (ovsdb-server(5)) against the configuration.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;

use uuid::Uuid;

use crate::value::{Datum, Row};

/// A server's description of one of its databases: a row of table `Database` in `_Server`.
///
/// Every column is optional, because older servers lack some.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerDatabase {
    /// The storage of the database.
    pub model: StorageModel,
    /// Whether the server is in contact with the majority of its cluster, or with the source of its relay.
    pub connected: bool,
    /// Whether the server leads its cluster. A standalone server does, a relay never.
    pub leader: bool,
    /// Whether there is a schema: not before a server has joined its cluster or heard from its relay's source.
    pub has_schema: bool,
    /// The cluster, of a clustered database.
    pub cluster_id: Option<Uuid>,
    /// The server's id in the cluster.
    pub server_id: Option<Uuid>,
    /// The index of the last entry of the cluster's log that the server has applied, if it was requested.
    pub index: Option<u64>,
}

/// The storage of a database.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StorageModel {
    /// In a file of its own. Also assumed of a server without `_Server`.
    #[default]
    Standalone,
    /// Together with the other members of a cluster.
    Clustered,
    /// Not at all: it relays the database of another server.
    Relay,
}

/// The role of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerRole {
    /// The only server of its database.
    Standalone,
    /// The leader of a cluster.
    Leader,
    /// Another member of a cluster. It may lag behind, and a lock there excludes nobody.
    Follower,
    /// A relay. It may lag behind, and transactions that assert a lock fail there.
    Relay,
}

/// The reason why a server cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ServerUnusable {
    /// It does not have the database.
    NoDatabase,
    /// It has the database but not its schema: it has not joined the cluster yet, or, as a relay, not heard from its source.
    NoSchema(StorageModel),
    /// It belongs to another cluster than the configured one, or to none.
    OtherCluster {
        /// The cluster that it belongs to.
        found: Option<Uuid>,
        /// The configured cluster.
        wanted: Uuid,
    },
    /// It has lost the majority of its cluster, or the source of its relay.
    Disconnected(StorageModel),
    /// It is a member of a cluster but not the leader.
    NotLeader,
    /// It is a relay, which never is the leader.
    Relay,
    /// It refuses writes: it is a backup, or otherwise read-only. Only a write shows that.
    ReadOnly,
    /// It is behind what another member of the same cluster has applied.
    Stale {
        /// The index of the last log entry that it has applied.
        index: u64,
        /// The highest index seen of the cluster.
        least: u64,
    },
}

/// The requirements on a server.
#[derive(Clone, Debug, Default)]
pub(crate) struct Policy {
    /// Only the leader of a cluster, or a server without one.
    pub(crate) leader_only: bool,
    /// Only members of this cluster.
    pub(crate) cluster_id: Option<Uuid>,
    /// The highest index seen of each cluster. A cluster that is created again has another id.
    least: BTreeMap<Uuid, u64>,
}

// ===== impl ServerDatabase =====

impl ServerDatabase {
    /// The columns that are read from the row, except for `index`: it changes with every commit.
    pub(crate) const COLUMNS: [&str; 7] = ["cid", "connected", "leader", "model", "name", "schema", "sid"];

    pub(crate) fn read(row: &Row, index: Option<u64>) -> Self {
        let flag = |column| row.get(column).and_then(Datum::as_bool).unwrap_or(false);
        let id = |column| row.get(column).and_then(Datum::as_uuid);
        let model = match row.get("model").and_then(Datum::as_str) {
            Some("clustered") => StorageModel::Clustered,
            Some("relay") => StorageModel::Relay,
            _ => StorageModel::Standalone,
        };
        Self {
            model,
            connected: flag("connected"),
            leader: flag("leader"),
            has_schema: row.get("schema").and_then(Datum::as_str).is_some_and(|schema| !schema.is_empty()),
            cluster_id: id("cid"),
            server_id: id("sid"),
            index,
        }
    }

    fn role(&self) -> ServerRole {
        match self.model {
            StorageModel::Standalone => ServerRole::Standalone,
            StorageModel::Clustered if self.leader => ServerRole::Leader,
            StorageModel::Clustered => ServerRole::Follower,
            StorageModel::Relay => ServerRole::Relay,
        }
    }
}

// ===== impl ServerRole =====

impl ServerRole {
    /// Returns true if locks of this server are meaningful: no other server grants the same lock at the same time, except
    /// during a failover, and transactions can assert it.
    pub fn grants_locks(self) -> bool {
        matches!(self, Self::Standalone | Self::Leader)
    }
}

// ===== impl Policy =====

impl Policy {
    pub(crate) fn new(leader_only: bool, cluster_id: Option<Uuid>) -> Self {
        Self { leader_only, cluster_id, least: BTreeMap::new() }
    }

    /// Checks a server by its `_Server` row of the database, `None` if it has none.
    ///
    /// # Errors
    /// The server cannot be used.
    pub(crate) fn check(&self, database: Option<&ServerDatabase>) -> Result<ServerRole, ServerUnusable> {
        let database = database.ok_or(ServerUnusable::NoDatabase)?;
        let &ServerDatabase { model, connected, has_schema, cluster_id, index, .. } = database;
        if !has_schema {
            return Err(ServerUnusable::NoSchema(model));
        }
        if let Some(wanted) = self.cluster_id
            && cluster_id != Some(wanted)
        {
            return Err(ServerUnusable::OtherCluster { found: cluster_id, wanted });
        }
        let role = database.role();
        // A standalone server is connected and leader by definition; it need not say so.
        if role == ServerRole::Standalone {
            return Ok(role);
        }
        if !connected {
            return Err(ServerUnusable::Disconnected(model));
        }
        match role {
            ServerRole::Relay if self.leader_only => return Err(ServerUnusable::Relay),
            ServerRole::Follower if self.leader_only => return Err(ServerUnusable::NotLeader),
            _ => {}
        }
        let least = cluster_id.and_then(|cluster| self.least.get(&cluster)).copied().unwrap_or(0);
        // A server that does not report its index may be at any index.
        let index = index.unwrap_or(0);
        if role != ServerRole::Relay && index < least {
            return Err(ServerUnusable::Stale { index, least });
        }
        Ok(role)
    }

    /// Records the index of a server, below which others of its cluster are stale.
    pub(crate) fn record_index(&mut self, database: &ServerDatabase) {
        if let (Some(cluster), Some(index)) = (database.cluster_id, database.index) {
            let least = self.least.entry(cluster).or_default();
            *least = index.max(*least);
        }
    }

    /// Forgets the indexes.
    pub(crate) fn reset_min_index(&mut self) {
        self.least.clear();
    }
}

// ===== impl ServerUnusable =====

impl fmt::Display for ServerUnusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoDatabase => f.write_str("the server does not have the database"),
            Self::NoSchema(StorageModel::Clustered) => {
                f.write_str("the server has not joined its cluster yet")
            }
            Self::NoSchema(StorageModel::Relay) => {
                f.write_str("the server is a relay that has not heard from its source yet")
            }
            Self::NoSchema(StorageModel::Standalone) => {
                f.write_str("the server has no schema for the database")
            }
            Self::OtherCluster { found: Some(found), wanted } => {
                write!(f, "the server belongs to cluster {found}, not to {wanted}")
            }
            Self::OtherCluster { found: None, wanted } => {
                write!(f, "the server belongs to no cluster, and {wanted} is wanted")
            }
            Self::Disconnected(StorageModel::Relay) => {
                f.write_str("the server is a relay that has lost its source")
            }
            Self::Disconnected(_) => f.write_str("the server has lost the majority of its cluster"),
            Self::NotLeader => f.write_str("the server is not the leader of its cluster"),
            Self::Relay => f.write_str("the server is a relay, and only the leader will do"),
            Self::ReadOnly => f.write_str("the server takes no writes: it is a backup, or read-only"),
            Self::Stale { index, least } => write!(
                f,
                "the server is stale: it has applied the cluster's log up to {index}, and {least} was seen before"
            ),
        }
    }
}

impl std::error::Error for ServerUnusable {}
