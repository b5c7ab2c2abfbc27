//! `ovn_model::testing`, and what only the properties need of a database.

use std::collections::BTreeSet;

use ovn_model::Store;
pub(crate) use ovn_model::testing::{Atom, Database, Kind, Row, Value, delta, feed, kind, snapshot, tables};
use ovsdb_protocol::{Batch, Replica};

use crate::choices::Arrival;

/// Whether no two rows have the same name where the schema forbids it.
pub(crate) fn is_valid(database: &Database) -> bool {
    ["Logical_Switch_Port", "Logical_Router_Port"].into_iter().all(|table| {
        let names: BTreeSet<_> = database.table(table).map(|(_, row)| row.text("name")).collect();
        names.len() == database.table(table).count()
    })
}

/// Drops tagged NAT rows that no router refers to, as a server does at the end of a transaction. Other rows may stay
/// without references, to test that the order of arrival does not matter.
pub(crate) fn drop_unreferenced_tagged(database: &mut Database) {
    let referenced: BTreeSet<_> =
        database.table("Logical_Router").flat_map(|(_, router)| router.refs("nat")).collect();
    database.rows.retain(|(table, uuid), row| {
        *table != "NAT"
            || referenced.contains(uuid)
            || !row.pairs("external_ids").any(|(key, _)| key.starts_with("ovn-extaddr:"))
    });
}

/// Returns a store that has just got a snapshot, in any order.
pub(crate) fn fresh_store(database: &Database, arrival: &mut Arrival) -> Store {
    let mut store = Store::new();
    store.declare(&database.schema()).unwrap();
    let mut updates = snapshot(database);
    arrival.shuffle(&mut updates);
    feed(&mut store, Batch::Snapshot, &updates);
    store
}
