//! Prints the bridges of an Open vSwitch with their ports and interfaces, and adds an internal port if one is named:
//! `cargo run -p ovsdb-protocol --example bridges -- unix:/run/openvswitch/db.sock [BRIDGE PORT]`

use std::error::Error;

use ovsdb_protocol::{
    AtomValue, Client, Outcome, SessionConfig, Table, Transaction, TypedCondition, TypedRow, Uuid,
};

#[derive(Clone, Debug, Table)]
#[ovsdb(table = "Bridge")]
struct Bridge {
    #[ovsdb(index)]
    name: String,
    ports: Vec<Uuid>,
    fail_mode: Option<FailMode>,
    #[ovsdb(key = "other_config:hwaddr")]
    hwaddr: Option<String>,
    #[ovsdb(optional, since = "2.16", absent = "flood VLANs are not shown")]
    flood_vlans: Vec<i64>,
}

#[derive(Clone, Copy, Debug, PartialEq, AtomValue)]
enum FailMode {
    Standalone,
    Secure,
}

#[derive(Clone, Debug, Table)]
#[ovsdb(table = "Port")]
struct Port {
    name: String,
    interfaces: Vec<Uuid>,
    tag: Option<i64>,
    trunks: Vec<i64>,
}

#[derive(Clone, Debug, Table)]
#[ovsdb(table = "Interface")]
struct Interface {
    name: String,
    #[ovsdb(column = "type")]
    kind: String,
    ofport: Option<i64>,
    link_state: Option<LinkState>,
    #[ovsdb(key = "external_ids:iface-id")]
    iface_id: Option<String>,
    error: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, AtomValue)]
enum LinkState {
    Up,
    Down,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let (remote, new) = match &arguments[..] {
        [remote] => (remote, None),
        [remote, bridge, port] => (remote, Some((bridge, port))),
        _ => return Err("usage: bridges REMOTE [BRIDGE PORT]".into()),
    };
    let (client, driver) = Client::connect(SessionConfig::new(remote.parse()?, "Open_vSwitch"));
    tokio::spawn(driver);
    let client = client.fail_fast();
    let (bridges, ports, interfaces) = tokio::try_join!(
        client.monitor::<Bridge>(),
        client.monitor::<Port>(),
        client.monitor::<Interface>()
    )?;

    if let Some((bridge, port)) = new {
        let (uuid, _) = bridges.find_one(Bridge::INDEXES.name, bridge.as_str()).ok_or("no such bridge")?;
        add_port(&client, uuid, port).await?;
    }
    for (_, bridge) in bridges.rows() {
        println!("bridge {}{}", bridge.name, extras(&bridge));
        for port in bridge.ports.iter().filter_map(|uuid| ports.get(*uuid)) {
            let tag = port.tag.map_or_else(String::new, |tag| format!(" tag {tag}"));
            let trunks =
                if port.trunks.is_empty() { String::new() } else { format!(" trunks {:?}", port.trunks) };
            println!("  port {}{tag}{trunks}", port.name);
            for interface in port.interfaces.iter().filter_map(|uuid| interfaces.get(*uuid)) {
                let Interface { name, kind, ofport, link_state, iface_id, error } = &*interface;
                println!("    interface {name} {kind:?} {ofport:?} {link_state:?} {iface_id:?} {error:?}");
            }
        }
    }
    Ok(())
}

/// Adds a port with an internal interface of the same name, all or nothing.
async fn add_port(client: &Client, bridge: Uuid, name: &str) -> Result<(), Box<dyn Error>> {
    // The rows refer to each other by UUIDs that are chosen here.
    let (port, interface) = (Uuid::new_v4(), Uuid::new_v4());
    let mut transaction = Transaction::new("Open_vSwitch");
    let row = TypedRow::new().with(Interface::COLUMNS.name, name).with(Interface::COLUMNS.kind, "internal");
    transaction.on::<Interface>().insert_as(interface, row);
    let row = TypedRow::new().with(Port::COLUMNS.name, name).with(Port::COLUMNS.interfaces, [interface]);
    transaction.on::<Port>().insert_as(port, row);
    transaction.on::<Bridge>().mutate([TypedCondition::uuid(bridge)], [Bridge::COLUMNS.ports.insert([port])]);
    match client.transact(&transaction).await? {
        Outcome::Committed(_) => Ok(()),
        Outcome::Refused(refusal) => Err(refusal.error.into()),
        Outcome::Unknown => Err("the connection broke: the port may be there or not".into()),
    }
}

fn extras(bridge: &Bridge) -> String {
    let mode = bridge.fail_mode.map(|mode| format!(" {}", mode.as_str()));
    let address = bridge.hwaddr.as_ref().map(|address| format!(" hwaddr {address}"));
    let flood = (!bridge.flood_vlans.is_empty()).then(|| format!(" flood VLANs {:?}", bridge.flood_vlans));
    [mode, address, flood].into_iter().flatten().collect()
}
