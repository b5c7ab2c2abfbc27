//! Sets as sorted vectors.

use std::cmp::Ordering;

/// Up to this many elements are inserted one by one.
const FEW: usize = 8;

/// Returns the elements that are in one of the sets only.
pub(crate) fn difference<I: Copy + Ord>(a: &[I], b: &[I]) -> Vec<I> {
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

/// Removes the elements that are in the set and inserts the others; `toggled` is sorted.
pub(crate) fn toggle<I: Copy + Ord>(set: &mut Vec<I>, toggled: &[I]) {
    if toggled.len() > FEW {
        *set = difference(set, toggled);
        set.shrink_to_fit();
        return;
    }
    for element in toggled {
        match set.binary_search(element) {
            Ok(at) => drop(set.remove(at)),
            Err(at) => set.insert(at, *element),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn toggling_is_the_symmetric_difference(
            a in prop::collection::btree_set(0..40u8, 0..30),
            b in prop::collection::btree_set(0..40u8, 0..30),
        ) {
            let expected: Vec<_> = a.symmetric_difference(&b).copied().collect();
            let (a, b): (Vec<_>, Vec<_>) = (BTreeSet::into_iter(a).collect(), b.into_iter().collect());
            prop_assert_eq!(&difference(&a, &b), &expected);
            let mut set = a;
            toggle(&mut set, &b);
            prop_assert_eq!(set, expected);
        }
    }
}
