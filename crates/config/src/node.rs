//! A YAML tree that remembers where everything stands.

use crate::{Span, offsets::OffsetMap};
use std::sync::atomic::{AtomicU64, Ordering};

/// Tells nodes apart. Nodes reached through an alias keep the identity of what they are an alias of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(u64);

impl NodeId {
    pub(crate) fn fresh() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

/// A value in a YAML file.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Its identity.
    pub id: NodeId,
    /// Where it stands. Of a block mapping: its first key. Of a flow collection: its opening bracket.
    pub span: Span,
    /// What it is.
    pub content: Content,
}

/// What a node is.
#[derive(Debug, Clone, PartialEq)]
pub enum Content {
    /// Text, a number, a boolean, or nothing.
    Scalar(Scalar),
    /// A list.
    Sequence(Vec<Node>),
    /// Keys and values, in the order written, no key twice.
    Mapping(Vec<Entry>),
}

/// One key of a mapping with its value.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Identity of the key.
    pub id: NodeId,
    /// The key.
    pub key: String,
    /// Where the key stands.
    pub span: Span,
    /// Its value.
    pub value: Node,
}

/// A scalar.
#[derive(Debug, Clone, PartialEq)]
pub struct Scalar {
    /// Its text after unquoting, unfolding and interpolation.
    pub text: String,
    /// Whether it was written without quotes, so that `5` is a number and `true` a boolean.
    pub plain: bool,
    /// What was written, if the text now contains the value of an environment variable. Shown instead of the text.
    pub written: Option<String>,
    /// Whether a variable in it was not set: what follows from that is no problem of its own.
    pub(crate) unset: bool,
    /// Whether something stands in it for a variable that is not set and is not needed.
    pub(crate) stand_in: bool,
    pub(crate) offsets: OffsetMap,
}

/// A plain scalar by the YAML 1.2 core schema.
#[derive(Debug, Clone, PartialEq)]
pub enum Resolved<'a> {
    /// `null`, `~`, or nothing.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number, zero or more.
    Unsigned(u64),
    /// A negative whole number.
    Signed(i64),
    /// Any other number.
    Float(f64),
    /// Everything else.
    Text(&'a str),
}

impl Scalar {
    /// What the scalar means.
    pub fn resolve(&self) -> Resolved<'_> {
        let text = self.text.as_str();
        if !self.plain {
            return Resolved::Text(text);
        }
        match text {
            "" | "~" | "null" | "Null" | "NULL" => return Resolved::Null,
            "true" | "True" | "TRUE" => return Resolved::Bool(true),
            "false" | "False" | "FALSE" => return Resolved::Bool(false),
            _ => {}
        }
        number(text).unwrap_or(Resolved::Text(text))
    }

    /// The text as far as it may be shown: what was written, if an environment variable is in it.
    pub fn shown(&self) -> &str {
        self.written.as_deref().unwrap_or(&self.text)
    }
}

fn number(text: &str) -> Option<Resolved<'static>> {
    for (prefix, radix) in [("0x", 16), ("0o", 8)] {
        if let Some(digits) = text.strip_prefix(prefix) {
            return u64::from_str_radix(digits, radix)
                .ok()
                .filter(|_| !digits.starts_with('+'))
                .map(Resolved::Unsigned);
        }
    }
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let float = match unsigned {
        ".inf" | ".Inf" | ".INF" => Some(f64::INFINITY),
        ".nan" | ".NaN" | ".NAN" if unsigned == text => return Some(Resolved::Float(f64::NAN)),
        _ => None,
    };
    if let Some(value) = float {
        return Some(Resolved::Float(if text.starts_with('-') { -value } else { value }));
    }
    // `f64` also reads words such as `infinity`, which are text here.
    let digits = unsigned.chars().all(|c| c.is_ascii_digit() || matches!(c, '.' | 'e' | 'E' | '+' | '-'));
    if !digits || !unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return None;
    }
    let value = text.strip_prefix('+').unwrap_or(text);
    if let Ok(value) = value.parse() {
        return Some(Resolved::Unsigned(value));
    }
    if let Ok(value) = value.parse() {
        return Some(Resolved::Signed(value));
    }
    value.parse().ok().map(Resolved::Float)
}

impl Node {
    /// The entries of a mapping; none for anything else.
    pub fn entries(&self) -> &[Entry] {
        match &self.content {
            Content::Mapping(entries) => entries,
            _ => &[],
        }
    }

    /// The items of a list; none for anything else.
    pub fn items(&self) -> &[Node] {
        match &self.content {
            Content::Sequence(items) => items,
            _ => &[],
        }
    }

    /// The scalar, if it is one.
    pub fn scalar(&self) -> Option<&Scalar> {
        match &self.content {
            Content::Scalar(scalar) => Some(scalar),
            _ => None,
        }
    }

    /// The text of a scalar that is not null.
    pub fn text(&self) -> Option<&str> {
        self.scalar().filter(|scalar| scalar.resolve() != Resolved::Null).map(|scalar| scalar.text.as_str())
    }

    /// Whether it is nothing: an empty value or `null`.
    pub fn is_null(&self) -> bool {
        self.scalar().is_some_and(|scalar| scalar.resolve() == Resolved::Null)
    }

    /// The entry with this key.
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries().iter().find(|entry| entry.key == key)
    }

    /// The value of this key.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entry(key).map(|entry| &entry.value)
    }

    /// This mapping with only the keys that `keep` keeps.
    #[must_use]
    pub fn subset(&self, keep: impl Fn(&str) -> bool) -> Self {
        let entries = self.entries().iter().filter(|entry| keep(&entry.key)).cloned().collect();
        Self { id: self.id, span: self.span.clone(), content: Content::Mapping(entries) }
    }

    /// The deepest node on the way along `path` (`a.b.0`), and whether the whole way could be gone.
    pub fn find(&self, path: &str) -> (&Node, bool) {
        let mut node = self;
        for step in path.split('.').filter(|step| !step.is_empty()) {
            let next = node.get(step).or_else(|| step.parse().ok().and_then(|index: usize| node.items().get(index)));
            match next {
                Some(next) => node = next,
                None => return (node, false),
            }
        }
        (node, true)
    }

    /// The way from here to the node with identity `id`, as in `find`; empty for this node itself.
    pub fn path_to(&self, id: NodeId) -> Option<String> {
        if self.id == id {
            return Some(String::new());
        }
        let join = |step: &str, rest: String| if rest.is_empty() { step.to_owned() } else { format!("{step}.{rest}") };
        let below = self.entries().iter().find_map(|entry| Some(join(&entry.key, entry.value.path_to(id)?)));
        below.or_else(|| {
            self.items().iter().enumerate().find_map(|(index, item)| Some(join(&index.to_string(), item.path_to(id)?)))
        })
    }

    /// "a mapping", "a list", "`text`": for messages. Never shows a variable's value.
    pub fn describe(&self) -> String {
        match &self.content {
            Content::Sequence(_) => "a list".into(),
            Content::Mapping(_) => "a mapping".into(),
            Content::Scalar(_) if self.is_null() => "nothing".into(),
            Content::Scalar(scalar) => format!("`{}`", scalar.shown()),
        }
    }

    /// The same as JSON. Numbers that JSON cannot hold become null.
    pub fn to_json(&self) -> serde_json::Value {
        use serde_json::Value;
        match &self.content {
            Content::Sequence(items) => Value::Array(items.iter().map(Node::to_json).collect()),
            Content::Mapping(entries) => {
                Value::Object(entries.iter().map(|entry| (entry.key.clone(), entry.value.to_json())).collect())
            }
            Content::Scalar(scalar) => match scalar.resolve() {
                Resolved::Null => Value::Null,
                Resolved::Bool(value) => value.into(),
                Resolved::Unsigned(value) => value.into(),
                Resolved::Signed(value) => value.into(),
                Resolved::Float(value) => value.into(),
                Resolved::Text(text) => text.into(),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_scalars_mean_what_the_core_schema_says() {
        let check = |text: &str, expected: Resolved<'_>| {
            let scalar = Scalar {
                text: text.into(),
                plain: true,
                written: None,
                unset: false,
                stand_in: false,
                offsets: OffsetMap::default(),
            };
            assert_eq!(scalar.resolve(), expected, "{text}");
        };
        check("", Resolved::Null);
        check("no", Resolved::Text("no"));
        check("True", Resolved::Bool(true));
        check("10", Resolved::Unsigned(10));
        check("-10", Resolved::Signed(-10));
        check("0x1f", Resolved::Unsigned(31));
        check("1e3", Resolved::Float(1000.0));
        check(".5", Resolved::Float(0.5));
        check("1.2.3", Resolved::Text("1.2.3"));
        check("infinity", Resolved::Text("infinity"));
        check("-.inf", Resolved::Float(f64::NEG_INFINITY));
        check("2026-01-01", Resolved::Text("2026-01-01"));
        check("127.0.0.1:80", Resolved::Text("127.0.0.1:80"));
    }
}
