//! Renames a switch while it has a lock, and prints the outcome: `cargo run -p ovsdb-protocol --example rename --
//! unix:/run/ovn/ovnnb_db.sock OLD NEW`

use ovsdb_protocol::{Client, Condition, Outcome, Row, SessionConfig, Transaction};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let [remotes, old, new] = &arguments[..] else { return Err("usage: rename REMOTE OLD NEW".into()) };
    let (client, driver) = Client::connect(SessionConfig::new(remotes.parse()?, "OVN_Northbound"));
    tokio::spawn(driver);
    let client = client.fail_fast();

    let mut lock = client.lock(&"rename".parse()?).await?;
    lock.held().await?;
    let mut transaction = Transaction::new("OVN_Northbound");
    transaction.assert_lock("rename");
    let named = Condition::eq("name", old.as_str());
    let update = transaction.update("Logical_Switch", [named], Row::new().with("name", new.as_str()));
    match client.transact(&transaction).await? {
        Outcome::Committed(results) => println!("renamed {}", results.count(update).unwrap_or_default()),
        Outcome::Refused(refusal) => println!("{:?}: {refusal}: {}", refusal.class(), refusal.error),
        Outcome::Unknown => println!("look at the database before trying again"),
    }
    Ok(())
}
