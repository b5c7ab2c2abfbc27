//! Database values and their JSON, [RFC 7047 section 5.1].
//!
//! A [`Datum`] is what one column of one row holds: a set or a map of [`Atom`]s. Scalars and optional
//! values are sets of one and of at most one element, as they are inside the server, so that one type
//! serves every column. JSON alone does not tell a real `3` from an integer `3`, nor an empty set from
//! an absent scalar: [`Datum::conform`] settles that with the column type of the schema.
//!
//! [RFC 7047 section 5.1]: https://www.rfc-editor.org/rfc/rfc7047#section-5.1

mod atom;
mod conform;
mod datum;
mod json;
mod row;
#[cfg(test)]
mod tests;

pub use atom::Atom;
pub use conform::{Place, RowError, ValueError};
pub use datum::Datum;
pub use row::Row;
