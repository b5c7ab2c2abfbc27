//! Prints the changes of tables, across reconnections to other servers: `cargo run -p ovsdb-protocol --example monitor
//! -- unix:/run/ovn/ovnnb_db.sock OVN_Northbound [TABLE ...]`

use std::error::Error;

use ovsdb_protocol::{Cache, RowDelta, Selection, Session, SessionConfig, SessionEvent};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(remotes), Some(database)) = (arguments.next(), arguments.next()) else {
        return Err("usage: monitor REMOTE[,REMOTE ...] DATABASE [TABLE ...]".into());
    };
    let tables: Vec<_> = arguments.map(Selection::table).collect();
    let mut cache = if tables.is_empty() { Cache::everything() } else { Cache::new(tables) };
    let mut session = Session::new(SessionConfig::new(remotes.parse()?, database));
    loop {
        match session.next(&mut cache).await {
            SessionEvent::Synced { resumed } => {
                println!("# {} rows{}", cache.len(), if resumed { ", resumed" } else { "" });
            }
            SessionEvent::Disconnected { remote, error, retry } => {
                println!("# {remote}: {error:#}; next attempt in {retry:.1?}");
            }
            _ => {}
        }
        cache.take_deltas().iter().for_each(print);
    }
}

fn print(delta: &RowDelta) {
    let RowDelta { table, uuid, old, new } = delta;
    match (old, new) {
        (None, _) => println!("+ {table} {uuid}"),
        (_, None) => println!("- {table} {uuid}"),
        _ => println!("~ {table} {uuid}"),
    }
    for (column, value) in new.iter().flat_map(|row| row.iter()) {
        if old.as_ref().and_then(|old| old.get(column)) != Some(value) {
            println!("    {column} = {}", serde_json::to_string(value).unwrap_or_else(|e| e.to_string()));
        }
    }
}
