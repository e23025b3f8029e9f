//! Why a value could not be decoded, and which node is to blame: the innermost one the error came from.

use crate::{Node, NodeId, Scalar, Span};
use serde::de::{self, Expected, Unexpected};
use std::fmt;

/// A decoding error with its place.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct DecodeError {
    pub(crate) problem: Problem,
    pub(crate) blame: Option<Blame>,
}

/// What is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Problem {
    UnknownKey { key: String, known: Vec<&'static str> },
    MissingKey(&'static str),
    UnknownValue { value: String, known: Vec<&'static str> },
    WrongType(WrongType),
    Other(String),
}

/// A value of a type that the option does not take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WrongType {
    pub(crate) wanted: String,
    pub(crate) found: String,
    /// Whether it would do without its quotes.
    pub(crate) quoted: bool,
}

/// The node an error came from.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Blame {
    pub(crate) id: NodeId,
    pub(crate) span: Span,
    /// Follows from a variable that is not set, which has been reported.
    pub(crate) unset: bool,
}

impl DecodeError {
    /// Blames `node`, unless an inner node is blamed already.
    pub(crate) fn or_at(self, node: &Node) -> Self {
        if self.blame.is_some() {
            return self;
        }
        let scalar = node.scalar();
        let Self { problem: Problem::WrongType(WrongType { wanted, .. }), .. } = &self else {
            return self.at(node.id, &node.span, scalar);
        };
        // As it was written, which need not be as it was read: `1e1` is 10.
        let quoted = scalar.is_some_and(|scalar| !scalar.plain && scalar.written.is_none()) && takes_plain(wanted);
        let found = if quoted { format!("the text {}", node.describe()) } else { node.describe() };
        let problem = Problem::WrongType(WrongType { wanted: wanted.clone(), found, quoted });
        Self { problem, ..self }.at(node.id, &node.span, scalar)
    }

    pub(crate) fn at(mut self, id: NodeId, span: &Span, scalar: Option<&Scalar>) -> Self {
        if self.blame.is_none() {
            if let Some(scalar) = scalar {
                self.problem = match self.problem {
                    Problem::Other(text) => Problem::Other(scrub(text, scalar)),
                    Problem::UnknownValue { value, known } => {
                        Problem::UnknownValue { value: scrub(value, scalar), known }
                    }
                    other => other,
                };
            }
            self.blame = Some(Blame { id, span: span.clone(), unset: scalar.is_some_and(|scalar| scalar.unset) });
        }
        self
    }
}

/// `text` without the value that a variable gave to `scalar`: what was written stands for it.
pub(crate) fn scrub(text: String, scalar: &Scalar) -> String {
    match &scalar.written {
        Some(written) if !scalar.text.is_empty() => {
            let escaped = format!("{:?}", scalar.text);
            let inside = escaped.trim_matches('"');
            text.replace(&scalar.text, written).replace(inside, written)
        }
        _ => text,
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.problem {
            Problem::UnknownKey { key, .. } => write!(f, "unknown key `{key}`"),
            Problem::MissingKey(key) => write!(f, "missing key `{key}`"),
            Problem::UnknownValue { value, .. } => write!(f, "unknown value `{value}`"),
            Problem::WrongType(WrongType { wanted, found, .. }) => write!(f, "expected {wanted}, found {found}"),
            Problem::Other(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for DecodeError {}

impl de::Error for DecodeError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self { problem: Problem::Other(message.to_string()), blame: None }
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        Self { problem: Problem::UnknownKey { key: field.to_owned(), known: expected.to_vec() }, blame: None }
    }

    fn missing_field(field: &'static str) -> Self {
        Self { problem: Problem::MissingKey(field), blame: None }
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        Self { problem: Problem::UnknownValue { value: variant.to_owned(), known: expected.to_vec() }, blame: None }
    }

    fn invalid_type(unexpected: Unexpected<'_>, expected: &dyn Expected) -> Self {
        let (wanted, found) = (wanted(expected), found(unexpected));
        Self { problem: Problem::WrongType(WrongType { wanted, found, quoted: false }), blame: None }
    }

    fn invalid_value(unexpected: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::invalid_type(unexpected, expected)
    }

    fn invalid_length(length: usize, expected: &dyn Expected) -> Self {
        Self::custom(format!("expected {}, found {length} items", wanted(expected)))
    }
}

/// Whether what is wanted is written without quotes.
fn takes_plain(wanted: &str) -> bool {
    wanted.contains("number") || wanted == "`true` or `false`"
}

/// What serde expects, in words of YAML.
fn wanted(expected: &dyn Expected) -> String {
    let text = expected.to_string();
    match text.as_str() {
        "u64" | "usize" | "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number".into(),
        "u8" => "a whole number from 0 to 255".into(),
        "u16" => "a whole number from 0 to 65535".into(),
        "u32" => format!("a whole number from 0 to {}", u32::MAX),
        "f32" | "f64" => "a number".into(),
        "a boolean" => "`true` or `false`".into(),
        "a string" => "text".into(),
        "a sequence" => "a list".into(),
        "a map" => "a mapping".into(),
        other if other.starts_with("struct ") => "a mapping".into(),
        other if other.starts_with("tuple ") || other.starts_with("a tuple") => "a list".into(),
        other if other.starts_with("enum ") => "a name".into(),
        _ => text,
    }
}

fn found(unexpected: Unexpected<'_>) -> String {
    match unexpected {
        Unexpected::Bool(value) => format!("`{value}`"),
        Unexpected::Unsigned(value) => format!("`{value}`"),
        Unexpected::Signed(value) => format!("`{value}`"),
        Unexpected::Float(value) => format!("`{value}`"),
        Unexpected::Str(value) => format!("`{value}`"),
        Unexpected::Unit | Unexpected::Option => "nothing".into(),
        Unexpected::Seq => "a list".into(),
        Unexpected::Map => "a mapping".into(),
        other => other.to_string(),
    }
}
