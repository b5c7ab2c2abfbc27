//! "Did you mean": the name that was probably meant by one that does not exist. Pure.

/// Names that are listed where several hold what was typed.
const MAX_SUGGESTIONS: usize = 3;

/// Returns what to add to a message about `word`, which is none of `names`: a guess, or nothing.
pub fn did_you_mean<'a>(word: &str, names: impl IntoIterator<Item = &'a str>) -> String {
    let names: Vec<_> = names.into_iter().collect();
    // A slip of the finger or two; more in a longer name.
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
    fn slips_and_parts_are_recognised() {
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
