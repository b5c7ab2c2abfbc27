//! A change of the database that brings it nearer to what should be there.

use std::net::IpAddr;

use ovn_model::{LoadBalancerId, NatId, RouterId};
use uuid::Uuid;

use crate::row::OwnRow;

/// One change of the database.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum RowChange {
    /// Insert the row and have the router refer to it.
    Insert(OwnRow),
    /// Change the row of ours in its place.
    Update(NatId, OwnRow),
    /// Take the row of ours off its router, with which it goes.
    Delete(NatId, RouterId),
    /// Take a load balancer with nothing but a port-less VIP off a router.
    Detach(RouterId, LoadBalancerId),
    /// Put it on again.
    Attach(RouterId, Uuid),
    /// Remove a port-less VIP, key and value, from a load balancer.
    RemoveVip(LoadBalancerId, Box<str>, Box<str>),
    /// Put it in again.
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
