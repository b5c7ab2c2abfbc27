//! Writing `Logical_Router_Port`, and what its rows are filed under.

use std::hash::BuildHasher;

use ovsdb_protocol::ApplyError;

use super::{Store, owner};
use crate::change::{Change, Node};
use crate::id::{RouterId, RouterPortId};
use crate::row::{RouterPort, Row, Write};

impl Store {
    pub(super) fn write_router_port(&mut self, id: RouterPortId, write: Write<'_>) -> Result<(), ApplyError> {
        let old = self.router_ports.slot(id);
        let mut port = if write.is_difference() { old.clone() } else { RouterPort::vacant(old.uuid) };
        port.meta = write.read(old.uuid, old.meta, &mut port, &mut self.problems)?;
        port.router = old.router;
        port.named_by = old.named_by;
        let (was, is) = (old.meta.is_present(), port.meta.is_present());
        if was == is && old.same(&port) {
            // It is filed rightly, but may know the difference, such as another chassis.
            *self.router_ports.slot_mut(id) = port;
            return Ok(());
        }
        self.router_ports.count(was, is);
        self.alter_router_port(id, |slot| *slot = port);
        Ok(())
    }

    /// Lets a router claim a port, or give it up. The router's set has been changed before.
    pub(super) fn claim_router_port(&mut self, id: RouterPortId, router: RouterId, claimed: bool) {
        let port = self.router_ports.slot(id);
        let owned = (port.router, port.meta.is_shared());
        let uuid = |router| self.routers.slot(router).uuid;
        let (owner, shared) = if claimed {
            owner::claim(owned, router, uuid)
        } else {
            let claiming = self.routers.iter().filter(|(_, router)| router.ports.binary_search(&id).is_ok());
            owner::release(owned, router, claiming.map(|(router, _)| router), uuid)
        };
        self.router_ports.slot_mut(id).meta.set_shared(shared);
        if owner != owned.0 {
            self.alter_router_port(id, |port| port.router = owner);
        }
        self.router_ports.close(id);
    }

    fn alter_router_port(&mut self, id: RouterPortId, alter: impl FnOnce(&mut RouterPort)) {
        self.touch_router_port(id);
        self.file_router_port(id, false);
        alter(self.router_ports.slot_mut(id));
        self.file_router_port(id, true);
        self.touch_router_port(id);
    }

    fn file_router_port(&mut self, id: RouterPortId, filed: bool) {
        let port = self.router_ports.slot(id);
        if !port.meta.is_present() {
            return;
        }
        let hash = self.hasher.hash_one(&*port.name);
        match filed {
            true => self.router_port_names.insert(hash, id),
            false => self.router_port_names.remove(hash, id),
        }
        if let Some(peer) = &port.peer {
            match filed {
                true => self.peers.insert(&**peer, id, |name| name.into()),
                false => self.peers.remove(&**peer, id),
            }
        }
    }

    /// Marks the router, the switches and routers whose ports name this one, and those it names.
    fn touch_router_port(&mut self, id: RouterPortId) {
        let port = self.router_ports.slot(id);
        if self.recorder.knows_all() || !port.meta.is_present() {
            return;
        }
        for switch_port in self.leading.get(&*port.name) {
            if let Some(switch) = self.ports.slot(*switch_port).switch {
                self.recorder.note(Change::Topology(Node::Switch(switch)));
            }
        }
        let mut ports = vec![id];
        ports.extend(self.peers.get(&*port.name));
        ports.extend(port.peer.iter().flat_map(|peer| self.router_ports_named(peer)));
        self.note_routers(&ports);
    }

    /// Marks the routers of router ports.
    pub(super) fn note_routers(&mut self, ports: &[RouterPortId]) {
        for port in ports {
            if let Some(router) = self.router_ports.slot(*port).router {
                self.note_topology(Node::Router(router));
            }
        }
    }
}
