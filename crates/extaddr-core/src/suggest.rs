//! "Did you mean": a guess at the name that was meant by one that does not exist. Pure.

/// The maximum number of names that are listed if several contain the text.
const MAX_SUGGESTIONS: usize = 3;

/// Returns an addition to a message about `word`, which is not among `names`: a guess, or nothing.
pub fn did_you_mean<'a>(word: &str, names: impl IntoIterator<Item = &'a str>) -> String {
    let names: Vec<_> = names.into_iter().collect();
    // One or two typing errors; more in a longer name.
    let limit = 1 + (word.chars().count() / 5).min(3);
    let close = names.iter().map(|name| (strsim::damerau_levenshtein(word, name), *name));
    if let Some((_, name)) = close.filter(|(distance, _)| *distance <= limit).min() {
        return format!("; did you mean {name}?");
    }
    let holding: Vec<_> = names.into_iter().filter(|name| !word.is_empty() && name.contains(word)).collect();
    match holding.len() {
        0 => String::new(),
        count if count <= MAX_SUGGESTIONS => format!("; did you mean {}?", holding.join(" or ")),
        count => format!("; {count} names hold \"{word}\", {} among them", holding[0]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suggestions_cover_typing_errors_and_partial_names() {
        let names =
            ["drain", "hold-down", "owner", "incus-net1-instance-a-eth0", "incus-net1-instance-b-eth0"];
        assert_eq!(did_you_mean("drian", names), "; did you mean drain?");
        assert_eq!(did_you_mean("holddown", names), "; did you mean hold-down?");
        assert_eq!(
            did_you_mean("instance-", names),
            "; did you mean incus-net1-instance-a-eth0 or incus-net1-instance-b-eth0?"
        );
        assert_eq!(did_you_mean("something-else", names), "");
        assert_eq!(did_you_mean("", names), "");
    }
}
