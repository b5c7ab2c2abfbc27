//! Overrides, and the checks of them with their outcomes.

use std::net::IpAddr;

use serde::Serialize;
use uuid::Uuid;

use crate::port_range::PortRange;

/// An override whose row is in the Northbound database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Override {
    /// The name of the `Logical_Switch_Port`.
    pub port: String,
    /// The name of the router.
    pub router: String,
    /// The router's row in the Northbound database.
    pub router_uuid: Uuid,
    /// The `NAT` row.
    pub nat: Uuid,
    /// The address of the instance.
    pub internal: IpAddr,
    /// The address that it gets.
    pub external: IpAddr,
    /// The ports to which its source ports are changed.
    pub ports: Option<PortRange>,
    /// The name of the router port that the row is limited to.
    pub gateway_port: Option<String>,
}

/// The subject of a check, as a code that does not change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Code {
    /// The existence of an override, whose row is in the Northbound database.
    Override,
    /// The transfer of the Northbound database's changes to the Southbound one by ovn-northd.
    InStep,
    /// The datapath of the router.
    Datapath,
    /// The flow that gives the instance the address.
    Snat,
    /// The absence of other flows that take its packets first.
    Rival,
    /// The flow that translates replies back.
    Unsnat,
    /// The absence of flows that keep replies from that flow.
    Replies,
    /// The chassis of the gateway.
    Gateway,
    /// The progress of this chassis.
    Chassis,
    /// The chassis of the instance's port, which must be up.
    Port,
}

/// The outcome of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// The check passed.
    Ok,
    /// The database does not contain the answer.
    Unknown,
    /// The check failed.
    Failed,
}

/// One check of an override. Field names are stable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// Its subject.
    pub check: Code,
    /// Its outcome.
    pub outcome: Outcome,
    /// The finding.
    pub message: String,
    /// The remedy.
    pub cure: Option<String>,
}

/// The findings on an override.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Findings {
    /// The checks, in the order of a packet's way.
    pub checks: Vec<Check>,
    /// The name of the chassis where its packets are translated.
    pub chassis: Option<String>,
}

// ===== impl Code =====

impl Code {
    /// Returns the code.
    pub fn name(self) -> &'static str {
        match self {
            Self::Override => "override",
            Self::InStep => "in-step",
            Self::Datapath => "datapath",
            Self::Snat => "snat",
            Self::Rival => "rival",
            Self::Unsnat => "unsnat",
            Self::Replies => "replies",
            Self::Gateway => "gateway",
            Self::Chassis => "chassis",
            Self::Port => "port",
        }
    }
}

// ===== impl Override =====

impl Override {
    /// Returns the check of an override that is in force.
    pub fn in_force(&self) -> Check {
        let Self { nat, router, internal, external, .. } = self;
        Check::ok(Code::Override, format!("{internal} leaves as {external} by NAT row {nat} of {router}"))
    }
}

// ===== impl Outcome =====

impl Outcome {
    /// All of them, the best first.
    pub const ALL: [Self; 3] = [Self::Ok, Self::Unknown, Self::Failed];

    /// Returns its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Unknown => "unknown",
            Self::Failed => "failed",
        }
    }

    /// Returns the worst of these checks' outcomes.
    pub fn worst(checks: &[Check]) -> Self {
        checks.iter().map(|check| check.outcome).max().unwrap_or(Self::Unknown)
    }
}

// ===== impl Check =====

impl Check {
    /// Creates a check that passed.
    pub fn ok(check: Code, message: impl Into<String>) -> Self {
        Self { check, outcome: Outcome::Ok, message: message.into(), cure: None }
    }

    /// Creates a check that failed.
    pub fn failed(check: Code, message: impl Into<String>, cure: impl Into<String>) -> Self {
        Self { check, outcome: Outcome::Failed, message: message.into(), cure: Some(cure.into()) }
    }

    /// Creates a check whose outcome the database does not contain.
    pub fn unknown(check: Code, message: impl Into<String>, cure: impl Into<String>) -> Self {
        Self { check, outcome: Outcome::Unknown, message: message.into(), cure: Some(cure.into()) }
    }
}

/// The remedy if ovn-northd does not work.
pub(super) const CURE_OF_NORTHD: &str = "see whether ovn-northd runs, is active and not paused (`ovn-appctl -t ovn-northd status`), and what it logs";
