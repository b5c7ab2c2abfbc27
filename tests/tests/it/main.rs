//! Everything that needs real servers, in one binary: one link step.

mod addresses;
mod bulk;
mod cli;
mod cluster;
mod continuity;
mod control;
mod diagnosis;
mod forwards;
mod harness;
mod healing;
mod logs;
mod metrics;
mod owners;
mod package;
mod protocol;
mod refusals;
mod scene;
mod service;
mod tls;
