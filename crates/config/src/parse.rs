//! YAML text to a tree with positions.

use crate::{
    Diagnostic, Diagnostics, Entry, Node, NodeId, Scalar, SourceFile, Span,
    advice::{advice, is_odd_blank},
    node::Content,
    offsets::OffsetMap,
};
use saphyr_parser::{Event, Parser, ScalarStyle, Tag};
use std::{borrow::Cow, collections::HashMap, sync::Arc};

/// Deeper nesting is a mistake or an attack on the stack.
const DEPTH_MAX: usize = 64;
/// More nodes than this, aliases expanded, is a mistake or an attack on memory.
const NODES_MAX: usize = 200_000;

/// Reads one YAML document. `None` if the file is empty or its syntax is broken, which `diagnostics` then says.
pub fn parse(file: &Arc<SourceFile>, diagnostics: &mut Diagnostics) -> Option<Node> {
    let mut bytes: Vec<usize> = file.text().char_indices().map(|(at, _)| at).collect();
    bytes.push(file.text().len());
    Builder { file, bytes, stack: Vec::new(), anchors: HashMap::new(), nodes: 0, root: None, diagnostics }.run()
}

/// A collection whose end has not been met yet.
struct Open {
    span: Span,
    anchor: usize,
    content: Content,
    /// The key that waits for its value, and where it stands.
    key: Option<(String, Span)>,
}

struct Builder<'a> {
    file: &'a Arc<SourceFile>,
    /// Byte offset of each character: the parser counts characters.
    bytes: Vec<usize>,
    stack: Vec<Open>,
    /// Finished nodes by anchor, with their size.
    anchors: HashMap<usize, (Node, usize)>,
    nodes: usize,
    root: Option<Node>,
    diagnostics: &'a mut Diagnostics,
}

impl Builder<'_> {
    fn run(mut self) -> Option<Node> {
        let file = Arc::clone(self.file);
        let mut parser = Parser::new_from_str(file.text());
        let mut documents = 0;
        while let Some(next) = parser.next_event() {
            let (event, span) = match next {
                Ok((event, span)) => (event, self.span(span)),
                Err(error) => {
                    let start = self.byte(error.marker().index());
                    let end = file.text().get(start..).and_then(|rest| rest.chars().next()).map_or(0, char::len_utf8);
                    let span = Span::new(&file, start, start + end);
                    let flow = self
                        .stack
                        .iter()
                        .find(|open| matches!(open.span.text(), "{" | "["))
                        .map(|open| open.span.start);
                    let (span, hint) = advice(span, flow, error.info());
                    let problem = Diagnostic::at(&span, format!("broken YAML: {}", error.info()));
                    self.diagnostics.push(problem.hint(hint));
                    return None;
                }
            };
            let done = match event {
                Event::DocumentStart(_) => {
                    documents += 1;
                    documents == 1
                        || self.refuse(&span, "a second YAML document in one file", "put it into a file of its own")
                }
                Event::Alias(anchor) => self.alias(anchor, &span),
                Event::Scalar(text, style, anchor, tag) => self.scalar(&text, style, anchor, tag.as_ref(), span),
                Event::SequenceStart(anchor, tag) => {
                    self.open(Content::Sequence(Vec::new()), anchor, tag.as_ref(), span)
                }
                Event::MappingStart(anchor, tag) => self.open(Content::Mapping(Vec::new()), anchor, tag.as_ref(), span),
                Event::SequenceEnd | Event::MappingEnd => self.close(),
                Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => true,
            };
            if !done {
                return None;
            }
        }
        self.root
    }

    fn byte(&self, index: usize) -> usize {
        self.bytes.get(index).or(self.bytes.last()).copied().unwrap_or(0)
    }

    fn span(&self, span: saphyr_parser::Span) -> Span {
        Span::new(self.file, self.byte(span.start.index()), self.byte(span.end.index()))
    }

    /// Reports something that cannot be worked around. Always `false`: reading stops.
    fn refuse(&mut self, span: &Span, message: &str, hint: &str) -> bool {
        self.diagnostics.push(Diagnostic::at(span, message).hint(hint));
        false
    }

    fn tag(&mut self, tag: Option<&Cow<'_, Tag>>, span: &Span) {
        if let Some(tag) = tag.filter(|tag| !tag.is_yaml_core_schema()) {
            let problem = format!("the YAML tag `{tag}` is not supported");
            self.diagnostics.push(Diagnostic::at(span, problem).hint("remove the tag"));
        }
    }

    fn scalar(
        &mut self,
        text: &str,
        style: ScalarStyle,
        anchor: usize,
        tag: Option<&Cow<'_, Tag>>,
        span: Span,
    ) -> bool {
        self.tag(tag, &span);
        let forced = tag.is_some_and(|tag| tag.is_yaml_core_schema() && tag.suffix == "str");
        let written = span.text().trim_end_matches(['\n', ' ', '\r']).to_owned();
        let span = Span::new(self.file, span.start, span.start + written.len());
        // An absent value is given as `~` without a place of its own.
        let text = if written.is_empty() && style == ScalarStyle::Plain { "" } else { text };
        let offsets = OffsetMap::align(text, &written, span.start);
        let plain = style == ScalarStyle::Plain && !forced;
        let content = Content::Scalar(Scalar {
            text: text.to_owned(),
            plain,
            written: None,
            unset: false,
            stand_in: false,
            offsets,
        });
        self.place(Node { id: NodeId::fresh(), span, content }, anchor, 1)
    }

    fn open(&mut self, content: Content, anchor: usize, tag: Option<&Cow<'_, Tag>>, span: Span) -> bool {
        self.tag(tag, &span);
        if self.stack.len() >= DEPTH_MAX {
            return self.refuse(
                &span,
                &format!("nested deeper than {DEPTH_MAX} levels"),
                "no part of a pipeline is that deep",
            );
        }
        if let Some(Open { content: Content::Mapping(_), key: None, .. }) = self.stack.last() {
            return self.refuse(&span, "a key that is a list or a mapping", "keys are plain words");
        }
        let span = Span::new(self.file, span.start, span.start + span.text().trim_end().len().min(1));
        self.stack.push(Open { span, anchor, content, key: None });
        true
    }

    fn close(&mut self) -> bool {
        let Some(Open { span, anchor, content, .. }) = self.stack.pop() else { return true };
        let (content, span) = match content {
            Content::Mapping(entries) => {
                let entries = self.merge(entries);
                let first = entries.first().filter(|_| span.text() != "{").map(|entry| entry.span.clone());
                (Content::Mapping(entries), first.unwrap_or(span))
            }
            other => (other, span),
        };
        let node = Node { id: NodeId::fresh(), span, content };
        self.place(node, anchor, 1)
    }

    fn alias(&mut self, anchor: usize, span: &Span) -> bool {
        let Some((node, size)) = self.anchors.get(&anchor).cloned() else {
            return self.refuse(span, "an alias inside the value that it stands for", "a value cannot contain itself");
        };
        self.place(node, 0, size)
    }

    /// Puts a finished node where it belongs: a key, a value, an item, or the root.
    fn place(&mut self, node: Node, anchor: usize, added: usize) -> bool {
        self.nodes += added;
        if self.nodes > NODES_MAX {
            return self.refuse(
                &node.span.clone(),
                "too many values once all aliases are expanded",
                "use fewer aliases",
            );
        }
        if anchor != 0 {
            self.anchors.insert(anchor, (node.clone(), size(&node)));
        }
        let Some(open) = self.stack.last_mut() else {
            self.root = Some(node).filter(|node| !node.is_null());
            return true;
        };
        match (&mut open.content, open.key.take()) {
            (Content::Sequence(items), _) => items.push(node),
            (Content::Mapping(entries), Some((key, span))) => match entries.iter().find(|entry| entry.key == key) {
                Some(first) => {
                    let problem = format!("the key `{key}` stands twice in this mapping");
                    let problem =
                        Diagnostic::at(&span, problem).hint("keep one of them").note("the first one", &first.span);
                    self.diagnostics.push(problem);
                }
                None => entries.push(Entry { id: NodeId::fresh(), key, span, value: node }),
            },
            (Content::Mapping(_), None) => match &node.content {
                Content::Scalar(scalar) if scalar.plain && scalar.text.starts_with(is_odd_blank) => {
                    let hint = "replace it by ordinary blanks: YAML takes it for a part of the name";
                    return self.refuse(&node.span.clone(), "this line is indented with a no-break space", hint);
                }
                Content::Scalar(scalar) => open.key = Some((scalar.text.clone(), node.span)),
                _ => {
                    return self.refuse(
                        &node.span.clone(),
                        "a key that is a list or a mapping",
                        "keys are plain words",
                    );
                }
            },
            (Content::Scalar(_), _) => {}
        }
        true
    }

    /// Replaces the merge key `<<` by the entries of the mappings it names, as far as they are not there already.
    fn merge(&mut self, entries: Vec<Entry>) -> Vec<Entry> {
        let (merges, mut kept): (Vec<Entry>, Vec<Entry>) = entries.into_iter().partition(|entry| entry.key == "<<");
        for merge in merges {
            let sources = match merge.value.content {
                Content::Sequence(items) => items,
                _ => vec![merge.value],
            };
            for source in sources {
                let Content::Mapping(more) = source.content else {
                    let problem = "`<<` takes a mapping, or a list of mappings";
                    self.diagnostics.push(Diagnostic::at(&merge.span, problem).hint("write `<<: *name`"));
                    continue;
                };
                for entry in more {
                    if !kept.iter().any(|known| known.key == entry.key) {
                        kept.push(entry);
                    }
                }
            }
        }
        kept
    }
}

fn size(node: &Node) -> usize {
    let below = node.entries().iter().map(|entry| size(&entry.value)).chain(node.items().iter().map(size));
    1 + below.sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> (Option<Node>, Diagnostics) {
        let mut diagnostics = Diagnostics::default();
        let node = parse(&SourceFile::new("a.yaml", "", text), &mut diagnostics);
        (node, diagnostics)
    }

    #[test]
    fn every_key_and_scalar_knows_its_place() {
        let (node, problems) = read("é: { k: \"v\" }\nl:\n  - x\n  - 'y'\nb: |\n  text\n    more\nn:\n");
        let node = node.unwrap();
        assert!(problems.is_empty());
        assert_eq!(node.get("é").unwrap().get("k").unwrap().span.text(), "\"v\"");
        assert_eq!(node.find("l.1").0.span.location().to_string(), "a.yaml:4:5");
        assert_eq!(node.get("b").unwrap().text(), Some("text\n  more\n"));
        assert!(node.get("n").unwrap().is_null());
        assert_eq!(node.path_to(node.find("l.1").0.id).as_deref(), Some("l.1"));
    }

    #[test]
    fn aliases_and_merge_keys_are_expanded() {
        let (node, problems) = read("a: &x { one: 1, two: 2 }\nb: *x\nc: { <<: *x, two: 3 }\n");
        assert!(problems.is_empty(), "{problems}");
        let json = node.unwrap().to_json();
        assert_eq!(json["b"], serde_json::json!({ "one": 1, "two": 2 }));
        assert_eq!(json["c"], serde_json::json!({ "one": 1, "two": 3 }));
    }

    #[test]
    fn what_cannot_be_read_is_said() {
        let check = |text: &str, expected: &str| {
            let (_, problems) = read(text);
            assert!(problems.to_string().contains(expected), "{text:?}: {problems}");
        };
        check("a: [1\nb: 2", "broken YAML");
        check("a: 1\na: 2\n", "stands twice");
        check("a: !x 1\n", "tag");
        check("a: 1\n---\nb: 1\n", "second YAML document");
        check("a: &x { b: *x }\n", "contain itself");
        check("[a, b]: 1\n", "key that is a list");
        check(&"[".repeat(100), "nested deeper");
        let bomb: String = (1..30).fold("a0: &a0 [x, x, x]\n".into(), |text, n| {
            format!("{text}a{n}: &a{n} [*a{m}, *a{m}, *a{m}]\n", m = n - 1)
        });
        check(&bomb, "too many values");
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "(?s)[a-z:\\-#&*<>|{}\\[\\]'\"!%@?, \\n\\t\u{e9}0-9$]{0,80}") {
            let _ = read(&text);
        }
    }
}
