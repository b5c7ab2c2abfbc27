//! Gives OVN instances the address of their network forward for outbound connections too.
//!
//! From the database to the rows, each step pure and a file of its own:
//! [`intent`] → [`topology`] and [`forwards`] → [`resolve`](mod@resolve) → [`engine`] → [`plan`] →
//! [`batch`] with its [`guard`]s → [`apply`]. [`agent`] and [`command`] are the IO around it.

pub mod clock;
pub mod intent;
pub mod key;
pub mod ownership;
pub mod policy;
pub mod reason;
pub mod rules;
pub mod sources;
pub mod state;
pub mod wanted;

pub mod change;
pub mod conversion;
pub mod drain;
pub mod forwards;
pub mod gateway;
pub mod northd;
pub mod owned;
pub mod port_range;
pub mod resolve;
pub mod row;
pub mod topology;
pub mod undo;
mod withdrawal;

pub mod engine;
pub mod plan;

pub mod apply;
pub mod batch;
pub mod fight;
pub mod guard;

pub mod difference;
pub mod explain;
pub mod hazards;
pub mod names;
pub mod report;

pub mod ledger;
mod repeat;
pub mod suggest;
#[cfg(test)]
mod testing;

mod access;
pub mod agent;
mod audit;
pub mod command;
mod control;
pub mod exposition;
mod log;
mod metrics;
pub mod observe;
mod reload;
mod role;
mod service;
pub mod settings;
mod vigil;

/// The name of the Northbound database.
pub const DATABASE: &str = "OVN_Northbound";
