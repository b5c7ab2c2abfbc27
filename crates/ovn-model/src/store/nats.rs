//! Writing `NAT`, and what its rows are filed under.

use std::sync::Arc;

use ovsdb_protocol::ApplyError;

use super::{Store, owner};
use crate::change::{Change, Node};
use crate::id::{NatId, RouterId};
use crate::prefix::is_host;
use crate::row::{Nat, NatDraft, Row, Write};

impl Store {
    pub(super) fn write_nat(&mut self, id: NatId, write: Write<'_>) -> Result<(), ApplyError> {
        let old = self.nats.slot(id);
        let mut draft = if write.is_difference() {
            NatDraft { nat: old.clone(), gateway_port: None }
        } else {
            NatDraft { nat: Nat::vacant(old.uuid), gateway_port: Some(None) }
        };
        draft.nat.meta = write.read(old.uuid, old.meta, &mut draft, &mut self.problems)?;
        let NatDraft { mut nat, gateway_port } = draft;
        nat.router = old.router;
        let had = old.gateway_port;
        if let Some(port) = gateway_port {
            nat.gateway_port = port.map(|port| self.router_ports.intern(port));
        }
        let (was, is) = (old.meta.is_present(), nat.meta.is_present());
        if was == is && old.same(&nat) {
            self.nats.slot_mut(id).meta = nat.meta;
            return Ok(());
        }
        if had != nat.gateway_port {
            if let Some(port) = nat.gateway_port {
                self.router_ports.slot_mut(port).named_by += 1;
            }
            if let Some(port) = had {
                self.router_ports.slot_mut(port).named_by -= 1;
                self.router_ports.close(port);
            }
        }
        self.nats.count(was, is);
        self.alter_nat(id, |slot| *slot = nat);
        Ok(())
    }

    /// Lets a router claim a row, or give it up. The router's set has been changed before.
    pub(super) fn claim_nat(&mut self, id: NatId, router: RouterId, claimed: bool) {
        let nat = self.nats.slot(id);
        let owned = (nat.router, nat.meta.is_shared());
        let uuid = |router| self.routers.slot(router).uuid;
        let (owner, shared) = if claimed {
            owner::claim(owned, router, uuid)
        } else {
            let claiming = self.routers.iter().filter(|(_, router)| router.nats.binary_search(&id).is_ok());
            owner::release(owned, router, claiming.map(|(router, _)| router), uuid)
        };
        self.nats.slot_mut(id).meta.set_shared(shared);
        if owner != owned.0 {
            self.alter_nat(id, |nat| nat.router = owner);
        }
        self.nats.close(id);
    }

    fn alter_nat(&mut self, id: NatId, alter: impl FnOnce(&mut Nat)) {
        self.touch_nat(id);
        self.file_nat(id, false);
        alter(self.nats.slot_mut(id));
        self.file_nat(id, true);
        self.touch_nat(id);
    }

    fn file_nat(&mut self, id: NatId, filed: bool) {
        let nat = self.nats.slot(id);
        if !nat.meta.is_present() {
            return;
        }
        if let Some(router) = nat.router {
            let externals = if nat.is_host_snat() { &mut self.host_snats } else { &mut self.externals };
            let keys = [(externals, nat.external_ip), (&mut self.logicals, nat.logical_host())];
            for (index, address) in keys {
                match (address, filed) {
                    (Some(address), true) => index.insert(&(router, address), id, |key| *key),
                    (Some(address), false) => index.remove(&(router, address), id),
                    (None, _) => {}
                }
            }
        }
        let named = filed && nat.router.is_some_and(|router| nat.is_named_on(self.routers.slot(router).uuid));
        match (nat.tagged(), filed) {
            (Some(name), true) => {
                // The port's own name is as good, and there already.
                let known = self.port_by_name(name).map(|port| self.ports.slot(port).name.clone());
                self.tagged.insert(name, id, |name| known.unwrap_or_else(|| Arc::from(name)));
            }
            (Some(name), false) => self.tagged.remove(name, id),
            (None, _) => {}
        }
        self.nats.slot_mut(id).named = named;
    }

    fn touch_nat(&mut self, id: NatId) {
        let nat = self.nats.slot(id);
        if self.recorder.knows_all() || !nat.meta.is_present() {
            return;
        }
        if let Some(router) = nat.router {
            if let Some(address) = nat.external_ip {
                self.recorder.note(match nat.is_host_snat() {
                    true => Change::HostSnat { router, address },
                    false => Change::Address { router, address },
                });
            }
            if let Some(address) = nat.logical_host() {
                self.recorder.note(Change::Address { router, address });
            }
            // A row for a whole network concerns everybody in it.
            if nat.logical_ip.is_some_and(|network| !is_host(&network)) {
                self.recorder.note(Change::Topology(Node::Router(router)));
            }
        }
        if let Some(name) = nat.tagged().and_then(|name| self.tagged.key(name)) {
            self.recorder.note(Change::Tagged(name.clone()));
        }
    }
}
