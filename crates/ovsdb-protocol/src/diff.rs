//! Differences between two values of a column, as monitors send them.
//!
//! The `modify` of the notifications `update2` and `update3` (ovsdb-server(7)) has, for each changed column:
//!
//! * the new value, if the column holds at most one element or pair;
//! * for other sets, the elements which are in only one of the old and the new value;
//! * for other maps, the new pairs, the changed pairs with their new values, and the removed pairs with their
//!   old values.
//!
//! It is the `max` of the column that matters: a map of at most one pair is replaced too.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use crate::schema::{ColumnType, ValueError};
use crate::value::{Atom, Datum};

/// The error of a difference that cannot be applied. The value is then unchanged, and known to be stale.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DiffError {
    /// The difference does not fit this column.
    #[error("difference does not fit the column")]
    Difference(#[source] ValueError),
    /// The current value does not fit this column: a set for a map, or the reverse.
    #[error("current value does not fit the column")]
    Current,
}

/// Applies a difference to the value of a column of type `column`.
///
/// The difference is [converted](Datum::convert) first; the current value must have been. The resulting value is
/// accepted as the server's: neither constraints nor the number of elements are checked.
///
/// # Errors
///
/// Fails if the difference does not fit the column. `current` is then unchanged.
pub fn apply_diff(current: &mut Datum, diff: Datum, column: &ColumnType) -> Result<(), DiffError> {
    let diff = diff.convert(column).map_err(DiffError::Difference)?;
    match (current, diff) {
        (current, diff) if column.max_is_one() => *current = diff,
        (Datum::Set(current), Datum::Set(diff)) => toggle(current, diff),
        (Datum::Map(current), Datum::Map(diff)) => merge(current, diff),
        (Datum::Set(_), Datum::Map(_)) | (Datum::Map(_), Datum::Set(_)) => return Err(DiffError::Current),
    }
    Ok(())
}

/// Computes, for tests, what a server sends about a column of type `column` which changed from `old` to `new`.
///
/// Returns `None` if the values are equal: a `modify` leaves such a column out. Both must be values of the column.
#[cfg(any(test, feature = "testing"))]
pub(crate) fn diff(old: &Datum, new: &Datum, column: &ColumnType) -> Option<Datum> {
    if old == new {
        return None;
    }
    Some(match (old, new) {
        _ if column.max_is_one() => new.clone(),
        (Datum::Set(old), Datum::Set(new)) => Datum::Set(old ^ new),
        (Datum::Map(old), Datum::Map(new)) => {
            let removed = old.iter().filter(|(key, _)| !new.contains_key(key));
            let changed = new.iter().filter(|(key, value)| old.get(key) != Some(value));
            Datum::Map(removed.chain(changed).map(|(key, value)| (key.clone(), value.clone())).collect())
        }
        _ => new.clone(),
    })
}

/// Adds the elements which the set lacks, and removes the others.
fn toggle(current: &mut BTreeSet<Atom>, diff: BTreeSet<Atom>) {
    for atom in diff {
        if !current.remove(&atom) {
            current.insert(atom);
        }
    }
}

/// Removes the pairs which the map has, and sets the others.
fn merge(current: &mut BTreeMap<Atom, Atom>, diff: BTreeMap<Atom, Atom>) {
    for (key, value) in diff {
        if current.get(&key) == Some(&value) {
            current.remove(&key);
        } else {
            current.insert(key, value);
        }
    }
}
