use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::schema::{BaseType, Max};
use crate::value::AtomicType;

fn column(is_map: bool, min: u64, max: Max) -> ColumnType {
    let value = is_map.then(|| BaseType::any(AtomicType::Integer));
    ColumnType { value, min, max, ..ColumnType::scalar(AtomicType::Integer) }
}

fn applied(mut current: Datum, diff: Datum, column: &ColumnType) -> Result<Datum, DiffError> {
    let before = current.clone();
    let outcome = apply_diff(&mut current, diff, column);
    if outcome.is_err() {
        assert_eq!(current, before, "a failure must leave the value alone");
    }
    outcome.map(|()| current)
}

/// Rule: a set or map of at most one element is replaced.
#[test]
fn difference_of_a_single_value_replaces_it() {
    let scalar = column(false, 1, Max::Limited(1));
    assert_eq!(applied(1.into(), 2.into(), &scalar), Ok(2.into()));
    assert_eq!(applied(1.into(), 1.into(), &scalar), Ok(1.into()));
    let optional = column(false, 0, Max::Limited(1));
    assert_eq!(applied(1.into(), 1.into(), &optional), Ok(1.into()));
    assert_eq!(applied(1.into(), Datum::empty(), &optional), Ok(Datum::empty()));
    assert_eq!(diff(&1.into(), &Datum::empty(), &optional), Some(Datum::empty()));
    // A map of at most one pair follows the same rule: an equal pair is not a removal.
    let pair = column(true, 0, Max::Limited(1));
    let (a, b) = (Datum::map([(1, 1)]), Datum::map([(2, 2)]));
    assert_eq!(applied(a.clone(), b.clone(), &pair), Ok(b));
    assert_eq!(applied(a.clone(), a.clone(), &pair), Ok(a));
}

/// Rule: the difference of a set is the symmetric one.
#[test]
fn difference_of_sets_is_symmetric() {
    // The example of the server: {1,2} -> {2,3}.
    let set = column(false, 0, Max::Unlimited);
    let (old, new) = (Datum::set([1, 2]), Datum::set([2, 3]));
    assert_eq!(diff(&old, &new, &set), Some(Datum::set([1, 3])));
    assert_eq!(applied(old.clone(), Datum::set([1, 3]), &set), Ok(new));
    assert_eq!(diff(&old, &Datum::empty(), &set), Some(old.clone()));
    assert_eq!(diff(&old, &old, &set), None);
    assert_eq!(applied(old, 2.into(), &set), Ok(1.into()));
}

/// Rule: the difference of a map has new pairs, changed ones with the new value, and removed ones with the old.
#[test]
fn difference_of_maps_holds_pairs() {
    let map = column(true, 0, Max::Unlimited);
    let old = Datum::map([(1, 1), (2, 2), (3, 3)]);
    let new = Datum::map([(2, 2), (3, 4), (5, 5)]);
    let expected = Datum::map([(1, 1), (3, 4), (5, 5)]);
    assert_eq!(diff(&old, &new, &map), Some(expected.clone()));
    assert_eq!(applied(old.clone(), expected, &map), Ok(new));
    assert_eq!(applied(old.clone(), Datum::empty(), &map), Ok(old));
}

/// A conversion of the schema may leave values that violate its bounds: the client accepts them.
#[test]
fn applied_difference_may_exceed_the_bounds_of_its_column() {
    let some = column(false, 1, Max::Limited(2));
    assert_eq!(applied(Datum::set([1, 2]), Datum::set([1, 2]), &some), Ok(Datum::empty()));
    assert_eq!(applied(Datum::set([1, 2]), 3.into(), &some), Ok(Datum::set([1, 2, 3])));
    let scalar = column(false, 1, Max::Limited(1));
    assert_eq!(applied(1.into(), Datum::empty(), &scalar), Ok(Datum::empty()));
}

#[test]
fn difference_of_another_type_is_an_error() {
    let set = column(false, 0, Max::Unlimited);
    let map = column(true, 0, Max::Unlimited);
    assert!(matches!(applied(1.into(), "a".into(), &set), Err(DiffError::Difference(_))));
    assert!(matches!(applied(1.into(), Datum::map([(1, 1)]), &set), Err(DiffError::Difference(_))));
    assert_eq!(applied(Datum::set([1, 2]), Datum::map([(1, 1)]), &map), Err(DiffError::Current));
    // A real in a difference equals the integer of the same value.
    assert_eq!(applied(Datum::set([1, 2]), Datum::scalar(1.0), &set), Ok(2.into()));
}

/// The rules of ovsdb-server(7) literally, on lists of pairs. A set is a map without values.
fn model(current: &Datum, diff: &Datum, column: &ColumnType) -> Vec<(i64, Option<i64>)> {
    let mut outcome = if column.max == Max::Limited(1) { Vec::new() } else { pairs(current) };
    for (key, value) in pairs(diff) {
        match outcome.iter().position(|pair| pair.0 == key) {
            None => outcome.push((key, value)),
            Some(index) if outcome[index].1 == value => drop(outcome.remove(index)),
            Some(index) => outcome[index].1 = value,
        }
    }
    outcome.sort_unstable();
    outcome
}

fn pairs(datum: &Datum) -> Vec<(i64, Option<i64>)> {
    let integer = |atom: &Atom| atom.as_integer().unwrap();
    match datum {
        Datum::Set(set) => set.iter().map(|atom| (integer(atom), None)).collect(),
        Datum::Map(map) => map.iter().map(|(key, value)| (integer(key), Some(integer(value)))).collect(),
    }
}

/// A column with two of its values and a possible difference, all from so few atoms that they often meet.
fn case() -> impl Strategy<Value = (ColumnType, [Datum; 2], Datum)> {
    let max = prop_oneof![(1_u64..4).prop_map(Max::Limited), Just(Max::Unlimited)];
    (any::<bool>(), 0_u64..2, max).prop_flat_map(|(is_map, min, max)| {
        let most = match max {
            Max::Limited(max) => max as usize,
            Max::Unlimited => 5,
        };
        let datum = move |size| {
            prop::collection::btree_map(0_i64..5, 0_i64..3, size).prop_map(move |map: BTreeMap<i64, i64>| {
                if is_map { Datum::map(map) } else { Datum::set(map.into_keys()) }
            })
        };
        let value = || datum(min as usize..=most);
        (Just(column(is_map, min, max)), [value(), value()], datum(0..=5))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn applied_difference_yields_the_new_value((column, [old, new], _) in case()) {
        match diff(&old, &new, &column) {
            None => prop_assert_eq!(old, new),
            Some(diff) => {
                prop_assert_ne!(&old, &new);
                let expected = pairs(&new);
                prop_assert_eq!(model(&old, &diff, &column), expected);
                prop_assert_eq!(applied(old, diff, &column), Ok(new));
            }
        }
    }

    #[test]
    fn applied_difference_agrees_with_the_model((column, [current, _], diff) in case()) {
        let expected = model(&current, &diff, &column);
        prop_assert_eq!(pairs(&applied(current, diff, &column).unwrap()), expected);
    }
}
