//! A change of the database towards the desired state.

use std::net::IpAddr;

use ovn_model::{LoadBalancerId, NatId, RouterId};
use uuid::Uuid;

use crate::row::OwnRow;

/// One change of the database.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum RowChange {
    /// Insert the row and have the router refer to it.
    Insert(OwnRow),
    /// Change our row in place.
    Update(NatId, OwnRow),
    /// Remove our row from its router, which deletes it.
    Delete(NatId, RouterId),
    /// Detach from a router a load balancer that has only a port-less VIP.
    Detach(RouterId, LoadBalancerId),
    /// Attach it again.
    Attach(RouterId, Uuid),
    /// Remove a port-less VIP, key and value, from a load balancer.
    RemoveVip(LoadBalancerId, Box<str>, Box<str>),
    /// Insert it again.
    RestoreVip(Uuid, Box<str>, Box<str>),
}

impl RowChange {
    /// Returns the row to be written.
    pub fn row(&self) -> Option<&OwnRow> {
        if let Self::Insert(row) | Self::Update(_, row) = self { Some(row) } else { None }
    }

    /// Returns the external address of a row to be written.
    pub fn external(&self) -> Option<IpAddr> {
        self.row().map(|row| row.external)
    }
}
