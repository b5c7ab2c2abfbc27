use std::path::PathBuf;

use anyhow::Result;
use serde_json::Value;

use crate::cluster::Cluster;
use crate::ovsdb_server::OvsdbServer;
use crate::rpc;

pub(crate) const DATABASE: &str = "OVN_Northbound";

/// A Northbound database, of one server or a cluster.
pub trait Northbound {
    /// The Unix sockets of all its servers.
    fn sockets(&self) -> Vec<PathBuf>;

    /// Runs one transaction of RFC 7047 operations at the first server that answers, and returns the result of each. A
    /// follower forwards it to its leader. One of several servers may fail before its answer: the operations are then
    /// executed twice.
    fn transact(&self, operations: Vec<Value>) -> Result<Vec<Value>> {
        rpc::transact_at(&self.sockets(), DATABASE, &operations)
    }
}

impl Northbound for OvsdbServer {
    fn sockets(&self) -> Vec<PathBuf> {
        vec![self.socket()]
    }
}

impl Northbound for Cluster {
    fn sockets(&self) -> Vec<PathBuf> {
        self.members().iter().map(|member| member.socket()).collect()
    }
}
