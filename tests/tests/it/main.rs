//! Everything that needs real servers, in one binary: one link step.

mod addresses;
mod bench;
mod bulk;
mod campaign;
mod cli;
mod cluster;
mod continuity;
mod cut;
mod forwards;
mod harness;
mod healing;
mod owners;
mod protocol;
mod refusals;
mod scene;
mod tls;
