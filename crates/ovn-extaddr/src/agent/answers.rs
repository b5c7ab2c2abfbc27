//! Answers to requests of connections: metrics, status, pages of intents, ports.

use std::sync::Arc;
use std::time::{Duration, Instant};

use extaddr_core::names::is_short_for;
use extaddr_core::pages::Walk;
use extaddr_core::report::{self, Entry};
use extaddr_core::sources::nic::{InstanceName, Nic};

use super::Agent;
use crate::explanation::Explanation;
use crate::exposition::Exposition;
use crate::http::state_query::StateQuery;

/// How long a step of a walk may take: updates of the database must not wait for a request of a page.
const MAX_STEP: Duration = Duration::from_millis(1);

impl Agent {
    /// Answers a query. The connection may be closed already.
    pub(super) fn answer(&mut self, query: StateQuery, exposition: &Exposition) {
        match query {
            StateQuery::Metrics(answer) => drop(answer.send(self.exposed())),
            StateQuery::Status(answer) => drop(answer.send(Box::new(self.status(exposition)))),
            StateQuery::Walk(mut walk, answer) => {
                self.advance(&mut walk);
                let _ = answer.send(walk);
            }
            StateQuery::Port(name, answer) => drop(answer.send(self.explained(&name))),
        }
    }

    fn advance(&self, walk: &mut Walk) {
        let end = Instant::now() + MAX_STEP;
        let obstacle = |port: &Arc<str>| self.writing.applier.obstacle(&self.engine, port);
        walk.advance(&self.northbound.store, &self.engine, obstacle, || Instant::now() < end);
    }

    /// Explains the port of that name, or of the NIC with that display name.
    fn explained(&self, text: &str) -> Result<Explanation, String> {
        let (store, engine) = (&self.northbound.store, &self.engine);
        if let Some(explanation) = self.explained_port(text) {
            return Ok(explanation);
        }
        let absent = report::absent_by_name(store, engine).filter(|entry| is_meant(entry, text));
        let mut absent: Vec<_> = absent.collect();
        let mut called = engine.requests().distinct_nics();
        called.retain(|nic, (instance, _)| is_called(text, instance, nic));
        let there: Vec<_> = called.keys().filter_map(|nic| engine.port_of(nic)).collect();
        absent.extend(
            called
                .iter()
                .flat_map(|(nic, (instance, asked))| report::absent_nic(engine, instance, nic, asked)),
        );
        let mut names: Vec<_> = there.iter().map(|port| &***port).collect();
        names.extend(absent.iter().map(|entry| &*entry.port));
        names.sort_unstable();
        names.dedup();
        match (&*names, absent.first()) {
            ([], _) => Err(format!("there is no port {text}, and no intent for it")),
            ([port], None) => self.explained_port(port).ok_or_else(|| format!("port {port} is gone")),
            ([port], Some(entry)) => {
                Ok(Explanation::of_absent((*port).to_owned(), entry.name.clone(), absent.clone()))
            }
            (several, _) => Err(format!("{text} may be {}: name one", several.join(" or "))),
        }
    }

    fn explained_port(&self, name: &str) -> Option<Explanation> {
        let (store, engine, applier) = (&self.northbound.store, &self.engine, &self.writing.applier);
        let called = engine.requests().name(name);
        let port = Arc::from(name);
        let entries = report::entries(store, engine, &port, applier.obstacle(engine, &port).as_ref());
        match store.port_by_name(name).and_then(|id| store.port(id)) {
            Some(row) => Some(Explanation::of_port(store, engine, row, called, entries)),
            // Its former address drains, or is about to be deleted.
            None if !entries.is_empty() => Some(Explanation::of_absent(name.to_owned(), called, entries)),
            None => None,
        }
    }
}

/// Whether a text means a NIC: its display name, or the name of its port if it has one.
fn is_called(text: &str, instance: &InstanceName, nic: &Nic) -> bool {
    text.contains(&*instance.name) && is_short_for(text, &format!("{instance}/{}", nic.device))
        || text.ends_with(&*nic.device)
            && (text == nic.port_pattern() || Nic::from_port_name(text).is_some_and(|named| named == *nic))
}

fn is_meant(entry: &Entry, text: &str) -> bool {
    entry.port == text || entry.name.as_deref().is_some_and(|name| is_short_for(text, name))
}
