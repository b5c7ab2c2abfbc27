//! Writing `Logical_Switch_Port`, and what its rows are filed under.

use std::hash::BuildHasher;

use ovsdb_protocol::ApplyError;

use super::{Store, owner};
use crate::change::{Change, Node};
use crate::id::{PortId, SwitchId};
use crate::row::{Port, PortKind, Row, Write};

impl Store {
    pub(super) fn write_port(&mut self, id: PortId, write: Write<'_>) -> Result<(), ApplyError> {
        let old = self.ports.slot(id);
        let mut port = if write.is_difference() { old.clone() } else { Port::vacant(old.uuid) };
        port.meta = write.read(old.uuid, old.meta, &mut port, &mut self.problems)?;
        port.switch = old.switch;
        let (was, is) = (old.meta.is_present(), port.meta.is_present());
        if was == is && old.same(&port) {
            self.ports.slot_mut(id).meta = port.meta;
            return Ok(());
        }
        if port.name == old.name {
            port.name = old.name.clone();
        }
        let joins = was != is || old.kind != port.kind || old.leads_to() != port.leads_to();
        self.ports.count(was, is);
        self.alter_port(id, joins, |slot| *slot = port);
        Ok(())
    }

    /// Lets a switch claim a port, or give it up. The switch's set has been changed before.
    pub(super) fn claim_port(&mut self, id: PortId, switch: SwitchId, claimed: bool) {
        let port = self.ports.slot(id);
        let owned = (port.switch, port.meta.is_shared());
        let uuid = |switch| self.switches.slot(switch).uuid;
        let (owner, shared) = if claimed {
            owner::claim(owned, switch, uuid)
        } else {
            let claiming = self.switches.iter().filter(|(_, switch)| switch.ports.binary_search(&id).is_ok());
            owner::release(owned, switch, claiming.map(|(switch, _)| switch), uuid)
        };
        self.ports.slot_mut(id).meta.set_shared(shared);
        if owner != owned.0 {
            self.alter_port(id, true, |port| port.switch = owner);
        }
        self.ports.close(id);
    }

    /// Changes a slot, refiles it, and records what that changes. `joins` tells whether the change is
    /// one of the topology if the port leads to a router.
    fn alter_port(&mut self, id: PortId, joins: bool, alter: impl FnOnce(&mut Port)) {
        self.touch_port(id, joins);
        self.file_port(id, false);
        alter(self.ports.slot_mut(id));
        self.file_port(id, true);
        self.touch_port(id, joins);
    }

    fn file_port(&mut self, id: PortId, filed: bool) {
        let port = self.ports.slot(id);
        if !port.meta.is_present() {
            return;
        }
        let hash = self.hasher.hash_one(&*port.name);
        match filed {
            true => self.port_names.insert(hash, id),
            false => self.port_names.remove(hash, id),
        }
        if let Some(name) = port.leads_to() {
            match filed {
                true => self.leading.insert(name, id, |name| name.into()),
                false => self.leading.remove(name, id),
            }
        }
        if let (PortKind::Router, Some(switch)) = (port.kind, port.switch) {
            let ports = &mut self.switches.slot_mut(switch).router_ports;
            match (ports.binary_search(&id), filed) {
                (Err(at), true) => ports.insert(at, id),
                (Ok(at), false) => drop(ports.remove(at)),
                _ => {}
            }
        }
    }

    fn touch_port(&mut self, id: PortId, joins: bool) {
        if self.recorder.knows_all() {
            return;
        }
        let port = self.ports.slot(id);
        if !port.meta.is_present() {
            return;
        }
        self.recorder.note(Change::Port(port.name.clone()));
        if !joins || port.kind != PortKind::Router {
            return;
        }
        if let Some(switch) = port.switch {
            self.recorder.note(Change::Topology(Node::Switch(switch)));
        }
        let ports: Vec<_> =
            port.leads_to().into_iter().flat_map(|name| self.router_ports_named(name)).collect();
        self.note_routers(&ports);
    }
}
