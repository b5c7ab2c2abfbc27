//! Updates of monitored tables, valid or not: the store accepts them or reports that they contradict each other, and an
//! engine copes with the resulting rows.
#![no_main]

use std::time::Instant;

use extaddr_core::clock::Now;
use extaddr_core::engine::Engine;
use extaddr_core::ownership::Owner;
use extaddr_core::rules::Rules;
use libfuzzer_sys::fuzz_target;
use ovn_model::Store;
use ovsdb_protocol::{Batch, Columns, Replica, RowChange, RowUpdate};
use uuid::Uuid;

const TABLES: [&str; 8] = [
    "Logical_Switch",
    "Logical_Switch_Port",
    "Logical_Router",
    "Logical_Router_Port",
    "Load_Balancer",
    "Load_Balancer_Group",
    "NAT",
    "NB_Global",
];

// Lines of: table, row, kind of change, columns; one character each except for the last.
fuzz_target!(|text: &str| {
    let mut store = Store::new();
    let mut engine = Engine::new(Rules { auto: true, ..Rules::new(Owner::default()) });
    for batch in text.split("\n\n") {
        store.begin(if batch.starts_with('S') { Batch::Snapshot } else { Batch::Delta });
        let mut broken = false;
        for line in batch.lines() {
            let mut bytes = line.bytes();
            let (Some(table), Some(row), Some(kind)) = (bytes.next(), bytes.next(), bytes.next()) else {
                continue;
            };
            let Some(columns) = line.get(3..).filter(|text| ovsdb_protocol::fuzzing::is_object(text)) else {
                continue;
            };
            let columns = Columns::new(columns);
            let change = match kind {
                b'i' => RowChange::Insert(columns),
                b'm' => RowChange::Modify(columns),
                b'r' => RowChange::Replace(columns),
                _ => RowChange::Delete,
            };
            let table = TABLES[usize::from(table) % TABLES.len()];
            let uuid = Uuid::from_u128(u128::from(row % 16));
            if store.apply(RowUpdate { table, uuid, change }).is_err() {
                broken = true;
                break;
            }
        }
        if broken {
            return;
        }
        store.commit();
        engine.catch_up(&mut store, Now { instant: Instant::now(), wall: 1_800_000_000 });
    }
});
