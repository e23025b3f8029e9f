//! Credentials written as plain text must not travel into a log with the line that a diagnostic shows.
//!
//! What a file says is read with the YAML parser, so that a value is known by its key wherever it stands: on the next line, in a flow
//! mapping, behind an anchor. From where the syntax is broken on, and in programs, lines are searched for what looks like a credential.
//! What is known to be one is hidden by `headwater_contracts::mask` besides.

mod line;

use crate::{Content, Node, SourceFile, address::is_address, diagnostics::SECRET_MIN, secret::is_reference};
use headwater_contracts::mask::{MASK, is_sensitive};
use line::{in_urls, only_references, program};
use saphyr_parser::{Event, Parser, ScalarStyle, Span};
use std::{collections::HashMap, ops::Range, path::Path};

const SENSITIVE: &[&str] =
    &["token", "password", "secret", "api_key", "passphrase", "private_key", "authorization", "cookie"];

/// A key that has one of these is likely to be meant for one of those.
const ALIKE: &[&str] = &["tok", "pass", "pwd", "secr", "apikey", "cred"];

/// Ends of keys that name where a credential is, and not the credential.
const NAMES: &[&str] = &["_file", "_endpoint", "_url", "_id"];

/// Keys whose values hold only credentials, each under a key of its own.
const CONTAINERS: &[&str] = &["headers"];

/// Keys that hold a credential below the key beside them only.
const BELOW: &[(&str, &str)] = &[("structured_data", "id")];

/// Sections whose keys are names of components.
const NAMED: &[&str] = &["sources", "transforms", "sinks", "enrichment_tables"];

/// Keys of a reference to a credential.
const REFERENCES: &[&str] = &["env", "file", "exec"];

/// Shorter words may be names.
const RANDOM_MIN: usize = 16;

/// Keys of VRL programs.
const PROGRAMS: &[&str] = &["source", "condition", "conditions", "route"];

/// Whether a key of this name is for a credential, or so misspelled that it might be.
pub(crate) fn sensitive(key: &str) -> bool {
    let key = key.to_ascii_lowercase().replace('-', "_");
    let is = |name: &&str| key == **name || key.ends_with(&format!("_{name}"));
    let might_be = |name: &&str| alike(&key, name) || key.split('_').any(|word| alike(word, name));
    SENSITIVE.iter().any(is)
        || is_sensitive(&key)
        || !NAMES.iter().any(|end| key.ends_with(end))
            && (ALIKE.iter().any(|part| key.contains(part)) || SENSITIVE.iter().any(might_be))
}

fn alike(word: &str, name: &str) -> bool {
    word.len() >= 4 && strsim::damerau_levenshtein(word, name) <= 2
}

fn contains_credentials(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    CONTAINERS.iter().any(|name| alike(&key, name))
}

/// Makes the credentials known that stand in a configuration as plain text: they may come up before, or without, being read as what they
/// are. Programs and tests hold none.
pub(crate) fn learn(node: &Node) {
    walk(node, "", false);
}

fn walk(node: &Node, name: &str, secret: bool) {
    match &node.content {
        Content::Scalar(scalar) => {
            if secret {
                headwater_contracts::mask::learn(&scalar.text);
            }
            if is_address(name) {
                headwater_contracts::mask::learn_address(&scalar.text);
            } else {
                headwater_contracts::mask::learn_url(&scalar.text);
            }
        }
        Content::Sequence(items) => items.iter().for_each(|item| walk(item, name, secret)),
        Content::Mapping(entries) if is_reference(node) => entries.iter().for_each(|entry| learn_words(&entry.value)),
        Content::Mapping(entries) => {
            for entry in entries.iter().filter(|entry| !matches!(entry.key.as_str(), "transforms" | "tests")) {
                let is_named = is_sensitive(&entry.key) || contains_credentials(&entry.key);
                // A component is a mapping: a text there is a key that stands in the wrong place.
                let is_component = NAMED.contains(&name) && entry.value.scalar().is_none();
                if let Some(at) = within_key(&entry.key, contains_credentials(name)) {
                    headwater_contracts::mask::learn(&entry.key[at..]);
                }
                walk(&entry.value, &entry.key, secret || is_named && !is_component);
            }
        }
    }
}

/// Makes what looks like a credential known where a reference to one should be: in the arguments of a command, or by mistake in place of
/// a variable's or a file's name.
fn learn_words(node: &Node) {
    if let Some(scalar) = node.scalar() {
        let words = scalar.text.split(|c: char| !c.is_ascii_alphanumeric() && !"-_+=~".contains(c));
        words.filter(|word| is_random(word)).for_each(headwater_contracts::mask::learn);
    }
    node.items().iter().for_each(learn_words);
}

/// Whether a word looks like a token, and not like the name of a variable or a file.
fn is_random(word: &str) -> bool {
    let digits = word.bytes().filter(u8::is_ascii_digit).count();
    word.len() >= RANDOM_MIN && digits >= 3 && word.bytes().any(|byte| byte.is_ascii_lowercase())
}

/// Where a credential begins in a key that holds name and value: they were put into the same quotes.
fn within_key(key: &str, is_header: bool) -> Option<usize> {
    let at = key.find([':', '='])?;
    let value = key[at + 1..].trim_start();
    (!value.is_empty() && (is_header || sensitive(key[..at].trim()))).then(|| key.len() - value.len())
}

/// A line of a file as it may be shown, and where a character of it then stands.
pub(crate) struct Shown {
    pub(crate) text: String,
    /// For each character of the line, and its end, the column in `text`, from 0.
    columns: Vec<usize>,
}

impl Shown {
    /// The column of a character, both from 0.
    pub(crate) fn column(&self, at: usize) -> usize {
        self.columns.get(at).or(self.columns.last()).copied().unwrap_or(0)
    }
}

/// The line `number` of `file`, from 1.
pub(crate) fn shown(file: &SourceFile, number: usize, secrets: &[String]) -> Shown {
    let line = file.line(number);
    // The line is a part of the text.
    let start = line.as_ptr().addr() - file.text().as_ptr().addr();
    let mut hidden = vec![false; line.len()];
    let mut hide = |range: Range<usize>| {
        let end = range.end.saturating_sub(start).min(line.len());
        let from = range.start.saturating_sub(start).min(end);
        hidden[from..end].fill(true);
    };
    ranges(file).into_iter().for_each(&mut hide);
    for secret in secrets.iter().filter(|secret| secret.chars().count() >= SECRET_MIN) {
        line.match_indices(secret.as_str()).for_each(|(at, found)| hide(start + at..start + at + found.len()));
    }
    let mut shown = Shown { text: String::new(), columns: Vec::new() };
    let mut width = 0;
    let mut within = false;
    for (at, c) in line.char_indices() {
        let begins = hidden[at] && !within;
        within = hidden[at];
        shown.columns.push(width);
        if begins {
            shown.text.push_str(MASK);
            width += MASK.len();
        } else if !within {
            let text = if c == '\t' {
                c.to_string()
            } else {
                headwater_contracts::visible(c.encode_utf8(&mut [0; 4])).into_owned()
            };
            width += text.chars().count();
            shown.text.push_str(&text);
        }
    }
    shown.columns.push(width);
    shown
}

/// What must not be shown of a file, in bytes.
fn ranges(file: &SourceFile) -> Vec<Range<usize>> {
    let text = file.text();
    let mut hidden = Vec::new();
    let is_program = Path::new(file.name()).extension().is_some_and(|end| end == "vrl");
    let is_yaml = !is_program && !file.name().starts_with("builtin:");
    let mut done = if is_yaml { Walk::new(text).run(&mut hidden) } else { 0 };
    // What is broken may begin in the middle of a key.
    done = text[..done].rfind('\n').filter(|_| done < text.len()).map_or(done, |end| end + 1);
    while done < text.len() {
        let end = text[done..].find('\n').map_or(text.len(), |end| done + end + 1);
        hidden.extend(line::hidden(&text[done..end]).into_iter().map(|range| done + range.start..done + range.end));
        done = end;
    }
    hidden
}

/// A collection that is being read.
#[derive(Default)]
struct Open {
    is_mapping: bool,
    /// The key it is the value of.
    name: String,
    /// The key that waits for its value.
    key: Option<String>,
    /// How many items of a sequence have been read.
    items: usize,
    holds: Holds,
}

/// What a value is.
#[derive(Default, Clone, Copy, PartialEq)]
enum Holds {
    #[default]
    Plain,
    /// A program, or several.
    Program,
    /// That of a key for a credential.
    Secret,
    /// Where a credential is.
    Reference,
}

struct Walk<'a> {
    text: &'a str,
    /// Byte offset of each character: the parser counts characters.
    bytes: Vec<usize>,
    stack: Vec<Open>,
    /// Scalars by anchor.
    anchors: HashMap<usize, Range<usize>>,
}

impl<'a> Walk<'a> {
    fn new(text: &'a str) -> Self {
        let bytes = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
        Self { text, bytes, stack: Vec::new(), anchors: HashMap::new() }
    }

    fn range(&self, span: Span) -> Range<usize> {
        let byte = |index: usize| self.bytes.get(index).copied().unwrap_or(self.text.len());
        let (start, end) = (byte(span.start.index()), byte(span.end.index()));
        start..start + self.text[start..end.max(start)].trim_end().len()
    }

    /// Adds what is to be hidden, and returns where the syntax is broken, or the end.
    fn run(mut self, hidden: &mut Vec<Range<usize>>) -> usize {
        let mut done = 0;
        let text = self.text;
        for event in Parser::new_from_str(text) {
            let Ok((event, span)) = event else {
                // What is broken may be the credential itself.
                if self.value().holds == Holds::Secret {
                    hidden.push(done..text.len());
                }
                return done;
            };
            let range = self.range(span);
            done = done.max(range.end);
            match event {
                Event::Scalar(value, style, anchor, _) => self.scalar(&value, style, anchor, range, hidden),
                Event::Alias(anchor) => {
                    let secret = self.value().holds == Holds::Secret;
                    hidden.extend(self.anchors.get(&anchor).filter(|_| secret).cloned());
                    self.close_value();
                }
                Event::SequenceStart(..) => self.open(false),
                Event::MappingStart(..) => self.open(true),
                Event::SequenceEnd | Event::MappingEnd => {
                    self.stack.pop();
                    self.close_value();
                }
                _ => {}
            }
        }
        done
    }

    /// What the next value would be.
    fn value(&self) -> Open {
        let Some(open) = self.stack.last() else { return Open::default() };
        let name = open.key.clone().unwrap_or_else(|| open.name.clone());
        let is_value = open.is_mapping && open.key.is_some();
        let below = BELOW.contains(&(open.name.as_str(), name.as_str()));
        let is_component = NAMED.contains(&open.name.as_str());
        let secret = is_value && !is_component && (sensitive(&name) || contains_credentials(&open.name) || below);
        let holds = match open.holds {
            Holds::Secret | Holds::Reference => open.holds,
            _ if secret => Holds::Secret,
            Holds::Plain if is_value && PROGRAMS.contains(&name.as_str()) => Holds::Program,
            other => other,
        };
        // The name of a list is that of its items.
        let name = if is_value || !open.is_mapping { name } else { String::new() };
        Open { name, holds, ..Open::default() }
    }

    fn open(&mut self, is_mapping: bool) {
        let value = self.value();
        self.stack.push(Open { is_mapping, ..value });
    }

    fn close_value(&mut self) {
        if let Some(open) = self.stack.last_mut() {
            open.key = None;
            open.items += 1;
        }
    }

    /// Whether the scalar at hand is an argument of a command: it may hold a credential.
    fn is_argument(&self) -> bool {
        self.stack.last().is_some_and(|open| !open.is_mapping && open.name == "exec" && open.items > 0)
    }

    fn scalar(
        &mut self,
        value: &str,
        style: ScalarStyle,
        anchor: usize,
        range: Range<usize>,
        hidden: &mut Vec<Range<usize>>,
    ) {
        let inside = match style {
            ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted if range.len() >= 2 => range.start + 1..range.end - 1,
            ScalarStyle::Literal | ScalarStyle::Folded => {
                // Its sign is shown.
                let written = &self.text[range.clone()];
                let sign =
                    if written.starts_with(['|', '>']) { written.find('\n').unwrap_or(written.len()) } else { 0 };
                range.end - written[sign..].trim_start().len()..range.end
            }
            _ => range,
        };
        if anchor != 0 {
            self.anchors.insert(anchor, inside.clone());
        }
        if let Some(open) = self.stack.last_mut().filter(|open| open.is_mapping && open.key.is_none()) {
            open.key = Some(value.to_owned());
            if open.holds == Holds::Secret && REFERENCES.contains(&value) {
                open.holds = Holds::Reference;
            }
            // A credential that is taken for a key.
            if open.holds == Holds::Secret && !contains_credentials(&open.name) {
                hidden.push(inside);
            } else if let Some(at) = within_key(&self.text[inside.clone()], contains_credentials(&open.name)) {
                hidden.push(inside.start + at..inside.end);
            }
            return;
        }
        let within =
            |ranges: Vec<Range<usize>>| ranges.into_iter().map(move |r| inside.start + r.start..inside.start + r.end);
        let written = &self.text[inside.clone()];
        // A component is a mapping: a text there is a key that stands in the wrong place.
        let misplaced = self
            .stack
            .last()
            .is_some_and(|open| NAMED.contains(&open.name.as_str()) && open.key.as_deref().is_some_and(sensitive));
        match if misplaced { Holds::Secret } else { self.value().holds } {
            Holds::Secret if !only_references(written) => hidden.push(inside),
            Holds::Secret => {}
            Holds::Program => hidden.extend(within(program(written))),
            Holds::Reference if self.is_argument() => hidden.push(inside),
            Holds::Plain | Holds::Reference => hidden.extend(within(in_urls(written))),
        }
        self.close_value();
    }
}

#[cfg(test)]
mod tests;
