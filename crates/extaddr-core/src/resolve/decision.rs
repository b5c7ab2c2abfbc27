//! Decisions on intents, and their dependencies.

use std::net::IpAddr;
use std::sync::Arc;

use ovn_model::{ExternalIps, Family, NatId, RouterId, RouterPortId};
use smallvec::SmallVec;
use uuid::Uuid;

use crate::port_range::PortRange;
use crate::reason::Reason;
use crate::row::{OwnRow, Purpose};
use crate::wanted::{Source, Text};

/// The decision on an intent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The address family.
    pub family: Family,
    /// The intent, as it was written.
    pub wanted: Text,
    /// The source.
    pub source: Source,
    /// Whether the intent is presumed, see [`Intent`](crate::intent::Intent).
    pub presumed: bool,
    /// The port's addresses of the family.
    pub internal: SmallVec<[IpAddr; 1]>,
    /// The router that has the address, once it is clear.
    pub router: Option<RouterId>,
    /// The address, once it is clear.
    pub external: Option<IpAddr>,
    /// Whether the address has to be converted for it, see [`conversion`](crate::conversion).
    pub converts: bool,
    /// The outcome.
    pub verdict: Verdict,
}

/// An address on a router.
pub type Place = (RouterId, IpAddr);

/// The outcome for an intent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Our rows fulfil it.
    Granted(Grant),
    /// Something is missing that may come.
    Waiting(Reason),
    /// It cannot be granted as things are.
    Rejected(Reason),
    /// A foreign row, or another port's, is in its place.
    Conflict(Reason),
    /// A foreign row fulfils it.
    Foreign(NatId),
}

/// The content of the rows that fulfil an intent; see [`Decision::rows`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// The internal addresses that no foreign row translates, at least one, and the UUID of the row for each.
    pub rows: SmallVec<[(IpAddr, Uuid); 1]>,
    /// The source ports that connections are kept to.
    pub port_range: Option<PortRange>,
    /// The gateway port that the rows are for.
    pub gateway_port: Option<RouterPortId>,
    /// The peers that the rows are for, as in the network's own SNAT; `None` if the columns are not changed.
    pub external_ips: Option<Box<Option<ExternalIps>>>,
}

/// Something that a decision depends on, besides the port and the nodes visited from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Dependency {
    /// The use of an address by a router.
    Address(RouterId, IpAddr),
    /// The use of an address by any router.
    Anywhere(IpAddr),
    /// A load balancer, wherever it is.
    Balancer(Uuid),
}

impl Decision {
    /// Returns the address, or the intent's text until it is clear.
    pub fn address(&self) -> String {
        self.external.map_or_else(|| self.wanted.to_string(), |address| address.to_string())
    }

    /// Returns the content of the desired rows, if there are any.
    pub fn grant(&self) -> Option<&Grant> {
        if let Verdict::Granted(grant) = &self.verdict { Some(grant) } else { None }
    }

    /// Returns the desired rows of a decision on this port.
    pub fn rows(&self, port: &Arc<str>) -> impl Iterator<Item = OwnRow> {
        let place = self.router.zip(self.external);
        let granted = self.grant().zip(place).into_iter();
        granted.flat_map(move |(grant, (router, external))| {
            grant.rows.iter().map(move |(logical, uuid)| OwnRow {
                router,
                uuid: *uuid,
                purpose: Purpose::Egress { port: Arc::clone(port) },
                external,
                logical: *logical,
                port_range: grant.port_range,
                gateway_port: grant.gateway_port,
                external_ips: grant.external_ips.as_deref().copied(),
            })
        })
    }

    /// Returns the places of its rows; there can be only one row for each address on a router.
    pub fn claims(&self) -> impl Iterator<Item = Place> {
        let granted = self.grant().zip(self.router).into_iter();
        granted.flat_map(|(grant, router)| grant.rows.iter().map(move |(logical, _)| (router, *logical)))
    }

    /// Returns the conversion that its rows need, if they do.
    pub fn conversion(&self) -> Option<Place> {
        self.router.zip(self.external).filter(|_| self.converts && self.grant().is_some())
    }

    /// Returns the reason, if there is one.
    pub fn reason(&self) -> Option<&Reason> {
        match &self.verdict {
            Verdict::Waiting(reason) | Verdict::Rejected(reason) | Verdict::Conflict(reason) => Some(reason),
            Verdict::Granted(_) | Verdict::Foreign(_) => None,
        }
    }
}
