//! Writing `Load_Balancer_Group`.

use ovsdb_protocol::ApplyError;

use super::{Store, sets};
use crate::id::{GroupId, LoadBalancerId};
use crate::row::{GroupDraft, Write};

impl Store {
    pub(super) fn write_group(&mut self, id: GroupId, write: Write<'_>) -> Result<(), ApplyError> {
        let group = self.groups.slot_mut(id);
        let was = group.meta;
        let mut draft = GroupDraft::default();
        if write.is_difference() {
            draft.name = group.name.clone();
        }
        group.meta = write.read(group.uuid, was, &mut draft, &mut self.problems)?;
        let is = group.meta;
        group.name = draft.name;
        let mut balancers = self.balancers.intern_all(&draft.load_balancers);
        if !write.is_difference() {
            balancers = sets::difference(&group.load_balancers, &balancers);
        }
        sets::toggle(&mut group.load_balancers, &balancers);
        self.groups.count(was.is_present(), is.is_present());
        balancers.into_iter().for_each(|balancer| self.group_balancer(id, balancer));
        Ok(())
    }

    /// Adapts a load balancer to whether the group has it now, which has just changed.
    fn group_balancer(&mut self, id: GroupId, balancer: LoadBalancerId) {
        if !self.recorder.knows_all() {
            // Also where no router has the group yet, or all of them have the balancer anyway.
            self.note_balancer(balancer);
            let routers = self.groups.slot(id).routers.as_slice();
            let direct = self.balancers.slot(balancer).routers.as_slice();
            sets::without(routers, direct)
                .into_iter()
                .for_each(|router| self.touch_balancer(router, balancer));
        }
        let named = self.groups.slot(id).load_balancers.binary_search(&balancer).is_ok();
        let groups = &mut self.balancers.slot_mut(balancer).groups;
        if named {
            groups.insert(id)
        } else {
            groups.remove(id)
        }
        self.balancers.close(balancer);
    }
}
