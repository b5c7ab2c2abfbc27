//! Options whose value is one of a closed set of words.

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};

/// Returns a parser for one of these values by its name; the help describes each.
pub(super) fn words<T: Copy + Send + Sync + 'static>(
    all: &'static [T],
    name: fn(T) -> &'static str,
    description: fn(T) -> &'static str,
) -> impl TypedValueParser<Value = T> {
    let values = all.iter().map(|value| PossibleValue::new(name(*value)).help(description(*value)));
    PossibleValuesParser::new(values).try_map(move |text| {
        // It cannot fail: the parser accepts no other words.
        all.iter().copied().find(|value| name(*value) == text).ok_or("no such word")
    })
}
