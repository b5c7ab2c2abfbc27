//! The types of fields that hold a part of a map of strings.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::ColumnError;

/// A type of fields that hold the value of one key of a map of strings.
pub trait KeyColumn: Default {
    /// Applies the part of a value or a difference that is about the key: removes the value if it is the current one, and
    /// sets it otherwise.
    ///
    /// # Errors
    /// The text is invalid ([`ColumnError::Invalid`]); the field holds what was understood.
    fn toggle(&mut self, text: &str) -> Result<(), ColumnError>;
}

/// A type of fields that hold those pairs of a map of strings whose keys have a prefix.
pub trait PairsColumn: Default {
    /// Applies those pairs of a value or a difference whose keys have the prefix, at least one: removes a pair if it is
    /// present, and sets it otherwise.
    ///
    /// # Errors
    /// A pair is invalid ([`ColumnError::Invalid`]); the field holds what was understood.
    fn toggle(&mut self, pairs: Vec<(Cow<'_, str>, Cow<'_, str>)>) -> Result<(), ColumnError>;
}

macro_rules! key_columns {
    ($($type:ty),*) => {$(
        impl KeyColumn for Option<$type> {
            fn toggle(&mut self, text: &str) -> Result<(), ColumnError> {
                *self = if self.as_deref() == Some(text) { None } else { Some(text.into()) };
                Ok(())
            }
        }
    )*};
}

key_columns!(String, Box<str>, Arc<str>);

impl PairsColumn for BTreeMap<String, String> {
    fn toggle(&mut self, pairs: Vec<(Cow<'_, str>, Cow<'_, str>)>) -> Result<(), ColumnError> {
        for (key, value) in pairs {
            if self.get(&*key).is_some_and(|old| *old == *value) {
                self.remove(&*key);
            } else {
                self.insert(key.into_owned(), value.into_owned());
            }
        }
        Ok(())
    }
}
