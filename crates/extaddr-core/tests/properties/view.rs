//! The decisions of an engine in the oracle's form: with UUIDs instead of handles.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use extaddr_core::change::RowChange;
use extaddr_core::engine::{Engine, ReconcileKey};
use extaddr_core::forwards;
use extaddr_core::network::Network;
use extaddr_core::ownership::Owner;
use extaddr_core::report;
use extaddr_core::resolve;
use extaddr_core::row::OwnRow;
use extaddr_core::topology;
use ovn_model::{RouterId, Store};
use ovsdb_protocol::Uuid;

use crate::oracle::{Change, Decision, Desired, Family, Forward, Verdict};

/// All decisions, by the port's name.
pub(crate) fn decisions(store: &Store, engine: &Engine) -> BTreeMap<String, Vec<Decision>> {
    let ports = engine.ports().map(|port| {
        let decisions = engine.decisions(port).iter().map(|decision| self::decision(store, port, decision));
        (port.to_string(), decisions.collect::<Vec<_>>())
    });
    ports.filter(|(_, decisions)| !decisions.is_empty()).collect()
}

/// The engine's changes for all ports, which must not contain duplicates.
pub(crate) fn all_changes(store: &Store, engine: &Engine) -> BTreeMap<String, BTreeSet<Change>> {
    let all = engine.ports().map(|port| (port.to_string(), changes(store, engine, port)));
    let all: BTreeMap<_, _> = all.filter(|(_, changes)| !changes.is_empty()).collect();
    assert!(all.keys().map(|port| &**port).eq(unsettled(engine).map(|port| &**port)), "{all:#?}");
    all
}

/// The brief states of all intents equal the full ones.
pub(crate) fn check_statuses(store: &Store, engine: &Engine) {
    for port in engine.ports() {
        let full = report::entries(store, engine, port, None).into_iter();
        let full: Vec<_> = full
            .map(|entry| (entry.family, entry.state, entry.reason, entry.external, entry.internal))
            .collect();
        let brief = report::statuses(store, engine, port, None).into_iter();
        let brief: Vec<_> = brief
            .map(|s| (s.family.to_string(), s.state, s.reason, s.external, s.internal.to_vec()))
            .collect();
        assert_eq!(brief, full, "{port}");
    }
}

/// The ports whose rows differ from the desired state.
pub(crate) fn unsettled(engine: &Engine) -> impl Iterator<Item = &Arc<str>> {
    engine.unsettled().iter().map(|subject| match subject {
        ReconcileKey::Port(port) => port,
        ReconcileKey::Conversion(place) => panic!("nothing is to be converted: {place:?}"),
    })
}

/// The engine's changes for a port.
pub(crate) fn changes(store: &Store, engine: &Engine, port: &str) -> BTreeSet<Change> {
    let changes = engine.changes(store, &ReconcileKey::Port(Arc::from(port)));
    let set: BTreeSet<_> = changes.iter().map(|change| self::change(store, change)).collect();
    assert_eq!(set.len(), changes.len(), "{port}: {changes:?}");
    set
}

/// The routers that can be reached from each switch, and how many routers away they are.
pub(crate) fn reached(store: &Store) -> BTreeMap<Uuid, BTreeMap<Uuid, usize>> {
    let reached = store.switches().map(|(id, switch)| {
        let routers = topology::reach(store, id).routers;
        let routers = routers.iter().map(|(id, hops)| (router(store, *id), usize::from(*hops)));
        (switch.uuid, routers.collect())
    });
    reached.collect()
}

/// What each router forwards, sorted.
pub(crate) fn forwards(store: &Store, owner: &Owner) -> BTreeMap<Uuid, BTreeSet<Forward>> {
    let forwards = store.routers().map(|(id, router)| {
        let found = forwards::on_router(Network { store, owner }, id)
            .into_iter()
            .filter_map(|found| forward(store, found));
        (router.uuid, found.collect())
    });
    forwards.collect()
}

fn forward(store: &Store, forward: forwards::Forward<'_>) -> Option<Forward> {
    let (row, vip) = match forward {
        forwards::Forward::Vip(id, vip) => {
            (("Load_Balancer", store.load_balancer(id).unwrap().uuid), Some(vip.key().into_owned()))
        }
        forwards::Forward::Nat(_, nat) | forwards::Forward::Converted(_, nat) => (("NAT", nat.uuid), None),
    };
    let port = forward.port().map(u16::from);
    Some(Forward { address: forward.address()?, row, vip, port, targets: forward.targets().collect() })
}

fn change(store: &Store, change: &RowChange) -> Change {
    match change {
        RowChange::Insert(row) => Change::Insert(desired(store, row)),
        RowChange::Update(nat, row) => Change::Update(store.nat(*nat).unwrap().uuid, desired(store, row)),
        RowChange::Delete(nat, of) => Change::Delete(store.nat(*nat).unwrap().uuid, router(store, *of)),
        conversion => panic!("nothing is to be converted: {conversion:?}"),
    }
}

fn decision(store: &Store, port: &Arc<str>, decision: &resolve::Decision) -> Decision {
    Decision {
        family: if decision.family == ovn_model::Family::V4 { Family::V4 } else { Family::V6 },
        wanted: decision.wanted.to_string(),
        source: decision.source.name(),
        internal: decision.internal.to_vec(),
        router: decision.router.map(|id| router(store, id)),
        external: decision.external,
        verdict: match &decision.verdict {
            resolve::Verdict::Granted(_) => {
                let rows: BTreeSet<_> = decision.rows(port).map(|row| desired(store, &row)).collect();
                assert!(!rows.is_empty());
                Verdict::Granted(rows)
            }
            resolve::Verdict::Waiting(reason) => Verdict::Waiting(reason.code().name()),
            resolve::Verdict::Rejected(reason) => Verdict::Rejected(reason.code().name()),
            resolve::Verdict::Conflict(reason) => Verdict::Conflict(reason.code().name()),
            resolve::Verdict::Foreign(nat) => Verdict::Foreign(store.nat(*nat).unwrap().uuid),
        },
    }
}

fn desired(store: &Store, row: &OwnRow) -> Desired {
    Desired {
        router: router(store, row.router),
        uuid: row.uuid,
        external: row.external,
        logical: row.logical,
        port_range: row.port_range.map(|range| (range.first, range.last)),
        // A missing port cannot be named.
        gateway_port: row.gateway_port.map(|id| store.router_port(id).map_or(Uuid::nil(), |row| row.uuid)),
    }
}

fn router(store: &Store, id: RouterId) -> Uuid {
    store.router(id).unwrap().uuid
}
