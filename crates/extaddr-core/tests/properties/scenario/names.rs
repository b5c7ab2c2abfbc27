//! The number of rows of tables, and their names.

use ovsdb_protocol::Uuid;

use crate::choices::Choices;
use crate::model::tables;

pub(super) const SWITCHES: u64 = 4;
pub(super) const ROUTERS: u64 = 6;
pub(super) const INSTANCES: u64 = 8;
/// Switch ports that lead to routers come after instances.
pub(super) const UPLINKS: u64 = 12;
/// Ports that join switches, and those of addresses that move, come after these.
pub(super) const OTHERS: u64 = 7;
pub(super) const ROUTER_PORTS: u64 = 14;
pub(super) const BALANCERS: u64 = 4;
pub(super) const GROUPS: u64 = 2;
pub(super) const NATS: u64 = 10;

/// The n-th UUID of a table. Their order differs from that of the numbers.
pub(super) fn uuid(table: &str, n: u64) -> Uuid {
    let table = tables().position(|(name, _)| name == table).unwrap() as u64;
    Uuid::from_u64_pair((n + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15), table)
}

pub(super) fn number(table: &str, c: &mut Choices) -> u64 {
    c.below(match table {
        "Logical_Switch" => SWITCHES,
        "Logical_Switch_Port" => INSTANCES + UPLINKS + OTHERS,
        "Logical_Router" => ROUTERS,
        "Logical_Router_Port" => ROUTER_PORTS,
        "Load_Balancer" => BALANCERS,
        "Load_Balancer_Group" => GROUPS,
        "NB_Global" => 1,
        _ => NATS,
    })
}

/// The label of a row in a printed case: its name, or its number.
pub(crate) fn label(uuid: Uuid) -> String {
    let (_, table) = uuid.as_u64_pair();
    let mut numbers = 0..INSTANCES + UPLINKS + OTHERS;
    let known = tables()
        .nth(table as usize)
        .and_then(|(name, _)| Some((name, numbers.find(|n| self::uuid(name, *n) == uuid)?)));
    match known {
        Some(("Logical_Switch_Port", n)) => port_name(n),
        Some(("Logical_Switch", n)) => format!("sw{n}"),
        Some(("Logical_Router", n)) => format!("r{n}"),
        Some(("Logical_Router_Port", n)) => format!("lrp{n}"),
        Some(("Load_Balancer", n)) => format!("lb{n}"),
        Some(("Load_Balancer_Group", n)) => format!("group{n}"),
        Some(("NAT", n)) => format!("nat{n}"),
        Some((_, n)) => format!("global{n}"),
        None => uuid.to_string(),
    }
}

/// Renders something, with names instead of the UUIDs of rows.
pub(crate) fn in_words(value: &impl std::fmt::Debug) -> String {
    let mut text = format!("{value:#?}");
    for (table, _) in tables() {
        for uuid in (0..INSTANCES + UPLINKS + OTHERS).map(|n| uuid(table, n)) {
            text = text.replace(&uuid.to_string(), &label(uuid));
        }
    }
    text
}

pub(super) fn port_name(n: u64) -> String {
    if n < INSTANCES { format!("web{n}") } else { format!("up{}", n - INSTANCES) }
}
