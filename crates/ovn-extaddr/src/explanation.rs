//! The explanation of a port: its intents, each with the steps of the decision, for people and machines.

use std::time::Instant;

use extaddr_core::engine::Engine;
use extaddr_core::explain::Check;
use extaddr_core::owned::{Owned, owned};
use extaddr_core::ownership::Role;
use extaddr_core::report::Entry;
use extaddr_core::resolve::{Question, resolve};
use extaddr_core::row::DrainTags;
use extaddr_core::topology::reach;
use ovn_model::{Family, Port, Store};
use serde::Serialize;

use crate::clock;

/// The output of `explain --json`. Field names are stable.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Explanation {
    pub(crate) port: String,
    pub(crate) name: Option<String>,
    pub(crate) intents: Vec<ExplainedIntent>,
}

/// One intent: the steps that passed, and its element of `list --json`, whose reason is what failed in the next step.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct ExplainedIntent {
    pub(crate) checks: Vec<Check>,
    #[serde(flatten)]
    pub(crate) entry: Entry,
}

impl Explanation {
    /// Explains an existing port with these entries.
    pub(crate) fn of_port(
        store: &Store,
        engine: &Engine,
        port: &Port,
        name: Option<String>,
        entries: Vec<Entry>,
    ) -> Self {
        let intents = entries.into_iter();
        let intents =
            intents.map(|entry| ExplainedIntent { checks: checks(store, engine, port, &entry), entry });
        Self { port: port.name.to_string(), name, intents: intents.collect() }
    }

    /// Explains a missing port with these entries.
    pub(crate) fn of_absent(port: String, name: Option<String>, entries: Vec<Entry>) -> Self {
        let intents = entries.into_iter().map(|entry| ExplainedIntent { checks: Vec::new(), entry });
        Self { port, name, intents: intents.collect() }
    }
}

fn checks(store: &Store, engine: &Engine, port: &Port, entry: &Entry) -> Vec<Check> {
    let reach = port.switch.map(|switch| reach(store, switch)).unwrap_or_default();
    let family = Family::ALL.into_iter().find(|family| family.to_string() == entry.family);
    let mut checks = Vec::new();
    if let Some(family) = family {
        let question = Question {
            store,
            rules: engine.rules(),
            requests: engine.requests(),
            reach: &reach,
            port,
            family,
        };
        resolve(question, &mut Vec::new(), &mut checks);
        checks.extend(drains(store, engine, port, family));
    }
    checks
}

/// Returns the drain rows of the port's former addresses, as checks.
fn drains(store: &Store, engine: &Engine, port: &Port, family: Family) -> Vec<Check> {
    let now = clock::read(Instant::now()).wall;
    let owned = owned(engine.network(store), &port.name).into_iter();
    let drains = owned.filter(|row| row.role == Some(Role::Drain));
    let checks = drains.filter_map(|Owned { nat, .. }| {
        let external = nat.external_ip().filter(|address| Family::from(*address) == family)?;
        let DrainTags { internal, until } = DrainTags::read(nat)?;
        let left = until.saturating_sub(now);
        let detail =
            format!("connections of {internal} with {external} may finish, {left} s more (row {})", nat.uuid);
        Some(Check { step: "drain", detail, hazard: false })
    });
    checks.collect()
}
