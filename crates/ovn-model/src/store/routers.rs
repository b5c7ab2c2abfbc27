//! Writing `Logical_Router`.

use ovsdb_protocol::ApplyError;

use super::{Store, sets};
use crate::change::Node;
use crate::id::{GroupId, LoadBalancerId, RouterId};
use crate::row::{RouterDraft, Write};

impl Store {
    pub(super) fn write_router(&mut self, id: RouterId, write: Write<'_>) -> Result<(), ApplyError> {
        let router = self.routers.slot_mut(id);
        let was = router.meta;
        let mut draft = RouterDraft::default();
        if write.is_difference() {
            draft.name = router.name.clone();
            draft.chassis = router.chassis.clone();
            draft.external = router.external.clone();
        }
        router.meta = write.read(router.uuid, was, &mut draft, &mut self.problems)?;
        let is = router.meta;

        /// Updates a set of handles and returns those that came or went.
        macro_rules! toggle {
            ($set:ident, $slab:ident) => {{
                let mut toggled = self.$slab.intern_all(&draft.$set);
                if !write.is_difference() {
                    toggled = sets::difference(&router.$set, &toggled);
                }
                sets::toggle(&mut router.$set, &toggled);
                toggled
            }};
        }
        let ports = toggle!(ports, router_ports);
        let nats = toggle!(nats, nats);
        let load_balancers = toggle!(load_balancers, balancers);
        let groups = toggle!(groups, groups);

        if was.is_present() != is.is_present()
            || router.name != draft.name
            || router.chassis != draft.chassis
            || router.external != draft.external
        {
            router.name = draft.name;
            router.chassis = draft.chassis;
            router.external = draft.external;
            self.note_topology(Node::Router(id));
        }
        self.routers.count(was.is_present(), is.is_present());
        for port in ports {
            let claimed = self.routers.slot(id).ports.binary_search(&port).is_ok();
            self.claim_router_port(port, id, claimed);
        }
        for nat in nats {
            let claimed = self.routers.slot(id).nats.binary_search(&nat).is_ok();
            self.claim_nat(nat, id, claimed);
        }
        load_balancers.into_iter().for_each(|balancer| self.link_balancer(id, balancer));
        groups.into_iter().for_each(|group| self.link_group(id, group));
        Ok(())
    }

    /// Adapts a load balancer to whether the router names it now, which has just changed.
    fn link_balancer(&mut self, id: RouterId, balancer: LoadBalancerId) {
        self.touch_balancer(id, balancer);
        let named = self.routers.slot(id).load_balancers.binary_search(&balancer).is_ok();
        let routers = &mut self.balancers.slot_mut(balancer).routers;
        if named {
            routers.insert(id)
        } else {
            routers.remove(id)
        }
        self.balancers.close(balancer);
    }

    /// Adapts a group to whether the router names it now, which has just changed.
    fn link_group(&mut self, id: RouterId, group: GroupId) {
        if !self.recorder.knows_all() {
            let router = self.routers.slot(id);
            let balancers = sets::without(&self.groups.slot(group).load_balancers, &router.load_balancers);
            balancers.into_iter().for_each(|balancer| self.touch_balancer(id, balancer));
        }
        let named = self.routers.slot(id).groups.binary_search(&group).is_ok();
        let routers = &mut self.groups.slot_mut(group).routers;
        if named {
            routers.insert(id)
        } else {
            routers.remove(id)
        }
        self.groups.close(group);
    }
}
