//! The engine against an oracle that searches all rows, over random databases and edits; and its transactions with
//! every possible outcome.

#![allow(clippy::unwrap_used, reason = "tests: a panic is how they fail")]

mod case;
mod choices;
mod conversion;
mod model;
mod oracle;
mod outcomes;
mod property;
mod scenario;
mod time;
mod transact;
mod view;
mod world;
