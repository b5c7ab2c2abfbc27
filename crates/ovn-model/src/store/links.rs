//! References between rows, updated at both ends.

use super::Store;
use super::indexes::Indexes;
use super::owner::Owned;
use super::row::Links;
use super::slabs::{Slabs, Stored};
use super::slot::{Referenced, Slot};
use super::{Network, sets};
use crate::id::{GroupId, LoadBalancerId, NatId, PortId, RouterId, RouterPortId, SwitchId};
use crate::tables::{Group, LoadBalancer, Nat, NbGlobal, Port, Router, RouterPort, Switch};

impl Referenced for Switch {}

impl Links for Switch {
    fn relink(store: &mut Store, id: SwitchId, old: &Self) {
        for port in sets::difference(&old.ports, &store.slabs.switches.slot(id).ports) {
            store.claim::<Port>(port, id);
        }
    }
}

impl Referenced for Port {
    fn is_referenced(&self) -> bool {
        self.switch.is_some()
    }
}

impl Links for Port {
    fn keep_links(&mut self, old: &Self) {
        self.switch = old.switch;
        if self.name == old.name {
            // Indexes share the memory of the name.
            self.name = old.name.clone();
        }
    }
}

impl Referenced for Router {}

impl Links for Router {
    fn relink(store: &mut Store, id: RouterId, old: &Self) {
        let new = store.slabs.routers.slot(id);
        let ports = sets::difference(&old.ports, &new.ports);
        let nats = sets::difference(&old.nats, &new.nats);
        let balancers = sets::difference(&old.load_balancers, &new.load_balancers);
        let groups = sets::difference(&old.groups, &new.groups);
        ports.into_iter().for_each(|port| store.claim::<RouterPort>(port, id));
        nats.into_iter().for_each(|nat| store.claim::<Nat>(nat, id));
        balancers.into_iter().for_each(|balancer| store.link_balancer(id, balancer));
        groups.into_iter().for_each(|group| store.link_group(id, group));
    }
}

impl Referenced for RouterPort {
    fn is_referenced(&self) -> bool {
        self.router.is_some() || self.named_by > 0
    }
}

impl Links for RouterPort {
    fn keep_links(&mut self, old: &Self) {
        self.router = old.router;
        self.named_by = old.named_by;
    }
}

impl Referenced for LoadBalancer {
    fn is_referenced(&self) -> bool {
        !self.routers.is_empty() || self.is_grouped()
    }
}

impl Links for LoadBalancer {
    fn keep_links(&mut self, old: &Self) {
        self.routers = old.routers.clone();
        self.groups = old.groups.clone();
    }
}

impl Referenced for Group {
    fn is_referenced(&self) -> bool {
        !self.routers.is_empty()
    }
}

impl Links for Group {
    fn keep_links(&mut self, old: &Self) {
        self.routers = old.routers.clone();
    }

    fn relink(store: &mut Store, id: GroupId, old: &Self) {
        for balancer in sets::difference(&old.load_balancers, &store.slabs.groups.slot(id).load_balancers) {
            store.group_balancer(id, balancer);
        }
    }
}

impl Referenced for NbGlobal {}

impl Links for NbGlobal {}

impl Referenced for Nat {
    fn is_referenced(&self) -> bool {
        self.router.is_some()
    }
}

impl Links for Nat {
    fn keep_links(&mut self, old: &Self) {
        self.router = old.router;
    }

    fn derive(&mut self, slabs: &Slabs) {
        self.named = self.is_present()
            && self.router.is_some_and(|router| self.is_named_on(slabs.routers.slot(router).uuid));
    }

    fn relink(store: &mut Store, id: NatId, old: &Self) {
        let (had, has) = (old.gateway_port, store.slabs.nats.slot(id).gateway_port);
        if had != has {
            let ports = &mut store.slabs.router_ports;
            if let Some(port) = has {
                ports.slot_mut(port).named_by += 1;
            }
            if let Some(port) = had {
                ports.slot_mut(port).named_by -= 1;
                ports.close(port);
            }
        }
    }
}

macro_rules! owned {
    ($($row:ident: $owner:ident, $id:ident, $owner_id:ident, $field:ident, $members:ident $(, $refile:path)?;)*) => {$(
        impl Owned for $row {
            type Owner = $owner;

            fn owner(&self) -> Option<$owner_id> {
                self.$field
            }

            fn set_owner(&mut self, owner: Option<$owner_id>) {
                self.$field = owner;
            }

            fn members(owner: &$owner) -> &[$id] {
                &owner.$members
            }

            $(
                fn refile(indexes: &mut Indexes, slabs: &Slabs, id: $id, from: Option<$owner_id>) {
                    if let Some(row) = <$row as Stored>::slab(slabs).get(id) {
                        $refile(indexes, slabs, id, [Some((row, from)), Some((row, row.$field))]);
                    }
                }
            )?
        }
    )*};
}

owned! {
    Port: Switch, PortId, SwitchId, switch, ports, Indexes::place_port;
    RouterPort: Router, RouterPortId, RouterId, router, ports;
    Nat: Router, NatId, RouterId, router, nats, Indexes::place_nat;
}

impl Store {
    /// Updates a load balancer after the router started or ceased to name it.
    fn link_balancer(&mut self, id: RouterId, balancer: LoadBalancerId) {
        self.record_attachment(&[id], balancer);
        let is_named = self.slabs.routers.slot(id).load_balancers.binary_search(&balancer).is_ok();
        sets::set(&mut self.slabs.balancers.slot_mut(balancer).routers, id, is_named);
        self.slabs.balancers.close(balancer);
    }

    /// Updates a group after the router started or ceased to name it.
    fn link_group(&mut self, id: RouterId, group: GroupId) {
        let named = &self.slabs.routers.slot(id).load_balancers;
        for balancer in sets::without(&self.slabs.groups.slot(group).load_balancers, named) {
            self.record_attachment(&[id], balancer);
        }
        let is_named = self.slabs.routers.slot(id).groups.binary_search(&group).is_ok();
        sets::set(&mut self.slabs.groups.slot_mut(group).routers, id, is_named);
        self.slabs.groups.close(group);
    }

    /// Updates a load balancer after the group started or ceased to contain it.
    fn group_balancer(&mut self, id: GroupId, balancer: LoadBalancerId) {
        let direct = &self.slabs.balancers.slot(balancer).routers;
        let routers = sets::without(&self.slabs.groups.slot(id).routers, direct);
        self.record_attachment(&routers, balancer);
        let is_member = self.slabs.groups.slot(id).load_balancers.binary_search(&balancer).is_ok();
        let groups = &mut self.slabs.balancers.slot_mut(balancer).groups;
        groups.change(|groups| sets::set(groups, id, is_member));
        self.slabs.balancers.close(balancer);
    }

    fn record_attachment(&mut self, routers: &[RouterId], balancer: LoadBalancerId) {
        let Self { slabs, indexes, recorder, .. } = self;
        if !recorder.knows_all() {
            Network { slabs, indexes }.note_attachment(routers, balancer, recorder);
        }
    }
}
