//! Renames a switch, and says what became of that:
//! `cargo run -p ovsdb-protocol --example rename -- unix:/run/ovn/ovnnb_db.sock OLD NEW`

use ovsdb_protocol::{Condition, Endpoint, Outcome, Row, Transaction, connect};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let [remote, old, new] = &arguments[..] else { return Err("usage: rename REMOTE OLD NEW".into()) };
    let endpoint: Endpoint = remote.parse()?;
    let (client, _locks, mut connection) = connect(&endpoint).await?;
    tokio::spawn(async move { connection.run().await });

    let mut transaction = Transaction::new("OVN_Northbound");
    let named = Condition::eq("name", old.as_str());
    let update = transaction.update("Logical_Switch", [named], Row::new().with("name", new.as_str()));
    match client.transact(&transaction).await? {
        Outcome::Committed(results) => println!("renamed {}", results.count(update).unwrap_or_default()),
        Outcome::Refused(refusal) => println!("{:?}: {refusal}: {}", refusal.class(), refusal.error),
        Outcome::Unknown => println!("look at the database before trying again"),
    }
    Ok(())
}
