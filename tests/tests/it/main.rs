//! Everything that needs real servers, in one binary: one link step.

mod addresses;
mod bench;
mod bulk;
mod campaign;
mod cli;
mod cluster;
mod cms;
mod continuity;
mod control;
mod cut;
mod day;
mod exclusion;
mod forwards;
mod harness;
mod healing;
mod hostile;
mod owners;
mod protocol;
mod refusals;
mod rules;
mod scene;
mod service;
mod tls;
