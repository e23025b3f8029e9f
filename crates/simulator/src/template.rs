//! A recorded event as text with gaps: variations keep every byte of the original's form.

/// A sample cut at the places where variations differ.
#[derive(Debug, Clone)]
pub(crate) struct Template<S> {
    parts: Vec<Part<S>>,
}

#[derive(Debug, Clone, PartialEq)]
enum Part<S> {
    Text(String),
    Slot(S),
}

impl<S: Copy> Template<S> {
    /// Cuts `sample` at every occurrence of a literal; where two match at one place, the longer one wins.
    pub(crate) fn new(sample: &str, mut literals: Vec<(String, S)>) -> Self {
        literals.retain(|(literal, _)| !literal.is_empty());
        literals.sort_by_key(|(literal, _)| std::cmp::Reverse(literal.len()));
        let mut parts = Vec::new();
        let mut text = String::new();
        let mut rest = sample.trim_end();
        while let Some(first) = rest.chars().next() {
            if let Some((literal, slot)) = literals.iter().find(|(literal, _)| rest.starts_with(literal.as_str())) {
                parts.push(Part::Text(std::mem::take(&mut text)));
                parts.push(Part::Slot(*slot));
                rest = &rest[literal.len()..];
            } else {
                text.push(first);
                rest = &rest[first.len_utf8()..];
            }
        }
        parts.push(Part::Text(text));
        Self { parts }
    }

    /// Appends the text, each gap filled by `fill`.
    pub(crate) fn render(&self, out: &mut Vec<u8>, mut fill: impl FnMut(S, &mut Vec<u8>)) {
        for part in &self.parts {
            match part {
                Part::Text(text) => out.extend_from_slice(text.as_bytes()),
                Part::Slot(slot) => fill(*slot, out),
            }
        }
    }
}

/// The distinct UUIDs (8-4-4-4-12 lower-case hex) in `text`, in order of appearance.
pub(crate) fn uuids(text: &str) -> Vec<&str> {
    let is_uuid = |candidate: &str| {
        candidate.bytes().enumerate().all(|(i, byte)| match i {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte),
        })
    };
    let mut found = Vec::new();
    for (at, _) in text.char_indices() {
        if let Some(candidate) = text.get(at..at + 36)
            && is_uuid(candidate)
            && !found.contains(&candidate)
        {
            found.push(candidate);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_are_filled_and_the_rest_is_untouched() {
        let template = Template::new("{\"a\": 1, \"id\":\"xx\"}\n", vec![("xx".into(), 'i'), ("1".into(), 'n')]);
        let mut out = Vec::new();
        template.render(&mut out, |slot, out| out.extend(slot.to_string().bytes()));
        assert_eq!(out, b"{\"a\": n, \"id\":\"i\"}");
    }

    #[test]
    fn the_longer_literal_wins() {
        let template = Template::new("abcd abx", vec![("ab".into(), 1), ("abcd".into(), 2)]);
        let mut out = Vec::new();
        template.render(&mut out, |slot, out| out.extend(slot.to_string().bytes()));
        assert_eq!(out, b"2 1x");
    }

    #[test]
    fn uuids_are_found_once() {
        let uuid = "8b9f3c1e-6d4a-4f4b-9a53-0a1c2d3e4f50";
        assert_eq!(uuids(&format!("é/{uuid}/x/{uuid}")), [uuid]);
        assert!(uuids("nothing here").is_empty());
    }
}
