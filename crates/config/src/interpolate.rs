//! `${VAR}`, `${VAR:-default}`, `${VAR:?message}` and `$$` in scalars.
//!
//! Variables are put in after YAML has been parsed: a variable's content is text, never YAML.

use crate::{
    Content, Diagnostic, Diagnostics, LoadOptions, Node, Scalar, Span,
    document::is_home,
    environment::{SIMULATED, set_and_empty},
    mask,
};

/// Which part of a file a walk is in: VRL texts keep their dollars.
#[derive(Clone, Copy, PartialEq)]
enum Part {
    /// The root.
    Root,
    /// Below `transforms`: its values are components.
    Transforms,
    /// A transform: `source` and `condition` are VRL, and so are the values of `route`.
    Transform,
    /// Below `tests`, at any depth: `source` and `conditions` are VRL.
    Tests,
    /// Anywhere else.
    Other,
}

/// Replaces the references in every scalar of a file's tree.
pub(crate) fn interpolate(root: &mut Node, options: &LoadOptions<'_>, diagnostics: &mut Diagnostics) {
    walk(root, Part::Root, options, diagnostics);
    mask::learn(root);
}

/// Replaces the references in the value of a source, of a sink or of something that holds no VRL.
pub(crate) fn interpolate_value(node: &mut Node, options: &LoadOptions<'_>, diagnostics: &mut Diagnostics) {
    walk(node, Part::Other, options, diagnostics);
    mask::learn(node);
}

fn walk(node: &mut Node, part: Part, options: &LoadOptions<'_>, diagnostics: &mut Diagnostics) {
    let span = node.span.clone();
    match &mut node.content {
        Content::Scalar(scalar) => scalar_text(scalar, &span, options, diagnostics),
        Content::Sequence(items) => {
            for item in items {
                walk(item, part, options, diagnostics);
            }
        }
        Content::Mapping(entries) => {
            for entry in entries {
                let below = match (part, entry.key.as_str()) {
                    // What is only there to be referred to: the places that do are walked.
                    (Part::Root, key) if is_home(key) => continue,
                    (Part::Root, "transforms") => Part::Transforms,
                    (Part::Transforms, _) => Part::Transform,
                    (Part::Transform, "source" | "condition" | "route") | (Part::Tests, "source" | "conditions") => {
                        continue;
                    }
                    (Part::Root, "tests") | (Part::Tests, _) => Part::Tests,
                    _ => Part::Other,
                };
                if refers(&entry.key) {
                    let problem = format!("`{}` is a key, and variables are put into values only", entry.key);
                    let hint = "write the key itself; a whole configuration is made from a template by another tool";
                    diagnostics.push(Diagnostic::at(&entry.span, problem).hint(hint).warning());
                }
                walk(&mut entry.value, below, options, diagnostics);
            }
        }
    }
}

/// Whether a comment follows a plain text.
fn is_cut(span: &Span) -> bool {
    span.file.text().get(span.end..).is_some_and(|rest| rest.trim_start_matches([' ', '\t']).starts_with('#'))
}

/// Whether a text refers to a variable.
fn refers(text: &str) -> bool {
    text.contains("${") && pieces(text).iter().any(|piece| matches!(piece, Piece::Reference { .. }))
}

fn scalar_text(scalar: &mut Scalar, span: &Span, options: &LoadOptions<'_>, diagnostics: &mut Diagnostics) {
    if !scalar.text.contains('$') {
        return;
    }
    let mut out = String::with_capacity(scalar.text.len());
    let mut from_environment = false;
    for piece in pieces(&scalar.text) {
        let (start, end, problem) = match piece {
            Piece::Text(text) => {
                out.push_str(text);
                continue;
            }
            Piece::Broken { start, end } => (
                start,
                end,
                Diagnostic::new("this is no reference to a variable").hint(
                    if end == scalar.text.len() && scalar.plain && is_cut(span) {
                        "put quotes around a text with ` #`, which begins a comment"
                    } else {
                        "write `${NAME}`, `${NAME:-default}` or `${NAME:?message}`; `$$` for a dollar sign"
                    },
                ),
            ),
            Piece::Nested { start, end } => (
                start,
                end,
                Diagnostic::new("a reference to a variable cannot stand inside another one")
                    .hint("write a plain default, or choose between the variables where they are set"),
            ),
            Piece::Reference { name, otherwise, start, end } => {
                // As in a shell, `:-` and `:?` also hold for a variable that is set and empty.
                let value = options.environment.var(name);
                let (is_set, state) =
                    (value.is_some(), if value.is_some() { "is set, and empty" } else { "is not set" });
                let value = value.filter(|value| !value.is_empty() || otherwise == Otherwise::Error);
                match (value, otherwise) {
                    (Some(value), _) => {
                        from_environment = true;
                        if value.is_empty() {
                            options.environment.empty(name);
                            // It may be meant to be. If it is not, something is looked at in its place, as for one that is not set.
                            scalar.stand_in |= options.lenient;
                        }
                        out.push_str(&value);
                        continue;
                    }
                    (None, Otherwise::Default(default)) => {
                        from_environment = true;
                        out.push_str(default);
                        continue;
                    }
                    (None, _) if options.lenient => {
                        let what = if is_set { set_and_empty(name) } else { name.to_owned() };
                        options.environment.missing(&what);
                        from_environment = true;
                        scalar.stand_in = true;
                        out.push_str(SIMULATED);
                        continue;
                    }
                    (None, Otherwise::Message(message)) if !message.is_empty() => {
                        (start, end, Diagnostic::new(format!("environment variable `{name}` {state}: {message}")))
                    }
                    (None, _) => (
                        start,
                        end,
                        Diagnostic::new(format!("environment variable `{name}` {state}"))
                            .hint(format!("set it, or give a default: `${{{name}:-default}}`")),
                    ),
                }
            }
        };
        // The value stays non-empty and recognisable, so that one missing variable is one problem.
        out.push_str(SIMULATED);
        from_environment = true;
        let at = |offset| scalar.offsets.file_offset(offset).unwrap_or(span.start);
        diagnostics.push(Diagnostic { span: Some(Span::new(&span.file, at(start), at(end))), ..problem });
        scalar.unset = true;
    }
    if from_environment {
        scalar.written = Some(std::mem::take(&mut scalar.text));
    }
    scalar.text = out;
}

/// The variables whose values `scalar` has as they are, and which are set and empty.
pub(crate) fn empty_names(scalar: &Scalar, options: &LoadOptions<'_>) -> Vec<String> {
    let written = scalar.written.as_deref().unwrap_or_default();
    let is_empty = |name: &&str| options.environment.var(name).is_some_and(|value| value.is_empty());
    let names = pieces(written).into_iter().filter_map(|piece| match piece {
        Piece::Reference { name, otherwise: Otherwise::Error, .. } => Some(name),
        _ => None,
    });
    names.filter(is_empty).map(str::to_owned).collect()
}

/// What to do if a variable is not set.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Otherwise<'a> {
    Error,
    Default(&'a str),
    Message(&'a str),
}

#[derive(Debug, PartialEq)]
enum Piece<'a> {
    Text(&'a str),
    Reference {
        name: &'a str,
        otherwise: Otherwise<'a>,
        start: usize,
        end: usize,
    },
    /// `${` without a name or an end.
    Broken {
        start: usize,
        end: usize,
    },
    /// A reference inside a reference.
    Nested {
        start: usize,
        end: usize,
    },
}

/// Cuts a text at its references. A dollar before anything but `{` and `$` is a dollar.
fn pieces(text: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let mut at = 0;
    while let Some(dollar) = text[at..].find('$').map(|found| at + found) {
        pieces.push(Piece::Text(&text[at..dollar]));
        let after = &text[dollar + 1..];
        if after.starts_with('$') {
            pieces.push(Piece::Text("$"));
            at = dollar + 2;
        } else if after.starts_with('{') {
            let close = after.find('}');
            if close.is_some_and(|close| after[1..close].contains("${")) {
                let end = dollar + 1 + closing(after).unwrap_or(after.len());
                pieces.push(Piece::Nested { start: dollar, end });
                at = end;
                continue;
            }
            let end = close.map_or(text.len(), |close| dollar + 1 + close + 1);
            let reference = close.and_then(|close| reference(&after[1..close]));
            pieces.push(match reference {
                Some((name, otherwise)) => Piece::Reference { name, otherwise, start: dollar, end },
                None => Piece::Broken { start: dollar, end },
            });
            at = end;
        } else {
            pieces.push(Piece::Text("$"));
            at = dollar + 1;
        }
    }
    pieces.push(Piece::Text(&text[at..]));
    pieces
}

/// Where the brace ends that `text` begins with, those inside it counted.
fn closing(text: &str) -> Option<usize> {
    let mut depth = 0_usize;
    for (at, c) in text.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 1 => return Some(at + 1),
            '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    None
}

fn reference(inside: &str) -> Option<(&str, Otherwise<'_>)> {
    let length = inside.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(inside.len());
    let (name, rest) = inside.split_at(length);
    if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let otherwise = match (rest, rest.get(2..)) {
        ("", _) => Otherwise::Error,
        (_, Some(default)) if rest.starts_with(":-") => Otherwise::Default(default),
        (_, Some(message)) if rest.starts_with(":?") => Otherwise::Message(message),
        _ => return None,
    };
    Some((name, otherwise))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{SourceFile, parse};
    use proptest::prelude::*;

    fn load(text: &str, lenient: bool) -> (Node, Diagnostics) {
        let mut diagnostics = Diagnostics::default();
        let mut node = parse(&SourceFile::new("a.yaml", "", text), &mut diagnostics).unwrap();
        let environment = |name: &str| match name {
            "N" => Some("7".to_owned()),
            "EMPTY" => Some(String::new()),
            "EVIL" => Some("a: [b, {c".to_owned()),
            _ => None,
        };
        interpolate(
            &mut node,
            &LoadOptions { environment: &environment, lenient, resolve_secrets: true },
            &mut diagnostics,
        );
        (node, diagnostics)
    }

    #[test]
    fn references_become_values() {
        let check = |text: &str, expected: serde_json::Value| {
            let (node, problems) = load(&format!("k: {text}"), false);
            assert!(problems.is_empty(), "{problems}");
            assert_eq!(node.to_json()["k"], expected, "{text}");
        };
        check("${N}", 7.into());
        check("\"${N}\"", "7".into());
        check("${N}0s", "70s".into());
        check("${X:-5m}", "5m".into());
        check("${EMPTY:-5m}", "5m".into());
        check("a${EMPTY}b", "ab".into());
        check("$${N} costs 5$ $N", "${N} costs 5$ $N".into());
        check("${EVIL}", "a: [b, {c".into());
    }

    #[test]
    fn a_missing_variable_is_shown_at_its_column() {
        let check = |text: &str, expected: &str| {
            let (_, problems) = load(text, false);
            assert!(problems.to_string().contains(expected), "{problems}");
        };
        check("k: https://${HOST}/x", "a.yaml:1:12");
        check("k: \"\\u00e9 ${HOST:?ask the platform team}\"", "a.yaml:1:12");
        check("k: ${HOST:?ask the platform team}", "not set: ask the platform team");
        check("k: >\n  folded\n  ${HOST}\n", "a.yaml:3:3");
        check("k: a ${1}", "a.yaml:1:6");
        check("k: a ${X", "a.yaml:1:6");
        check("k: ${EMPTY:?name it}", "`EMPTY` is set, and empty: name it");
        check("k: ${X:-a #b}", "which begins a comment");
        check("k: { \"${N}\": 1 }", "variables are put into values only");
        for nested in ["${X:-${N}}", "${X:-${N:-b}}", "${X:-a${N}b}", "${N:-${X}}", "${X:-${"] {
            check(
                &format!("k: \"a {nested}\""),
                if nested.ends_with('{') { "no reference" } else { "inside another one" },
            );
        }
        let (node, problems) = load("k: a ${X}", true);
        assert!(problems.is_empty());
        assert_eq!(node.to_json()["k"], "a simulated");
    }

    #[test]
    fn vrl_keeps_its_dollars() {
        let text = "transforms: { t: { source: '${X}', route: { a: '${X}' }, file: '${N}' } }\ntests: [ { outputs: [ { conditions: ['${X}'] } ], inputs: [ { source: '${X}' } ] } ]";
        let (node, problems) = load(text, false);
        assert!(problems.is_empty(), "{problems}");
        assert_eq!(node.find("transforms.t.source").0.text(), Some("${X}"));
        assert_eq!(node.find("transforms.t.file").0.text(), Some("7"));
    }

    proptest! {
        #[test]
        fn pieces_cover_the_text(text in "[$a{}:?\\-X\u{e9} ]{0,40}") {
            for piece in pieces(&text) {
                if let Piece::Reference { start, end, .. } | Piece::Broken { start, end } | Piece::Nested { start, end } = piece {
                    let found = text.get(start..end).is_some_and(|piece| piece.starts_with("${"));
                    prop_assert!(found, "{start}..{end}");
                }
            }
        }
    }
}
