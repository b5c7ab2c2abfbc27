//! From an intent to the rows that fulfil it, or the reason why none do. Pure.

use std::cmp::Reverse;
use std::net::IpAddr;

use ovn_model::{
    Family, Nat, NatId, NatKind, Port, PortId, PortKind, RouterId, RouterPortId, Store, is_host, keys,
};
use uuid::Uuid;

use crate::explain::{Check, Trace};
use crate::forwards::{self, Forward};
use crate::intent::{self, Source, Wanted};
use crate::ownership::{Owner, Role};
use crate::port_range::{self, PortRange};
use crate::reason::Reason;
use crate::topology::{Reach, gateway_ports, is_gateway};

/// What became of an intent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The address family.
    pub family: Family,
    /// What is asked for, as it was written.
    pub wanted: Box<str>,
    /// Who asks.
    pub source: Source,
    /// The port's addresses of the family.
    pub internal: Vec<IpAddr>,
    /// The router that has the address, once it is clear.
    pub router: Option<RouterId>,
    /// The address, once it is clear.
    pub external: Option<IpAddr>,
    /// The outcome.
    pub verdict: Verdict,
}

/// The outcome for an intent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// These rows fulfil it; at least one.
    Granted(Vec<DesiredRow>),
    /// Something is missing that may come.
    Waiting(Reason),
    /// It cannot be granted as things are.
    Rejected(Reason),
    /// A foreign row, or another port's, is in the place.
    Conflict(Reason),
    /// A foreign row fulfils it.
    Foreign(NatId),
}

/// A row of ours as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DesiredRow {
    /// The router whose `nat` refers to it.
    pub router: RouterId,
    /// Its `_uuid`.
    pub uuid: Uuid,
    /// `external_ip`.
    pub external: IpAddr,
    /// `logical_ip`.
    pub logical: IpAddr,
    /// `external_port_range`.
    pub port_range: Option<PortRange>,
    /// `gateway_port`.
    pub gateway_port: Option<RouterPortId>,
}

/// Everything a decision is made from.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// The database.
    pub store: &'a Store,
    /// Whose rows are ours.
    pub owner: &'a Owner,
    /// What can be reached from the port's switch.
    pub reach: &'a Reach,
    /// The port.
    pub port: &'a Port,
    /// The address family.
    pub family: Family,
}

/// Addresses whose role on a router the decision rests on: it stands as long as they, the port and
/// what was reached stay as they are.
pub type Watched = Vec<(RouterId, IpAddr)>;

/// Decides on the intent of a port for an address family, `None` where there is none.
pub fn resolve(question: Question<'_>, watched: &mut Watched, trace: &mut impl Trace) -> Option<Decision> {
    let Question { port, family, .. } = question;
    let text = port.external(family)?;
    let mut decision = Decision {
        family,
        wanted: text.trim().into(),
        source: Source::Annotation,
        internal: port.internal_addresses(family),
        router: None,
        external: None,
        verdict: Verdict::Waiting(Reason::NoSwitch),
    };
    let key = keys::port_key(family);
    decision.verdict = match intent::parse(text, family) {
        Ok(None) => return None,
        Ok(Some(wanted)) => {
            trace.passed("intent", || format!("{key} of the port asks for {wanted}"));
            decide(question, wanted, &mut decision, watched, trace).unwrap_or_else(|verdict| verdict)
        }
        Err(reason) => Verdict::Rejected(reason),
    };
    Some(decision)
}

/// Follows the chain from port to rows; what breaks it is the `Err`.
fn decide(
    question: Question<'_>,
    wanted: Wanted,
    decision: &mut Decision,
    watched: &mut Watched,
    trace: &mut impl Trace,
) -> Result<Verdict, Verdict> {
    let Question { store, owner, reach, port, .. } = question;
    if port.kind != PortKind::Instance {
        return Err(Verdict::Rejected(Reason::NotAnInstance));
    }
    let switch = port.switch.and_then(|id| store.switch(id)).ok_or(Verdict::Waiting(Reason::NoSwitch))?;
    trace.passed("switch", || switch.name.to_string());
    if decision.internal.is_empty() {
        return Err(Verdict::Waiting(Reason::NoAddress));
    }
    trace.passed("internal", || Check::list(&decision.internal));
    if reach.routers.is_empty() {
        return Err(Verdict::Rejected(Reason::NoRouter));
    }
    trace.passed("routers", || {
        Check::list(reach.routers.iter().filter_map(|(id, _)| Some(&store.router(*id)?.name)))
    });
    for (router, _) in &reach.routers {
        watched.extend(decision.internal.iter().map(|address| (*router, *address)));
    }

    let external = match wanted {
        Wanted::Address(address) => address,
        Wanted::Auto => {
            let address = sole_forward(question, &decision.internal, watched).map_err(Verdict::Rejected)?;
            trace.passed("auto", || format!("{address} leads to this port alone"));
            address
        }
    };
    decision.external = Some(external);
    watched.extend(reach.routers.iter().map(|(router, _)| (*router, external)));
    let router = router_of(question, external, &decision.internal).map_err(Verdict::Rejected)?;
    decision.router = Some(router);
    let found: Vec<_> = forwards::at(store, owner, router, external).collect();
    for forward in &found {
        trace.passed("forward", || Check::forward(store, router, forward));
    }
    if !is_gateway(store, router) {
        return Err(Verdict::Rejected(Reason::NoGateway));
    }

    let (mut missing, mut fulfilled) = (Vec::new(), None);
    for internal in &decision.internal {
        match occupant(question, router, external, *internal)? {
            Some(nat) => fulfilled = fulfilled.or(Some(nat)),
            None => missing.push(*internal),
        }
    }
    if let (true, Some(nat)) = (missing.is_empty(), fulfilled) {
        return Ok(Verdict::Foreign(nat));
    }
    trace.passed("place", || "no foreign row translates the port's addresses".to_owned());
    if found.iter().any(Forward::is_default_target) {
        return Err(Verdict::Rejected(Reason::DefaultTarget));
    }

    let gateway_port = gateway_port(question, router, external).map_err(Verdict::Rejected)?;
    if let Some(row) = gateway_port.and_then(|id| store.router_port(id)) {
        trace.passed("gateway-port", || row.name.to_string());
    }
    let port_range = if store.supports("NAT", "external_port_range") {
        port_range::free_of(found.iter().filter_map(Forward::port).map(u16::from))
    } else {
        None
    };
    if let Some(range) = port_range {
        trace.passed("port-range", || {
            format!("{range}: the largest without a port that {external} listens on")
        });
    }
    let router_uuid = store.router(router).map_or_else(Uuid::nil, |row| row.uuid);
    let rows = missing.into_iter().map(|logical| DesiredRow {
        router,
        uuid: owner.row_uuid(Role::Egress, router_uuid, logical, &port.name),
        external,
        logical,
        port_range,
        gateway_port,
    });
    Ok(Verdict::Granted(rows.collect()))
}

/// Finds the one forward address that leads to the port and nowhere else.
fn sole_forward(
    question: Question<'_>,
    internal: &[IpAddr],
    watched: &mut Watched,
) -> Result<IpAddr, Reason> {
    let Question { store, owner, reach, family, .. } = question;
    let mut sole = None;
    for (router, _) in &reach.routers {
        for target in internal {
            for address in forwards::leading_to(store, owner, *router, *target) {
                if Family::of(address) != family {
                    continue;
                }
                watched.push((*router, address));
                let alone = forwards::at(store, owner, *router, address).all(|f| f.leads_only_to(internal));
                match sole {
                    _ if !alone => {}
                    None => sole = Some(address),
                    Some(other) if other == address => {}
                    Some(other) => return Err(Reason::AmbiguousAuto(other.min(address), other.max(address))),
                }
            }
        }
    }
    sole.ok_or(Reason::NoForwardForAuto)
}

/// Finds the router that has the address: one that sends it to this port rather than another, then
/// the nearest.
fn router_of(question: Question<'_>, external: IpAddr, internal: &[IpAddr]) -> Result<RouterId, Reason> {
    let Question { store, owner, reach, .. } = question;
    let candidates = reach.routers.iter().filter_map(|(router, hops)| {
        let mut forwards = forwards::at(store, owner, *router, external).peekable();
        forwards.peek()?;
        let ours = forwards.any(|f| f.targets().any(|target| internal.contains(&target)));
        Some(((!ours, *hops), *router))
    });
    let mut candidates: Vec<_> = candidates.collect();
    candidates.sort_unstable();
    match *candidates {
        [] => Err(Reason::NotAForward),
        [(a, first), (b, second), ..] if a == b => Err(Reason::AmbiguousRouter(first, second)),
        [(_, router), ..] => Ok(router),
    }
}

/// Looks whether a foreign row translates `internal` already: `Ok(Some)` where it does so to
/// `external`, an error where to something else.
fn occupant(
    question: Question<'_>,
    router: RouterId,
    external: IpAddr,
    internal: IpAddr,
) -> Result<Option<NatId>, Verdict> {
    let Question { store, owner, .. } = question;
    let foreign =
        |id: &NatId| store.nat(*id).filter(|nat| is_egress(nat) && !owner.owns(nat)).map(|nat| (*id, nat));
    let rows: Vec<_> = store.nats_by_logical(router, internal).iter().filter_map(foreign).collect();
    // Of several, the one with the least UUID is named: handles say nothing.
    let least = |same: bool| {
        let such = rows.iter().filter(|(_, nat)| (nat.external_ip == Some(external)) == same);
        such.min_by_key(|(_, nat)| nat.uuid).map(|(id, _)| *id)
    };
    if let Some(other) = least(false) {
        return Err(Verdict::Conflict(Reason::ForeignNat(other)));
    }
    if let Some(same) = least(true) {
        return Ok(Some(same));
    }
    // The network's own SNAT may use the address, unless a narrower prefix has another.
    let covers = |nat: &Nat| nat.logical_ip.filter(|net| net.contains(&internal)).map(|net| net.prefix_len());
    let own = store.nats_by_external(router, external).iter().filter_map(foreign);
    let own = own.filter_map(|(id, nat)| Some((covers(nat)?, Reverse(nat.uuid), id))).max();
    let Some((length, _, id)) = own else { return Ok(None) };
    let egress = store.nats_of(router).iter().filter_map(foreign);
    let mut here = egress.filter(|(_, nat)| nat.router == Some(router));
    let narrower = here.any(|(_, nat)| covers(nat) > Some(length));
    Ok(Some(id).filter(|_| !narrower))
}

fn is_egress(nat: &Nat) -> bool {
    matches!(nat.kind, Some(NatKind::Snat | NatKind::DnatAndSnat))
}

/// Chooses the gateway port that the row is for, where the router has several: northd ignores a row
/// without one unless a port's network holds its address.
fn gateway_port(
    question: Question<'_>,
    router: RouterId,
    external: IpAddr,
) -> Result<Option<RouterPortId>, Reason> {
    let Question { store, owner, .. } = question;
    let mut ports: Vec<_> = gateway_ports(store, router).collect();
    if ports.len() < 2 || !store.supports("NAT", "gateway_port") {
        return Ok(None);
    }
    // Of several that would do, the one with the least UUID: every agent chooses the same.
    ports.sort_by_key(|id| store.router_port(*id).map(|row| row.uuid));
    let holds = |id: &RouterPortId| {
        store.router_port(*id).is_some_and(|row| row.networks.iter().any(|net| net.contains(&external)))
    };
    if let Some(port) = ports.iter().copied().find(holds) {
        return Ok(Some(port));
    }
    let base = store.nats_of(router).iter().filter_map(|id| store.nat(*id)).filter(|nat| {
        let network = nat.logical_ip.is_some_and(|net| !is_host(&net));
        network
            && nat.router == Some(router)
            && nat.kind == Some(NatKind::Snat)
            && !owner.owns(nat)
            && nat.external_ip.is_some_and(|e| Family::of(e) == Family::of(external))
    });
    let named: Vec<_> = base.filter_map(|nat| nat.gateway_port).collect();
    ports.into_iter().find(|port| named.contains(port)).map(Some).ok_or(Reason::NoGatewayPort)
}

impl Decision {
    /// Returns the rows that should be there.
    pub fn rows(&self) -> &[DesiredRow] {
        if let Verdict::Granted(rows) = &self.verdict { rows } else { &[] }
    }

    /// Returns the reason, where there is one.
    pub fn reason(&self) -> Option<&Reason> {
        match &self.verdict {
            Verdict::Waiting(reason) | Verdict::Rejected(reason) | Verdict::Conflict(reason) => Some(reason),
            Verdict::Granted(_) | Verdict::Foreign(_) => None,
        }
    }
}

/// Returns the id of a port by its name.
pub fn port<'a>(store: &'a Store, name: &str) -> Option<(PortId, &'a Port)> {
    let id = store.port_by_name(name)?;
    Some((id, store.port(id)?))
}
