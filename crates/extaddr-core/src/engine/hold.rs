//! Hold-downs: rows that stay for a while although the forward that they depend on is gone.

#[cfg(test)]
mod tests;

use ovn_model::Store;

use super::Engine;
use super::entry::{Draft, Entry, Loss};
use crate::clock::Now;
use crate::network::Network;
use crate::owned::Owned;
use crate::ownership::Role;
use crate::reason::Reason;
use crate::resolve::{Dependency, Verdict};
use crate::topology::Reach;
use crate::{drain, forwards};

impl Engine {
    /// Decides which overrides stay for a while although their forward is gone: a CMS that edits a forward deletes and
    /// re-creates it. They do not stay where another network has the address.
    pub(super) fn hold(&self, store: &Store, owned: &[Owned<'_>], old: &Entry, draft: &mut Draft, now: Now) {
        let nowhere = Reach::default();
        let reach = draft.switch.and_then(|switch| self.reaches.get(switch)).unwrap_or(&nowhere);
        let (mut losses, mut elsewhere) = (Vec::new(), Vec::new());
        for decision in &draft.decisions {
            let gone = matches!(&decision.verdict, Verdict::Rejected(reason) if reason.starts_hold_down());
            let rows = owned.iter().filter(|Owned { router, nat, role, .. }| {
                gone && *role == Some(Role::Egress)
                    && nat.logical_host().is_some_and(|address| decision.internal.contains(&address))
                    && decision.external.is_none_or(|external| nat.external_ip() == Some(external))
                    && reach.routers.iter().any(|(reached, _)| reached == router)
            });
            let mut held = Vec::new();
            for Owned { id, router, nat, .. } in rows {
                let Some(address) = nat.external_ip() else { continue };
                if forwards::is_elsewhere(self.rules.network(store), *router, address) {
                    // As long as the row is not deleted, that may change.
                    elsewhere.push(Dependency::Anywhere(address));
                } else {
                    held.push(*id);
                }
            }
            if !held.is_empty() {
                losses.push((Loss::Override(decision.family), held));
            }
        }
        for Owned { id, router, nat, role } in owned {
            let Some(address) = nat.external_ip() else { continue };
            if *role == Some(Role::Drain)
                && !drain::has_external(store, &self.rules, *router, address)
                && !forwards::is_elsewhere(self.rules.network(store), *router, address)
            {
                losses.push((Loss::Drain(nat.uuid), vec![*id]));
            }
        }
        draft.watched.extend(elsewhere);
        for (loss, rows) in losses {
            let since = old.lost(loss).unwrap_or(now.instant);
            draft.leaving.lost.insert(loss, since);
            if now.instant < since + self.rules.hold_down {
                draft.leaving.held.extend(rows);
            }
        }
        // These intents come from a setting for all ports; without a forward nothing is reported.
        draft.decisions.retain(|decision| {
            let waits = matches!(decision.verdict, Verdict::Waiting(_) | Verdict::Rejected(Reason::NoRouter));
            let nothing = waits || matches!(decision.verdict, Verdict::Rejected(Reason::NoForwardForAuto));
            !(decision.source.is_sweeping() && nothing)
        });
    }
}

impl Draft {
    /// Watches the addresses of rows that stay only while the network has them.
    pub(super) fn watch_leaving(&mut self, network: Network<'_, '_>, owned: &[Owned<'_>]) {
        for Owned { id, router, nat, role } in owned {
            let held = self.leaving.held.contains(id);
            let Some(address) = nat.external_ip().filter(|_| held || *role == Some(Role::Drain)) else {
                continue;
            };
            self.watched.push(Dependency::Address(*router, address));
            // While it is forwarded here, no other network can have it.
            if held || forwards::on_address(network, *router, address).next().is_none() {
                self.watched.push(Dependency::Anywhere(address));
            }
        }
        self.watched.sort_unstable();
        self.watched.dedup();
    }
}
