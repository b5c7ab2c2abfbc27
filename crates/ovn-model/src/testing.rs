//! A database of plain columns that a test edits, and the updates that a server would send for it. For users of the crate
//! only with the feature `testing`.

#![allow(clippy::unwrap_used, reason = "a test that asks for what is not there is wrong")]

mod database;
mod row;
mod update;
mod value;

pub use database::Database;
pub use row::Row;
pub use update::{Update, delta, feed, snapshot};
pub use value::{Atom, Kind, Value, kind, tables};
