//! The overrides to verify: our own rows in the Northbound database.

use std::sync::Arc;

use foldhash::HashSet;
use ovn_model::{Store, keys};
use uuid::Uuid;

use super::check::Override;
use crate::engine::Engine;
use crate::network::Network;
use crate::owned::owned;
use crate::ownership::Role;

/// Returns the overrides of a port in the Northbound database, whether still wanted or not.
pub fn overrides(network: Network<'_, '_>, port: &str) -> Vec<Override> {
    let store = network.store;
    let rows = owned(network, port).into_iter().filter(|row| row.role == Some(Role::Egress));
    let overrides = rows.filter_map(|row| {
        let router = store.router(row.router)?;
        let gateway_port = row.nat.gateway_port.and_then(|port| store.router_port(port));
        Some(Override {
            port: port.to_owned(),
            router: router.name.to_string(),
            router_uuid: router.uuid,
            nat: row.nat.uuid,
            internal: row.nat.logical_ip()?.addr(),
            external: row.nat.external_ip()?,
            ports: row.nat.port_range(),
            gateway_port: gateway_port.map(|port| port.name.to_string()),
        })
    });
    overrides.collect()
}

/// A walk through all ports that have our rows, a part of them at a time.
#[derive(Clone, Debug, Default)]
pub struct Round {
    /// The name of the last port of the part before.
    last: Option<Arc<str>>,
    /// The same of the part before that.
    before: Option<Arc<str>>,
}

impl Round {
    /// Returns the overrides of at most `most` next ports by name, and of at most as many with one of the rows `again`,
    /// without ports whose rows differ from the desired state. After the last port it starts with the first.
    pub fn next(
        &mut self,
        store: &Store,
        engine: &Engine,
        most: usize,
        again: impl IntoIterator<Item = Uuid>,
    ) -> Vec<Override> {
        // Rows without a port are not overrides, and one port may have several rows.
        let is_next = |name: &Arc<str>| !name.is_empty() && self.last.as_ref().is_none_or(|last| name > last);
        let names: HashSet<_> = store.tagged_names().filter(is_next).collect();
        let mut names: Vec<_> = names.into_iter().collect();
        self.before = self.last.take();
        if names.len() > most {
            names.select_nth_unstable(most);
            names.truncate(most);
            self.last = names.iter().max().cloned();
        }
        let again = again.into_iter().filter_map(|uuid| store.nat(store.nat_by_uuid(uuid)?));
        names.extend(again.filter_map(|row| row.tags.get(keys::PORT)).map(Arc::from).take(most));
        names.sort_unstable();
        names.dedup();
        // Rows that are about to change are verified after the change.
        names.retain(|name| !engine.is_unsettled(name));
        names.iter().flat_map(|name| overrides(engine.network(store), name)).collect()
    }

    /// Makes the next part the same as the last one, which could not be verified.
    pub fn repeat(&mut self) {
        self.last.clone_from(&self.before);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use serde_json::json;

    use super::*;
    use crate::clock::Now;
    use crate::testing::{NetworkBuilder, map};

    fn shown(rows: &[Override]) -> Vec<String> {
        rows.iter().map(|row| format!("{} {}", row.port, row.external)).collect()
    }

    #[test]
    fn settled_overrides_are_verified_in_turn() {
        let mut network = NetworkBuilder::new();
        for n in 1..=5 {
            let (port, address) = (format!("p{n}"), format!("10.57.0.1{n}"));
            network.instance(&port, &format!("02:00:00:00:00:1{n} {address}"));
            network.nat(&format!("fw{n}"), "R", "dnat", &format!("203.0.113.1{n}"), &address);
            network.wants(&port, &format!("203.0.113.1{n}"));
            // That of p3 is to be changed.
            let external = if n == 3 { "203.0.113.99".to_owned() } else { format!("203.0.113.1{n}") };
            network.own_row(&port, &external, &address, None);
            // Somebody else's row for the same port.
            network.nat(&format!("other{n}"), "R", "snat", "198.51.100.9", &format!("10.57.1.{n}"));
            let tags = [(keys::OWNER, "other"), (keys::PORT, &*port)];
            network.put("NAT", &format!("other{n}"), json!({"external_ids": map(&tags)}));
        }
        let mut store = network.store();
        let mut engine = Engine::new(network.rules.clone());
        engine.catch_up(&mut store, Now { instant: Instant::now(), wall: 1_800_000_000 });
        let mut round = Round::default();
        for failures in [0, 0, 1, 2] {
            for part in
                [&["p1 203.0.113.11", "p2 203.0.113.12"][..], &["p4 203.0.113.14"], &["p5 203.0.113.15"]]
            {
                for _ in 0..failures {
                    round.next(&store, &engine, 2, []);
                    round.repeat();
                }
                let rows = round.next(&store, &engine, 2, []);
                assert_eq!(shown(&rows), part, "after {failures} failures");
            }
        }
        // Found by a reading: an override that had failed was verified again only after all others.
        let failed: Vec<_> = round.next(&store, &engine, 1, []).iter().map(|row| row.nat).collect();
        assert_eq!(
            shown(&round.next(&store, &engine, 1, failed.clone())),
            ["p1 203.0.113.11", "p2 203.0.113.12"]
        );
        round = Round::default();
        assert_eq!(shown(&round.next(&store, &engine, 1, failed)), ["p1 203.0.113.11"]);
    }
}
