//! Prints which chassis each logical port is bound to, and follows the changes of ports on one chassis if it is named:
//! `cargo run -p ovsdb-protocol --example port_bindings -- unix:/run/ovn/ovnsb_db.sock [CHASSIS]`

use std::error::Error;

use ovsdb_protocol::{Client, Monitor, RowFilter, SessionConfig, Table, Uuid};

#[derive(Clone, Debug, Table)]
#[ovsdb(table = "Port_Binding", load_stage = 1, since = "OVN 20.03")]
struct PortBinding {
    #[ovsdb(index)]
    logical_port: String,
    #[ovsdb(column = "type")]
    kind: String,
    #[ovsdb(index)]
    datapath: Uuid,
    tunnel_key: i64,
    chassis: Option<Uuid>,
    #[ovsdb(optional, since = "22.06", absent = "ports on several chassis are shown with one")]
    additional_chassis: Vec<Uuid>,
    #[ovsdb(optional, since = "20.09")]
    up: Option<bool>,
}

#[derive(Clone, Debug, Table)]
#[ovsdb(table = "Chassis", since = "OVN 20.03")]
struct Chassis {
    #[ovsdb(index)]
    name: String,
    hostname: String,
}

#[derive(Clone, Debug, Table)]
#[ovsdb(table = "Datapath_Binding", since = "OVN 20.03")]
struct DatapathBinding {
    tunnel_key: i64,
    #[ovsdb(key = "external_ids:name")]
    name: Option<String>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let remote = arguments.next().ok_or("usage: port_bindings REMOTE [CHASSIS]")?;
    let (client, driver) = Client::connect(SessionConfig::new(remote.parse()?, "OVN_Southbound"));
    tokio::spawn(driver);
    let client = client.fail_fast();
    let (mut ports, chassis, datapaths) = tokio::try_join!(
        client.monitor::<PortBinding>(),
        client.monitor::<Chassis>(),
        client.monitor::<DatapathBinding>(),
    )?;
    for (uuid, datapath) in datapaths.rows() {
        println!("datapath {} ({})", datapath.name.as_deref().unwrap_or("?"), datapath.tunnel_key);
        for (_, port) in ports.find(PortBinding::INDEXES.datapath, &uuid) {
            println!("  {}", describe(&port, &chassis));
        }
    }
    let Some(name) = arguments.next() else { return Ok(()) };
    let (uuid, host) = chassis.find_one(Chassis::INDEXES.name, name.as_str()).ok_or("no such chassis")?;
    println!("ports on {}:", host.hostname);

    // From now on the server sends no other rows: those of other chassis are reported as deleted.
    let here = PortBinding::COLUMNS.chassis.includes(uuid);
    ports.set_condition(RowFilter::Any(vec![here])).await?;
    ports.take_changes();
    for (_, port) in ports.rows() {
        println!("  {}", describe(&port, &chassis));
    }
    loop {
        for change in ports.next().await? {
            match (change.old, change.new) {
                (_, Some(port)) => println!("+ {}", describe(&port, &chassis)),
                (old, None) => {
                    println!("- {}", old.map_or_else(String::new, |port| port.logical_port.clone()))
                }
            }
        }
    }
}

fn describe(port: &PortBinding, chassis: &Monitor<Chassis>) -> String {
    let bound = port.chassis.iter().chain(&port.additional_chassis).filter_map(|uuid| chassis.get(*uuid));
    let bound: Vec<_> = bound.map(|chassis| chassis.name.clone()).collect();
    let up = if port.up == Some(true) { ", up" } else { "" };
    format!("{} {:?} ({}): {}{up}", port.logical_port, port.kind, port.tunnel_key, bound.join(", "))
}
