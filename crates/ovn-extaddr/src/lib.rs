//! The program ovn-extaddr: OVN instances get the address of their network forward for outbound connections too.
//!
//! The rules are in `extaddr-core`; this crate is the IO around them: [`agent`], [`command`], and [`sources`].

mod access;
pub mod agent;
mod audit;
mod clock;
pub mod command;
mod control;
mod explanation;
pub mod exposition;
pub mod http;
mod log;
mod log_throttle;
mod metrics;
pub mod observe;
mod other_writers;
pub mod page;
mod reach;
mod reload;
mod role;
mod service;
pub mod settings;
pub mod sources;
mod southbound;
mod status;
mod takeover;
