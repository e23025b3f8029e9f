//! Paths of an event, as people write them.

use vrl::path::{OwnedValuePath, parse_value_path};

/// Digits of an index: no array is longer, and the parser counts on without end.
const DIGITS: usize = 9;

/// Reads the path of a value in an event, such as `metadata.uid` or `resources[0].name`; `None` if it is none.
pub fn path(text: &str) -> Option<OwnedValuePath> {
    let digits = |rest: &str| rest.trim_start_matches('-').bytes().take_while(u8::is_ascii_digit).count();
    if text.split('[').skip(1).any(|rest| digits(rest) > DIGITS) {
        return None;
    }
    parse_value_path(text).ok()
}

#[cfg(test)]
mod tests {
    use super::path;

    #[test]
    fn an_index_has_an_end() {
        assert!(path("a[0].b").is_some() && path("a[-1]").is_some() && path("a12345678901").is_some());
        assert!(path("a[99999999999999999999]").is_none() && path("a[-99999999999999999999]").is_none());
    }
}
