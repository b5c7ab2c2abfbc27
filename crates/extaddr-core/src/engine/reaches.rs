//! The routers that can be reached from switches, for the ports that have decisions.

use foldhash::HashMap;
use ovn_model::{Node, Store, SwitchId};

use super::index::Index;
use super::ports::Number;
use crate::topology::{Reach, reach};

/// The reach of each switch that ports with decisions are on.
#[derive(Debug, Default)]
pub(super) struct Reaches {
    by_switch: HashMap<SwitchId, Reach>,
    /// The switches whose reach visited a node.
    visitors: Index<Node, SwitchId>,
    /// The ports with a decision on a switch.
    residents: Index<SwitchId, Number>,
}

impl Reaches {
    /// Returns the reach of a switch, if it is known already.
    pub(super) fn get(&self, switch: SwitchId) -> Option<&Reach> {
        self.by_switch.get(&switch)
    }

    /// Returns the reach of a switch, computed if it is not known.
    pub(super) fn get_or_compute(&mut self, store: &Store, switch: SwitchId) -> &Reach {
        self.by_switch.entry(switch).or_insert_with(|| {
            let reach = reach(store, switch);
            reach.visited.iter().for_each(|node| self.visitors.insert(*node, switch));
            reach
        })
    }

    /// Records that a port moved to another switch. The reach of a switch without ports is forgotten.
    pub(super) fn relocate(&mut self, port: Number, before: Option<SwitchId>, after: Option<SwitchId>) {
        if before == after {
            return;
        }
        if let Some(switch) = before {
            self.residents.remove(&switch, &port);
            if self.residents.get(&switch).next().is_none() {
                self.forget(switch);
            }
        }
        if let Some(switch) = after {
            self.residents.insert(switch, port);
        }
    }

    /// Forgets every reach that visited a node, and returns the switches.
    pub(super) fn take_visitors(&mut self, node: &Node) -> impl Iterator<Item = SwitchId> + use<> {
        let switches = self.visitors.take(node);
        switches.iter().for_each(|switch| self.forget(*switch));
        switches.into_iter()
    }

    /// Returns the ports with a decision on a switch.
    pub(super) fn residents(&self, switch: SwitchId) -> impl Iterator<Item = Number> {
        self.residents.get(&switch).copied()
    }

    fn forget(&mut self, switch: SwitchId) {
        for node in self.by_switch.remove(&switch).unwrap_or_default().visited {
            self.visitors.remove(&node, &switch);
        }
    }
}
