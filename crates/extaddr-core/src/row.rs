//! The desired content of one of our rows.

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use ovn_model::{ExternalIps, Nat, NatKind, RouterId, RouterPortId, Store, keys};
use ovsdb_protocol::{Datum, TypedMutation, TypedRow};
use uuid::Uuid;

use crate::ownership::{Owner, Role};
use crate::port_range::PortRange;
use crate::undo::{UNDO, Undo};

/// `NAT.external_ids` of a drain row: the internal address whose connections it is for.
const INTERNAL: &str = "ovn-extaddr:internal";
/// `NAT.external_ids` of a drain row: the second, counted from 1970, at which it expires.
const UNTIL: &str = "ovn-extaddr:until";

/// The desired content of one of our rows.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct OwnRow {
    /// The router whose `nat` refers to it.
    pub router: RouterId,
    /// Its `_uuid`.
    pub uuid: Uuid,
    /// Its purpose.
    pub purpose: Purpose,
    /// `external_ip`.
    pub external: IpAddr,
    /// `logical_ip`.
    pub logical: IpAddr,
    /// `external_port_range`.
    pub port_range: Option<PortRange>,
    /// `gateway_port`.
    pub gateway_port: Option<RouterPortId>,
    /// `allowed_ext_ips` or `exempted_ext_ips`; `None` if these are not changed.
    pub external_ips: Option<Option<ExternalIps>>,
}

/// The purpose of a row, and the data needed to undo it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// See [`Role::Egress`].
    Egress {
        /// The port.
        port: Arc<str>,
    },
    /// See [`Role::Drain`].
    Drain {
        /// The port.
        port: Arc<str>,
        /// Its internal address.
        internal: IpAddr,
        /// The second, counted from 1970, at which it expires; `None` for a new one, whose time starts when it is
        /// written.
        until: Option<u64>,
    },
    /// See [`Role::DefaultTarget`].
    DefaultTarget {
        /// The VIPs to restore.
        undo: Vec<Undo>,
    },
}

// ===== impl OwnRow =====

impl OwnRow {
    /// Returns whether it is a drain row.
    pub fn is_drain(&self) -> bool {
        matches!(self.purpose, Purpose::Drain { .. })
    }

    /// Returns whether a row in the database equals this one. Values that northd compares as text must be canonical.
    pub fn is_written_in(&self, nat: &Nat, owner: &Owner) -> bool {
        nat.kind == Some(self.purpose.kind())
            && nat.stateless.get() == Some(&false)
            && nat.is_written(self.external, self.logical)
            && nat.has_port_range(self.port_range)
            && nat.gateway_port == self.gateway_port
            && !is_impaired(nat)
            && self.external_ips.is_none_or(|wanted| nat.external_ips() == Ok(wanted))
            && match &self.purpose {
                Purpose::Egress { port } => owner.is_override_of(nat, port),
                purpose => nat.tags.are(purpose.tags(owner, 0).iter().map(|(key, value)| (*key, &**value))),
            }
    }

    /// Returns all columns of a new row; `until` is when a new drain row expires.
    pub fn columns(&self, store: &Store, owner: &Owner, until: u64) -> TypedRow<Nat> {
        let tags = self.purpose.tags(owner, until);
        self.plain_columns(store)
            .with_key(Nat::COLUMNS.stateless, "false")
            .with_pairs(Nat::COLUMNS.tags, tags.iter().map(|(key, value)| (*key, &**value)))
    }

    /// Returns the columns to set and to mutate of an existing row: keys that others have added to its `options` and
    /// `external_ids` stay.
    pub fn update(
        &self,
        store: &Store,
        owner: &Owner,
        until: u64,
        there: &Nat,
    ) -> (TypedRow<Nat>, Vec<TypedMutation<Nat>>) {
        let tags = self.purpose.tags(owner, until);
        let pairs = || tags.iter().map(|(key, value)| (*key, &**value));
        let mut keys: BTreeSet<_> = there.tags.iter().map(|(key, _)| key).collect();
        keys.extend(pairs().map(|(key, _)| key.to_owned()));
        let mut mutations = Nat::COLUMNS.stateless.set("false").to_vec();
        mutations.extend(Nat::COLUMNS.tags.replace(keys.iter().map(String::as_str), pairs()));
        let mut columns = self.plain_columns(store);
        if is_impaired(there) {
            if store.supports(Nat::MATCH) {
                columns = columns.with(Nat::MATCH, "");
            }
            if store.supports(Nat::EXTERNAL_MAC) {
                columns = columns.with(Nat::EXTERNAL_MAC, Datum::empty());
            }
            if there.external_ips().is_err() && self.external_ips.is_none() {
                columns = columns
                    .with(Nat::ALLOWED_EXT_IPS, Datum::empty())
                    .with(Nat::EXEMPTED_EXT_IPS, Datum::empty());
            }
        }
        (columns, mutations)
    }

    /// Returns the columns that are not maps.
    fn plain_columns(&self, store: &Store) -> TypedRow<Nat> {
        let mut row = TypedRow::new()
            .with(Nat::COLUMNS.kind, self.purpose.kind())
            .with(Nat::COLUMNS.external_ip, &*self.external.to_string())
            .with(Nat::COLUMNS.logical_ip, &*self.logical.to_string());
        if store.supports(Nat::COLUMNS.external_port_range) {
            let range = self.port_range.map(|range| range.to_string()).unwrap_or_default();
            row = row.with(Nat::COLUMNS.external_port_range, &*range);
        }
        if store.supports(Nat::COLUMNS.gateway_port) {
            let port = self.gateway_port.and_then(|id| store.router_port(id));
            row = row.with(Nat::COLUMNS.gateway_port, Datum::optional(port.map(|port| port.uuid)));
        }
        if let Some(wanted) = self.external_ips {
            let (allowed, exempted) = match wanted {
                Some(ExternalIps::Allowed(set)) => (Some(set), None),
                Some(ExternalIps::Exempted(set)) => (None, Some(set)),
                None => (None, None),
            };
            if store.supports(Nat::ALLOWED_EXT_IPS) && store.supports(Nat::EXEMPTED_EXT_IPS) {
                row = row.with(Nat::ALLOWED_EXT_IPS, allowed);
                row = row.with(Nat::EXEMPTED_EXT_IPS, exempted);
            }
        }
        row
    }
}

/// Returns whether somebody has limited one of our rows to some packets, or made OVN ignore it, by columns that are empty
/// otherwise. An address set of peers may be an operator's own.
fn is_impaired(nat: &Nat) -> bool {
    !nat.matches().is_empty() || nat.has_bad_external_mac() || nat.external_ips().is_err()
}

// ===== impl Purpose =====

impl Purpose {
    /// Returns the role.
    pub fn role(&self) -> Role {
        match self {
            Self::Egress { .. } => Role::Egress,
            Self::Drain { .. } => Role::Drain,
            Self::DefaultTarget { .. } => Role::DefaultTarget,
        }
    }

    fn kind(&self) -> NatKind {
        match self {
            Self::Egress { .. } | Self::Drain { .. } => NatKind::Snat,
            Self::DefaultTarget { .. } => NatKind::Dnat,
        }
    }

    /// Returns the tags, in the order of their keys.
    fn tags<'a>(&'a self, owner: &'a Owner, until: u64) -> Vec<(&'static str, Cow<'a, str>)> {
        let mut tags = Vec::with_capacity(5);
        tags.extend([(keys::OWNER, owner.as_str().into()), (keys::ROLE, self.role().name().into())]);
        match self {
            Self::Egress { port } => tags.push((keys::PORT, (&**port).into())),
            Self::Drain { port, internal, until: fixed } => tags.extend([
                (keys::PORT, (&**port).into()),
                (INTERNAL, internal.to_string().into()),
                (UNTIL, fixed.unwrap_or(until).to_string().into()),
            ]),
            Self::DefaultTarget { undo } => tags.push((UNDO, Undo::list_to_text(undo).into())),
        }
        tags.sort_unstable_by_key(|(key, _)| *key);
        tags
    }
}

/// The data in the tags of a drain row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DrainTags {
    /// The internal address whose connections it is for.
    pub internal: IpAddr,
    /// The second, counted from 1970, at which it expires.
    pub until: u64,
}

impl DrainTags {
    /// Reads the tags; `None` if they are invalid, so that the row may be deleted.
    pub fn read(nat: &Nat) -> Option<Self> {
        let internal = nat.tags.get(INTERNAL)?.parse().ok()?;
        Some(Self { internal, until: nat.tags.get(UNTIL)?.parse().ok()? })
    }
}
