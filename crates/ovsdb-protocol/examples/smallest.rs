//! Prints all changes of a Northbound database until it is stopped: `cargo run -p ovsdb-protocol --example smallest --
//! unix:/run/ovn/ovnnb_db.sock`

use ovsdb_protocol::{Cache, Session, SessionConfig};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let remotes = std::env::args().nth(1).unwrap_or_else(|| "unix:/run/ovn/ovnnb_db.sock".to_owned());
    let mut session = Session::new(SessionConfig::new(remotes.parse()?, "OVN_Northbound"));
    let mut cache = Cache::everything();
    loop {
        println!("{:?}", session.next(&mut cache).await);
        for delta in cache.take_deltas() {
            println!("{} {}: {:?} -> {:?}", delta.table, delta.uuid, delta.old, delta.new);
        }
    }
}
