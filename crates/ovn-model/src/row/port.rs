//! `Logical_Switch_Port`.

use std::net::IpAddr;
use std::sync::Arc;

use ovsdb_protocol::{DatumReader, DecodeError, Uuid};

use super::{Draft, Meta, Row, shared, strings, text, toggle};
use crate::address::{AddressSet, ElementKind};
use crate::family::Family;
use crate::few::Few;
use crate::id::{PortId, SwitchId};
use crate::keys;
use crate::problem::Notes;
use crate::tables::{self, Table};

/// A port of a logical switch. There are more of these than of all else, so it is kept small.
#[derive(Clone, Debug)]
pub struct Port {
    /// The row.
    pub uuid: Uuid,
    /// Its name.
    pub name: Arc<str>,
    /// What `addresses` holds.
    pub addresses: AddressSet,
    /// What northd allocated; no element, or one.
    pub dynamic_addresses: AddressSet,
    rare: Option<Box<Rare>>,
    /// The switch whose port it is; of several that claim it, the one with the least UUID.
    pub switch: Option<SwitchId>,
    /// What is behind the port.
    pub kind: PortKind,
    pub(crate) meta: Meta,
}

/// What is behind a switch port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum PortKind {
    /// An instance: type `""`.
    #[default]
    Instance,
    /// A router port: type `router`.
    Router,
    /// Something else, such as `localnet`.
    Other,
}

/// What few ports have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Rare {
    router_port: Option<Box<str>>,
    external: [Option<Box<str>>; 2],
}

// ===== impl Port =====

impl Port {
    /// Returns `options:router-port`.
    pub fn router_port(&self) -> Option<&str> {
        self.rare.as_ref()?.router_port.as_deref()
    }

    /// Returns the external address that is wished for, [`keys::port_key`].
    pub fn external(&self, family: Family) -> Option<&str> {
        self.rare.as_ref()?.external[family as usize].as_deref()
    }

    /// Returns the addresses that the port has, static or dynamic, sorted, each once.
    pub fn internal_addresses(&self, family: Family) -> Few<IpAddr> {
        let assigned = || self.addresses.assigned(family).chain(self.dynamic_addresses.assigned(family));
        if assigned().nth(1).is_none() {
            return assigned().collect();
        }
        let mut addresses: Vec<_> = assigned().collect();
        addresses.sort_unstable();
        addresses.dedup();
        addresses.into_iter().collect()
    }

    /// Returns the router port that it leads to, if it leads to a router.
    pub(crate) fn leads_to(&self) -> Option<&str> {
        if self.kind == PortKind::Router { self.router_port() } else { None }
    }

    /// Tells whether the columns are the same.
    pub(crate) fn same(&self, other: &Self) -> bool {
        self.name == other.name
            && self.addresses == other.addresses
            && self.dynamic_addresses == other.dynamic_addresses
            && self.rare == other.rare
            && self.kind == other.kind
    }

    fn change_rare(&mut self, change: impl FnOnce(&mut Rare)) {
        let mut rare = self.rare.take().unwrap_or_default();
        change(&mut rare);
        self.rare = (*rare != Rare::default()).then_some(rare);
    }
}

impl Row for Port {
    type Id = PortId;

    fn vacant(uuid: Uuid) -> Self {
        Self {
            uuid,
            name: Arc::default(),
            addresses: AddressSet::default(),
            dynamic_addresses: AddressSet::default(),
            rare: None,
            switch: None,
            kind: PortKind::default(),
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
        self.switch.is_some()
    }
}

impl Draft for Port {
    const TABLE: &'static Table = &tables::PORT;

    fn column(
        &mut self,
        name: &str,
        value: &mut DatumReader<'_, '_>,
        notes: &mut Notes,
    ) -> Result<(), DecodeError> {
        match name {
            "name" => shared(&mut self.name, value)?,
            "type" => {
                self.kind = match &*text(value)? {
                    "" => PortKind::Instance,
                    "router" => PortKind::Router,
                    _ => PortKind::Other,
                }
            }
            "addresses" => {
                self.addresses = self.addresses.toggled(strings(value)?);
                if let Some(complaint) = self.addresses.complaint() {
                    notes.complain(name, complaint);
                }
            }
            "dynamic_addresses" => {
                self.dynamic_addresses = AddressSet::new(value.string()?.as_deref());
                let doubtful = self.dynamic_addresses.complaint();
                let strange =
                    self.dynamic_addresses.iter().find(|element| element.kind() != ElementKind::Static);
                let strange = strange.map(|element| format!("not understood: {:?}", element.text()));
                if let Some(complaint) = doubtful.or(strange) {
                    notes.complain(name, complaint);
                }
            }
            "options" => value.strings(|key, value| {
                if key == "router-port" {
                    self.change_rare(|rare| toggle(&mut rare.router_port, value));
                }
            })?,
            "external_ids" => value.strings(|key, value| {
                for family in Family::ALL {
                    if key == keys::port_key(family) {
                        self.change_rare(|rare| toggle(&mut rare.external[family as usize], value));
                    }
                }
            })?,
            _ => {}
        }
        Ok(())
    }

    fn clear(&mut self, name: &str) -> bool {
        match name {
            "name" => self.name = Arc::default(),
            "type" => self.kind = PortKind::Other,
            "addresses" => self.addresses = AddressSet::default(),
            "dynamic_addresses" => self.dynamic_addresses = AddressSet::default(),
            "options" => self.change_rare(|rare| rare.router_port = None),
            _ => self.change_rare(|rare| rare.external = Default::default()),
        }
        matches!(name, "addresses" | "options" | "external_ids")
    }
}
