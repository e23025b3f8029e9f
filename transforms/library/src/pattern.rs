//! The small languages inside the mapping tables: words, path patterns and templates.

use serde::Deserialize;

/// Texts captured by the `{name}`s of a [`Pattern`], by name.
pub(crate) type Captures<'t, 'e> = Vec<(&'t str, &'e str)>;

/// What a fact is compared with.
///
/// | written            | matches                                                                  |
/// |--------------------|--------------------------------------------------------------------------|
/// | `SIGN_IN`          | that text, case-insensitive, runs of blanks counting as one               |
/// | `ACCESS_REPORTS_*` | texts that begin so (at least one character more)                         |
/// | `*_DENIED`         | texts that end so (at least one character more)                           |
/// | `*fail*`           | texts in which that stands                                                |
/// | `*`                | any text                                                                  |
/// | `200..399`         | a whole number from the one to the other                                  |
/// | `/admin/users/{u}` | a path of as many segments; `{u}` captures one that is not empty          |
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "String")]
pub(crate) enum Pattern {
    Any,
    Word(String),
    Prefix(String),
    Suffix(String),
    Part(String),
    Range(i64, i64),
    Path(Vec<Segment>),
}

/// A segment of a path pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Segment {
    Literal(String),
    Capture(String),
}

impl From<String> for Pattern {
    fn from(text: String) -> Self {
        if text == "*" {
            return Self::Any;
        }
        if text.contains('{') {
            let segment = |part: &str| match part.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
                Some(name) => Segment::Capture(name.to_owned()),
                None => Segment::Literal(part.to_owned()),
            };
            return Self::Path(text.split('/').map(segment).collect());
        }
        let range = text.split_once("..").and_then(|(from, to)| Some((from.parse().ok()?, to.parse().ok()?)));
        if let Some((from, to)) = range {
            return Self::Range(from, to);
        }
        match (text.strip_prefix('*'), text.strip_suffix('*')) {
            (Some(after), Some(_)) => Self::Part(after.trim_end_matches('*').to_owned()),
            (Some(suffix), None) => Self::Suffix(suffix.to_owned()),
            (None, Some(prefix)) => Self::Prefix(prefix.to_owned()),
            (None, None) => Self::Word(text),
        }
    }
}

impl Pattern {
    /// Whether `text` matches; adds what it captured.
    pub(crate) fn matches<'t, 'e>(&'t self, text: &'e str, captures: &mut Captures<'t, 'e>) -> bool {
        match self {
            Self::Any => true,
            Self::Word(word) => same_word(word, text),
            Self::Prefix(prefix) => {
                text.len() > prefix.len()
                    && text.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
            }
            Self::Suffix(suffix) => text
                .len()
                .checked_sub(suffix.len())
                .filter(|at| *at > 0)
                .and_then(|at| text.get(at..))
                .is_some_and(|end| end.eq_ignore_ascii_case(suffix)),
            Self::Part(part) => {
                text.as_bytes().windows(part.len().max(1)).any(|there| there.eq_ignore_ascii_case(part.as_bytes()))
            }
            Self::Range(from, to) => text.parse().is_ok_and(|number: i64| (*from..=*to).contains(&number)),
            Self::Path(segments) => {
                let before = captures.len();
                let mut parts = text.split('/');
                let all = segments.iter().all(|segment| match (segment, parts.next()) {
                    (Segment::Literal(literal), Some(part)) => literal.eq_ignore_ascii_case(part),
                    (Segment::Capture(name), Some(part)) if !part.is_empty() => {
                        captures.push((name, part));
                        true
                    }
                    _ => false,
                }) && parts.next().is_none();
                if !all {
                    captures.truncate(before);
                }
                all
            }
        }
    }

    /// The names it captures.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        let segments: &[Segment] = if let Self::Path(segments) = self { segments } else { &[] };
        segments.iter().filter_map(|segment| match segment {
            Segment::Capture(name) => Some(name.as_str()),
            Segment::Literal(_) => None,
        })
    }
}

/// Equality of words: case-insensitive (ASCII), runs of blanks counting as one, blanks at the ends as none.
pub(crate) fn same_word(a: &str, b: &str) -> bool {
    if a.eq_ignore_ascii_case(b) {
        return true;
    }
    // Few words that differ begin alike, and only those that contain blanks need a closer look.
    let first = |text: &str| text.trim_ascii_start().bytes().next().map(|byte| byte.to_ascii_lowercase());
    let blank = |text: &str| text.bytes().any(|byte| byte.is_ascii_whitespace());
    first(a) == first(b)
        && (blank(a) || blank(b))
        && a.split_ascii_whitespace()
            .map(str::to_ascii_lowercase)
            .eq(b.split_ascii_whitespace().map(str::to_ascii_lowercase))
}

/// A text with places to fill: `" on {affected.type} {affected.name|affected.uid}"`. In a place stand names of facts,
/// entity fields or captures; the first that is known fills it. `=text` is that text, for when nothing else is known.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Template(Vec<Piece>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Place(Vec<String>),
}

impl TryFrom<String> for Template {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut rest = text.as_str();
        while let Some((before, after)) = rest.split_once('{') {
            if !before.is_empty() {
                pieces.push(Piece::Text(before.to_owned()));
            }
            let (place, after) = after.split_once('}').ok_or_else(|| format!("`{text}` has a `{{` without `}}`"))?;
            pieces.push(Piece::Place(place.split('|').map(|name| name.trim().to_owned()).collect()));
            rest = after;
        }
        if !rest.is_empty() {
            pieces.push(Piece::Text(rest.to_owned()));
        }
        Ok(Self(pieces))
    }
}

impl Template {
    /// Appends the text with its places filled by `lookup`; appends nothing and returns `false` if a place has no
    /// filling.
    pub(crate) fn fill<'e>(&'e self, out: &mut String, lookup: impl Fn(&str) -> Option<&'e str>) -> bool {
        let start = out.len();
        for piece in &self.0 {
            let text = match piece {
                Piece::Text(text) => Some(text.as_str()),
                Piece::Place(names) => names.iter().find_map(|name| name.strip_prefix('=').or_else(|| lookup(name))),
            };
            match text {
                Some(text) => out.push_str(text),
                None => {
                    out.truncate(start);
                    return false;
                }
            }
        }
        true
    }

    /// `parts` put together. One that lacks a filling is left out, and without the first there is nothing.
    pub(crate) fn join<'e>(parts: &'e [Self], lookup: impl Fn(&str) -> Option<&'e str>) -> Option<String> {
        let mut text = String::with_capacity(80);
        let (first, others) = parts.split_first()?;
        if !first.fill(&mut text, &lookup) {
            return None;
        }
        for part in others {
            part.fill(&mut text, &lookup);
        }
        Some(text)
    }

    /// The names in its places.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0
            .iter()
            .flat_map(|piece| match piece {
                Piece::Place(names) => names.as_slice(),
                Piece::Text(_) => &[],
            })
            .map(String::as_str)
            .filter(|name| !name.starts_with('='))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, text: &str) -> Option<Vec<(String, String)>> {
        let pattern = Pattern::from(pattern.to_owned());
        let mut captures = Captures::new();
        pattern
            .matches(text, &mut captures)
            .then(|| captures.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
    }

    #[test]
    fn a_word_matches_exactly_but_for_case_and_blanks() {
        assert!(matches("Edit user", " edit   USER ").is_some());
        assert!(matches("Edit", "Edits").is_none());
        assert!(matches("Edit user", "Edituser").is_none());
        assert!(matches("*", "").is_some());
    }

    #[test]
    fn a_prefix_wants_something_after_it() {
        assert!(matches("ACCESS_REPORTS_*", "access_reports_USERS").is_some());
        assert!(matches("ACCESS_REPORTS_*", "ACCESS_REPORTS_").is_none());
        assert!(matches("ab*", "aé").is_none());
    }

    #[test]
    fn an_ending_wants_something_before_it_and_a_part_nothing() {
        assert!(matches("*_DENIED", "access_denied").is_some());
        assert!(matches("*_DENIED", "_DENIED").is_none());
        assert!(matches("*b", "é").is_none());
        assert!(matches("*fail*", "Reauthentication FAILURE").is_some());
        assert!(matches("*fail*", "fai").is_none());
    }

    #[test]
    fn a_range_is_of_whole_numbers() {
        assert!(matches("200..399", "200").is_some() && matches("200..399", "399").is_some());
        for other in ["199", "400", "2", "200.5", "ok", ""] {
            assert!(matches("200..399", other).is_none(), "{other}");
        }
    }

    #[test]
    fn a_path_captures_whole_segments() {
        let one = |name: &str, value: &str| Some(vec![(name.to_owned(), value.to_owned())]);
        assert_eq!(matches("/admin/users/{u}", "/admin/users/7"), one("u", "7"));
        assert_eq!(matches("/admin/users/{u}", "/admin/users/"), None);
        assert_eq!(matches("/admin/users/{u}", "/admin/users/7/roles"), None);
        assert_eq!(matches("/admin/users/{u}", "/x/admin/users/7"), None);
    }

    #[test]
    fn a_template_without_filling_leaves_no_trace() {
        let template = Template::try_from(" on {type} {name|uid}".to_owned()).unwrap();
        let fill = |known: &'static [(&str, &str)]| {
            let mut out = "X".to_owned();
            let filled = template.fill(&mut out, |name| known.iter().find(|(n, _)| *n == name).map(|(_, v)| *v));
            (filled, out)
        };
        assert_eq!(fill(&[("type", "T"), ("uid", "1")]), (true, "X on T 1".to_owned()));
        assert_eq!(fill(&[("type", "T")]), (false, "X".to_owned()));
        assert!(Template::try_from("{a".to_owned()).is_err());
    }

    #[test]
    fn a_template_may_say_what_stands_for_nothing() {
        let template = Template::try_from("{platform|=-}/{operation}".to_owned()).unwrap();
        let mut out = String::new();
        assert!(template.fill(&mut out, |name| (name == "operation").then_some("Edit")));
        assert_eq!(out, "-/Edit");
        assert_eq!(template.names().collect::<Vec<_>>(), ["platform", "operation"]);
    }
}
