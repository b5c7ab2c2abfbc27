//! Where every intent stands, for people and machines.

use std::net::IpAddr;

use ovn_model::Store;
use serde::Serialize;
use uuid::Uuid;

use crate::engine::Engine;
use crate::explain::Check;
use crate::plan::RowChange;
use crate::reason::Reason;
use crate::resolve::{Decision, Verdict};
use crate::state::State;

/// An intent and what became of it: an element of `list --json`. Field names are stable.
#[derive(Clone, Debug, Serialize)]
pub struct Entry {
    /// The name of the `Logical_Switch_Port`.
    pub port: String,
    /// The name of its switch.
    pub switch: Option<String>,
    /// The name of the router that has the address.
    pub router: Option<String>,
    /// `ipv4` or `ipv6`.
    pub family: String,
    /// What is asked for: an address or `auto`.
    pub wanted: String,
    /// Who asks.
    pub source: &'static str,
    /// The port's addresses of the family.
    pub internal: Vec<IpAddr>,
    /// The address that the port has for its own connections, or shall have.
    pub external: Option<IpAddr>,
    /// Where it stands.
    pub state: State,
    /// Why, as a code.
    pub reason: Option<&'static str>,
    /// Why, as a sentence.
    pub message: String,
    /// The UUIDs of the NAT rows that fulfil it.
    pub nat: Vec<Uuid>,
    /// The source ports that the port's connections are kept to.
    pub port_range: Option<String>,
    /// The name of the gateway port that the rows are for.
    pub gateway_port: Option<String>,
}

/// Reports on the intents of a port. `refusal` says why its rows are held back, if they are.
pub fn entries(store: &Store, engine: &Engine, port: &str, refusal: Option<&str>) -> Vec<Entry> {
    let changes = engine.changes(store, port);
    engine.decisions(port).iter().map(|decision| entry(store, port, decision, &changes, refusal)).collect()
}

/// Reports on all intents, sorted by port.
pub fn all(store: &Store, engine: &Engine) -> Vec<Entry> {
    let mut ports: Vec<_> = engine.ports().collect();
    ports.sort_unstable();
    ports.into_iter().flat_map(|port| entries(store, engine, port, None)).collect()
}

fn entry(
    store: &Store,
    port: &str,
    decision: &Decision,
    changes: &[RowChange],
    refusal: Option<&str>,
) -> Entry {
    let switch = store.port_by_name(port).and_then(|id| store.switch(store.port(id)?.switch?));
    let rows = decision.rows();
    let missing = |change: &RowChange| match change {
        RowChange::Insert(row) | RowChange::Update(_, row) => rows.contains(row),
        RowChange::Delete(..) => false,
    };
    let is_missing = changes.iter().any(missing);
    let refused = refusal.filter(|_| is_missing).map(|error| Reason::Refused(error.into()));
    let reason = decision.reason().or(refused.as_ref());
    let state = match &decision.verdict {
        Verdict::Granted(_) if is_missing => State::Pending,
        Verdict::Granted(_) => State::Active,
        Verdict::Waiting(_) => State::Waiting,
        Verdict::Rejected(_) => State::Rejected,
        Verdict::Conflict(_) => State::Conflict,
        Verdict::Foreign(_) => State::Foreign,
    };
    let settled = matches!(decision.verdict, Verdict::Granted(_) | Verdict::Foreign(_));
    let external = decision.external.filter(|_| settled);
    let message = match (reason, external) {
        (Some(reason), _) => reason.sentence(store, decision.family, &decision.wanted, decision.router),
        (None, Some(external)) => {
            let internal = Check::list(&decision.internal);
            match state {
                State::Foreign => format!("{internal} leaves as {external} already, by a foreign row"),
                State::Pending => {
                    format!("{internal} will leave as {external} once the agent has written it")
                }
                _ => format!("{internal} leaves as {external}"),
            }
        }
        (None, None) => String::new(),
    };
    let nat = match &decision.verdict {
        Verdict::Foreign(nat) => store.nat(*nat).map(|nat| nat.uuid).into_iter().collect(),
        _ => {
            let there = |uuid: &Uuid| {
                store.nats_tagged(port).iter().any(|id| store.nat(*id).is_some_and(|nat| nat.uuid == *uuid))
            };
            rows.iter().map(|row| row.uuid).filter(there).collect()
        }
    };
    Entry {
        port: port.to_owned(),
        switch: switch.map(|row| row.name.to_string()),
        router: decision.router.and_then(|id| store.router(id)).map(|row| row.name.to_string()),
        family: decision.family.to_string(),
        wanted: decision.wanted.to_string(),
        source: decision.source.name(),
        internal: decision.internal.clone(),
        external,
        state,
        reason: reason.map(Reason::code),
        message,
        nat,
        port_range: rows.first().and_then(|row| row.port_range).map(|range| range.to_string()),
        gateway_port: rows
            .first()
            .and_then(|row| store.router_port(row.gateway_port?))
            .map(|port| port.name.to_string()),
    }
}
