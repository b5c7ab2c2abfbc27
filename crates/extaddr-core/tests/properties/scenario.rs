//! Random networks and random edits of them, with few names and addresses, so that they collide often.

mod edit;
mod names;
mod values;

use ovsdb_protocol::Uuid;

pub(crate) use edit::{edit, spoiling};
pub(crate) use names::{in_words, label};

use crate::choices::Choices;
use crate::model::{Database, Row, Value};
use crate::oracle;
use names::*;
use values::*;

// ===== a network to start from =====

/// Builds a realistic network.
pub(crate) fn network(c: &mut Choices, old: bool) -> Database {
    let mut database = Database { old, ..Database::default() };
    let db = &mut database;
    let (switches, routers) = (1 + c.below(SWITCHES), 1 + c.below(ROUTERS));
    for n in 0..switches {
        db.insert("Logical_Switch", uuid("Logical_Switch", n), [("name", Value::text(format!("sw{n}")))]);
    }
    for n in 0..routers {
        // Names of routers need not be unique.
        let name = Value::text(format!("r{}", n % 5));
        let enabled = if c.one_in(6) { Some(c.one_in(3)) } else { None };
        let columns = [("name", name), ("enabled", Value::maybe_flag(enabled))];
        db.insert("Logical_Router", uuid("Logical_Router", n), columns);
    }
    match c.below(5) {
        // Each router has its own switch, or shares one.
        0 => (0..routers).for_each(|n| {
            join(db, c, n % switches, n);
            gateway(db, c, n);
        }),
        // Routers and switches in a row, the gateway at the end.
        1 => {
            for n in 0..routers {
                join(db, c, n % switches, n);
                join(db, c, (n + 1) % switches, n);
            }
            gateway(db, c, routers - 1);
        }
        // Routers peered in a row behind one switch.
        2 => {
            join(db, c, 0, 0);
            (1..routers).for_each(|n| peer(db, c, n - 1, n));
            gateway(db, c, routers - 1);
        }
        // Anything.
        _ => {
            for _ in 0..routers + 2 {
                let (switch, one, other) = (c.below(switches), c.below(routers), c.below(routers));
                if c.one_in(3) { peer(db, c, one, other) } else { join(db, c, switch, one) }
            }
            (0..routers).filter(|n| n % 3 == 1).for_each(|n| gateway(db, c, n));
        }
    }
    for _ in 0..c.below(3) {
        let (one, other) = (c.below(switches), c.below(switches));
        joint(db, c, one, other);
    }
    if c.one_in(3) {
        (0..1 + c.below(2)).for_each(|_| outside(db, c, switches));
    }
    if c.one_in(2) {
        let n = vacant(db, "Logical_Switch_Port", INSTANCES + UPLINKS..INSTANCES + UPLINKS + OTHERS).unwrap();
        let parents = [port_name(c.below(3)), port_name(c.below(INSTANCES))].join(",");
        let options = [("virtual-ip", "10.57.0.100".to_owned()), ("virtual-parents", parents)];
        switch_port(db, 0, n, [("type", Value::text("virtual")), ("options", Value::map(options))]);
    }
    if c.one_in(4) {
        let table = ["Logical_Switch_Port", "Logical_Router_Port"][c.below(2) as usize];
        if let Some(uuid) = c.row(db, table)
            && let Some(row) = db.row_mut(table, uuid)
        {
            row.put("enabled", Value::maybe_flag(Some(false)));
        }
    }
    // In a tidy network most intents can be granted, so that late obstacles are tested.
    let tidy = c.one_in(2);
    for n in 0..3 + c.below(INSTANCES - 2) {
        let uuid = uuid("Logical_Switch_Port", n);
        let mut row = instance(db, c, n);
        if tidy {
            if !row.is_set("dynamic_addresses") {
                // Mostly each has its own address.
                let own = if c.one_in(5) { c.text(&ELEMENTS[..7]) } else { ELEMENTS[n as usize % 7] };
                row.put("addresses", Value::texts([own]));
            }
            let wish = if c.one_in(8) { None } else { Some(c.text(&WISHES_V4[..4])) };
            row.set("external_ids", "ipv4.address.external", wish);
        }
        db.rows.insert(("Logical_Switch_Port", uuid), row);
        let switch = self::uuid("Logical_Switch", if c.one_in(3) { c.below(switches) } else { 0 });
        link(db, "Logical_Switch", switch, "ports", uuid, true);
    }
    for n in 0..1 + c.below(BALANCERS) {
        let mut row = balancer(db, c);
        if tidy {
            row.put("vips", Value::map([(c.text(&VIPS[..7]), c.text(&BACKENDS[..7]))]));
            if let Some(option) = [None, Some("distributed"), Some("use_stateless_nat")][n as usize % 3] {
                row.put("options", Value::map([(option, "true")]));
            }
        }
        db.rows.insert(("Load_Balancer", uuid("Load_Balancer", n)), row);
    }
    for n in 0..c.below(GROUPS + 1) {
        db.insert("Load_Balancer_Group", uuid("Load_Balancer_Group", n), [("name", Value::text("g"))]);
        attach(db, c);
    }
    (0..6 + c.below(8)).for_each(|_| attach(db, c));
    for n in 0..c.below(8) {
        let mut row = if tidy { network_snat(db, c) } else { foreign_nat(db, c) };
        if tidy && c.one_in(2) {
            row.put("type", Value::text(c.text(&["snat", "dnat", "dnat_and_snat"])));
            row.put("options", Value::map([("stateless", c.text(&["true", "false"]))]));
            row.put("external_ip", Value::text(c.text(&EXTERNALS[..2])));
            row.put("logical_ip", Value::text(c.text(&LOGICALS[..6])));
            if c.one_in(3) {
                row.put("type", Value::text("dnat_and_snat"));
                row.put("options", Value::map([("stateless", "false")]));
                row.put("external_mac", Value::texts(["0a:00:00:00:00:99"]));
                row.put("logical_port", Value::texts([port_name(c.below(INSTANCES))]));
            }
        }
        db.rows.insert(("NAT", uuid("NAT", n)), row);
        // A row may be on two routers.
        for _ in 0..if c.one_in(4) { 2 } else { 1 } {
            if let Some(router) = c.row(db, "Logical_Router") {
                link(db, "Logical_Router", router, "nat", uuid("NAT", n), true);
            }
        }
    }
    // Other sources have intents for the ports.
    if c.one_in(4) {
        let ids = kept(c);
        db.insert("NB_Global", uuid("NB_Global", 0), [("external_ids", ids)]);
    }
    if let (Some(router), true) = (c.row(db, "Logical_Router"), c.one_in(6))
        && let Some(row) = db.row_mut("Logical_Router", router)
    {
        row.set("external_ids", "address.external", Some("auto"));
    }
    database
}

/// Builds a small network in which most intents are granted: one switch, and one router or two.
pub(crate) fn small_network(c: &mut Choices) -> Database {
    let mut database = Database::default();
    let db = &mut database;
    db.insert("Logical_Switch", uuid("Logical_Switch", 0), [("name", Value::text("sw0"))]);
    for n in 0..1 + c.below(2) {
        db.insert("Logical_Router", uuid("Logical_Router", n), [("name", Value::text(format!("r{n}")))]);
        join(db, c, 0, n);
        gateway(db, c, n);
    }
    for n in 0..2 + c.below(3) {
        let mut row = instance(db, c, n);
        row.put("addresses", Value::texts([ELEMENTS[n as usize % 9]]));
        row.set("external_ids", "ipv4.address.external", Some(c.text(&WISHES_V4[..11])));
        db.rows.insert(("Logical_Switch_Port", uuid("Logical_Switch_Port", n)), row);
        let switch = uuid("Logical_Switch", 0);
        link(db, "Logical_Switch", switch, "ports", uuid("Logical_Switch_Port", n), true);
    }
    for n in 0..2 {
        let vips = (0..1 + c.below(3)).map(|_| (c.text(&VIPS[..6]), c.text(&BACKENDS[..7])));
        let vips = Value::map(vips.collect::<Vec<_>>());
        db.insert("Load_Balancer", uuid("Load_Balancer", n), [("vips", vips)]);
        if let Some(router) = c.row(db, "Logical_Router") {
            link(db, "Logical_Router", router, "load_balancer", uuid("Load_Balancer", n), true);
        }
    }
    if c.one_in(3) {
        let row = foreign_nat(db, c);
        db.rows.insert(("NAT", uuid("NAT", 0)), row);
        link(db, "Logical_Router", uuid("Logical_Router", 0), "nat", uuid("NAT", 0), true);
    }
    database
}

/// Kept intents for ports.
fn kept(c: &mut Choices) -> Value {
    let pairs = (0..c.below(4)).map(|_| {
        let port = port_name(c.below(INSTANCES));
        if c.one_in(3) {
            (format!("ovn-extaddr:ipv6.address.external:{port}"), c.text(&WISHES_V6))
        } else {
            (format!("ovn-extaddr:ipv4.address.external:{port}"), c.text(&WISHES_V4))
        }
    });
    Value::map(pairs.collect::<Vec<_>>())
}

fn link(db: &mut Database, table: &'static str, uuid: Uuid, column: &str, to: Uuid, linked: bool) {
    if let Some(row) = db.row_mut(table, uuid) {
        row.link(column, to, linked);
    }
}

/// The first number without a row.
fn vacant(db: &Database, table: &'static str, numbers: std::ops::Range<u64>) -> Option<u64> {
    numbers.into_iter().find(|n| db.row(table, uuid(table, *n)).is_none())
}

/// Adds a port to a router. Returns its number.
fn router_port(db: &mut Database, c: &mut Choices, router: u64, networks: &[&str]) -> Option<u64> {
    let n = vacant(db, "Logical_Router_Port", 0..ROUTER_PORTS)?;
    let networks = Value::texts(c.some(networks, 2));
    let columns = [("name", Value::text(format!("lrp{n}"))), ("networks", networks)];
    db.insert("Logical_Router_Port", uuid("Logical_Router_Port", n), columns);
    let router = uuid("Logical_Router", router);
    link(db, "Logical_Router", router, "ports", uuid("Logical_Router_Port", n), true);
    Some(n)
}

/// Joins a switch and a router.
fn join(db: &mut Database, c: &mut Choices, switch: u64, router: u64) {
    let Some(port) = router_port(db, c, router, &INNER) else { return };
    let Some(n) = vacant(db, "Logical_Switch_Port", INSTANCES..INSTANCES + UPLINKS) else { return };
    let columns = [
        ("name", Value::text(port_name(n))),
        ("type", Value::text("router")),
        ("addresses", Value::texts(["router"])),
        ("options", Value::map([("router-port", format!("lrp{port}"))])),
    ];
    db.insert("Logical_Switch_Port", uuid("Logical_Switch_Port", n), columns);
    let switch = uuid("Logical_Switch", switch);
    link(db, "Logical_Switch", switch, "ports", uuid("Logical_Switch_Port", n), true);
}

/// Adds a port to a switch.
fn switch_port<'c>(
    db: &mut Database,
    switch: u64,
    n: u64,
    columns: impl IntoIterator<Item = (&'c str, Value)>,
) {
    let columns = [("name", Value::text(port_name(n)))].into_iter().chain(columns);
    let mut row = db.new_row("Logical_Switch_Port", []);
    columns.for_each(|(column, value)| row.put(column, value));
    db.rows.insert(("Logical_Switch_Port", uuid("Logical_Switch_Port", n)), row);
    let switch = uuid("Logical_Switch", switch);
    link(db, "Logical_Switch", switch, "ports", uuid("Logical_Switch_Port", n), true);
}

/// Joins two switches directly.
fn joint(db: &mut Database, c: &mut Choices, a: u64, b: u64) {
    let numbers = INSTANCES + UPLINKS..INSTANCES + UPLINKS + OTHERS;
    let free: Vec<_> = numbers
        .filter(|n| db.row("Logical_Switch_Port", uuid("Logical_Switch_Port", *n)).is_none())
        .collect();
    let &[one, other, ..] = &free[..] else { return };
    for (switch, n, peer) in [(a, one, other), (b, other, one)] {
        // A one-sided joint does not count.
        let peer = if c.one_in(8) { "web0".to_owned() } else { port_name(peer) };
        switch_port(db, switch, n, [("type", Value::text("switch")), ("peer", Value::texts([peer]))]);
    }
}

/// Joins a switch and a gateway port, mostly with a physical network behind it.
fn outside(db: &mut Database, c: &mut Choices, switches: u64) {
    let ports = db.table("Logical_Router_Port");
    let ports: Vec<_> = ports.filter(|(_, row)| oracle::is_gateway_port(row)).collect();
    let names: Vec<_> = ports.iter().map(|(_, row)| row.text("name").to_owned()).collect();
    if names.is_empty() {
        return;
    }
    let name = names[c.below(names.len() as u64) as usize].clone();
    let switch = c.below(switches);
    if let Some(n) = vacant(db, "Logical_Switch_Port", INSTANCES..INSTANCES + UPLINKS) {
        let options = Value::map([("router-port", name)]);
        switch_port(db, switch, n, [("type", Value::text("router")), ("options", options)]);
    }
    let vacant = vacant(db, "Logical_Switch_Port", INSTANCES + UPLINKS..INSTANCES + UPLINKS + OTHERS);
    if let (Some(n), false) = (vacant, c.one_in(3)) {
        let enabled = Value::maybe_flag(if c.one_in(2) { Some(false) } else { None });
        let kind = c.text(&["localnet", "l2gateway", "vtep"]);
        switch_port(db, switch, n, [("type", Value::text(kind)), ("enabled", enabled)]);
    }
}

fn peer(db: &mut Database, c: &mut Choices, a: u64, b: u64) {
    let Some(a) = router_port(db, c, a, &["100.64.0.1/30"]) else { return };
    let Some(b) = router_port(db, c, b, &["100.64.0.2/30"]) else { return };
    for (one, other) in [(a, b), (b, a)] {
        // A one-sided peering does not count.
        if let Some(row) = db.row_mut("Logical_Router_Port", uuid("Logical_Router_Port", one))
            && (one == a || !c.one_in(4))
        {
            row.put("peer", Value::texts([format!("lrp{other}")]));
        }
    }
}

/// Makes the router a gateway, in one of the ways there are, or not.
fn gateway(db: &mut Database, c: &mut Choices, router: u64) {
    let ports = match c.below(8) {
        0 if c.one_in(2) => return,
        1 | 2 => {
            if let Some(row) = db.row_mut("Logical_Router", uuid("Logical_Router", router)) {
                row.set("options", "chassis", Some("chassis-1"));
            }
            return;
        }
        3..=5 => 2 + c.below(2),
        _ => 1,
    };
    for _ in 0..ports {
        let Some(n) = router_port(db, c, router, &OUTER) else { return };
        bind(db, c, uuid("Logical_Router_Port", n));
    }
}

fn bind(db: &mut Database, c: &mut Choices, port: Uuid) {
    let column = c.text(&["gateway_chassis", "ha_chassis_group"]);
    if let Some(row) = db.row_mut("Logical_Router_Port", port) {
        row.put(column, Value::refs([Uuid::from_u128(1 + u128::from(c.below(3)))]));
    }
}

fn instance(db: &Database, c: &mut Choices, n: u64) -> Row {
    let (addresses, dynamic) = match c.below(8) {
        0 => (vec![c.text(&ELEMENTS[11..13])], vec![c.text(&DYNAMIC[..2])]),
        1 => (c.some(&ELEMENTS, 3), c.some(&DYNAMIC, 1)),
        _ => (vec![c.text(&ELEMENTS[..9])], Vec::new()),
    };
    let mut row = db.new_row(
        "Logical_Switch_Port",
        [
            ("name", Value::text(port_name(n))),
            ("addresses", Value::texts(addresses)),
            ("dynamic_addresses", Value::texts(dynamic)),
        ],
    );
    wish(&mut row, c);
    row
}

fn wish(row: &mut Row, c: &mut Choices) {
    if !c.one_in(4) {
        row.set("external_ids", "ipv4.address.external", Some(c.text(&WISHES_V4)));
    }
    if c.one_in(5) {
        row.set("external_ids", "ipv6.address.external", Some(c.text(&WISHES_V6)));
    }
}

fn balancer(db: &Database, c: &mut Choices) -> Row {
    let name = c.text(&["", "lb", "forward"]);
    let mut row = db.new_row("Load_Balancer", [("name", Value::text(name))]);
    (0..2 + c.below(4)).for_each(|_| vip(&mut row, c));
    row
}

fn vip(row: &mut Row, c: &mut Choices) {
    // VIPs of both families mostly lead to their own.
    let key = c.text(&VIPS);
    let backends = if key.contains("db8") && !c.one_in(4) { &BACKENDS[7..9] } else { &BACKENDS[..] };
    row.set("vips", key, Some(c.text(backends)));
}

/// Attaches or detaches a load balancer at a router or group, or a group at a router.
fn attach(db: &mut Database, c: &mut Choices) {
    let (table, column, to) = match c.below(5) {
        0 => ("Load_Balancer_Group", "load_balancer", "Load_Balancer"),
        1 => ("Logical_Router", "load_balancer_group", "Load_Balancer_Group"),
        _ => ("Logical_Router", "load_balancer", "Load_Balancer"),
    };
    let to = uuid(to, number(to, c));
    if let Some(uuid) = c.row(db, table) {
        let linked = db.row(table, uuid).is_some_and(|row| row.has(column, to));
        link(db, table, uuid, column, to, !linked || c.one_in(3));
    }
}

/// A foreign row for a whole network.
fn network_snat(db: &Database, c: &mut Choices) -> Row {
    let networks: Vec<_> = LOGICALS.iter().copied().filter(|text| text.contains('/')).collect();
    let mut row = db.new_row(
        "NAT",
        [
            ("type", Value::text("snat")),
            ("external_ip", Value::text(c.text(&["203.0.113.2", "203.0.113.10", "203.0.113.11"]))),
            ("logical_ip", Value::text(c.text(&networks))),
        ],
    );
    if !c.one_in(4) {
        row.put("gateway_port", Value::refs(c.row(db, "Logical_Router_Port")));
    }
    row
}

fn foreign_nat(db: &Database, c: &mut Choices) -> Row {
    if c.one_in(3) {
        return network_snat(db, c);
    }
    let logical = c.text(&LOGICALS);
    // Sometimes an identity row.
    let external = if c.one_in(10) { logical } else { c.text(&EXTERNALS) };
    let mut row = db.new_row(
        "NAT",
        [
            ("type", Value::text(c.text(&["snat", "snat", "dnat", "dnat", "dnat_and_snat", "bogus"]))),
            ("external_ip", Value::text(external)),
            ("logical_ip", Value::text(logical)),
        ],
    );
    if c.one_in(8) {
        let column = ["allowed_ext_ips", "exempted_ext_ips"][c.below(2) as usize];
        row.put(column, Value::refs([Uuid::from_u128(1)]));
    }
    if c.one_in(6) {
        row.put("external_mac", Value::texts([c.text(&["0a:00:00:00:00:99", "0a:00:00:00:00:99", "bogus"])]));
        row.put("logical_port", Value::texts([port_name(c.below(INSTANCES))]));
    }
    if c.one_in(8) {
        row.set("external_ids", "ovn-extaddr:owner", Some("others"));
        row.set("external_ids", "ovn-extaddr:port", Some(&port_name(c.below(INSTANCES))));
    }
    row
}
