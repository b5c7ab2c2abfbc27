//! Lists that mostly have one element.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Deref;
use std::slice;

/// A list that mostly has one element, and then needs no allocation.
#[derive(Clone)]
pub enum Few<T> {
    /// Just this one.
    One(T),
    /// Any other number.
    Other(Box<[T]>),
}

impl<T> Deref for Few<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        match self {
            Self::One(one) => slice::from_ref(one),
            Self::Other(other) => other,
        }
    }
}

impl<T> Default for Few<T> {
    fn default() -> Self {
        Self::Other(Box::default())
    }
}

impl<T> FromIterator<T> for Few<T> {
    fn from_iter<I: IntoIterator<Item = T>>(elements: I) -> Self {
        let mut elements = elements.into_iter();
        match (elements.next(), elements.next()) {
            (None, _) => Self::default(),
            (Some(one), None) => Self::One(one),
            (Some(first), Some(second)) => Self::Other([first, second].into_iter().chain(elements).collect()),
        }
    }
}

impl<T: PartialEq> PartialEq for Few<T> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl<T: Eq> Eq for Few<T> {}

impl<T: Hash> Hash for Few<T> {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        (**self).hash(hasher);
    }
}

impl<T: fmt::Debug> fmt::Debug for Few<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&**self).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_has_what_it_was_made_of() {
        for length in 0..4 {
            let few: Few<_> = (0..length).collect();
            assert!(few.iter().copied().eq(0..length));
            assert_eq!(matches!(few, Few::One(_)), length == 1);
        }
    }
}
