//! The engine against an oracle that looks at everything, over random databases and edits.

#![allow(clippy::unwrap_used, reason = "tests: a panic is how they fail")]

mod conversion;
mod model;
mod oracle;
mod property;
mod scenario;
mod transact;
mod view;
