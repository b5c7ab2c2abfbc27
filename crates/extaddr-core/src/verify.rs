//! Checks of the data plane: the rows of the Southbound database that an override needs, and the verdicts on them.
//!
//! The rules here only examine rows that the caller has read. A check that depends on a failed one is not made.

mod action;
mod bindings;
mod check;
mod expression;
mod flows;
mod overrides;
mod packet;
mod southbound;
#[cfg(test)]
mod tests;

use check::CURE_OF_NORTHD;
pub use check::{Check, Code, Findings, Outcome, Override};
pub use overrides::{Round, overrides};
pub use southbound::{
    Binding, Chassis, Flow, Gateway, Northbound, SNAT_STAGE, Southbound, Stage, UNSNAT_STAGE,
};

/// Checks an override. `now` is the time, in milliseconds since 1970.
pub fn verify(wanted: &Override, northbound: &Northbound, southbound: &Southbound, now: u64) -> Findings {
    let mut checks = Vec::new();
    let port = bindings::port(wanted, southbound);
    let Some(datapath) = southbound.datapaths.get(&wanted.router_uuid) else {
        checks.push(in_step(northbound, southbound, false));
        checks.push(Check::failed(
            Code::Datapath,
            format!("router {} is not in the Southbound database", wanted.router),
            format!("{CURE_OF_NORTHD}; see whether --sb-db names the Southbound of this Northbound"),
        ));
        checks.push(port);
        return Findings { checks, chassis: None };
    };
    let gateways = southbound.gateways.get(datapath).map_or(&[][..], Vec::as_slice);
    let flows::Verdict { checks: of_flows, gateway, is_there } =
        flows::check(wanted, southbound.stages(*datapath), gateways);
    checks.push(in_step(northbound, southbound, is_there));
    checks.push(Check::ok(Code::Datapath, format!("router {} has datapath {datapath}", wanted.router)));
    checks.extend(of_flows);
    let (of_gateway, chassis) = bindings::gateway(wanted, gateway, northbound, southbound, now);
    checks.extend(of_gateway);
    checks.push(port);
    Findings { checks, chassis }
}

/// Checks whether ovn-northd has processed the last requested change. There may be no such request; then only the
/// presence of the flow shows it.
fn in_step(northbound: &Northbound, southbound: &Southbound, is_flow_there: bool) -> Check {
    let Northbound { nb_cfg, sb_cfg, .. } = *northbound;
    if southbound.nb_cfg > nb_cfg {
        return Check::failed(
            Code::InStep,
            format!(
                "the Southbound database is at change {}, ahead of the Northbound's {nb_cfg}",
                southbound.nb_cfg
            ),
            "name the Southbound of this Northbound: --sb-db, OVN_SB_DB or sb-db in the configuration",
        );
    }
    let pending = nb_cfg > sb_cfg;
    match (pending, is_flow_there) {
        (false, true) => Check::ok(
            Code::InStep,
            format!("ovn-northd has brought the row, and change {nb_cfg}, to the Southbound database"),
        ),
        (false, false) => Check::unknown(
            Code::InStep,
            format!("change {nb_cfg}, the last that ovn-northd was asked for, is in the Southbound database"),
            "`ovn-nbctl --wait=sb sync` shows whether ovn-northd follows now",
        ),
        (true, true) => Check::unknown(
            Code::InStep,
            format!(
                "ovn-northd is asked for change {nb_cfg} and has answered {sb_cfg}, but has brought the row"
            ),
            CURE_OF_NORTHD,
        ),
        (true, false) => Check::failed(
            Code::InStep,
            format!("ovn-northd is asked for change {nb_cfg} and has answered {sb_cfg}"),
            CURE_OF_NORTHD,
        ),
    }
}
