//! `NAT`.

use std::borrow::Cow;
use std::net::IpAddr;

use ipnet::IpNet;
use ovsdb_protocol::{DatumReader, DecodeError, Uuid};

use super::{Draft, Meta, Row, text};
use crate::id::{NatId, RouterId, RouterPortId};
use crate::keys;
use crate::naming;
use crate::parsing::parse_ip;
use crate::prefix::{Canonical, is_host, parse_prefix};
use crate::problem::Notes;
use crate::rendering::Rendering;
use crate::spelling::Spelling;
use crate::tables::{self, Table};
use crate::tags::Tags;

/// A NAT rule.
#[derive(Clone, Debug)]
pub struct Nat {
    /// The row.
    pub uuid: Uuid,
    /// What it does; `None` if the database names something unknown.
    pub kind: Option<NatKind>,
    /// The address outside, if it is one.
    pub external_ip: Option<IpAddr>,
    /// The prefix inside, if it is one; an address without a mask is a host's prefix, and bits outside
    /// the mask are cleared.
    pub logical_ip: Option<IpNet>,
    /// `options:stateless`; `None` if it is not set, and what is not `true` is false, as in northd.
    pub stateless: Option<bool>,
    /// The router port that it is limited to.
    pub gateway_port: Option<RouterPortId>,
    /// The tags that mark a row as ours.
    pub tags: Tags,
    /// The router whose rule it is; of several that claim it, the one with the least UUID.
    pub router: Option<RouterId>,
    pub(crate) named: bool,
    port_range: Box<str>,
    rare: Option<Box<Rare>>,
    pub(crate) meta: Meta,
}

/// What a NAT rule does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NatKind {
    /// Changes the source of what leaves.
    Snat,
    /// Changes the destination of what arrives.
    Dnat,
    /// Both.
    DnatAndSnat,
}

/// What few rows have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Rare {
    external_ip: Spelling,
    logical_ip: Spelling,
    stateless: Spelling,
    logical_port: Option<Box<str>>,
    matches: Box<str>,
    priority: i64,
}

// ===== impl NatKind =====

impl NatKind {
    /// Returns the database's word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Snat => "snat",
            Self::Dnat => "dnat",
            Self::DnatAndSnat => "dnat_and_snat",
        }
    }
}

// ===== impl Nat =====

impl Nat {
    /// Returns `external_ip` as the database has it.
    pub fn external_ip_text(&self) -> Cow<'_, str> {
        match (&self.rare, self.external_ip) {
            (Some(rare), Some(address)) => rare.external_ip.text(&address),
            (Some(rare), None) => rare.external_ip.text(""),
            (None, Some(address)) => address.to_string().into(),
            (None, None) => "".into(),
        }
    }

    /// Returns `logical_ip` as the database has it.
    pub fn logical_ip_text(&self) -> Cow<'_, str> {
        match (&self.rare, &self.logical_ip) {
            (Some(rare), Some(prefix)) => rare.logical_ip.text(&Canonical(prefix)),
            (Some(rare), None) => rare.logical_ip.text(""),
            (None, Some(prefix)) => Canonical(prefix).to_string().into(),
            (None, None) => "".into(),
        }
    }

    /// Tells whether it translates between these two addresses, both written as they are rendered.
    pub fn is_written(&self, external: IpAddr, logical: IpAddr) -> bool {
        let canonical = |rare: &Rare| rare.external_ip.is_canonical() && rare.logical_ip.is_canonical();
        self.external_ip == Some(external)
            && self.logical_host() == Some(logical)
            && self.rare.as_deref().is_none_or(canonical)
    }

    /// Returns the address inside, if it is a single one.
    pub fn logical_host(&self) -> Option<IpAddr> {
        self.logical_ip.filter(is_host).map(|prefix| prefix.addr())
    }

    /// Tells whether it gives one address, when it leaves, another.
    pub fn is_host_snat(&self) -> bool {
        self.kind == Some(NatKind::Snat) && self.logical_host().is_some()
    }

    /// Returns `logical_port`.
    pub fn logical_port(&self) -> Option<&str> {
        self.rare.as_ref()?.logical_port.as_deref()
    }

    /// Returns `external_port_range`; empty if it is not set.
    pub fn external_port_range(&self) -> &str {
        &self.port_range
    }

    /// Returns `match`; empty if it is not set or the server has no such column.
    pub fn matches(&self) -> &str {
        self.rare.as_ref().map_or("", |rare| &rare.matches)
    }

    /// Returns `priority`; 0 if the server has no such column.
    pub fn priority(&self) -> i64 {
        self.rare.as_ref().map_or(0, |rare| rare.priority)
    }

    /// Tells whether its UUID is what [`naming::row_uuid`] makes of its tags, its router and the address inside.
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
        // It takes some time, of which other UUIDs are worth none.
        self.uuid.get_version_num() == 5 && name() == Some(self.uuid)
    }

    /// Returns the name that the row is filed under in [`Store::nats_tagged`](crate::Store::nats_tagged).
    pub(crate) fn tagged(&self) -> Option<&str> {
        if self.tags.is_empty() { None } else { Some(self.tags.get(keys::PORT).unwrap_or_default()) }
    }

    /// Tells whether the columns are the same.
    pub(crate) fn same(&self, other: &Self) -> bool {
        self.kind == other.kind
            && self.external_ip == other.external_ip
            && self.logical_ip == other.logical_ip
            && self.stateless == other.stateless
            && self.gateway_port == other.gateway_port
            && self.tags == other.tags
            && self.port_range == other.port_range
            && self.rare == other.rare
    }

    fn change_rare(&mut self, change: impl FnOnce(&mut Rare)) {
        // Most rows are canonical and have nothing rare: spare them the allocation.
        let mut rare = self.rare.as_deref().cloned().unwrap_or_default();
        change(&mut rare);
        self.rare = (rare != Rare::default()).then(|| Box::new(rare));
    }

    fn set_stateless(&mut self, value: Option<&str>) {
        self.stateless = value.map(|value| value == "true");
        let spelling = value.map(|value| Spelling::of(value, &(value == "true")));
        self.change_rare(|rare| rare.stateless = spelling.unwrap_or_default());
    }

    /// Returns `options:stateless` as the database has it.
    pub fn stateless_text(&self) -> Option<Cow<'_, str>> {
        let stateless = self.stateless?;
        Some(
            self.rare
                .as_ref()
                .map_or_else(|| stateless.to_string().into(), |rare| rare.stateless.text(&stateless)),
        )
    }
}

impl Row for Nat {
    type Id = NatId;

    fn vacant(uuid: Uuid) -> Self {
        Self {
            uuid,
            kind: None,
            external_ip: None,
            logical_ip: None,
            stateless: None,
            gateway_port: None,
            tags: Tags::default(),
            router: None,
            named: false,
            port_range: Box::default(),
            rare: None,
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
        self.router.is_some()
    }
}

/// A NAT rule that is being read.
#[derive(Debug)]
pub(crate) struct NatDraft {
    pub(crate) nat: Nat,
    /// The gateway port, if the column was there.
    pub(crate) gateway_port: Option<Option<Uuid>>,
}

impl Draft for NatDraft {
    const TABLE: &'static Table = &tables::NAT;

    fn column(
        &mut self,
        name: &str,
        value: &mut DatumReader<'_, '_>,
        notes: &mut Notes,
    ) -> Result<(), DecodeError> {
        let nat = &mut self.nat;
        match name {
            "type" => {
                let text = text(value)?;
                let kinds = [NatKind::Snat, NatKind::Dnat, NatKind::DnatAndSnat];
                nat.kind = kinds.into_iter().find(|kind| kind.as_str() == text);
                if nat.kind.is_none() {
                    notes.complain(name, format!("not understood: {text:?}"));
                }
            }
            "external_ip" => {
                let text = text(value)?;
                nat.external_ip = parse_ip(&text);
                let spelling = match nat.external_ip {
                    Some(address) => Rendering(address).spelling(&text),
                    None => {
                        notes.complain(name, format!("no address: {text:?}"));
                        Spelling::of(&text, "")
                    }
                };
                nat.change_rare(|rare| rare.external_ip = spelling);
            }
            "logical_ip" => {
                let text = text(value)?;
                nat.logical_ip = parse_prefix(&text).map(|prefix| prefix.trunc());
                let spelling = match &nat.logical_ip {
                    Some(prefix) if is_host(prefix) => Rendering(prefix.addr()).spelling(&text),
                    Some(prefix) => Spelling::of(&text, &Canonical(prefix)),
                    None => {
                        notes.complain(name, format!("no address or prefix: {text:?}"));
                        Spelling::of(&text, "")
                    }
                };
                nat.change_rare(|rare| rare.logical_ip = spelling);
            }
            "logical_port" => {
                let port = value.string()?.map(|port| port.into());
                nat.change_rare(|rare| rare.logical_port = port);
            }
            "external_port_range" => nat.port_range = text(value)?.into(),
            "gateway_port" => {
                let mut port = None;
                value.uuids(|uuid| port = Some(uuid))?;
                self.gateway_port = Some(port);
            }
            "options" => value.strings(|key, value| {
                if key == "stateless" {
                    let same = nat.stateless_text().is_some_and(|text| text == value);
                    nat.set_stateless((!same).then_some(value));
                }
            })?,
            "external_ids" => {
                let mut pairs = Vec::new();
                value.string_pairs(|key, value| pairs.push((key, value)))?;
                nat.tags = nat.tags.toggled(pairs);
            }
            "match" => {
                let matches = text(value)?.into();
                nat.change_rare(|rare| rare.matches = matches);
            }
            "priority" => {
                let mut priority = 0;
                value.atoms(|atom| {
                    priority = atom.as_integer().ok_or(DecodeError { at: 0, expected: "an integer" })?;
                    Ok(())
                })?;
                nat.change_rare(|rare| rare.priority = priority);
            }
            _ => {}
        }
        Ok(())
    }

    fn clear(&mut self, name: &str) -> bool {
        let nat = &mut self.nat;
        match name {
            "type" => nat.kind = None,
            "external_ip" => {
                nat.external_ip = None;
                nat.change_rare(|rare| rare.external_ip = Spelling::default());
            }
            "logical_ip" => {
                nat.logical_ip = None;
                nat.change_rare(|rare| rare.logical_ip = Spelling::default());
            }
            "logical_port" => nat.change_rare(|rare| rare.logical_port = None),
            "external_port_range" => nat.port_range = Box::default(),
            "gateway_port" => self.gateway_port = Some(None),
            "options" => nat.set_stateless(None),
            "external_ids" => nat.tags = Tags::default(),
            "match" => nat.change_rare(|rare| rare.matches = Box::default()),
            _ => nat.change_rare(|rare| rare.priority = 0),
        }
        matches!(name, "options" | "external_ids")
    }
}
