//! Writing `Load_Balancer`, and what its rows are filed under.

use std::mem;
use std::net::IpAddr;

use ovsdb_protocol::ApplyError;

use super::Store;
use crate::change::Change;
use crate::id::{LoadBalancerId, RouterId};
use crate::row::{BalancerDraft, Write};
use crate::vip::Vip;

impl Store {
    pub(super) fn write_balancer(&mut self, id: LoadBalancerId, write: Write<'_>) -> Result<(), ApplyError> {
        let balancer = self.balancers.slot_mut(id);
        let was = balancer.meta;
        let mut draft = BalancerDraft::default();
        if write.is_difference() {
            draft.name = balancer.name.clone();
            draft.protocol = balancer.protocol;
            draft.bad = balancer.bad.as_deref().cloned().unwrap_or_default();
        }
        balancer.meta = write.read(balancer.uuid, was, &mut draft, &mut self.problems)?;
        let is = balancer.meta;
        draft.vips.sort_unstable_by(|a, b| a.order().cmp(&b.order()));
        draft.vips.dedup_by(|a, b| a.order().cmp(&b.order()).is_eq());
        if !write.is_difference() {
            draft.vips = difference(&balancer.vips, draft.vips);
        }
        balancer.bad = (!draft.bad.is_empty()).then(|| Box::new(draft.bad));
        let other = balancer.name != draft.name || balancer.protocol != draft.protocol;
        balancer.name = draft.name;
        balancer.protocol = draft.protocol;
        let touched = toggle(&mut balancer.vips, draft.vips);
        self.balancers.count(was.is_present(), is.is_present());
        self.file_balancer(id, &touched);
        if !self.recorder.knows_all() {
            if other || !touched.vips.is_empty() || was.is_present() != is.is_present() {
                self.recorder.note(Change::Balancer(self.balancers.slot(id).uuid));
            }
            let routers = self.linked_routers(id);
            self.note_addresses(&routers, &touched.vips);
            self.note_addresses(&routers, &touched.backends);
            if other {
                routers.into_iter().for_each(|router| self.touch_balancer(router, id));
            }
        }
        Ok(())
    }

    /// Marks all addresses of a load balancer on a router that it is put on or taken off.
    pub(super) fn touch_balancer(&mut self, router: RouterId, id: LoadBalancerId) {
        if self.recorder.knows_all() {
            return;
        }
        self.note_balancer(id);
        for vip in &self.balancers.slot(id).vips {
            self.recorder.note(Change::Address { router, address: vip.endpoint.address });
            for backend in &*vip.backends {
                self.recorder.note(Change::Address { router, address: backend.address });
            }
        }
    }

    /// Marks a load balancer whose place changes, if its row is here.
    pub(super) fn note_balancer(&mut self, id: LoadBalancerId) {
        let balancer = self.balancers.slot(id);
        if balancer.meta.is_present() {
            self.recorder.note(Change::Balancer(balancer.uuid));
        }
    }

    /// Adapts the indexes, after VIPs were changed.
    fn file_balancer(&mut self, id: LoadBalancerId, touched: &Touched) {
        let balancer = self.balancers.slot(id);
        for address in &touched.vips {
            if balancer.vips_on(*address).is_empty() {
                self.vips.remove(address, id);
            } else {
                self.vips.insert(address, id, |address| *address);
            }
        }
        let mut has = vec![!touched.lost; touched.backends.len()];
        if touched.lost {
            // One pass over all that is left answers for all of them.
            for backend in balancer.vips.iter().flat_map(|vip| &*vip.backends) {
                if let Ok(at) = touched.backends.binary_search(&backend.address) {
                    has[at] = true;
                }
            }
        }
        for (address, has) in touched.backends.iter().zip(has) {
            match has {
                true => self.backends.insert(address, id, |address| *address),
                false => self.backends.remove(address, id),
            }
        }
    }

    /// Returns the routers that a load balancer is on, be its row here or not.
    fn linked_routers(&self, id: LoadBalancerId) -> Vec<RouterId> {
        let balancer = self.balancers.slot(id);
        let groups = balancer.groups.as_slice().iter();
        let grouped = groups.flat_map(|group| self.groups.slot(*group).routers.as_slice());
        let mut routers: Vec<_> = balancer.routers.as_slice().iter().chain(grouped).copied().collect();
        routers.sort_unstable();
        routers.dedup();
        routers
    }

    fn note_addresses(&mut self, routers: &[RouterId], addresses: &[IpAddr]) {
        for router in routers {
            for address in addresses {
                self.recorder.note(Change::Address { router: *router, address: *address });
            }
        }
    }
}

/// The addresses of the VIPs that came, went or changed.
#[derive(Debug, Default)]
struct Touched {
    vips: Vec<IpAddr>,
    backends: Vec<IpAddr>,
    /// Whether any went, so that others may not be there any more.
    lost: bool,
}

impl Touched {
    fn add(&mut self, vip: &Vip) {
        self.vips.push(vip.endpoint.address);
        self.backends.extend(vip.backends.iter().map(|backend| backend.address));
    }
}

/// Returns the map difference that makes `new` of `old`; all are sorted.
fn difference(old: &[Vip], new: Vec<Vip>) -> Vec<Vip> {
    if old.is_empty() {
        return new;
    }
    let gone = |vip: &&Vip| new.binary_search_by(|v| v.order().cmp(&vip.order())).is_err();
    let mut result: Vec<_> = old.iter().filter(gone).cloned().collect();
    let differs = |vip: &Vip| match old.binary_search_by(|v| v.order().cmp(&vip.order())) {
        Ok(at) => old[at] != *vip,
        Err(_) => true,
    };
    result.extend(new.into_iter().filter(differs));
    result
}

/// Applies a map difference.
fn toggle(vips: &mut Vec<Vip>, difference: Vec<Vip>) -> Touched {
    let mut touched = Touched::default();
    difference.iter().for_each(|vip| touched.add(vip));
    if vips.is_empty() {
        *vips = difference;
    } else {
        for vip in difference {
            match vips.binary_search_by(|v| v.order().cmp(&vip.order())) {
                Err(at) => vips.insert(at, vip),
                Ok(at) => {
                    touched.lost = true;
                    if vips[at] == vip {
                        vips.remove(at);
                    } else {
                        touched.add(&mem::replace(&mut vips[at], vip));
                    }
                }
            }
        }
    }
    vips.shrink_to_fit();
    touched.vips.sort_unstable();
    touched.vips.dedup();
    touched.backends.sort_unstable();
    touched.backends.dedup();
    touched
}
