//! Lists the databases of a server with their tables:
//! `cargo run -p ovsdb-protocol --example list_dbs -- unix:/run/openvswitch/db.sock`

use std::error::Error;

use ovsdb_protocol::{Client, SessionConfig};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let remote = std::env::args().nth(1).unwrap_or_else(|| "unix:/run/openvswitch/db.sock".to_owned());
    // Every server has this database, which describes the others.
    let (client, driver) = Client::connect(SessionConfig::new(remote.parse()?, "_Server"));
    tokio::spawn(driver);
    let client = client.fail_fast();

    for database in client.list_dbs().await? {
        let schema = client.get_schema(&database).await?;
        println!("{database} {}", schema.version);
        for (name, table) in &schema.tables {
            println!("  {name}: {} columns", table.columns.len());
        }
    }
    Ok(())
}
