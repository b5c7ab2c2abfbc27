//! Parsed values that can be rendered as the database has them.

use std::borrow::Cow;
use std::fmt::{self, Display, Write};

use super::{Column, ColumnError, ColumnKind, KeyColumn};
use crate::cursor::DatumReader;
use crate::value::AtomicType;

/// A type of values that the database has as text, in more than one form.
pub trait OriginalText: Sized {
    /// The noun for such a value in messages: "an address".
    const WHAT: &'static str;

    /// Parses a text, whatever its form.
    fn parse(text: &str) -> Option<Self>;

    /// Returns the canonical form, the one that this program would write.
    fn canonical(&self) -> impl Display + '_;

    /// Returns true if `text` is the canonical form. Types with many values may implement this faster.
    fn is_canonical(&self, text: &str) -> bool {
        is_rendering(text, &self.canonical())
    }

    /// Parses a text, and returns whether it is the canonical form. Types with many values may do both at once.
    fn parse_spelled(text: &str) -> Option<(Self, bool)> {
        let value = Self::parse(text)?;
        let is_canonical = value.is_canonical(text);
        Some((value, is_canonical))
    }
}

/// The value of a string column, parsed, and the text itself if it is not the canonical one.
///
/// A text that cannot be parsed is kept too, without a value.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum Original<T> {
    /// The column is empty, or the key is absent.
    #[default]
    Empty,
    /// The text is the value's canonical form.
    Canonical(T),
    /// Any other text, with its value if it has one.
    Other(Box<(Option<T>, Box<str>)>),
}

impl<T: OriginalText> Original<T> {
    /// Parses a text.
    pub fn new(text: &str) -> Self {
        match T::parse_spelled(text) {
            Some((value, true)) => Self::Canonical(value),
            None if text.is_empty() => Self::Empty,
            spelled => Self::Other(Box::new((spelled.map(|(value, _)| value), text.into()))),
        }
    }

    /// Returns the value, if the text has one.
    pub fn get(&self) -> Option<&T> {
        match self {
            Self::Empty => None,
            Self::Canonical(value) => Some(value),
            Self::Other(other) => other.0.as_ref(),
        }
    }

    /// Returns the text as the database has it.
    pub fn text(&self) -> Cow<'_, str> {
        match self {
            Self::Empty => "".into(),
            Self::Canonical(value) => value.canonical().to_string().into(),
            Self::Other(other) => (&*other.1).into(),
        }
    }

    /// Returns true if `text` is the text, without building it.
    pub fn is_text(&self, text: &str) -> bool {
        match self {
            Self::Empty => text.is_empty(),
            Self::Canonical(value) => value.is_canonical(text),
            Self::Other(other) => *other.1 == *text,
        }
    }

    /// Returns true if the text is the canonical form of `value`.
    pub fn is_canonically(&self, value: &T) -> bool
    where
        T: PartialEq,
    {
        matches!(self, Self::Canonical(own) if own == value)
    }

    /// Returns true if there is a text, whether it is a value or not.
    pub fn is_present(&self) -> bool {
        !matches!(self, Self::Empty)
    }

    /// Returns an error for a text that cannot be parsed.
    fn check(&self) -> Result<(), ColumnError> {
        match self {
            Self::Other(other) if other.0.is_none() => {
                Err(ColumnError::Invalid(format!("not {}: {:?}", T::WHAT, other.1)))
            }
            _ => Ok(()),
        }
    }
}

impl<T: OriginalText, C: ?Sized> Column<C> for Original<T> {
    const KIND: ColumnKind = ColumnKind::Scalar(AtomicType::String);

    fn apply(&mut self, value: &mut DatumReader<'_, '_>, _: &mut C) -> Result<(), ColumnError> {
        *self = Self::new(&value.string()?.unwrap_or_default());
        self.check()
    }
}

impl<T: OriginalText> KeyColumn for Original<T> {
    fn toggle(&mut self, text: &str) -> Result<(), ColumnError> {
        // An empty text under a key is toggled too, though it is not a value.
        *self = if self.is_present() && self.is_text(text) { Self::Empty } else { Self::new(text) };
        self.check()
    }
}

/// Returns true if `text` equals the rendered `value`, without an allocation.
pub fn is_rendering(text: &str, value: &(impl Display + ?Sized)) -> bool {
    /// The rest that is to be rendered.
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

/// The truth value of a key that is false by default, as programs of Open vSwitch and OVN read it (lib/smap.c,
/// `smap_get_bool`): any text except `true`, in whatever case, is false.
impl OriginalText for bool {
    const WHAT: &'static str = "a boolean";

    fn parse(text: &str) -> Option<Self> {
        Some(text.eq_ignore_ascii_case("true"))
    }

    fn canonical(&self) -> impl Display + '_ {
        *self
    }
}
