//! Foreign rows where the rows of a port would be.

use std::cell::LazyCell;
use std::cmp::Reverse;
use std::net::IpAddr;

use ovn_model::{ExternalIps, Nat, NatId, NatKind, RouterId, RouterPortId};

use super::decision::Verdict;
use super::question::Question;
use crate::explain::Trace;
use crate::forwards::is_egress;
use crate::northd;
use crate::reason::Reason;
use crate::rules::ExemptionsRule;

/// The place where the rows of a port would be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Occupancy<'a> {
    pub(super) question: Question<'a>,
    pub(super) router: RouterId,
    pub(super) external: IpAddr,
    /// The gateway port, if they name one.
    pub(super) gateway_port: Option<RouterPortId>,
}

impl<'a> Occupancy<'a> {
    /// Returns whether a foreign row translates `internal` already: `Ok(Some)` if to `external`, an error if to
    /// something else.
    pub(super) fn occupant(self, internal: IpAddr) -> Result<Option<NatId>, Verdict> {
        let Self { question: Question { store, .. }, router, external, .. } = self;
        let is_overridden = LazyCell::new(|| self.is_overridden(internal));
        let foreign = |id: &NatId| {
            let nat = store.nat(*id).filter(|nat| is_egress(nat) && self.meets(nat));
            let nat = nat.filter(|nat| !(self.is_second(nat) && *is_overridden));
            nat.map(|nat| (*id, nat))
        };
        let rows: Vec<_> = store.nats_by_logical(router, internal).filter_map(|id| foreign(&id)).collect();
        let same = |nat: &Nat| nat.external_ip() == Some(external);
        // Of several, the one with the least UUID is named: handles are arbitrary.
        let least = |is: &dyn Fn(&Nat) -> bool| {
            rows.iter().filter(|(_, nat)| is(nat)).min_by_key(|(_, nat)| nat.uuid).map(|(id, _)| *id)
        };
        // A row with a match precedes ours, and one without has the same priority as ours.
        if let Some(other) = least(&|nat| !same(nat)) {
            return Err(Verdict::Conflict(Reason::ForeignNat(other)));
        }
        // If all of them are for some packets only, ours is for the others.
        if let Some(same) = least(&fulfils) {
            return Ok(Some(same));
        }
        // The network's own SNAT may use the address, unless a longer prefix has another.
        let covers =
            |nat: &Nat| nat.logical_ip().filter(|net| net.contains(&internal)).map(|net| net.prefix_len());
        let own = store.nats_by_external(router, external).iter().filter_map(foreign);
        let own = own.filter(|(_, nat)| fulfils(nat));
        let own = own.filter_map(|(id, nat)| Some((covers(nat)?, Reverse(nat.uuid), id))).max();
        let Some((length, _, id)) = own else { return Ok(None) };
        let mut others = store.network_snats(router).filter(|(_, nat)| self.meets(nat) && !same(nat));
        let narrower = others.any(|(_, nat)| covers(nat) > Some(length));
        Ok(Some(id).filter(|_| !narrower))
    }

    /// Returns the foreign rows of whole networks that translate `internal`, which an override takes precedence over.
    pub(super) fn base(self, internal: IpAddr) -> Vec<(NatId, &'a Nat)> {
        let Self { question: Question { store, .. }, router, .. } = self;
        let rows = store.network_snats(router).filter(|(_, nat)| {
            nat.logical_ip().is_some_and(|network| network.contains(&internal)) && self.meets(nat)
        });
        let mut rows: Vec<_> = rows.collect();
        rows.sort_unstable_by_key(|(_, nat)| {
            (Reverse(nat.logical_ip().map(|network| network.prefix_len())), nat.uuid)
        });
        rows
    }

    /// Finds a foreign row by which replies to the address arrive at the hypervisor of another port.
    pub(super) fn distributed(self) -> Option<NatId> {
        let Self { question: Question { store, .. }, router, external, .. } = self;
        let rows = store.nats_by_external(router, external).iter().copied();
        let rows = rows.filter_map(|id| Some((id, store.nat(id)?)));
        let rows = rows.filter(|(_, nat)| northd::is_distributed(store, nat) && self.meets(nat));
        rows.min_by_key(|(_, nat)| nat.uuid).map(|(id, _)| id)
    }

    /// Finds a foreign row that forwards all packets for the address without connection tracking. northd's flow for it
    /// has the same match as ours, which looks replies up (northd/northd.c, `build_lrouter_in_unsnat_flow`): which of
    /// the two is used is undefined.
    pub(super) fn stateless(self) -> Option<NatId> {
        let Self { question: Question { store, .. }, router, external, .. } = self;
        let rows = store.nats_by_external(router, external).iter().copied();
        let rows = rows.filter_map(|id| Some((id, store.nat(id)?))).filter(|(_, nat)| self.meets(nat));
        let rows = rows.chain(northd::forwarding_network(store, router, external));
        let rows = rows
            .filter(|(_, nat)| nat.kind == Some(NatKind::DnatAndSnat) && nat.stateless.get() == Some(&true));
        rows.min_by_key(|(_, nat)| nat.uuid).map(|(id, _)| id)
    }

    /// Decides which peers the rows for these addresses are for. An override is for all peers: it also translates
    /// packets that the network's own SNAT does not, unless it has the same limits. Returns `None` if the columns are
    /// not changed.
    pub(super) fn peers(self, internal: &[IpAddr], trace: &mut impl Trace) -> Option<Option<ExternalIps>> {
        let Question { store, rules, .. } = self.question;
        let is_plain = |nat: &Nat| nat.matches().is_empty() && nat.external_ips() == Ok(None);
        if store.network_snats(self.router).all(|(_, nat)| is_plain(nat)) {
            return (rules.exemptions == ExemptionsRule::Inherit).then_some(None);
        }
        let base = internal.iter().map(|address| {
            let base = self.base(*address);
            // Rows with a match precede ours anyway.
            if let Some((_, nat)) = base.iter().find(|(_, nat)| !nat.matches().is_empty()) {
                trace.hazard("match", || {
                    format!(
                        "row {} has a match: OVN takes it for what matches, before all rows without one",
                        nat.uuid
                    )
                });
            }
            let base = base.iter().find(|(_, nat)| nat.matches().is_empty());
            base.and_then(|(_, nat)| Some((nat.external_ips().ok()??, nat.uuid)))
        });
        let base: Vec<_> = base.collect();
        let limits = base.first().copied().flatten().map(|(limits, _)| limits);
        let are_same = base.iter().all(|base| base.map(|(limits, _)| limits) == limits);
        let inherits = rules.exemptions == ExemptionsRule::Inherit && are_same;
        if let Some((_, uuid)) = base.iter().flatten().next() {
            if inherits {
                trace.passed("exemptions", || format!("as those of the network's own SNAT, row {uuid}"));
            } else {
                trace.hazard("exemptions", || {
                    format!("the network's own SNAT, row {uuid}, is for some peers only; this override is for all, unless exemptions = \"inherit\"")
                });
            }
        }
        inherits.then_some(limits)
    }

    /// Returns whether a row belongs to another group of agents whose name is greater.
    ///
    /// Where both have a row for the same port, that group gives its row up. Otherwise both would do so at once, insert
    /// theirs again, and never end.
    fn is_second(self, nat: &Nat) -> bool {
        self.question.rules.owner.precedes_owner_of(nat)
    }

    /// Returns whether the port has our row for an address.
    fn is_overridden(self, internal: IpAddr) -> bool {
        let Question { store, rules, port, .. } = self.question;
        let mut rows = store.nats_by_logical(self.router, internal).filter_map(|id| store.nat(id));
        rows.any(|nat| rules.owner.is_override_of(nat, &port.name))
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

/// Returns whether a row is for all packets of its logical address, except those that it exempts: these would be exempt
/// even with our own row beside it.
///
/// A row with `match` is for some packets only, and precedes all rows without one, whatever its `priority`
/// (northd/northd.c, `lrouter_nat_get_priority`). One with `allowed_ext_ips` is for some packets, too; one with
/// `exempted_ext_ips` has a flow of a higher priority for these (`lrouter_nat_add_ext_ip_match`).
fn fulfils(nat: &Nat) -> bool {
    nat.matches().is_empty() && !matches!(nat.external_ips(), Ok(Some(ExternalIps::Allowed(_))) | Err(_))
}
