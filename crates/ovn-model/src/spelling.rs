//! The text of a parsed value, where it is not the text we would have written.

use std::borrow::Cow;
use std::fmt::{self, Display, Write};

/// Remembers how a value was spelled in the database, so that a transaction can quote it exactly.
///
/// It is eight bytes, and holds no text as long as the spelling is the canonical one: that of the
/// value's `Display`, which both functions take.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Spelling(Option<Box<Box<str>>>);

impl Spelling {
    /// Remembers `raw` unless it is the canonical rendering.
    pub fn of(raw: &str, canonical: &(impl Display + ?Sized)) -> Self {
        if is_rendering(raw, canonical) { Self(None) } else { Self(Some(Box::new(raw.into()))) }
    }

    /// Returns the text that [`Spelling::of`] was given, if it is given the same value again.
    pub fn text(&self, canonical: &(impl Display + ?Sized)) -> Cow<'_, str> {
        match &self.0 {
            Some(raw) => Cow::Borrowed(raw),
            None => Cow::Owned(canonical.to_string()),
        }
    }

    /// Tells whether `text` is the spelling, without building it.
    pub fn is(&self, text: &str, canonical: &(impl Display + ?Sized)) -> bool {
        match &self.0 {
            Some(raw) => ***raw == *text,
            None => is_rendering(text, canonical),
        }
    }

    /// Tells whether the spelling is the canonical one.
    pub fn is_canonical(&self) -> bool {
        self.0.is_none()
    }
}

/// Tells whether `text` is how `value` renders, without an allocation.
pub(crate) fn is_rendering(text: &str, value: &(impl Display + ?Sized)) -> bool {
    /// What is left to be written.
    struct Rest<'a>(&'a str);

    impl Write for Rest<'_> {
        fn write_str(&mut self, part: &str) -> fmt::Result {
            self.0 = self.0.strip_prefix(part).ok_or(fmt::Error)?;
            Ok(())
        }
    }

    let mut rest = Rest(text);
    write!(rest, "{value}").is_ok() && rest.0.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_another_spelling_is_remembered() {
        assert_eq!(size_of::<Spelling>(), 8);
        for (raw, canonical) in [("12", true), ("012", false), ("1", false), ("123", false), ("", false)] {
            let spelling = Spelling::of(raw, &12);
            assert_eq!(spelling.is_canonical(), canonical, "{raw}");
            assert_eq!(spelling.text(&12), raw);
            assert!(spelling.is(raw, &12) && !spelling.is("13", &12));
        }
    }
}
