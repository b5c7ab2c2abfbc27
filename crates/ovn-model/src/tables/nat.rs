//! `NAT`.

use std::borrow::Cow;
use std::net::IpAddr;

use ipnet::IpNet;
use ovsdb_protocol::{AtomValue, ColumnGroup, Field, Original, Rare, Table, Uuid};

use crate::address::Mac;
use crate::id::{RouterId, RouterPortId};
use crate::naming;
use crate::own_keys;
use crate::port_range::PortRange;
use crate::prefix::{Address, LogicalPrefix, is_host, parse_prefix};
use crate::store::{Meta, Slabs};
use crate::tags::Tags;

/// A NAT rule.
#[derive(Clone, Debug, Table)]
#[ovsdb(table = "NAT", load_stage = 1, since = "OVN 20.03", context = "Slabs")]
pub struct Nat {
    /// The row.
    #[ovsdb(uuid)]
    pub uuid: Uuid,
    /// Its kind; `None` if the database names an unknown one.
    #[ovsdb(column = "type")]
    pub kind: Option<NatKind>,
    external_ip: Original<Address>,
    logical_ip: Original<LogicalPrefix>,
    #[ovsdb(
        optional,
        since = "20.06",
        absent = "replies to an instance's own connections may be taken for forwarded traffic"
    )]
    external_port_range: Original<PortRange>,
    /// The router port that it is limited to.
    #[ovsdb(optional, since = "22.06", absent = "routers with several gateway ports are refused")]
    pub gateway_port: Option<RouterPortId>,
    /// `options:stateless`. Any value except `true`, in any case of letters, is false, as in northd, which requires lower
    /// case before OVN 23.06.
    #[ovsdb(key = "options:stateless")]
    pub stateless: Original<bool>,
    /// The pairs of `external_ids` that mark a row as an agent's.
    #[ovsdb(prefix = "external_ids:ovn-extaddr:")]
    pub tags: Tags,
    #[ovsdb(flatten)]
    extras: Rare<NatExtras>,
    /// The router whose rule it is; of several that refer to it, the one with the least UUID.
    #[ovsdb(skip)]
    pub router: Option<RouterId>,
    #[ovsdb(skip)]
    pub(crate) named: bool,
    #[ovsdb(skip)]
    pub(crate) meta: Meta,
}

/// The rare columns of a NAT rule.
#[derive(Clone, Debug, Default, PartialEq, Eq, ColumnGroup)]
#[ovsdb(row = "Nat", context = "Slabs")]
pub(crate) struct NatExtras {
    #[ovsdb(optional, since = "24.09", column = "match")]
    match_expression: Box<str>,
    #[ovsdb(optional, since = "20.09")]
    allowed_ext_ips: Option<Uuid>,
    #[ovsdb(optional, since = "20.09")]
    exempted_ext_ips: Option<Uuid>,
    #[ovsdb(optional, since = "20.03")]
    external_mac: Option<Box<str>>,
    #[ovsdb(optional, since = "20.03")]
    logical_port: Option<Box<str>>,
}

/// The peers of a NAT rule, by an address set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ExternalIps {
    /// Only these.
    Allowed(Uuid),
    /// All except these, which are not translated.
    Exempted(Uuid),
}

/// The kind of a NAT rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, AtomValue)]
pub enum NatKind {
    /// Changes the source of leaving packets.
    Snat,
    /// Changes the destination of arriving packets.
    Dnat,
    /// Both.
    DnatAndSnat,
}

/// The error of a NAT rule with both allowed and exempted peers, which has no effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BothExternalIps;

impl Nat {
    /// `match`, an expression that packets also have to meet.
    pub const MATCH: Field<Self, Box<str>> = NatExtras::COLUMNS.match_expression;
    /// `external_mac`, the Ethernet address of a distributed rule.
    pub const EXTERNAL_MAC: Field<Self, Option<Box<str>>> = NatExtras::COLUMNS.external_mac;
    /// `allowed_ext_ips`, an address set.
    pub const ALLOWED_EXT_IPS: Field<Self, Option<Uuid>> = NatExtras::COLUMNS.allowed_ext_ips;
    /// `exempted_ext_ips`, an address set.
    pub const EXEMPTED_EXT_IPS: Field<Self, Option<Uuid>> = NatExtras::COLUMNS.exempted_ext_ips;

    /// Returns the external address, if it is one.
    pub fn external_ip(&self) -> Option<IpAddr> {
        self.external_ip.get().map(|address| address.0)
    }

    /// Returns `external_ip` if it is a network and not an address.
    pub fn external_network(&self) -> Option<IpNet> {
        if self.external_ip().is_some() { None } else { parse_prefix(&self.external_ip_text()) }
    }

    /// Returns true if the external address is written as a host's prefix, which is valid in matches of OVN but not in
    /// actions.
    pub fn is_external_masked(&self) -> bool {
        let canonical = |address| self.external_ip.is_canonically(&Address(address));
        self.external_ip().is_some_and(|address| !canonical(address)) && self.external_ip_text().contains('/')
    }

    /// Returns true if a single internal address is written as a host's prefix.
    pub fn is_logical_masked(&self) -> bool {
        let canonical = |address: IpAddr| self.logical_ip.is_canonically(&LogicalPrefix(address.into()));
        self.logical_host().is_some_and(|address| !canonical(address)) && self.logical_ip_text().contains('/')
    }

    /// Returns the internal prefix, if it is one; an address without a mask is a host's prefix, and bits outside the
    /// mask are cleared.
    pub fn logical_ip(&self) -> Option<IpNet> {
        self.logical_ip.get().map(|prefix| prefix.0)
    }

    /// Returns `external_ip` as the database has it.
    pub fn external_ip_text(&self) -> Cow<'_, str> {
        self.external_ip.text()
    }

    /// Returns `logical_ip` as the database has it.
    pub fn logical_ip_text(&self) -> Cow<'_, str> {
        self.logical_ip.text()
    }

    /// Returns true if it translates between these two addresses, both in canonical form.
    pub fn is_written(&self, external: IpAddr, logical: IpAddr) -> bool {
        self.external_ip.is_canonically(&Address(external))
            && self.logical_ip.is_canonically(&LogicalPrefix(logical.into()))
    }

    /// Returns the internal address, if it is a single one.
    pub fn logical_host(&self) -> Option<IpAddr> {
        self.logical_ip().filter(is_host).map(|prefix| prefix.addr())
    }

    /// Returns true if it translates the source of a single address.
    pub fn is_host_snat(&self) -> bool {
        self.kind == Some(NatKind::Snat) && self.logical_host().is_some()
    }

    /// Returns true if it translates the source of a network's addresses.
    pub fn is_network_snat(&self) -> bool {
        self.kind == Some(NatKind::Snat) && self.logical_ip().is_some_and(|prefix| !is_host(&prefix))
    }

    /// Returns the range that it chooses source ports from, if there is one.
    pub fn port_range(&self) -> Option<PortRange> {
        self.external_port_range.get().copied()
    }

    /// Returns `external_port_range` as the database has it; empty if it is not set.
    pub fn external_port_range_text(&self) -> Cow<'_, str> {
        self.external_port_range.text()
    }

    /// Returns true if `external_port_range` is this range in canonical form; for `None`, if it is not set.
    pub fn has_port_range(&self, range: Option<PortRange>) -> bool {
        match range {
            Some(range) => self.external_port_range.is_canonically(&range),
            None => !self.external_port_range.is_present(),
        }
    }

    /// Returns `match`; empty if it is not set or the server has no such column.
    pub fn matches(&self) -> &str {
        self.extras.get().map_or("", |extras| &extras.match_expression)
    }

    /// Returns the peers that it is limited to; `None` if it is for all.
    ///
    /// # Errors
    /// It has both allowed and exempted peers.
    pub fn external_ips(&self) -> Result<Option<ExternalIps>, BothExternalIps> {
        let Some(extras) = self.extras.get() else { return Ok(None) };
        match (extras.allowed_ext_ips, extras.exempted_ext_ips) {
            (Some(_), Some(_)) => Err(BothExternalIps),
            (Some(allowed), None) => Ok(Some(ExternalIps::Allowed(allowed))),
            (None, exempted) => Ok(exempted.map(ExternalIps::Exempted)),
        }
    }

    /// Returns true if `external_mac` is set and not an Ethernet address.
    pub fn has_bad_external_mac(&self) -> bool {
        self.external_mac().is_some_and(|mac| Mac::parse(mac).is_none())
    }

    /// Returns the port on whose hypervisor it is applied, if that is not the gateway's: that of a `dnat_and_snat` rule
    /// with `external_mac` and `logical_port`.
    pub fn distributed_at(&self) -> Option<&str> {
        let port = self.extras.get()?.logical_port.as_deref();
        port.filter(|_| self.kind == Some(NatKind::DnatAndSnat) && self.external_mac().is_some())
    }

    fn external_mac(&self) -> Option<&str> {
        self.extras.get()?.external_mac.as_deref()
    }

    /// Returns true if its UUID is that of [`naming::row_uuid`] for its tags, its router and its internal address.
    ///
    /// This is computed when the row arrives: in a snapshot, that is while the server renders the rest.
    pub fn is_named(&self) -> bool {
        self.named
    }

    /// Computes whether it has this UUID on this router.
    pub(crate) fn is_named_on(&self, router: Uuid) -> bool {
        let tag = |key| self.tags.get(key);
        let name = || {
            let (owner, role, port) = (tag(own_keys::OWNER)?, tag(own_keys::ROLE)?, tag(own_keys::PORT)?);
            Some(naming::row_uuid(owner, role, router, self.logical_host()?, port))
        };
        // Skip the SHA-1 for UUIDs that are not of version 5.
        self.uuid.get_version_num() == 5 && name() == Some(self.uuid)
    }

    /// Returns the name that the row has in [`Store::nats_tagged`](crate::Store::nats_tagged).
    pub(crate) fn tagged(&self) -> Option<&str> {
        if self.tags.is_empty() { None } else { Some(self.tags.get(own_keys::PORT).unwrap_or_default()) }
    }
}
