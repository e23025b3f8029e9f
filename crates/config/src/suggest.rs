//! "did you mean".

/// The name of `known` that is closest to `word`, if one is close.
pub(crate) fn closest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase();
    let distance = |name: &str| strsim::damerau_levenshtein(&word, &name.to_lowercase());
    let (name, distance) =
        known.into_iter().map(|name| (name, distance(name))).min_by_key(|(_, distance)| *distance)?;
    // One slip in three letters: more is another word.
    (distance <= word.chars().count().max(name.chars().count()).div_ceil(3) && distance < name.chars().count())
        .then_some(name)
}

/// `did you mean `x`? (keys: x, y)`, or only the list. `None` if nothing is known.
pub(crate) fn hint(word: &str, what: &str, known: &[&str]) -> Option<String> {
    let list = known.join(", ");
    match closest(word, known.iter().copied()) {
        Some(name) => Some(format!("did you mean `{name}`? ({what}: {list})")),
        None if known.is_empty() => None,
        None => Some(format!("{what}: {list}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_recognised_and_another_word_is_not() {
        assert_eq!(closest("page_sise", ["url", "page_size"]), Some("page_size"));
        assert_eq!(closest("Endpiont", ["endpoint", "token"]), Some("endpoint"));
        assert_eq!(closest("colour", ["endpoint", "token"]), None);
        assert_eq!(closest("x", ["y"]), None);
        assert_eq!(hint("x", "keys", &[]), None);
    }
}
