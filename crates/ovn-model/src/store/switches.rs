//! Writing `Logical_Switch`.

use ovsdb_protocol::ApplyError;

use super::{Store, sets};
use crate::change::Node;
use crate::id::SwitchId;
use crate::row::{SwitchDraft, Write};

impl Store {
    pub(super) fn write_switch(&mut self, id: SwitchId, write: Write<'_>) -> Result<(), ApplyError> {
        let switch = self.switches.slot_mut(id);
        let was = switch.meta;
        let mut draft = SwitchDraft::default();
        if write.is_difference() {
            draft.name = switch.name.clone();
        }
        switch.meta = write.read(switch.uuid, was, &mut draft, &mut self.problems)?;
        let is = switch.meta;
        let mut ports = self.ports.intern_all(&draft.ports);
        if !write.is_difference() {
            ports = sets::difference(&switch.ports, &ports);
        }
        sets::toggle(&mut switch.ports, &ports);
        if was.is_present() != is.is_present() || switch.name != draft.name {
            switch.name = draft.name;
            self.note_topology(Node::Switch(id));
        }
        self.switches.count(was.is_present(), is.is_present());
        for port in ports {
            let claimed = self.switches.slot(id).ports.binary_search(&port).is_ok();
            self.claim_port(port, id, claimed);
        }
        Ok(())
    }
}
