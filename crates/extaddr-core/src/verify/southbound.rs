//! The rows of the Southbound database that are checked, and the progress that the Northbound one records.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

use uuid::Uuid;

use super::action::Action;
use super::expression::{Expression, Relation, Value};

/// The stage of a router that translates sources of packets that leave.
pub const SNAT_STAGE: &str = "lr_out_snat";

/// The stage of a router that translates replies back.
pub const UNSNAT_STAGE: &str = "lr_in_unsnat";

/// The progress of ovn-northd and the hypervisors, by `NB_Global`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Northbound {
    /// The last requested change.
    pub nb_cfg: i64,
    /// The last change that ovn-northd has done.
    pub sb_cfg: i64,
    /// The time at which that was done, in milliseconds since 1970; 0 if it is not known.
    pub sb_cfg_timestamp: u64,
}

/// Rows of the Southbound database for the routers and ports concerned.
#[derive(Clone, Debug, Default)]
pub struct Southbound {
    /// `SB_Global.nb_cfg`: the last change requested of chassis.
    pub nb_cfg: i64,
    /// Whether chassis are told not to report what they have done (`options:enable_chassis_nb_cfg_update`).
    pub is_progress_hidden: bool,
    /// The datapath of each router, by the router's row in the Northbound database.
    pub datapaths: HashMap<Uuid, Uuid>,
    /// The gateways of each datapath.
    pub gateways: HashMap<Uuid, Vec<Gateway>>,
    /// The bindings of instances' ports, by name.
    pub ports: HashMap<String, Binding>,
    /// The chassis.
    pub chassis: HashMap<Uuid, Chassis>,
    pub(super) snat: HashMap<Uuid, Stage>,
    pub(super) unsnat: HashMap<Uuid, Stage>,
}

/// A port by which a router is bound to a chassis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gateway {
    /// The name of the router port.
    pub router_port: String,
    /// The name by which it is bound: `cr-…` for a gateway port.
    pub binding: String,
    /// Whether only this port is bound, and not the router as a whole (`options:chassis`).
    pub is_distributed: bool,
    /// The chassis that has it.
    pub chassis: Option<Uuid>,
}

/// The binding of a port to a chassis.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Binding {
    /// The chassis that has it.
    pub chassis: Option<Uuid>,
    /// Whether its flows are in place there; `None` for servers that do not report it.
    pub up: Option<bool>,
}

/// A chassis.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chassis {
    /// Its name.
    pub name: String,
    /// Its host's name.
    pub hostname: String,
    /// The last requested change that it has done; `None` if it does not report it.
    pub nb_cfg: Option<i64>,
    /// The time at which that was done, in milliseconds since 1970; 0 if it is not known.
    pub nb_cfg_timestamp: u64,
    /// Whether the release has a `Chassis_Private` row for each chassis, which the chassis deletes when it ends.
    pub has_private_row: bool,
}

/// A logical flow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flow {
    /// Flows of higher priority come first; among equal ones the order is undefined.
    pub priority: i64,
    /// The packets that it matches, as an expression.
    pub matching: Box<str>,
    /// The actions on these packets.
    pub actions: Box<str>,
    /// The first eight digits of the UUID of the Northbound row that it is made from, if ovn-northd records it.
    pub hint: Option<Box<str>>,
}

/// The flows of a stage of a router. Flows for a single address are indexed by it.
#[derive(Clone, Debug, Default)]
pub struct Stage {
    by_address: HashMap<IpAddr, Vec<Flow>>,
    others: Vec<Flow>,
}

/// The relevant stages of a router.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stages<'a> {
    pub(super) snat: Option<&'a Stage>,
    pub(super) unsnat: Option<&'a Stage>,
}

// ===== impl Southbound =====

impl Southbound {
    /// Adds a flow of a stage to a datapath. Other stages and flows for addresses other than these are skipped.
    pub fn insert_flow(&mut self, datapath: Uuid, stage: &str, flow: Flow, addresses: &HashSet<IpAddr>) {
        let (stages, end) = match stage {
            SNAT_STAGE => (&mut self.snat, "src"),
            UNSNAT_STAGE => (&mut self.unsnat, "dst"),
            _ => return,
        };
        stages.entry(datapath).or_default().insert(end, flow, addresses);
    }

    pub(super) fn stages(&self, datapath: Uuid) -> Stages<'_> {
        Stages { snat: self.snat.get(&datapath), unsnat: self.unsnat.get(&datapath) }
    }
}

// ===== impl Stage =====

impl Stage {
    fn insert(&mut self, end: &str, flow: Flow, addresses: &HashSet<IpAddr>) {
        match address(&Expression::parse(&flow.matching), end) {
            Some(address) if !addresses.contains(&address) => {}
            Some(address) => self.by_address.entry(address).or_default().push(flow),
            None => self.others.push(flow),
        }
    }

    /// Iterates over the flows that may match packets with this address.
    pub(super) fn candidates(&self, address: IpAddr) -> impl Iterator<Item = &Flow> {
        self.by_address.get(&address).into_iter().flatten().chain(&self.others)
    }
}

// ===== impl Flow =====

impl Flow {
    pub(super) fn expression(&self) -> Expression {
        Expression::parse(&self.matching)
    }

    pub(super) fn action(&self) -> Action {
        Action::parse(&self.actions)
    }

    /// Returns whether it is made from this row.
    pub(super) fn is_of(&self, row: Uuid) -> bool {
        let row = row.to_string();
        self.hint.as_deref().is_some_and(|hint| !hint.is_empty() && row.starts_with(hint))
    }

    /// Returns the row that it is made from, as a text.
    pub(super) fn origin(&self) -> String {
        match &self.hint {
            Some(hint) => format!("of the Northbound row {hint}…"),
            None => "of no Northbound row that ovn-northd names".to_owned(),
        }
    }
}

/// Returns the one address that an end of a packet must have for an expression to match.
fn address(expression: &Expression, end: &str) -> Option<IpAddr> {
    match expression {
        Expression::All(parts) => parts.iter().find_map(|part| address(part, end)),
        Expression::Compare { field, relation: Relation::Equal, values } => match &values[..] {
            [Value::Prefix(prefix)] if prefix.prefix_len() == prefix.max_prefix_len() => {
                let is_end = |family: &str| field.strip_prefix(family) == Some(end);
                ["ip4.", "ip6."].into_iter().any(is_end).then(|| prefix.addr())
            }
            _ => None,
        },
        _ => None,
    }
}
