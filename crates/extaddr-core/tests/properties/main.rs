//! The engine against an oracle that looks at everything, over random databases and edits; and what becomes of its
//! transactions, by every outcome that there is.

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
