//! The rules of ovn-extaddr: from the Northbound database to the rows that give instances the external address that
//! forwards to them, and the reports on these. No IO, no clock, no task.
//!
//! From the database to the rows, each step in its own file: [`intent`] → [`topology`] and [`forwards`] →
//! [`resolve`](mod@resolve) → [`engine`] → [`plan`] → [`batch`] with its [`guard`]s → [`apply`]. A module imports
//! modules of its own group below and of those above it, none of which leads back to it.

// Inputs.
pub mod clock;
pub mod network;
pub mod ownership;
pub mod port_range;
pub mod sources;
pub mod suggest;
mod words;

// Intents.
pub mod key;
pub mod policy;
pub mod rules;
pub mod wanted;

// The network.
pub mod forwards;
pub mod gateway;
pub mod names;
pub mod northd;
pub mod reason;
pub mod topology;
pub mod undo;

// Present rows, desired rows, and the changes between them.
pub mod change;
pub mod conversion;
pub mod drain;
pub mod owned;
pub mod row;

// Decisions.
pub mod engine;
pub mod explain;
pub mod intent;
pub mod plan;
pub mod resolve;
mod urgent_deletes;

// Writing.
pub mod apply;
pub mod batch;
pub mod contention;
pub mod guard;

// Reports.
pub mod difference;
pub mod hazards;
pub mod intent_stats;
pub mod pages;
pub mod report;
pub mod state;

// The data plane.
pub mod verify;

#[cfg(test)]
mod testing;

/// The name of the Northbound database.
pub const DATABASE: &str = "OVN_Northbound";

/// The name of the Southbound database, which is only read.
pub const SOUTHBOUND: &str = "OVN_Southbound";
