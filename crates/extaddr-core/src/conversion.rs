//! Default targets: a VIP without a port forwards all of an address, and OVN then takes replies to
//! the instance's own connections for forwarded traffic. So the VIP is put out of the way and a
//! `dnat` row of ours does its work, until the last override of the address is gone.
//!
//! What was done is remembered in the row. The VIP goes on to exist as long as its load balancer
//! does: when the CMS deletes that, the forward is gone, and ours with it.

use std::net::IpAddr;

use ovn_model::{Family, LoadBalancer, LoadBalancerId, Nat, NatId, NatKind, RouterId, Store, Vip};
use uuid::Uuid;

use crate::change::RowChange;
use crate::forwards::{self, Forward};
use crate::northd;
use crate::ownership::{Owner, Role};
use crate::reason::{Reason, Unconvertible};
use crate::row::{OwnRow, Purpose};
use crate::rules::{DefaultTargetRule, Rules};
use crate::topology::gateway_ports;
use crate::undo::{Undo, default_target, undo_of};

/// What a converted address needs: the row, and what to put out of the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conversion {
    /// The row that does the VIPs' work.
    pub row: OwnRow,
    /// What to put out of the way, if anything is left, and what comes back.
    pub moves: Vec<RowChange>,
}

/// Returns our row for a converted address, if there is one.
pub fn current<'a>(
    store: &'a Store,
    owner: &Owner,
    router: RouterId,
    address: IpAddr,
) -> Option<(NatId, &'a Nat)> {
    let is_ours = |nat: &Nat| owner.role(nat) == Some(Role::DefaultTarget);
    let rows = store.nats_by_external(router, address).iter().filter_map(|id| Some((*id, store.nat(*id)?)));
    // One that somebody made another kind of is known by its UUID: there may be thousands of that kind.
    let known = || {
        // Rows of conversions are tagged with no port. Mostly there are none.
        store.nats_tagged_portless().first()?;
        let id = store.nat_by_uuid(row_uuid(store, owner, router, address))?;
        Some((id, store.nat(id)?)).filter(|(_, nat)| {
            is_ours(nat) && nat.router == Some(router) && nat.external_ip() == Some(address)
        })
    };
    rows.into_iter().find(|(_, nat)| is_ours(nat)).or_else(known)
}

fn row_uuid(store: &Store, owner: &Owner, router: RouterId, address: IpAddr) -> Uuid {
    let router_uuid = store.router(router).map_or_else(Uuid::nil, |row| row.uuid);
    owner.row_uuid(Role::DefaultTarget, router_uuid, address, "")
}

/// What is on a router that has to do with the conversion of an address.
#[derive(Debug)]
pub struct Site<'a> {
    router: RouterId,
    address: IpAddr,
    /// Our row.
    current: Option<(NatId, &'a Nat)>,
    /// What it says that is out of the way.
    done: Vec<Undo>,
    /// The VIPs without a port.
    hazards: Vec<(LoadBalancerId, &'a LoadBalancer, &'a Vip)>,
}

impl<'a> Site<'a> {
    /// Looks at it.
    pub fn new(store: &'a Store, owner: &Owner, router: RouterId, address: IpAddr) -> Self {
        let forwards: Vec<_> = forwards::on_address(store, owner, router, address).collect();
        Self::among(store, owner, router, address, &forwards)
    }

    /// Looks at it where the forwards of the address are known.
    pub fn among(
        store: &'a Store,
        owner: &Owner,
        router: RouterId,
        address: IpAddr,
        forwards: &[Forward<'a>],
    ) -> Self {
        let current = current(store, owner, router, address);
        let done = current.map(|(_, nat)| undo_of(nat)).unwrap_or_default();
        let hazard = |forward: &Forward<'a>| match *forward {
            Forward::Vip(id, vip) if vip.endpoint.port.is_none() => Some((id, store.load_balancer(id)?, vip)),
            _ => None,
        };
        let hazards = forwards.iter().filter_map(hazard).collect();
        Self { router, address, current, done, hazards }
    }

    /// Returns the load balancers that the conversion touches or rests on.
    pub fn balancers(&self) -> impl Iterator<Item = Uuid> {
        let ahead = self.hazards.iter().map(|(_, balancer, _)| balancer.uuid);
        ahead.chain(self.done.iter().map(Undo::balancer))
    }

    /// Returns what our row says that is out of the way, if there is one.
    pub fn memory(&self) -> Option<&[Undo]> {
        self.current.map(|_| &*self.done)
    }

    /// Decides whether the address has to be converted for an override on the router, and how.
    ///
    /// # Errors
    /// It has to be and cannot.
    pub fn needed(&self, store: &Store, rules: &Rules) -> Result<Option<Conversion>, Reason> {
        let Self { router, address, done, hazards, .. } = self;
        let (router, address, owner) = (*router, *address, &rules.owner);
        let mut undo = done.clone();
        // A VIP that is gone has nothing to come back for, and what somebody put on the router or into the
        // balancer again is looked at as if for the first time.
        let back = |undo: &Undo| {
            hazards.iter().any(|(_, row, vip)| match undo {
                Undo::Attach(balancer) => *balancer == row.uuid,
                Undo::Restore { balancer, key, .. } => *balancer == row.uuid && **key == *vip.key(),
            })
        };
        undo.retain(|undo| undo.targets(store, router, address).next().is_some() && !back(undo));
        // What is put back if nothing keeps it out: not what is back already, with another value perhaps.
        let out: Vec<_> = done.iter().filter(|done| !back(done)).collect();
        if hazards.is_empty() && undo.is_empty() {
            return Ok(None);
        }
        const SHARED: Reason = Reason::DefaultTarget(Unconvertible::Shared);
        let not = |why| Err(Reason::DefaultTarget(why));
        if rules.default_target == DefaultTargetRule::Reject {
            return not(Unconvertible::Forbidden);
        }
        // OVN forwards a VIP at each of them, since 24.09, and a row at one.
        if gateway_ports(store, router).nth(1).is_some() {
            return not(Unconvertible::GatewayPorts);
        }
        // One that leads nowhere refuses or drops what arrives, which a row of ours would not.
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
        if balancers.any(|id| !shows_same_source(store, router, id, address)) {
            return not(Unconvertible::Source);
        }
        // A dnat row of the CMS does the work already, and two are one too many.
        let foreign = |id: &NatId| {
            let heeded = |nat: &&Nat| northd::nat_flaw(store, nat).is_none();
            store
                .nat(*id)
                .filter(heeded)
                .is_some_and(|nat| nat.kind != Some(NatKind::Snat) && !owner.owns(nat))
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
            uuid: row_uuid(store, owner, router, address),
            purpose: Purpose::DefaultTarget { undo },
            external: address,
            logical: target,
            port_range: None,
            gateway_port: None,
            external_ips: None,
        };
        Ok(Some(Conversion { row, moves }))
    }

    /// Returns what has to change for the conversion, which is `in_use` or not.
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

/// Returns what has to change where somebody took our row away, with the memory in it: what was put
/// out of the way comes back, so that the address is forwarded. If it is wanted, it is then converted
/// as if for the first time.
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

/// Decides how to put a VIP out of the way; `None` where that would harm somebody else.
fn removal(
    store: &Store,
    router: RouterId,
    id: LoadBalancerId,
    balancer: &LoadBalancer,
    vip: &Vip,
) -> Option<(RowChange, Undo)> {
    let direct = store.attachment(router, id) == Some(ovn_model::Attachment::Direct);
    // Through a group it is there for other routers too, and comes back with the group.
    // What we do not understand we could not put back as it was.
    if !direct || balancer.is_grouped() || !balancer.is_understood() {
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
    Some((RowChange::RemoveVip(id, key, value), undo))
}

// ===== impl Undo =====

impl Undo {
    /// Goes by what became of the load balancer since: one that was taken off the router and got
    /// more VIPs comes back, without the one. Returns what has to change for that; `None` where the
    /// VIP must come back too, for another router would miss it.
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
        Some((Some(RowChange::RemoveVip(id, key, value)), now))
    }

    /// Returns the change that undoes it; `None` where the load balancer is gone.
    fn reverse(&self, store: &Store, router: RouterId) -> Option<RowChange> {
        store.load_balancer_by_uuid(self.balancer()).filter(|id| store.load_balancer(*id).is_some())?;
        Some(match self.clone() {
            Self::Attach(balancer) => RowChange::Attach(router, balancer),
            Self::Restore { balancer, key, value } => RowChange::RestoreVip(balancer, key, value),
        })
    }
}
