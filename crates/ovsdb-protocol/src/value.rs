//! Database values and their JSON, [RFC 7047 section 5.1].
//!
//! A [`Datum`] is the value of one column of one row: a set or a map of [`Atom`]s. Scalars and optional values are sets
//! of one and of at most one element, as they are inside the server, so that one type serves every column. JSON alone
//! does not distinguish a real `3` from an integer `3`, nor an empty set from an absent scalar: [`Datum::conform`]
//! resolves that with the column type of the schema. A real without fraction that was read without one, for example by
//! a select, is an [`Atom::Integer`], and [`Atom::as_real`] accepts it as a real.
//!
//! [RFC 7047 section 5.1]: https://www.rfc-editor.org/rfc/rfc7047#section-5.1

mod atom;
mod atomic_type;
mod datum;
mod json;
mod row;
#[cfg(test)]
mod tests;

pub use atom::Atom;
pub use atomic_type::AtomicType;
pub use datum::Datum;
pub use row::Row;
