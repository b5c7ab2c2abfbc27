//! Default targets: a VIP without a port forwards all of an address, and OVN then takes replies to the instance's own
//! connections for forwarded traffic. So the VIP is removed and replaced by one of our own `dnat` rows until the last
//! override of the address is gone.
//!
//! The row records what was removed. The VIP counts as present as long as its load balancer exists: when the CMS
//! deletes the load balancer, the forward is gone, and so is our row.

#[cfg(test)]
mod tests;

use std::net::IpAddr;

use ovn_model::{Family, LoadBalancer, LoadBalancerId, Nat, NatId, NatKind, RouterId, Store, Vip};
use uuid::Uuid;

use crate::change::RowChange;
use crate::forwards::{self, Forward};
use crate::network::Network;
use crate::northd;
use crate::ownership::Role;
use crate::reason::{Reason, Unconvertible};
use crate::row::{OwnRow, Purpose};
use crate::rules::{DefaultTargetRule, Rules};
use crate::topology::gateway_ports;
use crate::undo::{Undo, default_target, undo_of};

/// The row of a converted address, and the changes that remove its VIPs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conversion {
    /// The row that replaces the VIPs.
    pub row: OwnRow,
    /// The VIPs still to be removed, and those to be restored.
    pub moves: Vec<RowChange>,
}

/// Returns our row for a converted address, if there is one.
pub fn current<'a>(network: Network<'a, '_>, router: RouterId, address: IpAddr) -> Option<(NatId, &'a Nat)> {
    let Network { store, owner } = network;
    let is_ours = |nat: &Nat| owner.role(nat) == Some(Role::DefaultTarget);
    let rows = store.nats_by_external(router, address).iter().filter_map(|id| Some((*id, store.nat(*id)?)));
    // A row that somebody changed to another kind is found by its UUID: there may be thousands of that kind.
    let known = || {
        // Rows of conversions have no port tag. Mostly there are none.
        store.nats_tagged_portless().first()?;
        let id = store.nat_by_uuid(row_uuid(network, router, address))?;
        Some((id, store.nat(id)?)).filter(|(_, nat)| {
            is_ours(nat) && nat.router == Some(router) && nat.external_ip() == Some(address)
        })
    };
    rows.into_iter().find(|(_, nat)| is_ours(nat)).or_else(known)
}

fn row_uuid(network: Network<'_, '_>, router: RouterId, address: IpAddr) -> Uuid {
    let Network { store, owner } = network;
    let router_uuid = store.router(router).map_or_else(Uuid::nil, |row| row.uuid);
    owner.row_uuid(Role::DefaultTarget, router_uuid, address, "")
}

/// The rows and VIPs of a router that concern the conversion of an address.
#[derive(Debug)]
pub struct Site<'a> {
    router: RouterId,
    address: IpAddr,
    /// Our row.
    current: Option<(NatId, &'a Nat)>,
    /// The VIPs that it records as removed.
    done: Vec<Undo>,
    /// The VIPs without a port.
    hazards: Vec<(LoadBalancerId, &'a LoadBalancer, &'a Vip)>,
}

impl<'a> Site<'a> {
    /// Collects the rows and VIPs.
    pub fn new(network: Network<'a, '_>, router: RouterId, address: IpAddr) -> Self {
        let forwards: Vec<_> = forwards::on_address(network, router, address).collect();
        Self::among(network, router, address, &forwards)
    }

    /// Collects the rows and VIPs where the forwards of the address are known.
    pub fn among(
        network: Network<'a, '_>,
        router: RouterId,
        address: IpAddr,
        forwards: &[Forward<'a>],
    ) -> Self {
        let store = network.store;
        let current = current(network, router, address);
        let done = current.map(|(_, nat)| undo_of(nat)).unwrap_or_default();
        let hazard = |forward: &Forward<'a>| match *forward {
            Forward::Vip(id, vip) if vip.endpoint.port.is_none() => Some((id, store.load_balancer(id)?, vip)),
            _ => None,
        };
        let hazards = forwards.iter().filter_map(hazard).collect();
        Self { router, address, current, done, hazards }
    }

    /// Returns the load balancers that the conversion changes or depends on.
    pub fn balancers(&self) -> impl Iterator<Item = Uuid> {
        let ahead = self.hazards.iter().map(|(_, balancer, _)| balancer.uuid);
        ahead.chain(self.done.iter().map(Undo::balancer))
    }

    /// Adds VIPs to those that our row records, if there is a row: somebody may have changed the record.
    pub fn remember(&mut self, memory: &[Undo]) {
        if self.current.is_some() {
            let is_new = |undo: &&Undo| !self.done.iter().any(|done| done.is_same_vip(undo));
            let lost: Vec<_> = memory.iter().filter(is_new).cloned().collect();
            self.done.extend(lost);
        }
    }

    /// Returns the VIPs that our row records as removed, if there is a row.
    pub fn memory(&self) -> Option<&[Undo]> {
        self.current.map(|_| &*self.done)
    }

    /// Decides whether and how the address has to be converted for an override on the router.
    ///
    /// # Errors
    /// It has to be converted and cannot.
    pub fn needed(&self, store: &Store, rules: &Rules) -> Result<Option<Conversion>, Reason> {
        let Self { router, address, done, hazards, .. } = self;
        let (router, address, owner) = (*router, *address, &rules.owner);
        let mut undo = done.clone();
        // A deleted VIP is not restored, and one that somebody has attached or inserted again is treated as new.
        let back = |undo: &Undo| {
            hazards.iter().any(|(_, row, vip)| match undo {
                Undo::Attach(balancer) => *balancer == row.uuid,
                Undo::Restore { balancer, key, .. } => *balancer == row.uuid && **key == *vip.key(),
            })
        };
        undo.retain(|undo| undo.targets(store, router, address).next().is_some() && !back(undo));
        // The VIPs to restore once the conversion ends: not those that are back already, possibly with another value.
        let out: Vec<_> = done.iter().filter(|done| !back(done)).collect();
        if hazards.is_empty() && undo.is_empty() {
            return Ok(None);
        }
        const SHARED: Reason = Reason::DefaultTarget(Unconvertible::Shared);
        let not = |why| Err(Reason::DefaultTarget(why));
        if rules.default_target == DefaultTargetRule::Reject {
            return not(Unconvertible::Forbidden);
        }
        // OVN forwards a VIP at each of them, since 25.03, and a row at one.
        if gateway_ports(store, router).nth(1).is_some() {
            return not(Unconvertible::GatewayPorts);
        }
        if northd::announces_only_balancers(store, router) && !self.has_other_vip(store) {
            return not(Unconvertible::Announced);
        }
        // One without a backend rejects or drops packets, which our row would not.
        if hazards.iter().any(|(_, _, vip)| vip.backends().is_empty()) {
            return not(Unconvertible::NoBackend);
        }
        let ahead =
            hazards.iter().flat_map(|(_, _, vip)| vip.backends().iter().map(|backend| backend.address));
        let mut targets: Vec<_> =
            undo.iter().flat_map(|undo| undo.targets(store, router, address)).chain(ahead).collect();
        targets.dedup();
        let &[target] = &*targets else { return not(Unconvertible::SeveralTargets) };
        let done = undo.iter().filter_map(|undo| store.load_balancer_by_uuid(undo.balancer()));
        let mut balancers = done.chain(hazards.iter().map(|(id, ..)| *id));
        if balancers.clone().any(|id| !shows_same_source(store, router, id, address)) {
            return not(Unconvertible::Source);
        }
        // The checks may be for another VIP of the balancer: `Load_Balancer_Health_Check` is not read.
        if balancers.any(|id| store.load_balancer(id).is_some_and(LoadBalancer::checks_health)) {
            return not(Unconvertible::HealthCheck);
        }
        // Of two groups of agents that both have a row, that with the lesser name keeps it.
        let is_second = |nat: &Nat| self.current.is_some() && owner.precedes_owner_of(nat);
        // A dnat row of the CMS forwards the address already; a second one must not be added.
        let foreign = |id: &NatId| {
            let is_used = |nat: &&Nat| northd::nat_flaw(store, nat).is_none();
            store
                .nat(*id)
                .filter(is_used)
                .is_some_and(|nat| nat.kind != Some(NatKind::Snat) && !owner.owns(nat) && !is_second(nat))
        };
        let network = || northd::forwarding_network(store, router, address).next().is_some();
        if store.nats_by_external(router, address).iter().any(foreign) || network() {
            return not(Unconvertible::Dnat);
        }
        let mut moves = Vec::new();
        for undo in &mut undo {
            let (change, now) = undo.adapted(store, router, address).ok_or(SHARED)?;
            moves.extend(change);
            *undo = now;
        }
        for (id, balancer, vip) in hazards {
            let (change, done) = removal(store, router, *id, balancer, vip).ok_or(SHARED)?;
            moves.push(change);
            if !undo.contains(&done) {
                undo.push(done);
            }
        }
        let returns = out.into_iter().filter(|out| !undo.contains(out));
        moves.extend(returns.filter_map(|done| done.reverse(store, router)));
        let row = OwnRow {
            router,
            uuid: row_uuid(rules.network(store), router, address),
            purpose: Purpose::DefaultTarget { undo },
            external: address,
            logical: target,
            port_range: None,
            gateway_port: None,
            external_ips: None,
        };
        Ok(Some(Conversion { row, moves }))
    }

    /// Returns whether a VIP for a port of the address stays on the router.
    fn has_other_vip(&self, store: &Store) -> bool {
        let here =
            store.balancers_with_vip(self.address).filter(|id| store.attachment(self.router, *id).is_some());
        let mut rows = here.filter_map(|id| store.load_balancer(id));
        rows.any(|row| {
            let mut vips = row.vips.on(self.address).iter();
            vips.any(|vip| vip.endpoint.port.is_some() && northd::uses_vip(row, vip))
        })
    }

    /// Returns the changes for the conversion, which is `in_use` or not.
    pub fn changes(&self, store: &Store, rules: &Rules, in_use: bool) -> Vec<RowChange> {
        let wanted = self.needed(store, rules).ok().flatten().filter(|_| in_use);
        let router = self.router;
        match (self.current, wanted) {
            (None, None) => Vec::new(),
            (None, Some(Conversion { row, mut moves })) => {
                moves.insert(0, RowChange::Insert(row));
                moves
            }
            (Some((id, nat)), Some(Conversion { row, mut moves })) => {
                if !row.is_written_in(nat, &rules.owner) {
                    moves.insert(0, RowChange::Update(id, row));
                }
                moves
            }
            (Some((id, _)), None) => {
                let returns = self.done.iter().filter_map(|undo| undo.reverse(store, router));
                [RowChange::Delete(id, router)].into_iter().chain(returns).collect()
            }
        }
    }
}

/// Returns the changes after somebody deleted our row and with it the record of the removed VIPs: these are restored,
/// so that the address is forwarded. If the conversion is still needed, it is then made again from the start.
pub fn restoration(store: &Store, router: RouterId, memory: &[Undo]) -> Vec<RowChange> {
    memory.iter().filter_map(|undo| undo.reverse(store, router)).collect()
}

/// Returns whether an instance sees the same source behind a `dnat` row of the router as behind the load balancer.
fn shows_same_source(store: &Store, router: RouterId, balancer: LoadBalancerId, address: IpAddr) -> bool {
    let family = Family::from(address);
    store.router(router).zip(store.load_balancer(balancer)).is_none_or(|(router, balancer)| {
        northd::seen_behind_balancer(router, balancer, family) == northd::seen_behind_dnat(router, family)
    })
}

/// Decides how to remove a VIP; `None` where that would harm somebody else.
fn removal(
    store: &Store,
    router: RouterId,
    id: LoadBalancerId,
    balancer: &LoadBalancer,
    vip: &Vip,
) -> Option<(RowChange, Undo)> {
    let direct = store.attachment(router, id) == Some(ovn_model::Attachment::Direct);
    // In a group it is attached to other routers too, and comes back with the group. A value that is not understood
    // could not be restored as it was.
    if !direct || balancer.is_grouped() || !balancer.vips.are_understood() {
        return None;
    }
    if balancer.vips.len() == 1 {
        return Some((RowChange::Detach(router, id), Undo::Attach(balancer.uuid)));
    }
    if store.routers_of(id).any(|other| other != router) {
        return None;
    }
    let (key, value): (Box<str>, Box<str>) = (vip.key().into(), vip.value().into());
    let undo = Undo::Restore { balancer: balancer.uuid, key: key.clone(), value: value.clone() };
    undo.is_recordable().then_some((RowChange::RemoveVip(id, key, value), undo))
}

// ===== impl Undo =====

impl Undo {
    /// Adapts to changes of the load balancer since: one that was detached and got more VIPs is attached again without
    /// this VIP. Returns the change for that; `None` where the VIP must be restored too, because another router needs
    /// it.
    fn adapted(&self, store: &Store, router: RouterId, address: IpAddr) -> Option<(Option<RowChange>, Self)> {
        let id = store.load_balancer_by_uuid(self.balancer())?;
        let row = store.load_balancer(id)?;
        let alone = matches!(self, Self::Attach(_)) && row.vips.len() == 1;
        if !alone && (row.is_grouped() || store.routers_of(id).any(|other| other != router)) {
            return None;
        }
        if alone || matches!(self, Self::Restore { .. }) {
            return Some((None, self.clone()));
        }
        let vip = default_target(row, address)?;
        let (key, value): (Box<str>, Box<str>) = (vip.key().into(), vip.value().into());
        let now = Self::Restore { balancer: row.uuid, key: key.clone(), value: value.clone() };
        now.is_recordable().then_some((Some(RowChange::RemoveVip(id, key, value)), now))
    }

    /// Returns the change that reverts it; `None` where the load balancer is gone.
    fn reverse(&self, store: &Store, router: RouterId) -> Option<RowChange> {
        store.load_balancer_by_uuid(self.balancer()).filter(|id| store.load_balancer(*id).is_some())?;
        Some(match self.clone() {
            Self::Attach(balancer) => RowChange::Attach(router, balancer),
            Self::Restore { balancer, key, value } => RowChange::RestoreVip(balancer, key, value),
        })
    }
}
