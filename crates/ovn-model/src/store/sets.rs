//! Sets as sorted vectors.

use std::cmp::Ordering;

use smallvec::SmallVec;

/// A sorted set of handles, mostly of at most two.
pub(crate) type IdSet<I> = SmallVec<[I; 2]>;

/// Inserts or removes an element.
pub(crate) fn set<I: Copy + Ord>(set: &mut IdSet<I>, element: I, is_member: bool) {
    match (set.binary_search(&element), is_member) {
        (Err(place), true) => set.insert(place, element),
        (Ok(place), false) => drop(set.remove(place)),
        _ => {}
    }
}

/// Returns the elements that are in only one of the sets.
pub(crate) fn difference<I: Copy + Ord>(a: &[I], b: &[I]) -> Vec<I> {
    // Large sets differ in few elements: the shared elements at both ends are skipped without comparing their order.
    let prefix = a.iter().zip(b).take_while(|(a, b)| a == b).count();
    let (a, b) = (&a[prefix..], &b[prefix..]);
    let suffix = a.iter().rev().zip(b.iter().rev()).take_while(|(a, b)| a == b).count();
    let (a, b) = (&a[..a.len() - suffix], &b[..b.len() - suffix]);
    let (mut a, mut b) = (a.iter().copied().peekable(), b.iter().copied().peekable());
    let mut result = Vec::new();
    loop {
        let order = match (a.peek(), b.peek()) {
            (Some(x), Some(y)) => x.cmp(y),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => return result,
        };
        match order {
            Ordering::Less => result.extend(a.next()),
            Ordering::Greater => result.extend(b.next()),
            Ordering::Equal => {
                a.next();
                b.next();
            }
        }
    }
}

/// Returns the elements of `a` that are not in `b`.
pub(crate) fn without<I: Copy + Ord>(a: &[I], b: &[I]) -> Vec<I> {
    a.iter().filter(|element| b.binary_search(element).is_err()).copied().collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn difference_of_sorted_sets_is_symmetric(
            a in prop::collection::btree_set(0..40u8, 0..30),
            b in prop::collection::btree_set(0..40u8, 0..30),
        ) {
            let expected: Vec<_> = a.symmetric_difference(&b).copied().collect();
            let (a, b): (Vec<_>, Vec<_>) = (BTreeSet::into_iter(a).collect(), b.into_iter().collect());
            prop_assert_eq!(&difference(&a, &b), &expected);
        }
    }
}
