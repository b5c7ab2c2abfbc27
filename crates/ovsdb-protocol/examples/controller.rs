//! Keeps an address set for each switch of a cluster, whichever of its servers fail:
//! `cargo run -p ovsdb-protocol --example controller -- tcp:10.0.0.1:6641,tcp:10.0.0.2:6641,tcp:10.0.0.3:6641`

use ovsdb_protocol::{Client, ErrorClass, Outcome, SessionConfig, Table, Transaction, TypedRow};

#[derive(Clone, Debug, Table)]
#[ovsdb(table = "Logical_Switch")]
struct Switch {
    name: String,
}

#[derive(Clone, Debug, Table)]
#[ovsdb(table = "Address_Set")]
struct AddressSet {
    #[ovsdb(index)]
    name: String,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let remotes = std::env::args().nth(1).ok_or("usage: controller REMOTE[,REMOTE ...]")?;
    let (client, driver) = Client::connect(SessionConfig::new(remotes.parse()?, "OVN_Northbound"));
    tokio::spawn(driver);
    let client = client.wait_at_most(None);
    let (switches, sets) = tokio::join!(client.monitor::<Switch>(), client.monitor::<AddressSet>());
    let (mut switches, sets) = (switches?, sets?);
    loop {
        let has_set = |name: &str| sets.find_one(AddressSet::INDEXES.name, name).is_some();
        let Some((_, switch)) = switches.rows().into_iter().find(|(_, switch)| !has_set(&switch.name)) else {
            switches.next().await?;
            continue;
        };
        let mut transaction = Transaction::new("OVN_Northbound");
        transaction.on::<AddressSet>().insert(TypedRow::new().with(AddressSet::COLUMNS.name, &*switch.name));
        match client.transact(&transaction).await? {
            Outcome::Refused(why) if why.class() == ErrorClass::Permanent => return Err(why.error.into()),
            outcome => println!("{}: {outcome:?}", switch.name),
        }
    }
}
