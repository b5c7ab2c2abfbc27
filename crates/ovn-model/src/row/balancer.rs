//! `Load_Balancer`.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use ovsdb_protocol::{DatumReader, DecodeError, Uuid};

use super::{Draft, Meta, Row, shared};
use crate::id::{GroupId, LoadBalancerId, RouterId};
use crate::problem::Notes;
use crate::store::IdSet;
use crate::tables::{self, Table};
use crate::vip::Vip;

/// A load balancer.
#[derive(Clone, Debug)]
pub struct LoadBalancer {
    /// The row.
    pub uuid: Uuid,
    /// Its name, which need not be unique.
    pub name: Arc<str>,
    /// Its protocol; northd takes none for TCP.
    pub protocol: Option<Protocol>,
    /// Its virtual addresses, sorted. A key that is no address is missing.
    pub vips: Vec<Vip>,
    pub(crate) routers: IdSet<RouterId>,
    pub(crate) groups: IdSet<GroupId>,
    /// The pairs of `vips` that were not understood, or not all of it.
    pub(crate) bad: Option<Box<BadVips>>,
    pub(crate) meta: Meta,
}

/// Pairs as the database has them.
pub(crate) type BadVips = BTreeMap<Box<str>, Box<str>>;

/// A transport protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

impl Protocol {
    /// Returns the protocol's name in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        }
    }
}

impl LoadBalancer {
    /// Tells whether a group has it.
    pub fn is_grouped(&self) -> bool {
        !self.groups.as_slice().is_empty()
    }

    /// Tells whether all of its virtual addresses and backends make sense to us.
    pub fn is_understood(&self) -> bool {
        self.bad.is_none()
    }

    /// Returns the virtual addresses on an address.
    pub fn vips_on(&self, address: IpAddr) -> &[Vip] {
        let start = self.vips.partition_point(|vip| vip.endpoint.address < address);
        let rest = self.vips.get(start..).unwrap_or_default();
        &rest[..rest.partition_point(|vip| vip.endpoint.address == address)]
    }

    /// Returns the virtual address with exactly this key in the database.
    pub fn vip(&self, key: &str) -> Option<&Vip> {
        let vip = Vip::parse(key, "")?;
        let at = self.vips.binary_search_by(|v| v.order().cmp(&vip.order())).ok()?;
        self.vips.get(at)
    }
}

impl Row for LoadBalancer {
    type Id = LoadBalancerId;

    fn vacant(uuid: Uuid) -> Self {
        Self {
            uuid,
            name: Arc::default(),
            protocol: None,
            vips: Vec::new(),
            routers: IdSet::default(),
            groups: IdSet::default(),
            bad: None,
            meta: Meta::default(),
        }
    }

    fn uuid(&self) -> Uuid {
        self.uuid
    }

    fn meta(&self) -> &Meta {
        &self.meta
    }

    fn meta_mut(&mut self) -> &mut Meta {
        &mut self.meta
    }

    fn is_referenced(&self) -> bool {
        !self.routers.is_empty() || !self.groups.is_empty()
    }
}

/// A load balancer that is being read.
#[derive(Debug, Default)]
pub(crate) struct BalancerDraft {
    pub(crate) name: Arc<str>,
    pub(crate) protocol: Option<Protocol>,
    /// All pairs or, for a difference, those that it mentions.
    pub(crate) vips: Vec<Vip>,
    pub(crate) bad: BadVips,
}

impl Draft for BalancerDraft {
    const TABLE: &'static Table = &tables::LOAD_BALANCER;

    fn column(
        &mut self,
        name: &str,
        value: &mut DatumReader<'_, '_>,
        notes: &mut Notes,
    ) -> Result<(), DecodeError> {
        match name {
            "name" => shared(&mut self.name, value)?,
            "protocol" => {
                let text = value.string()?;
                self.protocol = match text.as_deref() {
                    Some("tcp") => Some(Protocol::Tcp),
                    Some("udp") => Some(Protocol::Udp),
                    Some("sctp") => Some(Protocol::Sctp),
                    None => None,
                    Some(other) => {
                        notes.complain(name, format!("not understood: {other:?}"));
                        None
                    }
                };
            }
            "vips" => {
                value.strings(|key, value| {
                    let vip = Vip::parse(key, value);
                    let bad = vip.as_ref().is_none_or(Vip::is_doubtful);
                    let was = self.bad.remove(key);
                    if bad && was.as_deref() != Some(value) {
                        self.bad.insert(key.into(), value.into());
                    }
                    self.vips.extend(vip);
                })?;
                if !self.bad.is_empty() {
                    notes.complain(name, format!("not understood: {:?}", self.bad));
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn clear(&mut self, name: &str) -> bool {
        match name {
            "name" => self.name = Arc::default(),
            "protocol" => self.protocol = None,
            _ => {
                self.vips.clear();
                self.bad.clear();
            }
        }
        name == "vips"
    }
}
