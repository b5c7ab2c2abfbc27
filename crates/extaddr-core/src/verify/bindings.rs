//! The checks of bindings: the chassis of the gateway and of the instance, and whether the former is up to date.

use super::check::{Check, Code, Override};
use super::southbound::{Chassis, Gateway, Northbound, Southbound};

/// The time that a chassis may take for a change before it counts as out of date, in milliseconds.
const MAX_LAG_MS: u64 = 60_000;

/// Checks that the instance's port is on a chassis and up.
pub(super) fn port(wanted: &Override, southbound: &Southbound) -> Check {
    let name = &wanted.port;
    let Some(binding) = southbound.ports.get(name) else {
        return Check::failed(
            Code::Port,
            format!("port {name} is not in the Southbound database"),
            "see whether ovn-northd runs (`ovn-appctl -t ovn-northd status`)",
        );
    };
    let Some(uuid) = binding.chassis else {
        return Check::failed(
            Code::Port,
            format!("port {name} is on no chassis"),
            "start the instance; if it runs, see whether ovn-controller does on its host, and whether the interface's external_ids:iface-id is the port's name",
        );
    };
    let Some(chassis) = southbound.chassis.get(&uuid) else {
        return Check::failed(
            Code::Port,
            format!("port {name} is on a chassis that is gone"),
            "start ovn-controller on the instance's host",
        );
    };
    if binding.up == Some(false) {
        return Check::failed(
            Code::Port,
            format!("port {name} is on {}, and not up", chassis.name),
            "see what ovn-controller logs there: it has not installed the port's flows",
        );
    }
    Check::ok(Code::Port, format!("port {name} is on {}", chassis.name))
}

/// Checks that the gateway is on a chassis, and that this chassis is up to date; returns the chassis' name too.
pub(super) fn gateway(
    wanted: &Override,
    gateway: Option<&Gateway>,
    northbound: &Northbound,
    southbound: &Southbound,
    now: u64,
) -> (Vec<Check>, Option<String>) {
    let router = &wanted.router;
    let Some(gateway) = gateway else {
        let check = Check::failed(
            Code::Gateway,
            format!("router {router} has no gateway in the Southbound database"),
            "give it a gateway port with a chassis (`ovn-nbctl lrp-set-gateway-chassis`), or options:chassis",
        );
        return (vec![check], None);
    };
    let Gateway { binding, .. } = gateway;
    let Some(uuid) = gateway.chassis else {
        let cure = if gateway.is_distributed {
            "start ovn-controller on a chassis of the gateway port's group (`ovn-nbctl lrp-get-gateway-chassis`, `ovn-nbctl ha-chassis-group-list`)"
        } else {
            "start ovn-controller on the chassis that the router's options:chassis names"
        };
        return (
            vec![Check::failed(Code::Gateway, format!("{binding} of {router} is on no chassis"), cure)],
            None,
        );
    };
    let Some(chassis) = southbound.chassis.get(&uuid) else {
        let found = format!("{binding} of {router} is on a chassis that is gone");
        return (
            vec![Check::failed(
                Code::Gateway,
                found,
                "start ovn-controller there, or on another chassis of the group",
            )],
            None,
        );
    };
    let place = if chassis.hostname.is_empty() || chassis.hostname == chassis.name {
        chassis.name.clone()
    } else {
        format!("{} ({})", chassis.name, chassis.hostname)
    };
    let bound = Check::ok(Code::Gateway, format!("{binding} is on {place}"));
    (vec![bound, follows(chassis, northbound, southbound, now)], Some(chassis.name.clone()))
}

/// Checks whether a chassis has done the last requested change. A chassis that died after the last request cannot be
/// distinguished from a live one.
fn follows(chassis: &Chassis, northbound: &Northbound, southbound: &Southbound, now: u64) -> Check {
    let name = &chassis.name;
    let ask = "`ovn-nbctl --wait=hv sync` asks all chassis: run it, and look again";
    let start = format!(
        "see whether ovn-controller runs on {name} and reaches the Southbound database (`ovn-appctl -t ovn-controller connection-status`)"
    );
    let asked = southbound.nb_cfg;
    let Some(done) = chassis.nb_cfg else {
        if chassis.has_private_row {
            return Check::failed(Code::Chassis, format!("{name} has no row in Chassis_Private"), start);
        }
        return Check::unknown(Code::Chassis, format!("this release does not say what {name} has done"), ask);
    };
    if asked == 0 {
        return Check::unknown(
            Code::Chassis,
            format!("{name} has nothing to report yet: nb_cfg of the Southbound database is 0"),
            ask,
        );
    }
    let ago = |timestamp: u64| (timestamp > 0).then(|| now.saturating_sub(timestamp));
    if done >= asked {
        let since = ago(chassis.nb_cfg_timestamp).map(|ms| format!(", {} ago", duration(ms)));
        return Check::ok(
            Code::Chassis,
            format!("{name} has done change {done}, the last{}", since.unwrap_or_default()),
        );
    }
    if southbound.is_progress_hidden {
        return Check::unknown(
            Code::Chassis,
            format!(
                "{name} does not report what it has done: NB_Global has options:enable_chassis_nb_cfg_update=false"
            ),
            "nothing, unless a change is missing there; see then whether its ovn-controller runs",
        );
    }
    // ovn-northd dates a change only after it has written it.
    let asked_at = ago(northbound.sb_cfg_timestamp).filter(|_| northbound.sb_cfg >= asked);
    match asked_at {
        Some(ms) if ms > MAX_LAG_MS => Check::failed(
            Code::Chassis,
            format!("{name} has done change {done} of {asked}, which came {} ago", duration(ms)),
            start,
        ),
        _ => Check::unknown(Code::Chassis, format!("{name} has done change {done} of {asked} so far"), start),
    }
}

/// Renders a duration in words.
fn duration(ms: u64) -> String {
    let seconds = ms / 1000;
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}
