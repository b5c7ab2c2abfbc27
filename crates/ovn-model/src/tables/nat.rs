//! `NAT`.

use std::borrow::Cow;
use std::net::IpAddr;

use ipnet::IpNet;
use ovsdb_protocol::{AtomValue, ColumnGroup, Field, Original, Rare, Table, Uuid};

use crate::address::Mac;
use crate::id::{RouterId, RouterPortId};
use crate::keys;
use crate::naming;
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
    /// What it does; `None` if the database names something unknown.
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
    /// `options:stateless`. What is not `true` is false, as in northd.
    #[ovsdb(key = "options:stateless")]
    pub stateless: Original<bool>,
    /// The pairs of `external_ids` that mark a row as one of an agent.
    #[ovsdb(prefix = "external_ids:ovn-extaddr:")]
    pub tags: Tags,
    #[ovsdb(flatten)]
    extras: Rare<NatExtras>,
    /// The router whose rule it is; of several that claim it, the one with the least UUID.
    #[ovsdb(skip)]
    pub router: Option<RouterId>,
    #[ovsdb(skip)]
    pub(crate) named: bool,
    #[ovsdb(skip)]
    pub(crate) meta: Meta,
}

/// The columns of a NAT rule that few rules have.
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

/// The peers that a NAT rule is limited to, by an address set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ExternalIps {
    /// It is for these only.
    Allowed(Uuid),
    /// It is for all but these, which leave as they are.
    Exempted(Uuid),
}

/// What a NAT rule does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, AtomValue)]
pub enum NatKind {
    /// Changes the source of what leaves.
    Snat,
    /// Changes the destination of what arrives.
    Dnat,
    /// Both.
    DnatAndSnat,
}

/// A NAT rule names both the peers that it is limited to and those that are exempted, so that it has no effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BothExternalIps;

impl Nat {
    /// `allowed_ext_ips`, an address set.
    pub const ALLOWED_EXT_IPS: Field<Self, Option<Uuid>> = NatExtras::COLUMNS.allowed_ext_ips;
    /// `exempted_ext_ips`, an address set.
    pub const EXEMPTED_EXT_IPS: Field<Self, Option<Uuid>> = NatExtras::COLUMNS.exempted_ext_ips;

    /// Returns the address outside, if it is one.
    pub fn external_ip(&self) -> Option<IpAddr> {
        self.external_ip.get().map(|address| address.0)
    }

    /// Returns `external_ip` if it is a network and no address.
    pub fn external_network(&self) -> Option<IpNet> {
        if self.external_ip().is_some() { None } else { parse_prefix(&self.external_ip_text()) }
    }

    /// Returns true if the address outside is written as a host's prefix, which is good for a match and no action of OVN.
    pub fn is_external_masked(&self) -> bool {
        let canonical = |address| self.external_ip.is_canonically(&Address(address));
        self.external_ip().is_some_and(|address| !canonical(address)) && self.external_ip_text().contains('/')
    }

    /// Returns true if a single address inside is written as a host's prefix.
    pub fn is_logical_masked(&self) -> bool {
        let canonical = |address: IpAddr| self.logical_ip.is_canonically(&LogicalPrefix(address.into()));
        self.logical_host().is_some_and(|address| !canonical(address)) && self.logical_ip_text().contains('/')
    }

    /// Returns the prefix inside, if it is one; an address without a mask is a host's prefix, and bits outside the
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

    /// Returns true if it translates between these two addresses, both written as they are rendered.
    pub fn is_written(&self, external: IpAddr, logical: IpAddr) -> bool {
        self.external_ip.is_canonically(&Address(external))
            && self.logical_ip.is_canonically(&LogicalPrefix(logical.into()))
    }

    /// Returns the address inside, if it is a single one.
    pub fn logical_host(&self) -> Option<IpAddr> {
        self.logical_ip().filter(is_host).map(|prefix| prefix.addr())
    }

    /// Returns true if it gives one address, when it leaves, another.
    pub fn is_host_snat(&self) -> bool {
        self.kind == Some(NatKind::Snat) && self.logical_host().is_some()
    }

    /// Returns true if it gives the addresses of a network, when they leave, another.
    pub fn is_network_snat(&self) -> bool {
        self.kind == Some(NatKind::Snat) && self.logical_ip().is_some_and(|prefix| !is_host(&prefix))
    }

    /// Returns the ports that it chooses source ports of, if it is limited to some.
    pub fn port_range(&self) -> Option<PortRange> {
        self.external_port_range.get().copied()
    }

    /// Returns `external_port_range` as the database has it; empty if it is not set.
    pub fn external_port_range_text(&self) -> Cow<'_, str> {
        self.external_port_range.text()
    }

    /// Returns true if `external_port_range` is this range, as it is rendered; without one, if it is not set.
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
    /// It names both those that are allowed and those that are exempted.
    pub fn external_ips(&self) -> Result<Option<ExternalIps>, BothExternalIps> {
        let Some(extras) = self.extras.get() else { return Ok(None) };
        match (extras.allowed_ext_ips, extras.exempted_ext_ips) {
            (Some(_), Some(_)) => Err(BothExternalIps),
            (Some(allowed), None) => Ok(Some(ExternalIps::Allowed(allowed))),
            (None, exempted) => Ok(exempted.map(ExternalIps::Exempted)),
        }
    }

    /// Returns true if `external_mac` is set and no Ethernet address.
    pub fn has_bad_external_mac(&self) -> bool {
        self.external_mac().is_some_and(|mac| Mac::parse(mac).is_none())
    }

    /// Returns the port on whose hypervisor it is done, where that is not the gateway's: that of a `dnat_and_snat` rule
    /// with `external_mac` and `logical_port`.
    pub fn distributed_at(&self) -> Option<&str> {
        let port = self.extras.get()?.logical_port.as_deref();
        port.filter(|_| self.kind == Some(NatKind::DnatAndSnat) && self.external_mac().is_some())
    }

    fn external_mac(&self) -> Option<&str> {
        self.extras.get()?.external_mac.as_deref()
    }

    /// Returns true if its UUID is what [`naming::row_uuid`] makes of its tags, its router and the address inside.
    ///
    /// It is found out when the row arrives: of a whole database, that is while there is time.
    pub fn is_named(&self) -> bool {
        self.named
    }

    /// Finds out whether it is named so on this router.
    pub(crate) fn is_named_on(&self, router: Uuid) -> bool {
        let tag = |key| self.tags.get(key);
        let name = || {
            let (owner, role, port) = (tag(keys::OWNER)?, tag(keys::ROLE)?, tag(keys::PORT)?);
            Some(naming::row_uuid(owner, role, router, self.logical_host()?, port))
        };
        // Skip the SHA-1 for UUIDs that are not of version 5.
        self.uuid.get_version_num() == 5 && name() == Some(self.uuid)
    }

    /// Returns the name that the row is filed under in [`Store::nats_tagged`](crate::Store::nats_tagged).
    pub(crate) fn tagged(&self) -> Option<&str> {
        if self.tags.is_empty() { None } else { Some(self.tags.get(keys::PORT).unwrap_or_default()) }
    }
}
