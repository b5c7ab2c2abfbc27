//! Small sets of handles.

use std::mem;
use std::slice;

/// A sorted set that has mostly no more than two elements, and then needs no allocation.
#[derive(Clone, Debug, Default)]
pub(crate) enum IdSet<I> {
    #[default]
    None,
    One(I),
    Two([I; 2]),
    /// At least three.
    #[allow(clippy::box_collection, reason = "it halves the size of the common cases")]
    Many(Box<Vec<I>>),
}

impl<I: Copy + Ord> IdSet<I> {
    pub(crate) fn as_slice(&self) -> &[I] {
        match self {
            Self::None => &[],
            Self::One(one) => slice::from_ref(one),
            Self::Two(two) => two,
            Self::Many(many) => many,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.as_slice().is_empty()
    }

    /// Inserts or removes an element.
    pub(crate) fn set(&mut self, element: I, is_member: bool) {
        match is_member {
            true => self.insert(element),
            false => self.remove(element),
        }
    }

    pub(crate) fn insert(&mut self, element: I) {
        match self {
            Self::None => *self = Self::One(element),
            Self::One(one) if *one == element => {}
            Self::One(one) if *one < element => *self = Self::Two([*one, element]),
            Self::One(one) => *self = Self::Two([element, *one]),
            Self::Two(two) => {
                if let Err(at) = two.binary_search(&element) {
                    let mut many = two.to_vec();
                    many.insert(at, element);
                    *self = Self::Many(Box::new(many));
                }
            }
            Self::Many(many) => {
                if let Err(at) = many.binary_search(&element) {
                    many.insert(at, element);
                }
            }
        }
    }

    pub(crate) fn remove(&mut self, element: I) {
        *self = match mem::take(self) {
            Self::One(one) if one == element => Self::None,
            Self::Two([one, other]) if one == element => Self::One(other),
            Self::Two([other, one]) if one == element => Self::One(other),
            Self::Many(mut many) => {
                if let Ok(at) = many.binary_search(&element) {
                    many.remove(at);
                }
                match many[..] {
                    [one, other] => Self::Two([one, other]),
                    _ => Self::Many(many),
                }
            }
            other => other,
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
        fn it_is_a_set(steps in prop::collection::vec((any::<bool>(), 0..5u8), 0..30)) {
            let (mut few, mut set) = (IdSet::default(), BTreeSet::new());
            for (insert, element) in steps {
                if insert {
                    few.insert(element);
                    set.insert(element);
                } else {
                    few.remove(element);
                    set.remove(&element);
                }
                prop_assert!(few.as_slice().iter().eq(&set));
                prop_assert_eq!(matches!(few, IdSet::Many(_)), set.len() > 2);
            }
        }
    }

    #[test]
    fn it_is_small() {
        assert_eq!(size_of::<IdSet<std::num::NonZeroU32>>(), 16);
    }
}
