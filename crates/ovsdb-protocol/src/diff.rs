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

use crate::schema::ColumnType;
use crate::value::{Atom, Datum, ValueError};

/// Why a difference cannot be applied. The value is unchanged then, and known to be stale.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DiffError {
    /// The difference is none of this column.
    #[error("difference does not fit the column")]
    Difference(#[source] ValueError),
    /// The outcome would have too few or too many elements.
    #[error("outcome does not fit the column")]
    Outcome(#[source] ValueError),
    /// The current value is none of this column: a set for a map, or the reverse.
    #[error("current value does not fit the column")]
    Current,
}

/// Applies a difference to the value of a column of type `column`.
///
/// The difference is [converted](Datum::conform_atoms) first; the current value must have been.
///
/// # Errors
///
/// Fails if the difference or the outcome does not fit the column. `current` is as before then.
pub fn apply_diff(current: &mut Datum, diff: Datum, column: &ColumnType) -> Result<(), DiffError> {
    let diff = diff.conform_atoms(column).map_err(DiffError::Difference)?;
    let check = |count| column.check_arity(count).map_err(DiffError::Outcome);
    if column.max_is_one() {
        check(diff.len())?;
        *current = diff;
        return Ok(());
    }
    match (current, diff) {
        (Datum::Set(current), Datum::Set(diff)) => {
            let removed = diff.iter().filter(|atom| current.contains(atom)).count();
            check(current.len() + diff.len() - 2 * removed)?;
            toggle(current, diff);
            Ok(())
        }
        (Datum::Map(current), Datum::Map(diff)) => {
            let added = diff.keys().filter(|key| !current.contains_key(key)).count();
            let removed = diff.iter().filter(|(key, value)| current.get(key) == Some(value)).count();
            check(current.len() + added - removed)?;
            merge(current, diff);
            Ok(())
        }
        (Datum::Set(_), Datum::Map(_)) | (Datum::Map(_), Datum::Set(_)) => Err(DiffError::Current),
    }
}

/// Computes what a server sends about a column of type `column` which changed from `old` to `new`.
///
/// Returns `None` if the values are equal: a `modify` leaves such a column out. Both must be values of the column.
pub fn diff(old: &Datum, new: &Datum, column: &ColumnType) -> Option<Datum> {
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
