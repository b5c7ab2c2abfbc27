//! The state of every intent, for people and machines.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use ovn_model::{Family, Nat, NatId, RouterId, Store};
use serde::Serialize;
use smallvec::SmallVec;
use uuid::Uuid;

use crate::apply::Obstacle;
use crate::change::RowChange;
use crate::engine::{Engine, PortOutcome, ReconcileKey};
use crate::explain::Check;
use crate::key::Key;
use crate::owned::{Owned, owned};
use crate::ownership::Role;
use crate::reason::{Code, Reason};
use crate::resolve::{Decision, Verdict};
use crate::row::{DrainTags, OwnRow};
use crate::sources::instance::NicIntents;
use crate::sources::nic::{InstanceName, Nic};
use crate::sources::requests::Lookup;
use crate::state::State;
use crate::wanted::{self, Source};

/// An intent and its state: an element of `list --json`. Field names are stable.
#[derive(Clone, Debug, Serialize)]
pub struct Entry {
    /// The name of the `Logical_Switch_Port`.
    pub port: String,
    /// Its display name, such as `project:instance/nic`, if it is known; otherwise `null`.
    pub name: Option<String>,
    /// The name of its switch.
    pub switch: Option<String>,
    /// The name of the router that has the address.
    pub router: Option<String>,
    /// `ipv4` or `ipv6`.
    pub family: String,
    /// The intent: an address or `auto`.
    pub wanted: String,
    /// The source.
    pub source: &'static str,
    /// The port's addresses of the family.
    pub internal: Vec<IpAddr>,
    /// The address that the port's own connections have or are to get.
    pub external: Option<IpAddr>,
    /// Its state.
    pub state: State,
    /// The reason, as a code.
    pub reason: Option<Code>,
    /// The reason, as a sentence.
    pub message: String,
    /// The UUIDs of the NAT rows that fulfil it.
    pub nat: Vec<Uuid>,
    /// The source ports that the port's connections are kept to.
    pub port_range: Option<String>,
    /// The name of the gateway port that the rows are for.
    pub gateway_port: Option<String>,
}

impl Entry {
    /// Returns the display name of the port, or its name.
    pub fn shown(&self) -> &str {
        self.name.as_deref().unwrap_or(&self.port)
    }
}

/// Reports on a port: an element for each intent, and one for each draining address without an intent. `obstacle` is
/// the reason why the agent's changes are not sent, if there is one.
pub fn entries(store: &Store, engine: &Engine, port: &Arc<str>, obstacle: Option<&Obstacle>) -> Vec<Entry> {
    let changes = engine.changes(store, &ReconcileKey::Port(Arc::clone(port)));
    let PortOutcome { decisions, held, .. } = engine.outcome(port);
    let situation = Situation { store, engine, port, held, changes: &changes, obstacle };
    let mut entries: Vec<_> = decisions.iter().map(|decision| situation.entry(decision)).collect();
    for Owned { router, nat, role, .. } in owned(engine.network(store), port) {
        if role == Some(Role::Drain) {
            let family = nat.external_ip().map(Family::from);
            let entry =
                entries.iter_mut().find(|entry| family.is_some_and(|f| f.to_string() == entry.family));
            match (entry, nat.external_ip()) {
                (Some(entry), Some(address)) => {
                    entry.message += &format!("; connections with {address} may finish");
                }
                _ => entries.extend(draining(store, engine, port, router, nat)),
            }
        }
    }
    entries
}

/// Reports on all intents, sorted by port, including those for missing ports. `obstacle` returns why the agent's
/// changes of a port are not sent.
pub fn all(store: &Store, engine: &Engine, obstacle: impl Fn(&Arc<str>) -> Option<Obstacle>) -> Vec<Entry> {
    let mut ports: Vec<_> = engine.ports().collect();
    ports.sort_unstable();
    let entries = ports.into_iter().flat_map(|port| entries(store, engine, port, obstacle(port).as_ref()));
    let mut entries: Vec<_> = entries.collect();
    entries.extend(absent(store, engine));
    entries.sort_by(|a, b| (&a.port, &a.family).cmp(&(&b.port, &b.family)));
    entries
}

/// Reports on ports that the policy, a CMS or a kept intent names and the database does not have.
pub fn absent(store: &Store, engine: &Engine) -> impl Iterator<Item = Entry> {
    absent_by_name(store, engine).chain(absent_by_cms(engine))
}

/// Reports on ports that the policy or a kept intent names and the database does not have: one report for each family,
/// on the intent that takes precedence.
pub fn absent_by_name(store: &Store, engine: &Engine) -> impl Iterator<Item = Entry> {
    absent_of_kept(store, engine).chain(absent_by_policy(store, engine))
}

/// Returns whether a report on a missing port is about the port of that name. A NIC without a port is reported with a
/// pattern of its name.
pub fn is_about_missing(entry: &Entry, port: &str) -> bool {
    entry.port == port || Nic::from_port_name(port).is_some_and(|nic| entry.port == nic.port_pattern())
}

/// Reports on NICs with an intent but without a port.
fn absent_by_cms(engine: &Engine) -> impl Iterator<Item = Entry> {
    let nics = engine.requests().distinct_nics();
    nics.into_iter().flat_map(|(nic, (instance, asked))| absent_nic(engine, instance, &nic, asked))
}

/// Reports on a NIC with an intent, if it has no port: most belong to stopped instances.
pub fn absent_nic(engine: &Engine, instance: &InstanceName, nic: &Nic, asked: &NicIntents) -> Vec<Entry> {
    if engine.port_of(nic).is_some() {
        return Vec::new();
    }
    let entries = Family::ALL.into_iter().filter_map(|family| {
        let wanted = &*asked.get(family)?.text;
        if wanted::parse(wanted, family) == Ok(None) {
            return None;
        }
        Some(Entry {
            name: Some(format!("{instance}/{}", nic.device)),
            wanted: wanted.to_owned(),
            source: nic.kind.name(),
            state: State::Waiting,
            reason: Some(Reason::NoPort.code()),
            message: format!(
                "{} of instance {instance} has no port in OVN: start the instance, or see whether the NIC is in an OVN network",
                nic.device
            ),
            ..blank(&nic.port_pattern(), family)
        })
    });
    entries.collect()
}

/// Returns whether the CMS of a port has an intent for it, which takes precedence over kept ones and the policy.
fn is_by_cms(engine: &Engine, port: &str, family: Family) -> bool {
    matches!(engine.requests().look_up(port, family), Lookup::Found { .. } | Lookup::Ambiguous(..))
}

/// Reports on missing ports for which an intent is kept.
fn absent_of_kept(store: &Store, engine: &Engine) -> impl Iterator<Item = Entry> {
    let absent = store.all_kept().filter(move |(port, family, _)| {
        store.port_by_name(port).is_none() && !is_by_cms(engine, port, *family)
    });
    let asking = absent.filter(|(_, family, text)| wanted::parse(text, *family) != Ok(None));
    asking.map(|(port, family, text)| Entry {
        wanted: text.to_owned(),
        source: Source::Kept.name(),
        state: State::Waiting,
        reason: Some(Reason::NoPort.code()),
        message: format!(
            "the intent is kept until the port is there; `ovn-extaddr unset {port}` withdraws it"
        ),
        ..blank(port, family)
    })
}

/// Reports on missing ports that the policy names, where no kept intent takes precedence.
fn absent_by_policy(store: &Store, engine: &Engine) -> impl Iterator<Item = Entry> {
    let mut seen = BTreeSet::new();
    let named = engine.rules().policy.named_ports().filter(move |(name, family, _)| {
        store.port_by_name(name).is_none()
            && store.kept(name, *family).is_none()
            && !is_by_cms(engine, name, *family)
            && seen.insert((*name, *family))
    });
    named.map(|(port, family, wanted)| Entry {
        wanted: wanted.to_string(),
        source: "policy",
        state: State::Waiting,
        reason: Some(Reason::NoPort.code()),
        message: Reason::NoPort.sentence(store, &Key::of_port(family), "", None),
        ..blank(port, family)
    })
}

fn blank(port: &str, family: Family) -> Entry {
    Entry {
        port: port.to_owned(),
        name: None,
        switch: None,
        router: None,
        family: family.to_string(),
        wanted: String::new(),
        source: "annotation",
        internal: Vec::new(),
        external: None,
        state: State::Waiting,
        reason: None,
        message: String::new(),
        nat: Vec::new(),
        port_range: None,
        gateway_port: None,
    }
}

/// Reports on an address that is withdrawn and finishes its connections.
fn draining(store: &Store, engine: &Engine, port: &str, router: RouterId, nat: &Nat) -> Option<Entry> {
    let (address, tags) = (nat.external_ip()?, DrainTags::read(nat)?);
    Some(Entry {
        name: engine.requests().name(port),
        router: store.router(router).map(|row| row.name.to_string()),
        wanted: "none".to_owned(),
        internal: vec![tags.internal],
        external: Some(address),
        state: State::Draining,
        message: format!("withdrawn; connections with {address} may finish"),
        nat: vec![nat.uuid],
        ..blank(port, Family::from(address))
    })
}

/// The state of an intent, without sentences.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct IntentStatus {
    /// Its address family.
    pub family: Family,
    /// Its state.
    pub state: State,
    /// The reason, as a code.
    pub reason: Option<Code>,
    /// The router that has the address.
    pub router: Option<RouterId>,
    /// The address that the port's own connections have or are to get.
    pub external: Option<IpAddr>,
    /// The internal addresses that are translated to it.
    pub internal: SmallVec<[IpAddr; 1]>,
}

/// Returns the states of the intents of a port: as [`entries`], at a fraction of the cost.
pub fn statuses(
    store: &Store,
    engine: &Engine,
    port: &Arc<str>,
    obstacle: Option<&Obstacle>,
) -> Vec<IntentStatus> {
    let unsettled = engine.is_unsettled(port);
    let changes =
        if unsettled { engine.changes(store, &ReconcileKey::Port(Arc::clone(port))) } else { Vec::new() };
    let PortOutcome { decisions, held, leaves } = engine.outcome(port);
    let situation = Situation { store, engine, port, held, changes: &changes, obstacle };
    let mut statuses: Vec<_> = decisions
        .iter()
        .map(|decision| {
            let judged = situation.judge(decision);
            IntentStatus {
                family: decision.family,
                state: judged.state,
                reason: judged.reason.as_ref().map(Reason::code),
                router: decision.router,
                external: judged.external,
                internal: decision.internal.clone(),
            }
        })
        .collect();
    // A drain row in the desired state has a time of expiry.
    if !leaves && !unsettled {
        return statuses;
    }
    let owned = owned(engine.network(store), port).into_iter();
    for Owned { router, nat, .. } in owned.filter(|row| row.role == Some(Role::Drain)) {
        let Some((external, tags)) = nat.external_ip().zip(DrainTags::read(nat)) else { continue };
        if statuses.iter().all(|status| status.family != Family::from(external)) {
            statuses.push(IntentStatus {
                family: Family::from(external),
                state: State::Draining,
                reason: None,
                router: Some(router),
                external: Some(external),
                internal: SmallVec::from_elem(tags.internal, 1),
            });
        }
    }
    statuses
}

/// The state of an intent, from its verdict and the rows in the database.
struct Judged {
    state: State,
    reason: Option<Reason>,
    external: Option<IpAddr>,
    /// Whether its rows stay although their forward is gone.
    held: bool,
}

/// What the reports on the intents of a port share.
#[derive(Clone, Copy)]
struct Situation<'a> {
    store: &'a Store,
    engine: &'a Engine,
    port: &'a Arc<str>,
    /// The rows that stay although their forward is gone.
    held: &'a [NatId],
    /// The changes that are not made yet.
    changes: &'a [RowChange],
    /// Why they are not sent.
    obstacle: Option<&'a Obstacle>,
}

fn has_family(nat: &Nat, family: Family) -> bool {
    nat.external_ip().map(Family::from) == Some(family)
}

impl Situation<'_> {
    fn judge(self, decision: &Decision) -> Judged {
        let Self { store, engine, port, held, changes, obstacle } = self;
        let is_wanted = |row: &OwnRow| decision.rows(port).any(|wanted| wanted == *row);
        let place = decision.router.zip(decision.external).filter(|_| decision.converts);
        let unconverted =
            place.is_some_and(|place| engine.unsettled().contains(&ReconcileKey::Conversion(place)));
        let is_missing = unconverted || changes.iter().filter_map(RowChange::row).any(is_wanted);
        let refused = match obstacle {
            Some(Obstacle::Refused(error)) if is_missing => Some(Reason::Refused(Arc::clone(error))),
            _ => None,
        };
        let is_held =
            |nat: &Nat| engine.owner().role(nat) == Some(Role::Egress) && has_family(nat, decision.family);
        let held = held.iter().filter_map(|id| store.nat(*id)).any(is_held);
        let state = match &decision.verdict {
            Verdict::Granted(_) if obstacle == Some(&Obstacle::Contested) => State::Contested,
            Verdict::Granted(_) if is_missing || decision.presumed => State::Pending,
            Verdict::Granted(_) => State::Active,
            _ if held => State::Active,
            Verdict::Waiting(_) => State::Waiting,
            Verdict::Rejected(_) => State::Rejected,
            Verdict::Conflict(_) => State::Conflict,
            Verdict::Foreign(_) => State::Foreign,
        };
        let settled = matches!(decision.verdict, Verdict::Granted(_) | Verdict::Foreign(_));
        let external = decision.external.filter(|_| settled);
        let presumed = match (decision.source, &decision.verdict) {
            (Source::Cms(kind), Verdict::Granted(_)) if decision.presumed => {
                Some(Reason::SourceUnreachable(kind))
            }
            _ => None,
        };
        Judged { state, reason: decision.reason().cloned().or(refused).or(presumed), external, held }
    }

    fn entry(self, decision: &Decision) -> Entry {
        let Self { store, engine, port, .. } = self;
        let switch = store.port_by_name(port).and_then(|id| store.switch(store.port(id)?.switch?));
        let grant = decision.grant();
        let Judged { state, reason, external, held } = self.judge(decision);
        let message = match (&reason, external) {
            (Some(_), _) if held => {
                "its forward is gone; the override stays a moment, for it may come back".to_owned()
            }
            (Some(reason), _) => {
                let key = Key::find(engine.requests(), decision.source, port, decision.family);
                reason.sentence(store, &key, &decision.address(), decision.router)
            }
            (None, Some(external)) => {
                let internal = Check::list(&*decision.internal);
                match state {
                    State::Foreign => format!("{internal} leaves as {external} already, by a foreign row"),
                    State::Pending => {
                        format!("{internal} will leave as {external} once the agent has written it")
                    }
                    State::Contested => {
                        format!(
                            "{internal} is to leave as {external}, and somebody keeps undoing what that needs"
                        )
                    }
                    _ => format!("{internal} leaves as {external}"),
                }
            }
            (None, None) => String::new(),
        };
        let nat = match &decision.verdict {
            Verdict::Foreign(nat) => store.nat(*nat).map(|nat| nat.uuid).into_iter().collect(),
            _ => {
                let egress =
                    |row: &Owned<'_>| row.role == Some(Role::Egress) && has_family(row.nat, decision.family);
                let there = owned(engine.network(store), port).into_iter().filter(egress);
                there.map(|row| row.nat.uuid).collect()
            }
        };
        Entry {
            port: port.to_string(),
            name: engine.requests().name(port),
            switch: switch.map(|row| row.name.to_string()),
            router: decision.router.and_then(|id| store.router(id)).map(|row| row.name.to_string()),
            family: decision.family.to_string(),
            wanted: decision.wanted.to_string(),
            source: decision.source.name(),
            internal: decision.internal.to_vec(),
            external,
            state,
            reason: reason.as_ref().map(Reason::code),
            message,
            nat,
            port_range: grant.and_then(|grant| grant.port_range).map(|range| range.to_string()),
            gateway_port: grant
                .and_then(|grant| store.router_port(grant.gateway_port?))
                .map(|port| port.name.to_string()),
        }
    }
}
