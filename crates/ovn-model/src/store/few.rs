//! Small sets of handles.

use std::mem;
use std::slice;

/// A sorted set that is mostly empty or of one element, and then needs no allocation.
#[derive(Clone, Debug, Default)]
pub(crate) enum Few<I> {
    #[default]
    None,
    One(I),
    /// At least two.
    #[allow(clippy::box_collection, reason = "it halves the size of the common cases")]
    Many(Box<Vec<I>>),
}

impl<I: Copy + Ord> Few<I> {
    pub(crate) fn as_slice(&self) -> &[I] {
        match self {
            Self::None => &[],
            Self::One(one) => slice::from_ref(one),
            Self::Many(many) => many,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.as_slice().is_empty()
    }

    pub(crate) fn insert(&mut self, element: I) {
        match self {
            Self::None => *self = Self::One(element),
            Self::One(one) if *one == element => {}
            Self::One(one) => {
                let two = if *one < element { vec![*one, element] } else { vec![element, *one] };
                *self = Self::Many(Box::new(two));
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
            Self::Many(mut many) => {
                if let Ok(at) = many.binary_search(&element) {
                    many.remove(at);
                }
                match many[..] {
                    [] => Self::None,
                    [one] => Self::One(one),
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
            let (mut few, mut set) = (Few::default(), BTreeSet::new());
            for (insert, element) in steps {
                if insert {
                    few.insert(element);
                    set.insert(element);
                } else {
                    few.remove(element);
                    set.remove(&element);
                }
                prop_assert!(few.as_slice().iter().eq(&set));
                prop_assert_eq!(matches!(few, Few::Many(_)), set.len() > 1);
            }
        }
    }
}
