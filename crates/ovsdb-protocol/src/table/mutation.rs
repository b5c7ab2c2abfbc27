//! Mutations of the rows of one table.

use std::fmt;
use std::marker::PhantomData;

use crate::transact::Mutation;

/// A [`Mutation`] of rows of type `T`: made by [`Field::insert`](super::Field::insert) and the like, for
/// [`TableOperations::mutate`](super::TableOperations::mutate) of the same table.
pub struct TypedMutation<T> {
    mutation: Mutation,
    table: PhantomData<fn() -> T>,
}

impl<T> TypedMutation<T> {
    /// Wraps a mutation, whose column must be one of the table.
    pub(super) fn new(mutation: Mutation) -> Self {
        Self { mutation, table: PhantomData }
    }

    /// Returns the mutation without the type of its rows.
    pub fn into_untyped(self) -> Mutation {
        self.mutation
    }
}

impl<T> From<TypedMutation<T>> for Mutation {
    fn from(mutation: TypedMutation<T>) -> Self {
        mutation.mutation
    }
}

impl<T> Clone for TypedMutation<T> {
    fn clone(&self) -> Self {
        Self::new(self.mutation.clone())
    }
}

impl<T> PartialEq for TypedMutation<T> {
    fn eq(&self, other: &Self) -> bool {
        self.mutation == other.mutation
    }
}

impl<T> fmt::Debug for TypedMutation<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.mutation.fmt(f)
    }
}
