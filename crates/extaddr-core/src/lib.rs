//! The rules of ovn-extaddr: from the Northbound database to the rows that give instances the address of their network
//! forward, and what to say of them. No IO, no clock, no task.
//!
//! From the database to the rows, each step a file of its own:
//! [`intent`] → [`topology`] and [`forwards`] → [`resolve`](mod@resolve) → [`engine`] → [`plan`] →
//! [`batch`] with its [`guard`]s → [`apply`]. A module imports modules of its own group below
//! and of those above it, none of which leads back to it.

// What is given from outside.
pub mod clock;
pub mod ownership;
pub mod port_range;
pub mod sources;
pub mod suggest;
mod words;

// What is asked for.
pub mod key;
pub mod policy;
pub mod rules;
pub mod wanted;

// What the network is like.
pub mod forwards;
pub mod gateway;
pub mod names;
pub mod northd;
pub mod reason;
pub mod topology;
pub mod undo;

// Rows that are there, rows that should be, and how one becomes the other.
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

// What to say.
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
