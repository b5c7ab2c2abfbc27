//! Foreign rows where the rows of a port would be.

use std::cmp::Reverse;
use std::net::IpAddr;

use ovn_model::{Nat, NatId, NatKind, RouterId, RouterPortId};

use super::{Question, Verdict};
use crate::forwards::is_egress;
use crate::northd;
use crate::reason::Reason;

/// Where the rows of a port would be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Occupancy<'a> {
    pub(super) question: Question<'a>,
    pub(super) router: RouterId,
    pub(super) external: IpAddr,
    /// The gateway port, if they name one.
    pub(super) gateway_port: Option<RouterPortId>,
}

impl Occupancy<'_> {
    /// Looks whether a foreign row translates `internal` already: `Ok(Some)` where it does so to
    /// `external`, an error where to something else.
    pub(super) fn occupant(self, internal: IpAddr) -> Result<Option<NatId>, Verdict> {
        let Self { question: Question { store, .. }, router, external, .. } = self;
        let foreign = |id: &NatId| {
            let nat = store.nat(*id).filter(|nat| is_egress(nat) && self.meets(nat));
            nat.map(|nat| (*id, nat))
        };
        let rows: Vec<_> = store.nats_by_logical(router, internal).iter().filter_map(foreign).collect();
        // A row with a match translates some packets only, so that it fulfils nothing.
        let fulfils = |nat: &Nat| nat.external_ip() == Some(external) && nat.matches().is_empty();
        // Of several, the one with the least UUID is named: handles say nothing.
        let least = |same: bool| {
            let such = rows.iter().filter(|(_, nat)| fulfils(nat) == same);
            such.min_by_key(|(_, nat)| nat.uuid).map(|(id, _)| *id)
        };
        if let Some(other) = least(false) {
            return Err(Verdict::Conflict(Reason::ForeignNat(other)));
        }
        if let Some(same) = least(true) {
            return Ok(Some(same));
        }
        // The network's own SNAT may use the address, unless a narrower prefix has another.
        let covers =
            |nat: &Nat| nat.logical_ip().filter(|net| net.contains(&internal)).map(|net| net.prefix_len());
        let own = store.nats_by_external(router, external).iter().filter_map(foreign);
        let own = own.filter(|(_, nat)| fulfils(nat));
        let own = own.filter_map(|(id, nat)| Some((covers(nat)?, Reverse(nat.uuid), id))).max();
        let Some((length, _, id)) = own else { return Ok(None) };
        let egress = store.nats_of(router).iter().filter_map(foreign);
        let mut here = egress.filter(|(_, nat)| nat.router == Some(router));
        let narrower = here.any(|(_, nat)| covers(nat) > Some(length));
        Ok(Some(id).filter(|_| !narrower))
    }

    /// Finds a foreign row that hands on all packets for the address as they arrive. northd's flow for it has the match of ours,
    /// which looks replies up (northd/northd.c, `build_lrouter_in_unsnat_flow`): which of the two is taken is left open.
    pub(super) fn stateless(self) -> Option<NatId> {
        let Self { question: Question { store, .. }, router, external, .. } = self;
        let rows = store.nats_by_external(router, external).iter().copied();
        let rows = rows.filter_map(|id| Some((id, store.nat(id)?)));
        let rows = rows.filter(|(_, nat)| {
            nat.kind == Some(NatKind::DnatAndSnat) && nat.stateless.get() == Some(&true) && self.meets(nat)
        });
        rows.min_by_key(|(_, nat)| nat.uuid).map(|(id, _)| id)
    }

    /// Returns whether a foreign row translates packets that the port's rows would translate.
    fn meets(self, nat: &Nat) -> bool {
        let Question { store, rules, .. } = self.question;
        let same = |port: Option<RouterPortId>| {
            port == self.gateway_port || port.is_none() || self.gateway_port.is_none()
        };
        !rules.owner.owns(nat)
            && northd::nat_flaw(store, nat).is_none()
            && northd::nat_port(store, nat).is_ok_and(same)
    }
}
