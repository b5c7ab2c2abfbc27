//! Random edits: rows are inserted, changed and deleted, with or without references to them.

use std::net::IpAddr;

use extaddr_core::ownership::{Owner, Role};
use ovsdb_protocol::Uuid;

use super::*;
use crate::case::Spoil;
use crate::model::{Database, Kind, Value, is_valid, kind, tables};

/// Makes an edit of this kind, one of sixteen. An edit that the schema forbids changes nothing.
pub(crate) fn edit(database: &mut Database, owner: &Owner, kind: u64, c: &mut Choices) {
    let before = database.clone();
    match kind {
        0 => insert(database, c),
        1 => delete(database, c),
        2 | 3 => modify(database, c),
        4 if c.one_in(3) => move_router_port(database, c),
        4 => move_port(database, c),
        5 | 6 => attach(database, c),
        7..=9 => edit_port(database, c),
        10 | 11 => edit_vips(database, c),
        12 => edit_gateway(database, c),
        14 if c.one_in(4) => edit_global(database, c),
        13 | 14 => edit_nat(database, c),
        _ => own_row(database, owner, c),
    }
    if !is_valid(database) {
        *database = before;
    }
}

fn value(table: &str, column: &str, c: &mut Choices) -> Value {
    let refs = |c: &mut Choices, table: &str, most: u64| {
        Value::refs((0..c.below(most + 1)).map(|_| uuid(table, number(table, c))).collect::<Vec<_>>())
    };
    match (table, column) {
        ("Logical_Switch_Port", "name") => Value::text(port_name(c.below(INSTANCES + UPLINKS))),
        ("Logical_Router_Port", "name") => Value::text(format!("lrp{}", c.below(ROUTER_PORTS))),
        (_, "name") => Value::text(c.text(&["", "a", "b"])),
        ("Logical_Switch", "ports") => refs(c, "Logical_Switch_Port", 4),
        ("Logical_Router", "ports") => refs(c, "Logical_Router_Port", 3),
        (_, "nat") => refs(c, "NAT", 3),
        (_, "load_balancer") => refs(c, "Load_Balancer", 2),
        (_, "load_balancer_group") => refs(c, "Load_Balancer_Group", 2),
        (_, "gateway_chassis") => refs(c, "Load_Balancer", 2),
        (_, "ha_chassis_group" | "gateway_port") => refs(c, "Logical_Router_Port", 1),
        ("NAT", "type") => Value::text(c.text(&["snat", "dnat", "dnat_and_snat", "bogus"])),
        (_, "type") => Value::text(c.text(&["", "", "external", "router", "switch", "virtual", "localnet"])),
        (_, "addresses") => Value::texts(c.some(&ELEMENTS, 3)),
        (_, "dynamic_addresses") => Value::texts(c.some(&DYNAMIC, 1)),
        ("Logical_Switch_Port", "options") => {
            let parents = format!("{},,{}", port_name(c.below(INSTANCES)), port_name(c.below(INSTANCES)));
            Value::map([
                ("router-port", format!("lrp{}", c.below(ROUTER_PORTS))),
                ("virtual-ip", c.text(&["10.57.0.100", "fd42::100", "10.57.0.11", "bogus"]).to_owned()),
                ("virtual-parents", parents),
                ("other", String::new()),
            ])
        }
        ("Logical_Router", "options") => {
            Value::map(c.some(&["chassis", "other"], 1).into_iter().map(|k| (k, "x")))
        }
        ("Logical_Router_Port", "options") => {
            Value::map(c.some(&["dynamic-routing-redistribute", "other"], 1).into_iter().map(|k| (k, "lb")))
        }
        ("Load_Balancer", "options") => {
            let key = c.some(&["template", "skip_snat", "distributed", "use_stateless_nat", "other"], 1);
            let value = c.text(&["true", "True", "false"]);
            Value::map(key.into_iter().map(|key| (key, value)))
        }
        (_, "allowed_ext_ips" | "exempted_ext_ips") => refs(c, "Load_Balancer", 1),
        (_, "external_mac") => Value::texts(c.some(&["0a:00:00:00:00:99", "bogus"], 1)),
        (_, "logical_port") => Value::texts((0..c.below(2)).map(|_| port_name(c.below(INSTANCES)))),
        ("Logical_Switch_Port", "peer") => {
            Value::texts((0..c.below(2)).map(|_| port_name(c.below(INSTANCES + UPLINKS + OTHERS))))
        }
        ("NAT", "options") => {
            let of = c.some(&["true", "TRUE", "false", "maybe"], 1);
            Value::map(of.into_iter().map(|value| ("stateless", value)))
        }
        ("Logical_Switch_Port", "external_ids") => {
            let wish = c.text(&WISHES_V4);
            Value::map([("ipv4.address.external", wish), ("other", "x")])
        }
        ("NAT", "external_ids") => Value::map([("ovn-extaddr:port", port_name(c.below(INSTANCES)))]),
        ("NB_Global", "external_ids") => kept(c),
        ("Logical_Router", "external_ids") => {
            Value::map([("address.external", c.text(&["auto", "auto", "none", "x"])), ("other", "x")])
        }
        (_, "external_ids") => Value::map([("other", "x")]),
        (_, "networks") => Value::texts(if c.one_in(2) { c.some(&INNER, 2) } else { c.some(&OUTER, 2) }),
        (_, "peer") => Value::texts((0..c.below(2)).map(|_| format!("lrp{}", c.below(ROUTER_PORTS)))),
        (_, "vips") => {
            Value::map((0..c.below(3)).map(|_| (c.text(&VIPS), c.text(&BACKENDS))).collect::<Vec<_>>())
        }
        (_, "protocol") => Value::texts(c.some(&["tcp", "udp"], 1)),
        (_, "health_check") => refs(c, "NAT", 1),
        (_, "external_ip") => Value::text(c.text(&EXTERNALS)),
        (_, "logical_ip") => Value::text(c.text(&LOGICALS)),
        (_, "external_port_range") => Value::text(c.text(&["", "1024-65535", "2001-65535"])),
        (_, "match") => Value::text(c.text(&["", "", "", "ip4"])),
        _ => match kind(table, column) {
            Kind::MaybeFlag => Value::maybe_flag([None, None, Some(true), Some(false)][c.below(4) as usize]),
            kind => unreachable!("{table}.{column}: say here what values a {kind:?} may have"),
        },
    }
}

/// Inserts a row, and mostly a reference to it.
fn insert(database: &mut Database, c: &mut Choices) {
    let (table, _) = tables().nth(c.below(tables().len() as u64) as usize).unwrap();
    let n = number(table, c);
    let uuid = uuid(table, n);
    if database.row(table, uuid).is_some() {
        return;
    }
    let columns: Vec<_> =
        database.columns(table).map(|(column, _)| (column, value(table, column, c))).collect();
    let mut row = match table {
        "Logical_Switch_Port" if n < INSTANCES => instance(database, c, n),
        "Load_Balancer" => balancer(database, c),
        "NAT" => foreign_nat(database, c),
        _ => database.new_row(table, columns),
    };
    match table {
        "Logical_Switch_Port" => row.put("name", Value::text(port_name(n))),
        "Logical_Router_Port" => row.put("name", Value::text(format!("lrp{n}"))),
        _ => {}
    }
    database.rows.insert((table, uuid), row);
    let (holder, column) = match table {
        "Logical_Switch_Port" => ("Logical_Switch", "ports"),
        "Logical_Router_Port" => ("Logical_Router", "ports"),
        "Load_Balancer" => ("Logical_Router", "load_balancer"),
        "Load_Balancer_Group" => ("Logical_Router", "load_balancer_group"),
        "NAT" => ("Logical_Router", "nat"),
        _ => return,
    };
    if let (Some(holding), false) = (c.row(database, holder), c.one_in(5)) {
        link(database, holder, holding, column, uuid, true);
    }
}

/// Deletes a row, mostly with the references to it.
fn delete(database: &mut Database, c: &mut Choices) {
    let (table, _) = tables().nth(c.below(tables().len() as u64) as usize).unwrap();
    let Some(uuid) = c.row(database, table) else { return };
    database.rows.remove(&(table, uuid));
    if !c.one_in(4) {
        for row in database.rows.values_mut() {
            for column in ["ports", "nat", "load_balancer", "load_balancer_group", "gateway_port"] {
                if row.0.contains_key(column) {
                    row.link(column, uuid, false);
                }
            }
        }
    }
}

/// Gives a column another value.
fn modify(database: &mut Database, c: &mut Choices) {
    let (table, _) = tables().nth(c.below(tables().len() as u64) as usize).unwrap();
    let columns: Vec<_> = database.columns(table).collect();
    let (column, _) = columns[c.below(columns.len() as u64) as usize];
    let value = value(table, column, c);
    if let Some(uuid) = c.row(database, table)
        && let Some(row) = database.row_mut(table, uuid)
    {
        row.put(column, value);
    }
}

/// Moves a port to another switch, removes it or puts it on two.
fn move_port(database: &mut Database, c: &mut Choices) {
    let Some(port) = c.row(database, "Logical_Switch_Port") else { return };
    if !c.one_in(5) {
        let switches: Vec<_> = database.table("Logical_Switch").map(|(uuid, _)| uuid).collect();
        switches
            .into_iter()
            .for_each(|switch| link(database, "Logical_Switch", switch, "ports", port, false));
    }
    if let (Some(switch), false) = (c.row(database, "Logical_Switch"), c.one_in(5)) {
        link(database, "Logical_Switch", switch, "ports", port, true);
    }
}

/// Moves a port to another router, or puts it on two.
fn move_router_port(database: &mut Database, c: &mut Choices) {
    let Some(port) = c.row(database, "Logical_Router_Port") else { return };
    if c.one_in(2) {
        let routers: Vec<_> = database.table("Logical_Router").map(|(uuid, _)| uuid).collect();
        routers.into_iter().for_each(|router| link(database, "Logical_Router", router, "ports", port, false));
    }
    if let Some(router) = c.row(database, "Logical_Router") {
        link(database, "Logical_Router", router, "ports", port, true);
    }
}

/// Changes an instance's intent or addresses.
fn edit_port(database: &mut Database, c: &mut Choices) {
    let uuids = [c.below(INSTANCES), c.below(3)].map(|n| uuid("Logical_Switch_Port", n));
    let uuid = uuids.into_iter().find(|uuid| database.row("Logical_Switch_Port", *uuid).is_some());
    let Some(row) = uuid.and_then(|uuid| database.row_mut("Logical_Switch_Port", uuid)) else { return };
    match c.below(6) {
        0 | 1 => wish(row, c),
        2 => row.set("external_ids", "ipv4.address.external", None),
        3 if c.one_in(4) => row.put("type", Value::text(c.text(&["localnet", "external", "virtual"]))),
        3 => row.put("dynamic_addresses", value("Logical_Switch_Port", "dynamic_addresses", c)),
        _ => row.put("addresses", Value::texts([c.text(&ELEMENTS)])),
    }
}

fn edit_vips(database: &mut Database, c: &mut Choices) {
    let Some(uuid) = c.row(database, "Load_Balancer") else { return };
    let Some(row) = database.row_mut("Load_Balancer", uuid) else { return };
    let keys: Vec<_> = row.pairs("vips").map(|(key, _)| key.to_owned()).collect();
    match keys.get(c.below(3) as usize) {
        Some(key) if c.one_in(2) => row.set("vips", key, None),
        Some(key) if c.one_in(2) => row.set("vips", key, Some(c.text(&BACKENDS))),
        _ => vip(row, c),
    }
}

fn edit_gateway(database: &mut Database, c: &mut Choices) {
    match c.below(3) {
        0 => {
            let chassis = if c.one_in(2) { Some("chassis-1") } else { None };
            if let Some(uuid) = c.row(database, "Logical_Router")
                && let Some(row) = database.row_mut("Logical_Router", uuid)
            {
                row.set("options", "chassis", chassis);
            }
        }
        1 => {
            if let Some(port) = c.row(database, "Logical_Router_Port") {
                bind(database, c, port);
            }
        }
        _ => {
            if let Some(port) = c.row(database, "Logical_Router_Port")
                && let Some(row) = database.row_mut("Logical_Router_Port", port)
            {
                row.put("gateway_chassis", Value::refs([]));
                row.put("ha_chassis_group", Value::refs([]));
            }
        }
    }
}

/// Inserts a foreign row, moves one to another router, or removes one.
fn edit_nat(database: &mut Database, c: &mut Choices) {
    let uuid = uuid("NAT", c.below(NATS));
    if database.row("NAT", uuid).is_none() || c.one_in(3) {
        let row = foreign_nat(database, c);
        database.rows.insert(("NAT", uuid), row);
    }
    relocate(database, c, uuid);
}

/// Mostly removes a row from its router, and mostly puts it on another.
fn relocate(database: &mut Database, c: &mut Choices, nat: Uuid) {
    if !c.one_in(4) {
        let routers: Vec<_> = database.table("Logical_Router").map(|(uuid, _)| uuid).collect();
        routers.into_iter().for_each(|router| link(database, "Logical_Router", router, "nat", nat, false));
    }
    if let (Some(router), false) = (c.row(database, "Logical_Router"), c.one_in(8)) {
        link(database, "Logical_Router", router, "nat", nat, true);
    }
}

/// Inserts a row tagged as ours, correct or not.
fn own_row(database: &mut Database, owner: &Owner, c: &mut Choices) {
    let Some(router) = c.row(database, "Logical_Router") else { return };
    let port = port_name(c.below(INSTANCES));
    let logical = c.text(&["10.57.0.11", "10.57.0.12", "10.57.0.13", "fd42::11"]);
    let internal: IpAddr = logical.parse().unwrap();
    let uuid = match c.one_in(2) {
        true => owner.row_uuid(Role::Egress, router, internal, &port),
        false => uuid("NAT", c.below(NATS)),
    };
    let ids =
        [("ovn-extaddr:owner", owner.as_str()), ("ovn-extaddr:port", &*port), ("ovn-extaddr:role", "egress")];
    let columns = [
        ("type", Value::text("snat")),
        ("external_ip", Value::text(c.text(&EXTERNALS))),
        ("logical_ip", Value::text(logical)),
        ("options", Value::map([("stateless", "false")])),
        ("external_ids", Value::map(ids)),
    ];
    database.insert("NAT", uuid, columns);
    relocate(database, c, uuid);
}

/// Changes kept intents, or the intent of a router.
fn edit_global(database: &mut Database, c: &mut Choices) {
    let table = ["NB_Global", "Logical_Router"][c.below(2) as usize];
    let ids = value(table, "external_ids", c);
    match c.row(database, table) {
        Some(uuid) => database.row_mut(table, uuid).unwrap().put("external_ids", ids),
        None if table == "NB_Global" => database.insert(table, uuid(table, 0), [("external_ids", ids)]),
        None => {}
    }
}

/// Draws a foreign change of one of our rows.
pub(crate) fn spoiling(database: &Database, c: &mut Choices) -> Spoil {
    let columns: Vec<_> = database.columns("NAT").map(|(column, _)| column).collect();
    let port = port_name(c.below(INSTANCES));
    match c.below(9) {
        0 => Spoil::Delete,
        1 => Spoil::Tag("ovn-extaddr:owner", Some("others".to_owned())),
        2 => Spoil::Tag("ovn-extaddr:port", None),
        3 => Spoil::Tag("ovn-extaddr:port", Some(port)),
        4 => Spoil::Tag("ovn-extaddr:role", Some(c.text(&["drain", "egress"]).to_owned())),
        6 | 7 => match *c.pick(&columns) {
            "external_ids" => Spoil::Delete,
            column => Spoil::Set(column, value("NAT", column, c)),
        },
        5 => Spoil::Set("options", value("NAT", "options", c)),
        _ => {
            Spoil::Move { stays: c.one_in(4), to: c.row(database, "Logical_Router").filter(|_| !c.one_in(8)) }
        }
    }
}
